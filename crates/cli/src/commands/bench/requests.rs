//! `bench` with requests: a model serves them as it would serve users, and what they take is priced.

use std::path::PathBuf;

use clap::{Args, ValueEnum, value_parser};
use polysilicon::bench::{Detail, Oracle, Workload, gauge, limits};
use polysilicon::cost::predict::Load;
use polysilicon::cost::results::{Kernels, Point, Results, SCHEMA, Setup};
use polysilicon::traffic::{Arrivals, Traffic, like_reference, read_trace, setup};
use polysilicon::{Builder, Device, Model};

use super::Bench;
use crate::built::{COMMIT, is_dirty};
use crate::failure::Failure;
use crate::prices::today;
use crate::progress::Bar;

/// What is asked of the model.
#[derive(Args)]
#[command(next_help_heading = "Requests")]
pub struct RequestArgs {
    /// Requests of each run [default: four for each at a time, eight at least]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    requests: Option<u32>,
    /// Requests per second that come at random, whatever is under way, in place of --concurrency; several separated by commas
    #[arg(long, value_name = "F", value_delimiter = ',')]
    rate: Vec<f64>,
    /// Ask what this file holds, one JSON object a line as OpenAI's interfaces take them
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Independent runs of each load, behind one that warms up
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=100))]
    runs: Option<u32>,
    /// Tokens of --prompt that all prompts begin with
    #[arg(long, value_name = "N")]
    shared: Option<u32>,
    /// Whether prompts may share what they have in common
    #[arg(long, value_name = "WORD")]
    cache: Option<Cache>,
    /// Decides what is asked, and when
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Whether prompts share.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Cache {
    On,
    Off,
    Both,
}

/// Runs unless said.
const RUNS: u32 = 3;

/// The most bytes of weights of a model whose tokens are held against the reference, which is slow.
const TINY_BYTES: u64 = 64 << 20;

impl RequestArgs {
    /// Whether requests are asked for.
    pub fn are_asked(&self) -> bool {
        let numbers = [self.requests, self.runs, self.shared];
        numbers.iter().any(Option::is_some)
            || self.trace.is_some()
            || self.cache.is_some()
            || self.seed.is_some()
            || !self.rate.is_empty()
    }

    fn caches(&self) -> &'static [bool] {
        match self.cache.unwrap_or(Cache::On) {
            Cache::On => &[true],
            Cache::Off => &[false],
            Cache::Both => &[true, false],
        }
    }
}

impl Bench {
    /// Serves, and reports.
    pub(super) fn serve(&self) -> Result<(), Failure> {
        let catalogue = self.price.catalogue()?;
        // Before minutes are spent on what cannot be written.
        let files = self.report.open(self.json.as_deref())?;
        let known = self.price.known_each(&catalogue, &self.device)?;
        let all = self.device.iter().map(|&device| self.serve_on(device)).collect::<Result<Vec<_>, _>>()?;
        let devices = all.iter().zip(&known).map(|(results, known)| (results, known.as_ref()));
        files.write(&self.report, &catalogue, &devices.collect::<Vec<_>>())
    }

    fn serve_on(&self, device: Device) -> Result<Results, Failure> {
        let most = self.concurrency.iter().copied().max().unwrap_or(1);
        let sequences = if self.requests.rate.is_empty() { most } else { most.max(64) };
        let builder: Builder = self.how.builder(self.model.open()?, device).sequences(sequences);
        let model = builder.load()?;
        if model.is_emulated() {
            return Err(Failure::Usage(
                "an emulated device has no times that requests could be priced by; name a device that is there".to_owned(),
            ));
        }
        let traffic = self.traffic(&model)?;
        let setup = Setup {
            commit: COMMIT.to_owned(),
            dirty: is_dirty(),
            command: std::env::args().collect(),
            date: today().to_string(),
            seed: traffic.seed,
            same_tokens_alone: traffic.is_same_alone(&model)?,
            like_reference: self.like_reference(&model, device, &traffic)?,
            ..setup(&model, device, self.how.threads)?
        };
        let loads = match self.requests.rate.as_slice() {
            [] => self.concurrency.iter().map(|&n| Arrivals::Closed(n)).collect::<Vec<_>>(),
            rates => rates.iter().map(|&rate| Arrivals::Open(rate)).collect(),
        };
        let mut points = vec![];
        // Each run asks something else, or what one has left behind would serve the next. The first asked alone.
        let mut seeds = (1u64..).map(|run| traffic.seed.wrapping_add(run << 32));
        for arrivals in loads {
            for &cache in self.requests.caches() {
                let traffic = Traffic { arrivals, cache, ..traffic.clone() };
                points.push(self.point(&model, device, &traffic, &mut seeds)?);
            }
        }
        drop(model);
        let kernels = self.kernels(device, &points)?;
        Ok(Results { schema: SCHEMA, setup, points, kernels }.rounded())
    }

