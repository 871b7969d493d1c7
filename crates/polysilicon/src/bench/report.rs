//! What was found: as text, and as JSON.

use std::fmt;

use cost::predict::Sample;
use cost::results::{Disturbed, KernelTime, Kernels, above, unlike};
use graph::Work;
use serde_json::{Value, json};
use tensor::DType;

use super::{OpTime, Ops};
use crate::Bound;
use crate::numbers;
use cost::{Experts, Touched, table};

/// What a bench found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The model.
    pub model: String,
    /// What tells it from others of its name, as in results of requests.
    pub model_digest: String,
    /// Whether its weights are made up.
    pub random: bool,
    /// Whether the device is an emulation, so that times are simulated.
    pub emulated: bool,
    /// The device, in words.
    pub device: String,
    /// Threads.
    pub threads: usize,
    /// The type of keys and values, where the model has any.
    pub kv: Option<DType>,
    /// Bytes of weights.
    pub weight_bytes: u64,
    /// What was timed.
    pub figures: Vec<Figure>,
}

/// One thing that was timed.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// A prompt, or decoding.
    pub phase: Phase,
    /// Tokens of each sequence.
    pub tokens: u32,
    /// Tokens before the first of them.
    pub depth: u32,
    /// Sequences.
    pub sequences: u32,
    /// Seconds of each round.
    pub rounds: Vec<f64>,
    /// Bytes per second that memory gave beside each round; empty where the device is not this machine's processor.
    pub bandwidths: Vec<f64>,
    /// Experts that its steps touched, where the device counts them.
    pub experts: Experts,
    /// What a round must do.
    pub work: Work,
    /// How long that takes at best, by what was measured of the machine.
    pub bound: Option<Bound>,
    /// Whether caches hold the weights, so that memory bounds nothing and no calibration fits.
    pub in_caches: bool,
    /// Seconds that a round takes at least, where the machine's limits are known.
    pub least_s: Option<f64>,
    /// What stood in its way, where the system tells.
    pub disturbed: Disturbed,
    /// Why it is no result; see [`Report::judge`].
    pub refused: Option<String>,
    /// What one of its steps takes and what it takes at best, to which calibrations are fitted.
    pub sample: Option<Sample>,
    /// Tokens per second that were predicted, where this program has been calibrated on such a device.
    pub predicted_per_s: Option<f64>,
    /// What the kernels did in the round in the middle, where that was asked for.
    pub ops: Option<Ops>,
}

/// What a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Tokens of a prompt.
    Prefill,
    /// One token of each sequence.
    Decode,
}

impl Figure {
    pub(super) fn new(phase: Phase) -> Figure {
        let (rounds, bandwidths) = (vec![], vec![]);
        Figure {
            phase,
            tokens: 0,
            depth: 0,
            sequences: 0,
            rounds,
            bandwidths,
            experts: Experts::default(),
            work: Work::default(),
            bound: None,
            in_caches: false,
            least_s: None,
            disturbed: Disturbed::default(),
            refused: None,
            sample: None,
            predicted_per_s: None,
            ops: None,
        }
    }

    /// Tokens per second in the median round.
    pub fn tokens_per_s(&self) -> f64 {
        self.rate(median(&self.rounds))
    }

    /// Bytes that had to be read over those that memory would have given: the median of all rounds, each beside what
    /// memory gave then.
    pub fn share_of_bandwidth(&self) -> Option<f64> {
        let bytes = self.bound.filter(|_| !self.bandwidths.is_empty())?.bytes;
        let rounds = self.rounds.iter().zip(&self.bandwidths);
        Some(median(&rounds.map(|(seconds, rate)| bytes / rate / seconds).collect::<Vec<_>>()))
    }

    /// Operations over those that the machine's fastest units would have done in the median round.
    pub fn share_of_peak(&self) -> Option<f64> {
        Some(self.bound?.compute_s / median(&self.rounds))
    }

    /// The round in the middle: by its time, or where memory is waited for by its time beside what memory gave.
    pub(super) fn middle_round(&self) -> Option<usize> {
        let waits = self.bound.is_some_and(|bound| bound.memory_s > bound.compute_s);
        let beside = |place: usize| self.bandwidths.get(place).filter(|_| waits).copied().unwrap_or(1.0);
        let took = |place: usize| self.rounds[place] * beside(place);
        let mut places = (0..self.rounds.len()).collect::<Vec<_>>();
        places.sort_by(|&a, &b| took(a).total_cmp(&took(b)));
        places.get(places.len().saturating_sub(1) / 2).copied()
    }

    /// Why it is no result, where others may take such a share of the processors' time.
    fn refusal(&self, taken: f64) -> Option<String> {
        let reached = self.least_s.map(|least| least / median(&self.rounds));
        self.disturbed.refusal(taken).or_else(|| reached.and_then(above)).or_else(|| unlike(self.spread()))
    }

