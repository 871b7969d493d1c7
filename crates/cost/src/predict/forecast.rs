//! What a load of requests comes to on chips: prompts of one length, answers of one length, so many at a time.

use graph::{Graph, GroupCounts, StepCounts};
use serde::{Deserialize, Serialize};

use super::{Calibration, StepBound};
use crate::Stretch;

/// Requests that are all alike, of which so many are under way at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Tokens of a prompt.
    pub prompt: u32,
    /// Tokens of an answer.
    pub output: u32,
    /// Requests at a time.
    pub sequences: u32,
}

/// What a load comes to on chips.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The load.
    pub load: Load,
    /// The least that a prompt takes.
    pub prefill: StepBound,
    /// The least that a token of each takes, halfway through their answers.
    pub decode: StepBound,
    /// Seconds of a prompt.
    pub prefill_s: f64,
    /// Seconds of a token of each.
    pub decode_s: f64,
    /// How far that may be off, as a share; `None` where it is the bound itself.
    pub error: Option<f64>,
}

impl Forecast {
    /// What a load comes to where so much bounds a step: by a calibration, or, without one, at best.
    pub fn new(
        graph: &Graph,
        bound: &dyn Fn(&StepCounts) -> StepBound,
        calibration: Option<&Calibration>,
        load: Load,
    ) -> Forecast {
        let prompt = Stretch { from: 0, count: load.prompt, rows: 1 };
        let token = Stretch { from: load.prompt + load.output / 2, count: 1, rows: 1 };
        let prefill = bound(&counts(graph, &prompt, 1));
        let decode = bound(&counts(graph, &token, load.sequences));
        let seconds = |bound: &StepBound, sequences| {
            calibration.map_or(bound.seconds, |calibration| calibration.seconds(bound, sequences))
        };
        Forecast {
            load,
            prefill_s: seconds(&prefill, 1),
            decode_s: seconds(&decode, load.sequences),
            prefill,
            decode,
            error: calibration.map(|calibration| calibration.error),
        }
    }

    /// Seconds in which as many requests end as are under way: each step makes a token of each, and a prompt is computed
    /// for each that begins.
    fn cycle_s(&self) -> f64 {
        f64::from(self.load.output) * self.decode_s + f64::from(self.load.sequences) * self.prefill_s
    }

    /// Tokens per second that are made.
    pub fn out_per_s(&self) -> f64 {
        f64::from(self.load.sequences) * f64::from(self.load.output) / self.cycle_s()
    }

    /// Tokens per second that are read.
    pub fn in_per_s(&self) -> f64 {
        f64::from(self.load.sequences) * f64::from(self.load.prompt) / self.cycle_s()
    }

    /// Seconds between two tokens of an answer, the prompts of others among them.
    pub fn tpot_s(&self) -> f64 {
        let others = f64::from(self.load.sequences.saturating_sub(1));
        self.decode_s + others * self.prefill_s / f64::from(self.load.output.max(1))
    }

    /// The share of time that prompts take.
    pub fn prefill_share(&self) -> f64 {
        f64::from(self.load.sequences) * self.prefill_s / self.cycle_s()
    }

    /// Bytes of keys and values of all requests at their ends, and of weights.
    pub fn bytes(graph: &Graph, load: Load) -> f64 {
        let last = Stretch { from: load.prompt + load.output, count: 1, rows: 1 };
        let work = graph.work(&counts(graph, &last, load.sequences));
        graph.weight_bytes() as f64 + work.state_bytes
    }
}

/// What a step holds that has the same stretch of so many sequences.
pub fn counts(graph: &Graph, stretch: &Stretch, sequences: u32) -> StepCounts {
    let group = |&group: &graph::Group| {
        let (seen, n) = (stretch.seen(group), u64::from(sequences));
        GroupCounts { attended: seen.attended * n, positions: seen.positions * n }
    };
    StepCounts {
        tokens: stretch.count.saturating_mul(sequences),
        seqs: sequences,
        rows: stretch.rows.saturating_mul(sequences),
        groups: graph.groups.iter().map(group).collect(),
        ..StepCounts::default()
    }
}

/// What was predicted of a load, from nothing that was measured of it but what memory gave meanwhile and, of a mixture, how many
/// experts steps touched while it warmed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// By which calibration.
    pub calibration: String,
    /// How far that was off, as a share, on models that it was not fitted to.
    pub error: f64,
    /// Tokens out per second.
    pub out_per_s: f64,
    /// Seconds between two tokens of an answer where no prompt comes between them, as most do.
    pub itl_s: f64,
    /// Seconds of a prompt.
    pub prompt_s: f64,
}
