//! Every case on every backend, and whether the cases are all there.

use std::collections::HashSet;

use graph::BackendError;
use polysilicon_tests::conformance::coverage::{KINDS, kind};
use polysilicon_tests::conformance::{Case, PAGE_LEN, RUNNERS, Runner, cases, faults};
use tensor::{DType, Value};

#[test]
fn backends_agree_with_the_reference_on_every_case() {
    let cases = cases::all();
    let mut report = vec![];
    for runner in RUNNERS.iter().filter(|runner| (runner.present)() && runner.name != "expansion") {
        report.extend(faults(runner, &cases).iter().map(|fault| format!("{}: {fault}", runner.name)));
    }
    assert!(report.is_empty(), "{} cases fail:\n{}", report.len(), report.join("\n"));
}

#[test]
fn every_kind_of_operation_has_a_case() {
    let covered = cases::all().iter().filter_map(|case| kind(&case.op)).collect::<HashSet<_>>();
    let missing = KINDS.iter().filter(|kind| !covered.contains(*kind)).collect::<Vec<_>>();
    assert!(missing.is_empty(), "no case applies {missing:?}");
}

#[test]
fn names_of_cases_are_unique() {
    let mut seen = HashSet::new();
    let twice = cases::all().into_iter().filter(|case| !seen.insert(case.name.clone()));
    let twice = twice.map(|case| case.name).collect::<Vec<_>>();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn every_ignored_prefix_is_the_beginning_of_a_case() {
    let cases = cases::all();
    for runner in RUNNERS {
        for (prefix, reason) in runner.ignore {
            let used = cases.iter().any(|case| case.name.starts_with(prefix));
            assert!(used, "{} ignores `{prefix}` ({reason}), which no case begins with", runner.name);
        }
    }
}

/// The reference with the first element of the first result a thousandth too large, or its last bit turned over.
fn slightly_wrong(case: &Case) -> Result<Vec<Value>, BackendError> {
    let mut results = reference::eval(&case.op, &case.args, PAGE_LEN, &case.bucket, false)?;
    if results[0].dtype == DType::F32 {
        let first = &mut results[0].data.as_mut_slice::<f32>()[0];
        *first = if first.is_finite() { *first + 1e-3 * (1.0 + first.abs()) } else { 0.0 };
    } else {
        results[0].data.as_mut_slice::<u8>()[0] ^= 1;
    }
    Ok(results)
}

#[test]
fn no_case_lets_a_slightly_wrong_backend_pass() {
    let wrong = Runner { name: "slightly wrong", present: || true, eval: slightly_wrong, ignore: &[] };
    let cases = cases::all();
    let told = faults(&wrong, &cases).iter().map(ToString::to_string).collect::<Vec<_>>();
    let told_of = |case: &&Case| told.iter().any(|fault| fault.starts_with(&format!("{}: ", case.name)));
    let passed = cases.iter().filter(|case| !told_of(case)).map(|case| &case.name).collect::<Vec<_>>();
    assert!(passed.is_empty(), "{passed:?} notice nothing");
}
