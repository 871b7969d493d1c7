//! Which tokens run together: prompts in chunks, then a token of every sequence at a time.

use std::ops::Range;

use cost::Stretch;
use graph::{Graph, Group, GroupCounts, StepCounts, Work};

use crate::{Bound, Limits};

/// The most tokens of a prompt in one step, where the device does not want another number.
pub const CHUNK: u32 = 512;

/// Tokens of one sequence in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which sequence.
    pub sequence: u32,
    /// Positions of the tokens.
    pub positions: Range<u32>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What runs in it.
    pub parts: Vec<Part>,
    /// Whether the last token of each part is sampled.
    pub sampled: bool,
}

/// A stretch of a prompt, in chunks of which the last is sampled.
pub fn prefill(sequence: u32, positions: Range<u32>) -> Vec<Step> {
    prefill_in(CHUNK, sequence, positions)
}

/// As [`prefill`], in chunks of so many tokens.
pub fn prefill_in(chunk: u32, sequence: u32, positions: Range<u32>) -> Vec<Step> {
    let step = |from: u32| {
        let to = from.saturating_add(chunk).min(positions.end);
        Step { parts: vec![Part { sequence, positions: from..to }], sampled: to == positions.end }
    };
    positions.clone().step_by(chunk.max(1) as usize).map(step).collect()
}

/// A token of each of so many sequences at a time, all at the same positions.
pub fn decode(seqs: u32, positions: Range<u32>) -> Vec<Step> {
    let part = |sequence, position| Part { sequence, positions: position..position + 1 };
    let step = |position| Step { parts: (0..seqs).map(|s| part(s, position)).collect(), sampled: true };
    positions.map(step).collect()
}

/// The work of steps together.
pub fn work(graph: &Graph, steps: &[StepCounts]) -> Work {
    steps.iter().fold(Work::default(), |sum, step| sum + graph.work(step))
}

/// What steps must do together, and how long that takes at best.
pub fn bound(limits: &Limits, graph: &Graph, steps: &[StepCounts]) -> Bound {
    let mut bound = Bound::default();
    for counts in steps {
        graph.walk(&mut |_, op, args, results| {
            bound += limits.bound(&op.work(args, results, counts), op.factor(args));
        });
    }
    bound
}

impl Part {
    /// Tokens.
    pub fn len(&self) -> u32 {
        self.positions.end - self.positions.start
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }
}

impl Step {
    /// What the step holds, for pricing.
    pub fn counts(&self, graph: &Graph) -> StepCounts {
        let seqs = self.parts.len() as u32;
        StepCounts {
            tokens: self.parts.iter().map(Part::len).sum(),
            seqs,
            rows: if self.sampled { seqs } else { 0 },
            groups: graph.groups.iter().map(|&group| self.group_counts(group)).collect(),
            ..StepCounts::default()
        }
    }

    fn group_counts(&self, group: Group) -> GroupCounts {
        let stretch = |part: &Part| Stretch { from: part.positions.start, count: part.len(), rows: 0 };
        let seen = self.parts.iter().map(|part| stretch(part).seen(group));
        seen.fold(GroupCounts::default(), |sum, seen| GroupCounts {
            attended: sum.attended + seen.attended,
            positions: sum.positions + seen.positions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_cut_in_chunks_and_its_end_sampled() {
        let steps = prefill(3, 100..1200);
        let positions = steps.iter().map(|step| step.parts[0].positions.clone()).collect::<Vec<_>>();
        assert_eq!(positions, [100..612, 612..1124, 1124..1200]);
        assert_eq!(steps.iter().map(|step| step.sampled).collect::<Vec<_>>(), [false, false, true]);
        assert!(prefill(0, 5..5).is_empty());
    }

    #[test]
    fn all_sequences_decode_at_the_same_positions() {
        let steps = decode(2, 7..9);
        let part = |sequence, position| Part { sequence, positions: position..position + 1 };
        assert_eq!(steps[1], Step { parts: vec![part(0, 8), part(1, 8)], sampled: true });
        assert_eq!(steps.len(), 2);
    }

    #[test]
    fn what_is_attended_to_is_counted_within_the_window() {
        let step = Step { parts: vec![Part { sequence: 0, positions: 2..5 }], sampled: true };
        let counts = |window| step.group_counts(Group::Pages { window });
        assert_eq!(counts(None), GroupCounts { attended: 3 + 4 + 5, positions: 5 });
        assert_eq!(counts(Some(2)), GroupCounts { attended: 2 + 2 + 2, positions: 4 });
    }
}
