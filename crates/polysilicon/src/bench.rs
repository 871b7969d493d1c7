//! How fast a model runs: steps driven directly on a device, timed, beside what this machine can do at best.
//!
//! ```
//! use polysilicon::bench::Workload;
//!
//! let workload = Workload { prompts: vec![8], output: 4, rounds: 1, ..Workload::default() };
//! let report = polysilicon::Model::open("embedded")?.bench(&workload, &mut |_| {})?;
//! assert!(report.figures.iter().all(|figure| figure.tokens_per_s() > 0.0));
//! # Ok::<(), polysilicon::Error>(())
//! ```

mod forecast;
mod ops;
mod report;
mod runner;
mod schedule;

use std::time::Duration;

use cost::Touched;
use cost::predict::Sample;
use cost::results::TAKEN;
use graph::StepCounts;

use crate::disturbance::Watch;
use crate::session::digest;
use crate::{Builder, Device, Error, Gauge, Limits, Progress};

pub(crate) use forecast::peak;
pub use forecast::{Oracle, multiplies_blocks};
pub use ops::{Detail, OpTime, Ops};
pub use report::{Figure, Phase, Report, median};
pub use runner::{Room, Runner};
pub use schedule::{CHUNK, Part, Step, bound, decode, prefill, prefill_in, work};

use ops::Tally;

/// What is run and timed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Tokens of a prompt, each a measurement of its own; none where 0.
    pub prompts: Vec<u32>,
    /// Tokens decoded, one at a time in each sequence; none where 0.
    pub output: u32,
    /// Tokens before the first decoded one, each a measurement of its own.
    pub depths: Vec<u32>,
    /// Sequences decoded together, at each depth.
    pub sequences: Vec<u32>,
    /// Rounds that are timed, behind one that warms up.
    pub rounds: u32,
    /// Whether kernels are timed as well, and how they are told.
    pub ops: Option<Detail>,
}

impl Default for Workload {
    fn default() -> Workload {
        let (prompts, depths, sequences) = (vec![512], vec![0], vec![1]);
        Workload { prompts, output: 128, depths, sequences, rounds: 5, ops: None }
    }
}

/// What so many threads reach, measured where that was not done before; `None` where a device is not this machine's
/// processor.
pub fn limits(device: Device, threads: usize) -> Option<Limits> {
    let measured = || cpu::measure::cached().unwrap_or_else(|| cpu::measure::measure(&mut |_| {}));
    device.runs_here().then(|| Limits::new(&measured(), threads))
}

/// What memory gives so many threads while something else is timed; `None` where a device is not this machine's
/// processor.
pub fn gauge(device: Device, threads: usize) -> Option<Gauge> {
    device.runs_here().then(|| Gauge::new(threads))
}

impl Builder {
    /// Loads the model and times it. What a budget does not hold, and what lies beyond the context, is refused; `tell`
    /// hears how many rounds of how many are done.
    pub fn bench(
        mut self,
        workload: &Workload,
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Report, Error> {
        let room = workload.room();
        let context = self.context_asked()?;
        if room.context > context {
            let asked = room.context;
            return Err(Error::Word(format!(
                "{asked} tokens of a sequence are to be timed, and the context is {context}; ask for less"
            )));
        }
        let pool = self.pool()?;
        let threads = pool.current_num_threads();
        self.choices.threads = Some(threads);
        let backend = self.backend()?;
        let graph = self.graph(&*backend)?;
        let mut report = Report {
            model: self.opened.name().to_owned(),
            model_digest: format!("{:016x}", digest(&graph, &*self.opened.source)?),
            random: self.opened.is_random(),
            emulated: backend.is_emulated(),
            device: backend.caps().description.clone(),
            threads,
            kv: graph.states.first().map(|state| state.dtype),
            weight_bytes: graph.weight_bytes(),
            figures: vec![],
        };
        let (limits, gauge) = (limits(self.device, threads), gauge(self.device, threads));
        report.figures = pool.install(|| {
            let bytes = self.bytes(backend.caps());
            let runner =
                Runner::within(&*backend, graph, room, bytes, |graph| self.weights(&*backend, graph))?;
            // The bar of loading goes.
            drop(self);
            let (device, emulated) = (backend.caps().name, backend.is_emulated());
            let (model, figures) = (report.model.clone(), vec![]);
            let oracle =
                limits.clone().map(|limits| Oracle::new(limits, runner.graph())).transpose()?.flatten();
            let mut timing = Timing {
                runner,
                model,
                oracle,
                limits,
                gauge,
                workload,
                device,
                emulated,
                done: 0,
                tell,
                figures,
            };
            timing.all()?;
            Ok::<_, Error>(timing.figures)
        })?;
        report.judge(TAKEN);
        Ok(report)
    }
}

impl Workload {
    /// What it needs room for.
    fn room(&self) -> Room {
        let largest = |of: &[u32]| of.iter().copied().max().unwrap_or(0);
        let decoded = if self.output > 0 { largest(&self.depths).saturating_add(self.output) } else { 0 };
        let context = largest(&self.prompts).max(decoded).max(1);
        Room { seqs: largest(&self.sequences).max(1), context }
    }