    /// The share of a prompt's tokens that the reference finds likeliest too, where that does not take too long.
    fn like_reference(
        &self,
        model: &Model,
        device: Device,
        traffic: &Traffic,
    ) -> Result<Option<f64>, Failure> {
        if model.graph().weight_bytes() > TINY_BYTES || device == Device::Reference {
            return Ok(None);
        }
        let reference = self.how.builder(self.model.open()?, Device::Reference).load()?;
        let mut ids = traffic.prompt_of(model, 0);
        ids.truncate(32);
        Ok(Some(like_reference(model, &reference, &ids)?))
    }

    /// What kernels take in a prompt, and in steps behind it of as many sequences as there were at a time: for a page, or where that
    /// was asked for.
    fn kernels(&self, device: Device, points: &[Point]) -> Result<Vec<Kernels>, Failure> {
        if !(self.ops || self.report.has_page() && device.tells_kernels()) {
            return Ok(vec![]);
        }
        let prompt = self.prompt.first().copied().unwrap_or(512).max(1);
        let workload = Workload {
            prompts: vec![prompt],
            output: self.output.clamp(1, 16),
            depths: vec![prompt],
            sequences: vec![points.iter().filter_map(|point| point.concurrency).max().unwrap_or(1)],
            rounds: 1,
            ops: Some(Detail::Kinds),
        };
        let report = self.time(device, &workload)?;
        for reason in report.figures.iter().filter_map(|figure| figure.refused.as_ref()) {
            eprintln!("warning: what kernels took is not told: {reason}");
        }
        Ok(report.kernels())
    }

    fn traffic(&self, model: &Model) -> Result<Traffic, Failure> {
        let prompt = self.prompt.first().copied().unwrap_or(512).max(1);
        let trace = match &self.requests.trace {
            Some(path) => read_trace(path, model, self.output.max(1))?,
            None => vec![],
        };
        Ok(Traffic {
            prompt,
            shared: self.requests.shared.unwrap_or(0).min(prompt),
            output: self.output.max(1),
            trace,
            seed: self.requests.seed.unwrap_or(0),
            ..Traffic::default()
        })
    }

    /// A load: a run that warms up, and those that count.
    fn point(
        &self,
        model: &Model,
        device: Device,
        traffic: &Traffic,
        seeds: &mut impl Iterator<Item = u64>,
    ) -> Result<Point, Failure> {
        let mut asking = |requests| {
            let seed = seeds.next().expect("there are always more");
            Traffic { requests, seed, ..traffic.clone() }
        };
        let (concurrency, rate_per_s) = match traffic.arrivals {
            Arrivals::Closed(n) => (Some(n), None),
            Arrivals::Open(rate) => (None, Some(rate)),
        };
        let at_a_time = concurrency.unwrap_or(4);
        let requests =
            self.requests.requests.unwrap_or_else(|| at_a_time.saturating_mul(4).clamp(8, 1_000_000));
        let runs = self.requests.runs.unwrap_or(RUNS);
        let threads = self.how.threads.unwrap_or_else(polysilicon::cores);
        let mut gauge = gauge(device, threads);
        let oracle = limits(device, threads).map(|limits| Oracle::new(limits, model.graph())).transpose()?;
        let warm = asking(at_a_time.min(requests)).run(model, &mut |_| {})?;
        let mut point =
            Point { concurrency, rate_per_s, cache: traffic.cache, runs: vec![], predicted: None };
        for run in 0..runs {
            let label = format!("{} on {}, run {} of {runs}", point.load(), model.device(), run + 1);
            let bar = Bar::counting(label, "requests");
            let before = gauge.as_mut().map(polysilicon::Gauge::bandwidth);
            let mut run =
                asking(requests).run(model, &mut |progress| bar.show(progress.done, progress.total))?;
            let after = gauge.as_mut().map(polysilicon::Gauge::bandwidth);
            run.bytes_per_s = before.zip(after).map(|(before, after)| (before + after) / 2.0);
            point.runs.push(run);
        }
        // Of requests that are all alike, and share nothing.
        let load = concurrency
            .filter(|_| traffic.trace.is_empty() && traffic.shared == 0)
            .map(|sequences| Load { prompt: traffic.prompt, output: traffic.output, sequences });
        // A reading beside a run may be disturbed and then is too low, but it is never too high.
        let gave = point.runs.iter().filter_map(|run| run.bytes_per_s).reduce(f64::max);
        let told = oracle.flatten().zip(load);
        point.predicted = told.map(|(oracle, load)| oracle.predict(model.graph(), load, gave, &warm.experts));
        Ok(point)
    }
}
