//! What kernels did: how long each took, and how long it takes at best.

use std::collections::HashMap;

use graph::{PlanReport, Work};
use tensor::DType;

use crate::Limits;

/// How the times of kernels are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All nodes of one kernel together.
    Kinds,
    /// Each node of the plan.
    Nodes,
}

/// What the kernels did in one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Ops {
    /// Steps of the round.
    pub steps: usize,
    /// Seconds of the round.
    pub seconds: f64,
    /// Bytes per second that memory gave meanwhile, where that is known.
    pub bandwidth: Option<f64>,
    /// Kernels, the most expensive first.
    pub times: Vec<OpTime>,
}

/// What one kernel did in a round.
#[derive(Clone, Debug, PartialEq)]
pub struct OpTime {
    /// Where its node stands, `layers.0.attn`; `None` where this is all nodes of the kernel.
    pub path: Option<String>,
    /// The kernel.
    pub kernel: String,
    /// How often it ran.
    pub count: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Seconds that it takes at best, where the machine's limits are known.
    pub predicted_s: Option<f64>,
    /// Operations and bytes.
    pub work: Work,
}

/// Reports of steps, added up node by node.
#[derive(Default)]
pub(super) struct Tally {
    places: HashMap<(String, String), usize>,
    nodes: Vec<(OpTime, Option<DType>)>,
    timed: bool,
}

impl Tally {
    /// Adds a step.
    pub fn add(&mut self, report: PlanReport) {
        for line in report.lines {
            let Some(ns) = line.measured_ns else { continue };
            self.timed = true;
            let key = (line.path, line.kernel);
            let place = *self.places.entry(key).or_insert_with_key(|(path, kernel)| {
                self.nodes.push((OpTime::new(Some(path.clone()), kernel.clone()), line.factor));
                self.nodes.len() - 1
            });
            let (time, _) = &mut self.nodes[place];
            time.count += 1;
            time.seconds += ns / 1e9;
            time.work += line.work;
        }
    }

    /// Whether any node told its time.
    pub fn is_timed(&self) -> bool {
        self.timed
    }

    /// What was added up, beside the limits.
    pub fn finish(self, detail: Detail, limits: Option<&Limits>, steps: usize, seconds: f64) -> Ops {
        let predict = |(time, factor): (OpTime, Option<DType>)| {
            let predicted_s = limits.map(|limits| limits.bound(&time.work, factor).seconds());
            OpTime { predicted_s, ..time }
        };
        let nodes = self.nodes.into_iter().map(predict).collect();
        let mut times = match detail {
            Detail::Nodes => nodes,
            Detail::Kinds => kinds(nodes),
        };
        times.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Ops { steps, seconds, bandwidth: limits.map(|limits| limits.bandwidth), times }
    }
}

impl OpTime {
    /// Nothing yet.
    pub(super) fn new(path: Option<String>, kernel: String) -> OpTime {
        OpTime { path, kernel, count: 0, seconds: 0.0, predicted_s: None, work: Work::default() }
    }

    /// Both together.
    pub(super) fn plus(mut self, other: &OpTime) -> OpTime {
        self.count += other.count;
        self.seconds += other.seconds;
        self.work += other.work;
        self.predicted_s = match (self.predicted_s, other.predicted_s) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        self
    }
}

/// Nodes of one kernel put together.
fn kinds(nodes: Vec<OpTime>) -> Vec<OpTime> {
    let mut kinds: Vec<OpTime> = vec![];
    for node in nodes {
        match kinds.iter().position(|kind| kind.kernel == node.kernel) {
            Some(place) => kinds[place] = kinds[place].clone().plus(&node),
            None => kinds.push(OpTime { path: None, ..node }),
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use graph::PlanLine;

    use super::*;

    fn step() -> PlanReport {
        let line = |path: &str, kernel: &str, ns| PlanLine {
            path: path.to_owned(),
            kernel: kernel.to_owned(),
            work: Work { operations: 10.0, weight_bytes: 5.0, ..Work::default() },
            factor: None,
            predicted_ns: None,
            measured_ns: ns,
        };
        let lines = vec![
            line("a", "norm", Some(1e9)),
            line("b", "product", Some(2e9)),
            line("c", "product", Some(4e9)),
        ];
        PlanReport { lines, ..PlanReport::default() }
    }

    fn finished(detail: Detail) -> Vec<(Option<String>, u64, f64, f64)> {
        let mut tally = Tally::default();
        assert!(!tally.is_timed());
        tally.add(step());
        tally.add(step());
        assert!(tally.is_timed());
        let ops = tally.finish(detail, None, 2, 15.0);
        let told = |time: OpTime| (time.path, time.count, time.seconds, time.work.operations);
        ops.times.into_iter().map(told).collect()
    }

    #[test]
    fn steps_are_added_up_and_told_by_node_or_by_kernel() {
        let named = |path: &str| Some(path.to_owned());
        assert_eq!(finished(Detail::Kinds), [(None, 4, 12.0, 40.0), (None, 2, 2.0, 20.0)]);
        let nodes = [(named("c"), 2, 8.0, 20.0), (named("b"), 2, 4.0, 20.0), (named("a"), 2, 2.0, 20.0)];
        assert_eq!(finished(Detail::Nodes), nodes);
    }

    #[test]
    fn a_step_that_was_not_timed_adds_nothing() {
        let mut report = step();
        report.lines.iter_mut().for_each(|line| line.measured_ns = None);
        let mut tally = Tally::default();
        tally.add(report);
        assert!(!tally.is_timed());
    }
}