    /// Prompts that are timed.
    fn prompts(&self) -> impl Iterator<Item = u32> + '_ {
        self.prompts.iter().copied().filter(|&tokens| tokens > 0)
    }

    /// Depths and sequences of what is decoded.
    fn decoded(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let depths = self.depths.iter().filter(|_| self.output > 0);
        depths
            .flat_map(|&depth| self.sequences.iter().map(move |&seqs| (depth, seqs)))
            .filter(|(_, seqs)| *seqs > 0)
    }

    /// Rounds, those that warm up among them.
    fn rounds(&self) -> u64 {
        (self.prompts().count() + self.decoded().count()) as u64 * (u64::from(self.rounds) + 1)
    }
}

/// A workload being timed.
struct Timing<'a> {
    runner: Runner,
    model: String,
    oracle: Option<Oracle>,
    limits: Option<Limits>,
    gauge: Option<Gauge>,
    workload: &'a Workload,
    device: &'static str,
    emulated: bool,
    /// Rounds done.
    done: u64,
    tell: &'a mut (dyn FnMut(Progress) + Send),
    figures: Vec<Figure>,
}

impl Timing<'_> {
    fn all(&mut self) -> Result<(), Error> {
        let workload = self.workload;
        for tokens in workload.prompts() {
            let figure = Figure { tokens, sequences: 1, ..Figure::new(Phase::Prefill) };
            let steps = prefill_in(self.runner.chunk(), 0, 0..tokens);
            self.time(figure, &steps)?;
        }
        for (depth, sequences) in workload.decoded() {
            for sequence in 0..sequences {
                let steps = prefill_in(self.runner.chunk(), sequence, 0..depth);
                self.runner.run(&steps)?;
            }
            let tokens = workload.output;
            let figure = Figure { tokens, depth, sequences, ..Figure::new(Phase::Decode) };
            self.time(figure, &decode(sequences, depth..depth + tokens))?;
        }
        Ok(())
    }

    /// A warming round, and the others; each runs the same positions anew.
    fn time(&mut self, mut figure: Figure, steps: &[Step]) -> Result<(), Error> {
        self.round(steps)?;
        let mut tallies = vec![];
        let watch = (!self.emulated).then(Watch::start);
        let mut before = self.gauge.as_mut().map(Gauge::bandwidth);
        for _ in 0..self.workload.rounds {
            let (time, tally) = self.round(steps)?;
            let after = self.gauge.as_mut().map(Gauge::bandwidth);
            figure.rounds.push(time.as_secs_f64());
            figure.bandwidths.extend(before.zip(after).map(|(before, after)| (before + after) / 2.0));
            tallies.push(tally);
            before = after;
        }
        figure.disturbed = watch.map(|watch| watch.end()).unwrap_or_default();
        let (graph, counts) = (self.runner.graph(), self.runner.counts(steps));
        figure.work = work(graph, &counts);
        figure.bound = self.limits.as_ref().map(|limits| bound(limits, graph, &counts));
        for StepCounts { tokens, experts_touched, .. } in counts {
            let touched = experts_touched.map(|experts| Touched { tokens, steps: 1, experts });
            touched.into_iter().for_each(|touched| figure.experts.add(touched));
        }
        let caches = cpu::measure::caches();
        let fits = self.runner.graph().weight_bytes() <= caches.l3.max(caches.l2) as u64;
        figure.in_caches = fits && self.limits.is_some();
        figure.least_s = self.least(&figure);
        figure.sample = self.sample(&figure, steps);
        let predicted = self.oracle.as_ref().zip(figure.sample.as_ref());
        let tokens = f64::from(figure.tokens) * f64::from(figure.sequences);
        figure.predicted_per_s =
            predicted.map(|(oracle, sample)| tokens / (oracle.step_s(sample) * steps.len() as f64));
        let middle = figure.middle_round();
        if let (Some(detail), Some(place)) = (self.workload.ops, middle) {
            // The bound is of what memory gave then, and not of what it gives at best.
            let mut limits = self.limits.clone();
            for (limits, &bandwidth) in limits.iter_mut().zip(figure.bandwidths.get(place)) {
                limits.bandwidth = bandwidth;
            }
            let (tally, steps) = (tallies.swap_remove(place), steps.len());
            figure.ops = Some(tally.finish(detail, limits.as_ref(), steps, figure.rounds[place]));
        }
        self.figures.push(figure);
        Ok(())
    }

    /// Seconds that a round takes at least, whatever memory gave beside it.
    fn least(&self, figure: &Figure) -> Option<f64> {
        let (bound, limits) = (figure.bound?, self.limits.as_ref()?);
        let most = figure.bandwidths.iter().copied().fold(limits.bandwidth, f64::max);
        let reading = if figure.in_caches { 0.0 } else { bound.bytes / most };
        Some(reading.max(bound.compute_s))
    }

    /// What one of its steps took, beside what it takes at best while memory gives what it gave.
    fn sample(&self, figure: &Figure, steps: &[Step]) -> Option<Sample> {
        let (bound, bandwidth) = (figure.bound?, median(&figure.bandwidths));
        let (layers, count) = (f64::from(self.runner.graph().layers()), steps.len() as f64);
        let Figure { phase, tokens, depth, sequences, work, .. } = figure;
        let sample = Sample {
            model: self.model.clone(),
            what: format!("{} {tokens} at {depth}, {sequences} at a time", phase.name()),
            weights_s: work.weight_bytes / bandwidth / count,
            state_s: work.state_bytes / bandwidth / count,
            compute_s: bound.compute_s / count,
            layers,
            sequences: f64::from(*sequences),
            seconds: median(&figure.rounds) / count,
        };
        sample.is_sound().then_some(sample)
    }

    /// One round, with what its kernels did where that is wanted.
    fn round(&mut self, steps: &[Step]) -> Result<(Duration, Tally), Error> {
        let mut tally = Tally::default();
        let time = match self.workload.ops {
            None => self.runner.run(steps)?,
            Some(_) => self.runner.run_timed(steps, &mut |report| tally.add(report))?,
        };
        if self.workload.ops.is_some() && !tally.is_timed() {
            return Err(Error::Word(format!(
                "{} does not tell how long its kernels take; leave --ops out, or choose --device cpu",
                self.device
            )));
        }
        self.done += 1;
        (self.tell)(Progress { done: self.done, total: self.workload.rounds() });
        Ok((time, tally))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_needs_room_for_its_longest_sequence_and_most_of_them() {
        let workload = Workload { depths: vec![0, 700], sequences: vec![1, 3], ..Workload::default() };
        assert_eq!(workload.room(), Room { seqs: 3, context: 828 });
        assert_eq!(workload.rounds(), 5 * 6);
        let prompts = Workload { prompts: vec![0, 900], output: 0, ..workload };
        assert_eq!(prompts.room(), Room { seqs: 3, context: 900 }, "nothing is decoded at any depth");
        assert_eq!(prompts.rounds(), 6);
        let endless = Workload { output: u32::MAX, depths: vec![u32::MAX], ..Workload::default() };
        assert_eq!(endless.room().context, u32::MAX);
    }
}
