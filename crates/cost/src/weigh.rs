//! What parts of a step weigh: the bytes and operations of a graph as a function of what a step holds, found out once, so
//! that a step is divided without walking the graph again.

use std::collections::HashMap;

use graph::{Graph, Group, GroupCounts, StepCounts, Work};

/// What a device reads and does in a second; only their ratio matters where work is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Bytes of memory.
    pub bytes_per_s: f64,
    /// Operations.
    pub operations_per_s: f64,
}

impl Rates {
    /// Seconds to read so much and to do so much, one after the other.
    pub fn seconds(&self, bytes: f64, operations: f64) -> f64 {
        bytes / self.bytes_per_s + operations / self.operations_per_s
    }
}

/// Tokens of one sequence in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Position of the first.
    pub from: u32,
    /// How many.
    pub count: u32,
    /// Rows that are sampled.
    pub rows: u32,
}

/// A graph's work as a function of what a step holds.
#[derive(Debug)]
pub struct Scale {
    graph: Graph,
    /// Without a single token: what is left are weights.
    nothing: Work,
    token: Work,
    /// Bytes of weights that a token reads but for experts, and those of an expert in each layer.
    token_bytes: f64,
    expert_bytes: f64,
    /// Layers whose tokens choose among experts.
    mixtures: u32,
    row: Work,
    /// Of a position that is read, and of a pair that attends, in each group.
    groups: Vec<(Group, Work, Work)>,
    /// Bytes of weights that steps of so many tokens read, of whose experts nobody knows: as many are touched as are if tokens
    /// choose at random.
    weights: HashMap<u32, f64>,
}

impl Scale {
    /// Weighs a graph.
    pub fn new(graph: &Graph) -> Scale {
        let empty = || StepCounts {
            groups: vec![GroupCounts::default(); graph.groups.len()],
            ..StepCounts::default()
        };
        let nothing = graph.work(&empty());
        let more = |change: &dyn Fn(&mut StepCounts)| {
            let mut counts = empty();
            change(&mut counts);
            minus(graph.work(&counts), nothing)
        };
        let group = |(g, &group): (usize, &Group)| {
            let position = more(&|counts| counts.groups[g].positions = 1);
            (group, position, more(&|counts| counts.groups[g].attended = 1))
        };
        let token = more(&|counts| (counts.tokens, counts.seqs) = (1, 1));
        let touching = |experts: f64| {
            let one = |counts: &mut StepCounts| {
                (counts.tokens, counts.seqs, counts.experts_touched) = (1, 1, Some(experts));
            };
            more(&one).weight_bytes
        };
        let token_bytes = touching(0.0);
        let expert_bytes = touching(1.0) - token_bytes;
        let row = more(&|counts| counts.rows = 1);
        let groups = graph.groups.iter().enumerate().map(group).collect();
        Scale {
            nothing,
            token,
            token_bytes,
            expert_bytes,
            mixtures: graph.mixtures(),
            row,
            groups,
            weights: HashMap::new(),
            graph: graph.clone(),
        }
    }

    /// Experts per layer, of all that were touched; `None` where no layer has any.
    pub fn per_layer(&self, experts: u32) -> Option<f64> {
        (self.mixtures > 0).then(|| f64::from(experts) / f64::from(self.mixtures))
    }

    /// Bytes of weights that a step of so many tokens reads, whoever they are of, with the experts per layer that it touched
    /// where somebody counted.
    pub fn weight_bytes(&mut self, tokens: u32, experts: Option<f64>) -> f64 {
        let Scale { graph, nothing, token_bytes, expert_bytes, weights, .. } = self;
        if let Some(experts) = experts {
            return nothing.weight_bytes + f64::from(tokens) * *token_bytes + experts * *expert_bytes;
        }
        if tokens == 0 {
            return nothing.weight_bytes;
        }
        *weights.entry(tokens).or_insert_with(|| {
            graph.work(&StepCounts { tokens, seqs: 1, ..StepCounts::default() }).weight_bytes
        })
    }

    /// Work that is a stretch's own: all but the weights, which it shares.
    pub fn own(&self, stretch: &Stretch) -> Work {
        let mut work = times(self.token, f64::from(stretch.count)) + times(self.row, f64::from(stretch.rows));
        for (group, position, pair) in &self.groups {
            let seen = stretch.seen(*group);
            work += times(*position, seen.positions as f64) + times(*pair, seen.attended as f64);
        }
        Work { weight_bytes: 0.0, ..work }
    }

    /// Operations of so many tokens that attend to nothing.
    pub fn padding(&self, tokens: u32) -> f64 {
        self.token.operations * f64::from(tokens)
    }
}

impl Stretch {
    /// Positions that it reads, and pairs of a token and a position that it attends to.
    pub fn seen(&self, group: Group) -> GroupCounts {
        let Group::Pages { window } = group;
        let (from, count) = (u64::from(self.from), u64::from(self.count));
        let window = window.map_or(u64::MAX, u64::from);
        // Tokens at positions below the window see all before them; the others see a window.
        let short = window.saturating_sub(from).min(count);
        let attended = short * from + short * (short + 1) / 2 + (count - short).saturating_mul(window);
        GroupCounts { attended, positions: from.saturating_add(1).min(window) + count.saturating_sub(1) }
    }
}

fn times(work: Work, n: f64) -> Work {
    Work {
        operations: work.operations * n,
        weight_bytes: work.weight_bytes * n,
        state_bytes: work.state_bytes * n,
        value_bytes: work.value_bytes * n,
        link_bytes: work.link_bytes * n,
    }
}

fn minus(a: Work, b: Work) -> Work {
    a + times(b, -1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_what_counting_gives() {
        for window in [None, Some(1), Some(3), Some(100)] {
            for (from, count) in [(0, 1), (0, 9), (2, 1), (2, 5), (7, 4), (50, 60)] {
                let sees = |position: u32| u64::from((position + 1).min(window.unwrap_or(u32::MAX)));
                let pairs = (from..from + count).map(sees).sum::<u64>();
                let positions = sees(from) + u64::from(count) - 1;
                let stretch = Stretch { from, count, rows: 0 };
                let seen = stretch.seen(Group::Pages { window });
                assert_eq!((seen.positions, seen.attended), (positions, pairs), "{window:?} {from} {count}");
            }
        }
    }
}