    /// How far its rounds are apart, as a share of the one in the middle. Where memory is waited for and gives more or less from
    /// one round to the next, rounds differ with it.
    fn spread(&self) -> f64 {
        let spread = |took: &[f64]| {
            let (least, most) = took.iter().fold((f64::MAX, 0.0), |(a, b), &s| (s.min(a), s.max(b)));
            if took.is_empty() { 0.0 } else { (most - least) / median(took) }
        };
        let beside = self.rounds.iter().zip(&self.bandwidths).map(|(seconds, rate)| seconds * rate);
        match beside.collect::<Vec<_>>() {
            beside if beside.is_empty() => spread(&self.rounds),
            beside => spread(&self.rounds).min(spread(&beside)),
        }
    }

    fn rate(&self, seconds: f64) -> f64 {
        f64::from(self.tokens) * f64::from(self.sequences) / seconds
    }
}

impl Phase {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Prefill => "prefill",
            Phase::Decode => "decode",
        }
    }
}

/// The middle one; of an even number the mean of the two in the middle. Zero where there is none.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let random = if self.random { ", random weights" } else { "" };
        let Report { model, device, threads, .. } = self;
        writeln!(f, "{model}{random} on {device}, {threads} threads")?;
        self.figures.iter().try_for_each(|figure| write!(f, "{figure}"))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figure { tokens, depth, sequences, .. } = self;
        let (phase, rate) = (self.phase.name(), self.tokens_per_s());
        write!(f, "{phase:8} {tokens:>6} tokens at {depth:>6}, {sequences:>3} sequences: ")?;
        if let Some(reason) = &self.refused {
            return writeln!(f, "no result: {reason}");
        }
        write!(f, "{rate:>9.2} tokens/s")?;
        if self.in_caches {
            write!(f, ", caches hold the weights")?;
        } else if let Some(share) = self.share_of_bandwidth() {
            let bandwidth = median(&self.bandwidths) / 1e9;
            write!(f, ", {:>3.0} % of bandwidth ({bandwidth:.0} GB/s)", 100.0 * share)?;
        }
        if let Some(share) = self.share_of_peak() {
            write!(f, ", {:>3.0} % of peak", 100.0 * share)?;
        }
        if let Some(predicted) = self.predicted_per_s.filter(|_| !self.in_caches) {
            write!(f, ", predicted {predicted:.2} ({:+.0} %)", 100.0 * (predicted / rate - 1.0))?;
        }
        for Touched { tokens, experts, .. } in self.experts.iter() {
            write!(f, ", {experts:.1} experts a layer by {tokens} tokens")?;
        }
        writeln!(f)?;
        self.ops.as_ref().map_or(Ok(()), |ops| write!(f, "{ops}"))
    }
}

impl fmt::Display for Ops {
    /// A table of what a step of the round in the middle takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |kernel: &str| OpTime::new(None, kernel.to_owned());
        let kernels = self.times.iter().fold(named("a step"), OpTime::plus);
        let beside = (self.seconds - kernels.seconds).max(0.0);
        let beside = OpTime { seconds: beside, ..named("beside kernels") };
        let step = OpTime { seconds: self.seconds, ..kernels };
        let known = if self.bandwidth.is_some() { ["predicted", "reached"] } else { [""; 2] };
        let node = if self.times.iter().any(|time| time.path.is_some()) { "node" } else { "" };
        let head = [node, "kernel", "times", "measured", known[0], known[1], "share", "memory", "operations"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.times.iter().chain([&beside, &step]).map(|time| self.row(time)));
        if let Some(bandwidth) = self.bandwidth {
            writeln!(f, "  the round in the middle, while memory gave {:.1} GB/s:", bandwidth / 1e9)?;
        }
        table(&rows, 2).lines().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl Ops {
    /// What a kernel does in a step, on average. What is nothing is left out.
    fn row(&self, time: &OpTime) -> [String; 9] {
        let told = |x: f64, of: &dyn Fn(f64) -> String| if x > 0.0 { of(x) } else { String::new() };
        let per_step = |x: f64, of: &dyn Fn(f64) -> String| told(x / self.steps as f64, of);
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let predicted = time.predicted_s.unwrap_or(0.0);
        [
            time.path.clone().unwrap_or_default(),
            time.kernel.clone(),
            per_step(time.count as f64, &number),
            per_step(time.seconds, &numbers::seconds),
            per_step(predicted, &numbers::seconds),
            told(predicted / time.seconds, &percent),
            percent(time.seconds / self.seconds),
            per_step(time.work.memory_bytes(), &numbers::bytes),
            per_step(time.work.operations, &numbers::operations),
        ]
    }
}

/// A whole number, or one decimal of another: programs of one round may differ.
fn number(x: f64) -> String {
    if x.fract() == 0.0 { format!("{x:.0}") } else { format!("{x:.1}") }
}

impl Report {
    /// What kernels took in a step of each thing that was timed, as reports of costs show it.
    pub fn kernels(&self) -> Vec<Kernels> {
        let of = |figure: &Figure| {
            let figure = Some(figure).filter(|figure| figure.refused.is_none())?;
            let (ops, Figure { phase, tokens, depth, sequences, .. }) = (figure.ops.as_ref()?, figure);
            let per_step = |seconds: f64| seconds / ops.steps.max(1) as f64;
            let what = match phase {
                Phase::Prefill => format!("a step of a prompt of {tokens} tokens"),
                Phase::Decode => format!("a step that decodes {sequences} sequences, {depth} tokens deep"),
            };
            let time = |time: &OpTime| KernelTime {
                kernel: time.kernel.clone(),
                seconds: per_step(time.seconds),
                predicted_s: time.predicted_s.map(per_step),
            };
            Some(Kernels { what, step_s: per_step(ops.seconds), times: ops.times.iter().map(time).collect() })
        };
        self.figures.iter().filter_map(of).collect()
    }

