//! Every composite operation against its expansion, in every variant that an expansion has.

use std::collections::HashSet;

use graph::Op;
use polysilicon_tests::conformance::{Case, RUNNERS, cases, faults};

fn composites() -> Vec<Case> {
    cases::all().into_iter().filter(|case| case.op.is_composite()).collect()
}

#[test]
fn every_composite_equals_its_expansion() {
    let expansion = RUNNERS.iter().find(|runner| runner.name == "expansion").expect("a row of that name");
    let faults = faults(expansion, &cases::all());
    let report = faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(report.is_empty(), "{} cases fail:\n{}", report.len(), report.join("\n"));
}

/// Attention expands in one way for uniform steps and in another for ragged ones, experts for few tokens and for many:
/// the cases must reach all of them.
#[test]
fn cases_reach_every_variant() {
    let variant = |case: &Case| match case.op {
        Op::Attention { .. } if case.bucket.seqs == 1 => Some("attention of one sequence"),
        Op::Attention { .. } if case.bucket.queries == 1 => Some("attention of one token each"),
        Op::Attention { .. } if case.bucket.queries > 1 => Some("attention of several tokens each"),
        Op::Attention { .. } => Some("ragged attention"),
        Op::ExpertFfn { .. } => {
            let (chosen, experts) = (case.args[2].shape, case.args[3].shape[0]);
            Some(if chosen[0] * chosen[1] <= experts { "experts by weight" } else { "experts by expert" })
        }
        _ => None,
    };
    let reached = composites().iter().filter_map(variant).collect::<HashSet<_>>();
    assert_eq!(reached.len(), 6, "only {reached:?} are reached");
}
