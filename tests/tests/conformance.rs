//! Every case on every backend, and whether the cases are all there.

use std::collections::HashSet;

use polysilicon_tests::conformance::coverage::{KINDS, kind};
use polysilicon_tests::conformance::{RUNNERS, cases, faults};

#[test]
fn backends_agree_with_the_reference_on_every_case() {
    let cases = cases::all();
    let mut report = vec![];
    for runner in RUNNERS.iter().filter(|runner| runner.name != "expansion") {
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