    /// Judges every figure anew: what was measured while others took more than such a share of the processors' time, while heat
    /// slowed them down, above its physical bound or in rounds that are far apart is no result.
    pub fn judge(&mut self, taken: f64) {
        self.figures.iter_mut().for_each(|figure| figure.refused = figure.refusal(taken));
    }

    /// All of it as one JSON object.
    pub fn json(&self) -> Value {
        json!({
            "model": self.model,
            "model_digest": self.model_digest,
            "random_weights": self.random,
            "device": self.device,
            "emulated": self.emulated,
            "threads": self.threads,
            "kv": self.kv.map(DType::name),
            "weight_bytes": self.weight_bytes,
            "results": self.figures.iter().map(Figure::json).collect::<Vec<_>>(),
        })
    }
}

impl Figure {
    fn json(&self) -> Value {
        let rates = self.rounds.iter().map(|&seconds| self.rate(seconds));
        let mut json = json!({
            "what": self.phase.name(),
            "tokens": self.tokens,
            "depth": self.depth,
            "sequences": self.sequences,
            "refused": self.refused,
            "disturbed": self.disturbed,
            "in_caches": self.in_caches,
            "tokens_per_s": self.tokens_per_s(),
            "rounds": rates.collect::<Vec<_>>(),
            "bytes": self.work.memory_bytes(),
            "operations": self.work.operations,
        });
        if !self.experts.is_empty() {
            json["experts"] = json!(self.experts);
        }
        if self.bound.is_some() {
            json["bandwidths_bytes_per_s"] = json!(self.bandwidths);
            json["share_of_bandwidth"] = json!(self.share_of_bandwidth());
            json["share_of_peak"] = json!(self.share_of_peak());
        }
        if let Some(sample) = &self.sample {
            json["sample"] = json!(sample);
            json["predicted_tokens_per_s"] = json!(self.predicted_per_s);
        }
        if let Some(ops) = &self.ops {
            json["ops"] = json!({
                "steps": ops.steps,
                "seconds": ops.seconds,
                "bandwidth_bytes_per_s": ops.bandwidth,
                "times": ops.times.iter().map(OpTime::json).collect::<Vec<_>>(),
            });
        }
        json
    }
}

impl OpTime {
    fn json(&self) -> Value {
        json!({
            "path": self.path,
            "kernel": self.kernel,
            "count": self.count,
            "seconds": self.seconds,
            "predicted_s": self.predicted_s,
            "weight_bytes": self.work.weight_bytes,
            "state_bytes": self.work.state_bytes,
            "value_bytes": self.work.value_bytes,
            "operations": self.work.operations,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure() -> Figure {
        let product = OpTime {
            count: 4,
            seconds: 0.3,
            predicted_s: Some(0.15),
            work: Work { weight_bytes: 2048.0, operations: 8e6, ..Work::default() },
            ..OpTime::new(None, "product[q4_0 x int8, avx2]".to_owned())
        };
        let norm = OpTime { count: 2, seconds: 0.05, ..OpTime::new(None, "rms_norm[avx2]".to_owned()) };
        let times = vec![product, norm];
        Figure {
            tokens: 2,
            sequences: 4,
            rounds: vec![0.5, 0.25, 1.0],
            bandwidths: vec![1e9, 4e9, 2e9],
            bound: Some(Bound { bytes: 1e8, operations: 8e6, memory_s: 0.1, compute_s: 0.05 }),
            ops: Some(Ops { steps: 2, seconds: 0.4, bandwidth: Some(1e9), times }),
            ..Figure::new(Phase::Decode)
        }
    }

    #[test]
    fn a_figure_is_the_median_of_its_rounds_beside_the_limits() {
        let figure = figure();
        assert_eq!(figure.tokens_per_s(), 16.0);
        assert_eq!(
            figure.middle_round(),
            Some(1),
            "memory gave twice and four times as much beside the others"
        );
        // 0.1 of 0.5 seconds, 0.025 of 0.25 and 0.05 of 1.
        assert_eq!(figure.share_of_bandwidth(), Some(0.1));
        assert_eq!(figure.share_of_peak(), Some(0.1));
        let cached =
            Figure { in_caches: true, predicted_per_s: Some(1.0), ops: None, ..figure.clone() }.to_string();
        assert!(cached.contains("caches hold the weights") && !cached.contains("bandwidth"), "{cached}");
        assert!(!cached.contains("predicted"), "{cached}");
        let elsewhere = Figure { bandwidths: vec![], bound: None, ..figure };
        assert_eq!(elsewhere.middle_round(), Some(0), "by time alone");
        assert_eq!((elsewhere.share_of_bandwidth(), elsewhere.share_of_peak()), (None, None));
    }

    #[test]
    fn what_was_disturbed_is_told_with_the_reason_and_without_its_figures() {
        let told = |change: &dyn Fn(&mut Figure), taken: f64| {
            let mut one = Figure { rounds: vec![0.5, 0.35, 0.4], ..figure() };
            change(&mut one);
            let mut report = Report {
                model: "a model".to_owned(),
                model_digest: String::new(),
                random: false,
                emulated: false,
                device: "a device".to_owned(),
                threads: 1,
                kv: None,
                weight_bytes: 0,
                figures: vec![one],
            };
            report.judge(taken);
            let refused = report.json()["results"][0]["refused"].as_str().map(str::to_owned);
            let (text, kernels) = (report.to_string(), report.kernels());
            assert_eq!(refused.is_some(), text.contains("no result: "), "{text}");
            assert_eq!(refused.is_none(), text.contains("tokens/s") && !kernels.is_empty(), "{text}");
            refused
        };
        assert_eq!(told(&|_| {}, 0.1), None);
        let busy = |figure: &mut Figure| figure.disturbed.others = Some(0.4);
        assert!(told(&busy, 0.1).is_some_and(|reason| reason.contains("other programs took 40 %")));
        assert_eq!(told(&busy, 0.5), None, "it was asked to be judged so");
        let hot = |figure: &mut Figure| figure.disturbed.throttled = Some(2);
        assert!(told(&hot, 1.0).is_some_and(|reason| reason.contains("slowed down 2 times")));
        // At least 0.44 of the 0.4 seconds in the middle.
        let fast = |figure: &mut Figure| figure.least_s = Some(0.44);
        assert!(told(&fast, 1.0).is_some_and(|reason| reason.contains("110 % of the physical limit")));
        assert_eq!(
            told(&|figure| figure.least_s = Some(0.41), 1.0),
            None,
            "memory gives a little more at times"
        );
        let apart = |figure: &mut Figure| (figure.rounds, figure.bandwidths) = (vec![0.2, 0.4, 0.8], vec![]);
        assert!(told(&apart, 1.0).is_some_and(|reason| reason.contains("differ by 150 %")));
        let with_memory = |figure: &mut Figure| {
            (figure.rounds, figure.bandwidths) = (vec![0.2, 0.4, 0.8], vec![4e9, 2e9, 1e9]);
        };
        assert_eq!(told(&with_memory, 1.0), None, "memory gave less, and that was waited for");
    }

    #[test]
    fn kernels_are_told_per_step() {
        let wanted = "\
decode        2 tokens at      0,   4 sequences:     16.00 tokens/s,  10 % of bandwidth (2 GB/s),  10 % of peak
  the round in the middle, while memory gave 1.0 GB/s:
  kernel                      times   measured  predicted  reached    share    memory  operations
  product[q4_0 x int8, avx2]      2  150.00 ms   75.00 ms   50.0 %   75.0 %  1.00 KiB      4.00 M
  rms_norm[avx2]                  1   25.00 ms                       12.5 %
  beside kernels                      25.00 ms                       12.5 %
  a step                          3  200.00 ms   75.00 ms   37.5 %  100.0 %  1.00 KiB      4.00 M
";
        assert_eq!(figure().to_string(), wanted);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(
            [&[][..], &[7.0], &[9.0, 1.0, 2.0], &[4.0, 1.0, 9.0, 2.0]].map(median),
            [0.0, 7.0, 2.0, 3.0]
        );
    }
}
