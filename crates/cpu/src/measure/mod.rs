//! What this machine can do, measured: how fast its memory is read and how fast it multiplies, by thread count.
//!
//! These are the bounds that benches and predictions are held against. So they are what a kernel could reach at best,
//! with the same vectors, tiles and team of threads that kernels have, and not what a data sheet promises. A few
//! seconds of work; the result is kept in the user's cache directory under the processor's identity.

mod bandwidth;
mod caches;
mod gauge;
mod limits;
mod memory;
mod nodes;
mod peaks;
mod processor;
mod rates;
mod round;
mod store;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod unit;

use std::time::{Duration, Instant};

use simd::Isa;

pub use caches::{Caches, caches};
pub use gauge::Gauge;
pub use limits::{Bound, Limits};
pub use memory::available as available_memory;
pub use nodes::{Node, nodes};
pub use processor::{cores, features, name};
pub use rates::Rates;
pub use unit::Unit;

use crate::team::Team;
use bandwidth::{PATTERNS, Pattern};

/// Undisturbed rounds of each measurement, of which the best counts: these are bounds, and a neighbour on the machine
/// makes a round slower and never faster.
const ROUNDS: usize = 3;
/// How long to wait for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The processor, its caches, its cores and the level, in words: on another machine these figures mean nothing.
    pub identity: String,
    /// The level whose vectors were measured.
    pub isa: Isa,
    /// Cores this process may use.
    pub cores: usize,
    /// Whether the threads had their cores to themselves. Where not, some rates are less than the machine has.
    pub quiet: bool,
    /// Bytes read per second.
    pub bandwidth: Rates,
    /// Multiplications plus additions per second, of each unit there is.
    pub peaks: Vec<(Unit, Rates)>,
}

/// What is being measured now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// In words, `read bandwidth`.
    pub what: &'static str,
    /// With how many threads.
    pub threads: usize,
    /// Measurements done.
    pub done: usize,
    /// Measurements there are.
    pub of: usize,
}

impl Measured {
    /// The rates of a unit, where this machine has it.
    pub fn peak(&self, unit: Unit) -> Option<&Rates> {
        self.peaks.iter().find(|(known, _)| *known == unit).map(|(_, rates)| rates)
    }
}

/// What was measured here before, by any process of this user at this level.
pub fn cached() -> Option<Measured> {
    store::read(&store::directory()?, &processor::identity(level()))
}

/// Measures this machine and keeps the result for [`cached`]. Takes a few seconds, for which the machine should be
/// quiet, and up to 4 GiB of memory, a quarter of what is free at most. What was measured while others used the cores
/// is kept only where there is nothing better.
pub fn measure(tell: &mut dyn FnMut(Progress)) -> Measured {
    let measured = run(level(), PATIENCE, tell);
    if measured.quiet || cached().is_none_or(|kept| !kept.quiet) {
        // Where the user has no directory to keep it in, the next process measures again.
        let _ = store::directory().map(|directory| store::write(&directory, &measured));
    }
    measured
}

/// The forced level where it is one; whoever opens the device tells where it is none.
fn level() -> Isa {
    Isa::detect().unwrap_or_else(|_| Isa::present().pop().unwrap_or(Isa::Portable))
}

fn run(isa: Isa, patience: Duration, tell: &mut dyn FnMut(Progress)) -> Measured {
    let (cores, start) = (processor::cores(), Instant::now());
    let mut teams = counts(cores).map(Team::new).collect::<Vec<_>>();
    let memory = bandwidth::Memory::new();
    let mut tasks = (0..teams.len()).flat_map(|team| Task::all(team, isa)).collect::<Vec<_>>();
    let of = tasks.len() * ROUNDS;
    let identity = processor::identity(isa);
    let mut measured =
        Measured { identity, isa, cores, quiet: true, bandwidth: Rates::default(), peaks: vec![] };
    // Round by round through everything, so that a neighbour's moment does not fall on one measurement alone.
    loop {
        for place in 0..tasks.len() {
            let done = tasks.iter().map(|task| task.quiet).sum();
            let task = &mut tasks[place];
            if task.quiet == ROUNDS {
                continue;
            }
            let team = &mut teams[task.team];
            tell(Progress { what: task.subject.name(), threads: team.workers(), done, of });
            let reading = match task.subject {
                Subject::Read(pattern) => memory.read_once(team, pattern, isa),
                Subject::Multiply(unit) => peaks::multiply(team, unit, isa),
            };
            measured.rates_of(task.subject).raise(team.workers(), reading.per_s);
            task.quiet += usize::from(reading.quiet);
        }
        let settled = tasks.iter().all(|task| task.quiet == ROUNDS);
        if settled || start.elapsed() > patience {
            measured.quiet = tasks.iter().all(|task| task.quiet > 0);
            return measured;
        }
    }
}

/// What is measured with one team.
struct Task {
    team: usize,
    subject: Subject,
    /// Rounds that nothing disturbed.
    quiet: usize,
}

#[derive(Clone, Copy)]
enum Subject {
    Read(Pattern),
    Multiply(Unit),
}

impl Task {
    fn all(team: usize, isa: Isa) -> impl Iterator<Item = Task> {
        let units = Unit::ALL.into_iter().filter(move |&unit| peaks::has(unit, isa)).map(Subject::Multiply);
        PATTERNS.into_iter().map(Subject::Read).chain(units).map(move |subject| Task {
            team,
            subject,
            quiet: 0,
        })
    }
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Subject::Read(_) => "read bandwidth",
            Subject::Multiply(unit) => unit.name(),
        }
    }
}

impl Measured {
    /// The rates of a subject, to be raised.
    fn rates_of(&mut self, subject: Subject) -> &mut Rates {
        let Subject::Multiply(unit) = subject else { return &mut self.bandwidth };
        let found = self.peaks.iter().position(|(known, _)| *known == unit);
        let place = found.unwrap_or_else(|| {
            self.peaks.push((unit, Rates::default()));
            self.peaks.len() - 1
        });
        &mut self.peaks[place].1
    }
}

/// Thread counts measured: doubling, and all cores.
fn counts(cores: usize) -> impl Iterator<Item = usize> {
    let doubling = std::iter::successors(Some(1usize), |count| count.checked_mul(2));
    doubling.take_while(move |&count| count < cores).chain([cores])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_counts_double_up_to_all_cores() {
        let counts = |cores| counts(cores).collect::<Vec<_>>();
        assert_eq!(counts(1), [1]);
        assert_eq!(counts(2), [1, 2]);
        assert_eq!(counts(6), [1, 2, 4, 6]);
    }

    #[test]
    fn the_least_level_is_measured_to_its_end() {
        let mut told = vec![];
        let measured = run(Isa::Portable, Duration::ZERO, &mut |progress| told.push(progress));
        assert_eq!(measured.peaks.iter().map(|(unit, _)| *unit).collect::<Vec<_>>(), [Unit::F32, Unit::Int8]);
        for rates in measured.peaks.iter().map(|(_, rates)| rates).chain([&measured.bandwidth]) {
            assert!(rates.iter().all(|(_, rate)| rate.is_finite() && rate > 0.0), "{measured:?}");
            assert!(rates.iter().map(|(threads, _)| threads).eq(counts(measured.cores)));
        }
        assert!(told.is_sorted_by_key(|progress| progress.done) && told.iter().all(|p| p.done < p.of));
    }
}
