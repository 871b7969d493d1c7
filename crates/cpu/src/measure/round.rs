//! One round of a measurement: what a team does in it, and whether it had its cores to itself.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::part::Part;
use crate::team::{Team, Worker};

/// The share of a round that a worker may miss before the round counts as disturbed.
const MISSED_MAX: f64 = 0.03;

/// What a round gave.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Units of work per second.
    pub per_s: f64,
    /// Whether every worker had a core all the time.
    pub quiet: bool,
}

/// A fixed amount of work, shared by a team: from the first worker's start to the last one's end.
pub fn of_work(team: &mut Team, amount: f64, work: &(impl Fn(Part) + Sync)) -> Reading {
    let spans = all(team, &|worker: Worker<'_>| work(worker.part));
    let start = spans.iter().map(|(span, ())| span.start).min();
    let end = spans.iter().map(|(span, ())| span.end).max();
    let seconds = start.zip(end).map_or(f64::INFINITY, |(start, end)| (end - start).as_secs_f64());
    Reading { per_s: amount / seconds.max(1e-9), quiet: spans.iter().all(|(span, ())| span.is_quiet()) }
}

/// Batches for a fixed time, as many as each worker gets done. A batch gives its amount of work.
pub fn of_time(team: &mut Team, time: Duration, batch: &(impl Fn() -> f64 + Sync)) -> Reading {
    let spans = all(team, &|_: Worker<'_>| {
        let (start, mut amount) = (Instant::now(), 0.0);
        while start.elapsed() < time {
            amount += batch();
        }
        amount
    });
    let per_s = spans.iter().map(|(span, amount)| amount / span.seconds()).sum();
    Reading { per_s, quiet: spans.iter().all(|(span, _)| span.is_quiet()) }
}

/// When a worker worked.
struct Span {
    start: Instant,
    end: Instant,
    /// Time on a core in between, where the system tells.
    on_core: Option<Duration>,
}

impl Span {
    fn seconds(&self) -> f64 {
        (self.end - self.start).as_secs_f64().max(1e-9)
    }

    fn is_quiet(&self) -> bool {
        self.on_core.is_none_or(|time| time.as_secs_f64() > (1.0 - MISSED_MAX) * self.seconds())
    }
}

/// What each worker gives, and when.
fn all<T: Send>(team: &mut Team, work: &(impl Fn(Worker<'_>) -> T + Sync)) -> Vec<(Span, T)> {
    let spans = Mutex::new(vec![]);
    team.run(&|worker: Worker<'_>| {
        worker.meet();
        let (start, before) = (Instant::now(), on_core());
        let given = work(worker);
        let on_core = before.zip(on_core()).map(|(before, after)| after.saturating_sub(before));
        let span = Span { start, end: Instant::now(), on_core };
        spans.lock().expect("no worker panics while it holds the lock").push((span, given));
    });
    spans.into_inner().expect("no worker panics while it holds the lock")
}

/// Time that this thread has spent on a core.
#[cfg(unix)]
fn on_core() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one `timespec` where it is told to.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    let nanoseconds = u32::try_from(time.tv_nsec).ok().filter(|&ns| ns < 1_000_000_000)?;
    (answer == 0).then_some(Duration::new(u64::try_from(time.tv_sec).ok()?, nanoseconds))
}

#[cfg(not(unix))]
fn on_core() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_worker_that_sleeps_disturbs_its_round() {
        let mut team = Team::new(2);
        let sleep = |part: Part| std::thread::sleep(Duration::from_millis(5 * part.index as u64));
        let reading = of_work(&mut team, 1.0, &sleep);
        assert!(!reading.quiet && reading.per_s <= 200.0, "{reading:?}");
        assert!(
            !of_time(&mut team, Duration::from_millis(4), &|| {
                std::thread::sleep(Duration::from_millis(2));
                1.0
            })
            .quiet
        );
    }

    #[test]
    fn a_round_counts_what_all_workers_did() {
        let mut team = Team::new(3);
        let reading = of_time(&mut team, Duration::ZERO, &|| 1.0);
        assert_eq!(reading.per_s, 0.0, "no time, no batch");
        let span = Span { start: Instant::now(), end: Instant::now(), on_core: None };
        assert!(span.is_quiet(), "where the system does not tell, a round counts");
    }
}
