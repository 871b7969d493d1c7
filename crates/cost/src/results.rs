//! What requests took, as it was measured: times, tokens and shares of the machine, and no dollars. Prices are laid over it
//! afterwards, so that a result which was recorded can be priced anew.

mod bootstrap;
mod read;
mod slo;
mod summary;

use serde::{Deserialize, Serialize};

use crate::Experts;
use crate::predict::Predicted;

pub use bootstrap::Interval;
pub use read::read;
pub use slo::Slo;
pub use summary::{Dollars, Percentiles, Question, Summary, TAKEN, above, percentile, unlike};

/// The version of the files that results are kept in.
pub const SCHEMA: u32 = 1;

/// What was measured of a model on a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was run, and how.
    pub setup: Setup,
    /// Each load that it was put under.
    pub points: Vec<Point>,
    /// What its kernels took, in steps of one sort each; empty where nobody timed them.
    #[serde(default)]
    pub kernels: Vec<Kernels>,
}

/// What kernels took in steps of one sort, beside what they take at best.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kernels {
    /// The steps.
    pub what: String,
    /// Seconds of a step.
    pub step_s: f64,
    /// Each kind of kernel, the most expensive first.
    pub times: Vec<KernelTime>,
}

/// What a kind of kernel takes in a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KernelTime {
    /// The kernel.
    pub kernel: String,
    /// Seconds.
    pub seconds: f64,
    /// Seconds at best, where the machine's limits are known.
    pub predicted_s: Option<f64>,
}

/// What was run, and how: enough to do it again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The model.
    pub model: String,
    /// Whether its weights are made up.
    pub random_weights: bool,
    /// A number that tells its weights and its graph from others'.
    pub model_digest: String,
    /// Bytes of weights.
    pub weight_bytes: u64,
    /// The name of the device.
    pub device: String,
    /// What it is, in words.
    pub device_description: String,
    /// Threads.
    pub threads: usize,
    /// The program's version.
    pub version: String,
    /// The commit that it was built of; empty where that is not known.
    #[serde(default)]
    pub commit: String,
    /// Whether sources had been changed since that commit, so that it does not say what ran.
    #[serde(default)]
    pub dirty: bool,
    /// Who measured, where that was another program: what it does not tell is not known.
    #[serde(default)]
    pub measured_by: Option<String>,
    /// The command, word by word.
    pub command: Vec<String>,
    /// The day.
    pub date: String,
    /// Numbers that prompts and arrivals follow from.
    pub seed: u64,
    /// Bytes per second that memory gives at best, where that bounds the model: not where its weights fit in caches.
    pub bytes_per_s: Option<f64>,
    /// Operations per second of the device's fastest unit for types that the model has.
    pub operations_per_s: Option<f64>,
    /// Whether a request had the same tokens under load as alone; `None` where that was not tried.
    pub same_tokens_alone: Option<bool>,
    /// The share of tokens that are the likeliest by the plain loops of the reference too; `None` where that would take too
    /// long.
    #[serde(default)]
    pub like_reference: Option<f64>,
}

/// A load, and what was measured under it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Requests under way at any time, where there are always so many.
    pub concurrency: Option<u32>,
    /// Requests per second that come at random, where they do.
    pub rate_per_s: Option<f64>,
    /// Whether prompts could share what they have in common.
    pub cache: bool,
    /// Independent runs.
    pub runs: Vec<Run>,
    /// What was predicted of it.
    #[serde(default)]
    pub predicted: Option<Predicted>,
}

/// One run of a load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Seconds from the first request to the last token.
    pub wall_s: f64,
    /// Seconds in which there was nothing to do, by the engine's stopwatch.
    pub idle_s: f64,
    /// Seconds that filled buckets.
    pub padding_s: f64,
    /// Seconds of the engine's own.
    pub overhead_s: f64,
    /// Seconds that the device worked; zero where nobody tells.
    #[serde(default)]
    pub device_s: f64,
    /// What stood in its way, where the system tells.
    #[serde(default)]
    pub disturbed: Disturbed,
    /// Experts that its steps touched, where the device counts them.
    #[serde(default, skip_serializing_if = "Experts::is_empty")]
    pub experts: Experts,
    /// Seconds by which the load generator was late, at the 99th percentile: in asking, and in reading.
    pub generator_lag_s_p99: f64,
    /// Bytes per second that memory gave meanwhile, where that is known.
    pub bytes_per_s: Option<f64>,
    /// Its requests.
    pub requests: Vec<Request>,
}

