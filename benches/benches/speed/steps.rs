//! What the groups share: steps timed by criterion, and the share of the limits that they reach.

use std::time::Duration;

use benches::Machine;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use polysilicon::bench::{Runner, Step, bound, median};
use polysilicon::{Error, Limits};

/// What all groups are given.
pub struct Bench<'a> {
    pub machine: &'a Machine,
    pub criterion: &'a mut Criterion,
}

/// A runner that is opened when the first bench that needs it passes criterion's filter.
pub struct Lazy<'a> {
    open: Box<dyn Fn() -> Result<Runner, Error> + 'a>,
    runner: Option<Runner>,
}

/// The number in an environment variable, or what stands for it.
pub fn number(variable: &str, default: u32) -> Result<u32, Error> {
    match std::env::var(variable) {
        Ok(word) => word.parse().map_err(|_| Error::Word(format!("{variable}={word} is no whole number"))),
        Err(_) => Ok(default),
    }
}

/// The model that whole steps are measured on.
pub fn model() -> String {
    std::env::var("POLYSILICON_BENCH_MODEL").unwrap_or_else(|_| "embedded".to_owned())
}

impl<'a> Lazy<'a> {
    /// What `open` will give.
    pub fn new(open: impl Fn() -> Result<Runner, Error> + 'a) -> Lazy<'a> {
        Lazy { open: Box::new(open), runner: None }
    }

    fn ready(&mut self) -> Result<&mut Runner, Error> {
        if self.runner.is_none() {
            self.runner = Some((self.open)()?);
        }
        Ok(self.runner.as_mut().expect("opened just now"))
    }
}

/// Times steps, again and again at the same positions, and prints their share of the limits.
pub fn time(
    group: &mut BenchmarkGroup<'_, WallTime>,
    limits: Option<&Limits>,
    id: BenchmarkId,
    steps: &[Step],
    runner: &mut Lazy<'_>,
) -> Result<(), Error> {
    let tokens = steps.iter().flat_map(|step| &step.parts).map(|part| u64::from(part.len())).sum();
    group.throughput(Throughput::Elements(tokens));
    let (mut samples, mut failure) = (vec![], None);
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|count| {
            let mut total = Duration::ZERO;
            for _ in 0..count {
                match runner.ready().and_then(|runner| runner.run(steps)) {
                    Ok(time) => {
                        samples.push(time.as_secs_f64());
                        total += time;
                    }
                    Err(error) => failure = Some(error),
                }
            }
            // Criterion divides by it.
            total.max(Duration::from_nanos(1))
        });
    });
    if let (Some(limits), Some(runner)) = (limits, runner.runner.as_ref().filter(|_| !samples.is_empty())) {
        let bound = bound(limits, runner.graph(), &runner.counts(steps));
        let [memory, compute] = [bound.memory_s, bound.compute_s].map(|s| 100.0 * s / median(&samples));
        println!("{:24}share:  {memory:.0} % of read bandwidth, {compute:.0} % of the arithmetic peak", "");
    }
    failure.map_or(Ok(()), Err)
}
