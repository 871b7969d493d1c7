//! Failures on demand: any function gives any status, after so many calls that go well.

use std::collections::HashMap;

use crate::abi::{Code, INVALID, SUCCESS};

/// What fails, by the name of the function.
#[derive(Default)]
pub struct Faults {
    planned: HashMap<String, Fault>,
}

struct Fault {
    code: Code,
    skipped: u64,
    times: u64,
}

impl Faults {
    /// Failures as text: `function:status:skipped:times`, with commas between; the last two may be left out, and are
    /// 0 and 1 then.
    pub fn parse(text: &str) -> Result<Faults, Code> {
        let mut faults = Faults::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let mut fields = part.split(':');
            let name = fields.next().unwrap_or_default();
            let mut number = |default: Option<u64>| match fields.next() {
                Some(text) => text.parse().map_err(|_| INVALID),
                None => default.ok_or(INVALID),
            };
            let code = Code::try_from(number(None)?).map_err(|_| INVALID)?;
            faults.plan(name, code, number(Some(0))?, number(Some(1))?)?;
        }
        Ok(faults)
    }

    /// Has a function fail `times` times after it went well `skipped` times. A plan takes the place of an earlier one.
    pub fn plan(&mut self, function: &str, code: Code, skipped: u64, times: u64) -> Result<(), Code> {
        if code == SUCCESS || function.is_empty() {
            return Err(INVALID);
        }
        self.planned.insert(function.to_owned(), Fault { code, skipped, times });
        Ok(())
    }

    /// The status that a call of this function is to give, if it is to fail.
    pub fn of_call(&mut self, function: &str) -> Option<Code> {
        let fault = self.planned.get_mut(function)?;
        match (&mut fault.skipped, &mut fault.times) {
            (1.., _) => fault.skipped -= 1,
            (0, 0) => {}
            (0, times) => {
                *times -= 1;
                return Some(fault.code);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_when_planned_and_as_often() {
        let mut faults = Faults::parse("nrt_execute:1003:1:2,nrt_load:4").unwrap();
        let calls: Vec<_> = (0..5).map(|_| faults.of_call("nrt_execute")).collect();
        assert_eq!(calls, [None, Some(1003), Some(1003), None, None]);
        assert_eq!((faults.of_call("nrt_load"), faults.of_call("nrt_load")), (Some(4), None));
        assert_eq!(faults.of_call("nrt_unload"), None);
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for text in ["nrt_load", "nrt_load:0", "nrt_load:x", ":4", "nrt_load:4:y"] {
            assert!(Faults::parse(text).is_err(), "{text}");
        }
    }
}