/// What stood in a run's way: none of it is a device's fault, and none of it is a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Disturbed {
    /// The share of the processors' time that other programs took.
    pub others: Option<f64>,
    /// The share of it that was not given to this machine, where it is a virtual one.
    pub stolen: Option<f64>,
    /// How often processors were slowed down because they were hot.
    pub throttled: Option<u64>,
}

/// One request. Times are seconds since the run began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// When it was asked.
    pub start_s: f64,
    /// When its first token came.
    pub first_s: f64,
    /// When its last token came.
    pub end_s: f64,
    /// Tokens of its prompt.
    pub tokens_in: u32,
    /// Those among them that needed no computation.
    pub tokens_cached: u32,
    /// Tokens of its answer.
    pub tokens_out: u32,
    /// Seconds between one token and the next.
    pub between_s: Vec<f32>,
    /// Seconds of the machine that its prompt was charged.
    pub prefill_s: f64,
    /// And its answer.
    pub decode_s: f64,
    /// Seconds of those that the device worked, for its prompt and for its answer.
    pub device_s: [f64; 2],
    /// Bytes moved for its prompt and for its answer.
    pub bytes: [f64; 2],
    /// Operations for its prompt and for its answer.
    pub operations: [f64; 2],
    /// Joules, where the machine counts them.
    pub joules: Option<f64>,
    /// What went wrong; the tokens of such a request are not good ones.
    pub error: Option<String>,
}

impl Request {
    /// Whether it is known when each of its tokens came.
    pub(crate) fn tells_each_token(&self) -> bool {
        self.between_s.len() as u64 + 1 == u64::from(self.tokens_out)
    }

    /// Seconds to its first token.
    pub fn ttft_s(&self) -> f64 {
        self.first_s - self.start_s
    }

    /// Seconds of the whole.
    pub fn e2e_s(&self) -> f64 {
        self.end_s - self.start_s
    }

    /// Mean seconds per token after the first.
    pub fn tpot_s(&self) -> f64 {
        (self.end_s - self.first_s) / f64::from(self.tokens_out.saturating_sub(1).max(1))
    }
}

impl Results {
    /// The same in fifteen digits, which any reader of JSON gives back as they are: so a result that was recorded is priced as it
    /// was when it was new.
    #[must_use]
    pub fn rounded(mut self) -> Results {
        let round = |x: &mut f64| *x = format!("{x:.14e}").parse().unwrap_or(*x);
        let Setup { bytes_per_s, operations_per_s, like_reference, .. } = &mut self.setup;
        [bytes_per_s, operations_per_s, like_reference].into_iter().flatten().for_each(round);
        for Kernels { step_s, times, .. } in &mut self.kernels {
            let times = times.iter_mut();
            let times = times.flat_map(|time| [&mut time.seconds].into_iter().chain(&mut time.predicted_s));
            times.chain([step_s]).for_each(round);
        }
        for told in self.points.iter_mut().filter_map(|point| point.predicted.as_mut()) {
            let Predicted { error, out_per_s, itl_s, prompt_s, .. } = told;
            [error, out_per_s, itl_s, prompt_s].into_iter().for_each(round);
        }
        for run in self.points.iter_mut().flat_map(|point| &mut point.runs) {
            let Run { wall_s, idle_s, padding_s, overhead_s, device_s, generator_lag_s_p99, .. } = run;
            [wall_s, idle_s, padding_s, overhead_s, device_s, generator_lag_s_p99]
                .into_iter()
                .for_each(round);
            let Disturbed { others, stolen, .. } = &mut run.disturbed;
            [&mut run.bytes_per_s, others, stolen].into_iter().flatten().for_each(round);
            run.experts.iter_mut().for_each(|touched| round(&mut touched.experts));
            for request in &mut run.requests {
                let Request { start_s, first_s, end_s, prefill_s, decode_s, .. } = request;
                [start_s, first_s, end_s, prefill_s, decode_s].into_iter().for_each(round);
                let Request { device_s, bytes, operations, joules, .. } = request;
                [device_s, bytes, operations].into_iter().flatten().chain(joules).for_each(round);
            }
        }
        self
    }
}

impl Point {
    /// The load in words.
    pub fn load(&self) -> String {
        match (self.concurrency, self.rate_per_s) {
            (Some(n), _) => format!("{n} at a time"),
            (None, Some(rate)) => format!("{rate} per second"),
            (None, None) => "as recorded".to_owned(),
        }
    }
}
