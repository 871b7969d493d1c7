//! What only the emulator has: counts, settings, and failures on demand.
#![allow(clippy::undocumented_unsafe_blocks, reason = "pointers of C, as `exports` says of all of them")]
#![allow(clippy::missing_safety_doc, reason = "the pointers are to what their types say")]

use std::ffi::c_char;

use super::{code, name, put};
use crate::abi::{Code, Counts, INVALID};
use crate::faults::Faults;
use crate::machine::with;

/// What was counted since the library was opened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn polysilicon_emulator_counts(counts: *mut Counts, size: usize) -> Code {
    code(with(|machine| {
        if size != size_of::<Counts>() {
            return Err(INVALID);
        }
        unsafe { put(counts, machine.counters.counts()) }
    }))
}

/// Has a function give a status, after `skipped` calls that go well, `times` times. A status that an execution ends
/// with comes as the outcome of one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn polysilicon_emulator_fail(
    function: *const c_char,
    status: Code,
    skipped: u64,
    times: u64,
) -> Code {
    code(with(|machine| machine.faults.plan(&unsafe { name(function)? }, status, skipped, times)))
}

/// Changes a setting; those of the machine itself count when it is started next.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn polysilicon_emulator_set(setting: *const c_char, value: *const c_char) -> Code {
    code(with(|machine| {
        let (setting, value) = unsafe { (name(setting)?, name(value)?) };
        machine.settings.set(&setting, &value)?;
        match setting.as_str() {
            "fail" => machine.faults = Faults::parse(&value)?,
            "held" => machine.gate.set(machine.settings.held),
            _ => {}
        }
        Ok(())
    }))
}
