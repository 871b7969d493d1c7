//! The workers of an executor: they enter once, sleep between steps, and meet at barriers that spin.
//!
//! The caller's thread is worker 0, so a step of one worker never leaves it. Waiting is bounded: a while of spinning
//! first, since a barrier between two kernels is met within microseconds, then the processor is offered to others at
//! every look, so that fewer cores than workers (a container's limit, a busy neighbour) slow a step and do not stop
//! it. A worker that panics poisons the team: nobody waits for it forever.

use std::any::Any;
use std::cell::UnsafeCell;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::part::Part;

/// Looks at a barrier before the processor is offered to others; some tens of microseconds.
const SPINS: u32 = 4_000;
/// The same where there are more workers than cores: whoever is late waits for one of those that look.
const SPINS_CROWDED: u32 = 16;
/// Looks for the next step before a worker sleeps, each of which offers the processor; some hundreds of microseconds
/// where nobody takes it.
const LOOKS: u32 = 2_000;

/// Threads that run steps together.
pub struct Team {
    shared: Arc<Shared>,
    /// Dropped after `stop`, which lets its threads go.
    _threads: Option<rayon::ThreadPool>,
}

/// One worker within a step.
#[derive(Clone, Copy)]
pub struct Worker<'a> {
    /// Its share.
    pub part: Part,
    barrier: &'a Barrier,
}

impl Worker<'_> {
    /// Waits until all workers are here. What each wrote before is seen by all after.
    pub fn meet(&self) {
        self.barrier.wait(self.part.of);
    }
}

type Job<'a> = dyn Fn(Worker<'_>) + Sync + 'a;
type Panic = Box<dyn Any + Send>;

struct Shared {
    workers: usize,
    /// Looks before the processor is offered.
    spins: u32,
    /// Counts steps; a worker that sees it grow runs the job.
    step: AtomicU32,
    job: UnsafeCell<Option<*const Job<'static>>>,
    /// Workers still in the step, worker 0 apart.
    running: AtomicUsize,
    barrier: Barrier,
    stop: AtomicBool,
    asleep: Mutex<usize>,
    wake: Condvar,
    panic: AtomicPtr<Panic>,
}

// SAFETY: `job` is written by worker 0 while no worker is in a step, and read by the others after they have seen `step`
// grow (release and acquire).
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Team {
    /// A team of so many workers, the caller's thread among them; fewer where the system has no more threads to give.
    pub fn new(workers: usize) -> Team {
        let others = workers.max(1) - 1;
        let threads = match others {
            0 => None,
            _ => rayon::ThreadPoolBuilder::new()
                .num_threads(others)
                .thread_name(|i| format!("polysilicon-cpu-{}", i + 1))
                .build()
                .ok(),
        };
        let workers = 1 + threads.as_ref().map_or(0, |threads| threads.current_num_threads());
        let cores = std::thread::available_parallelism().map_or(workers, NonZero::get);
        let spins = if workers > cores { SPINS_CROWDED } else { SPINS };
        let shared = Arc::new(Shared {
            workers,
            spins,
            step: AtomicU32::new(0),
            job: UnsafeCell::new(None),
            running: AtomicUsize::new(0),
            barrier: Barrier { spins, ..Barrier::default() },
            stop: AtomicBool::new(false),
            asleep: Mutex::new(0),
            wake: Condvar::new(),
            panic: AtomicPtr::default(),
        });
        for index in 1..workers {
            let shared = shared.clone();
            let enter = move || shared.work(Part { index, of: shared.workers });
            threads.as_ref().expect("there are others only where there are threads").spawn(enter);
        }
        Team { shared, _threads: threads }
    }

    /// Workers, the caller's thread among them.
    pub fn workers(&self) -> usize {
        self.shared.workers
    }

    /// Runs a step on all workers and waits for all of them. It allocates nothing.
    ///
    /// # Panics
    /// Where a worker does; the team is of no use afterwards and says so.
    pub fn run(&mut self, job: &(impl Fn(Worker<'_>) + Sync)) {
        let shared = &*self.shared;
        assert!(!shared.barrier.is_poisoned(), "a worker of this device has panicked; load the model again");
        let part = Part { index: 0, of: shared.workers };
        if shared.workers == 1 {
            return flushed(|| job(Worker { part, barrier: &shared.barrier }));
        }
        let job: &Job<'_> = job;
        // SAFETY: only the lifetime is forgotten. All workers are waited for below, whatever happens, so none holds the
        // job when this returns; and none runs now, so the cell is this thread's.
        unsafe { *shared.job.get() = Some(std::mem::transmute::<*const Job<'_>, *const Job<'static>>(job)) };
        shared.running.store(shared.workers - 1, Relaxed);
        shared.step.fetch_add(1, SeqCst);
        shared.wake_sleepers();
        let result = shared.guarded(job, part);
        let mut looks = 0;
        while shared.running.load(Acquire) > 0 {
            relax(&mut looks, shared.spins);
        }
        let other = shared.panic.swap(std::ptr::null_mut(), AcqRel);
        if !other.is_null() {
            // SAFETY: it came from `Box::into_raw` and was swapped out once.
            resume_unwind(*unsafe { Box::from_raw(other) });
        }
        if let Err(panic) = result {
            resume_unwind(panic);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.wake_sleepers();
    }
}

impl Shared {
    /// A worker's life.
    fn work(&self, part: Part) {
        let mut seen = 0;
        while self.wait_for_step(&mut seen) {
            // SAFETY: the step has grown, so the job was written; worker 0 keeps it alive until `running` is zero.
            let job = unsafe { &*(*self.job.get()).expect("a step has a job") };
            if let Err(panic) = self.guarded(job, part) {
                let panic = Box::into_raw(Box::new(panic));
                if self.panic.compare_exchange(std::ptr::null_mut(), panic, AcqRel, Relaxed).is_err() {
                    // SAFETY: it was made just now and given to nobody.
                    drop(unsafe { Box::from_raw(panic) });
                }
            }
            self.running.fetch_sub(1, Release);
        }
    }

    fn guarded(&self, job: &Job<'_>, part: Part) -> Result<(), Panic> {
        let worker = Worker { part, barrier: &self.barrier };
        let result = catch_unwind(AssertUnwindSafe(|| flushed(|| job(worker))));
        if result.is_err() {
            self.barrier.poison();
        }
        result
    }

    /// Looks for a while, then sleeps. False where the team is at its end.
    fn wait_for_step(&self, seen: &mut u32) -> bool {
        for _ in 0..LOOKS {
            if self.has_news(seen) {
                return !self.stop.load(Relaxed);
            }
            for _ in 0..32 {
                std::hint::spin_loop();
            }
            std::thread::yield_now();
        }
        let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        *asleep += 1;
        while !self.has_news(seen) {
            asleep = self.wake.wait(asleep).unwrap_or_else(PoisonError::into_inner);
        }
        *asleep -= 1;
        !self.stop.load(Relaxed)
    }

    fn has_news(&self, seen: &mut u32) -> bool {
        let step = self.step.load(SeqCst);
        let is_new = step != *seen;
        *seen = step;
        is_new || self.stop.load(SeqCst)
    }

    /// A worker counts itself asleep under the lock before it looks a last time, so none misses its step.
    fn wake_sleepers(&self) {
        let asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        if *asleep > 0 {
            self.wake.notify_all();
        }
    }
}

/// Where workers meet within a step.
#[derive(Default)]
struct Barrier {
    spins: u32,
    arrived: AtomicUsize,
    round: AtomicU32,
    poisoned: AtomicBool,
}

impl Barrier {
    fn wait(&self, workers: usize) {
        if workers == 1 {
            return;
        }
        let round = self.round.load(Acquire);
        if self.arrived.fetch_add(1, AcqRel) + 1 == workers {
            self.arrived.store(0, Relaxed);
            self.round.fetch_add(1, Release);
            return;
        }
        let mut looks = 0;
        while self.round.load(Acquire) == round {
            assert!(!self.is_poisoned(), "another worker of this device has panicked");
            relax(&mut looks, self.spins);
        }
    }

    fn poison(&self) {
        self.poisoned.store(true, SeqCst);
    }

    fn is_poisoned(&self) -> bool {
        self.poisoned.load(Relaxed)
    }
}

/// Passes a moment; after so many, offers the processor.
fn relax(looks: &mut u32, spins: u32) {
    if *looks < spins {
        *looks += 1;
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// Runs `f` with denormals read and written as zero: tiles do so in any case, and vectors must agree with them.
fn flushed<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        struct Restore(u32);
        impl Drop for Restore {
            fn drop(&mut self) {
                set_mxcsr(self.0);
            }
        }
        let before = mxcsr();
        let _restore = Restore(before);
        // Bit 6 reads denormals as zero, bit 15 writes them as zero.
        set_mxcsr(before | 1 << 6 | 1 << 15);
        f()
    }
    #[cfg(not(target_arch = "x86_64"))]
    f()
}

#[cfg(target_arch = "x86_64")]
fn mxcsr() -> u32 {
    let mut word = 0u32;
    // SAFETY: stores one word where it is told to.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
    word
}

#[cfg(target_arch = "x86_64")]
fn set_mxcsr(word: u32) {
    // SAFETY: `word` differs from what `mxcsr` gave in the treatment of denormals at most, and is put back.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, preserves_flags)) };
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn all_workers_run_every_step_and_meet() {
        for workers in [1, 2, 3, 7] {
            let mut team = Team::new(workers);
            let sums = [AtomicU64::new(0), AtomicU64::new(0)];
            for step in 1..=200u64 {
                team.run(&|worker: Worker<'_>| {
                    sums[0].fetch_add(step, Relaxed);
                    worker.meet();
                    // What all wrote before the meeting is there for each after it.
                    sums[1].fetch_add(sums[0].load(Relaxed), Relaxed);
                    worker.meet();
                });
                let all = workers as u64 * step * (step + 1) / 2;
                assert_eq!(sums[0].load(Relaxed), all);
            }
        }
    }

    /// Each meeting offers the processor to whoever is late, so that it ends however few cores there are.
    #[test]
    fn many_more_workers_than_cores_meet() {
        let mut team = Team::new(32);
        let count = AtomicU64::new(0);
        for _ in 0..20 {
            team.run(&|worker: Worker<'_>| {
                for _ in 0..5 {
                    count.fetch_add(1, Relaxed);
                    worker.meet();
                }
            });
        }
        assert_eq!(count.load(Relaxed), 20 * 5 * team.workers() as u64);
    }

    #[test]
    fn sleepers_wake() {
        let mut team = Team::new(3);
        let count = AtomicU64::new(0);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(30));
            team.run(&|_: Worker<'_>| {
                count.fetch_add(1, Relaxed);
            });
        }
        assert_eq!(count.load(Relaxed), 9);
    }

    #[test]
    fn a_worker_that_panics_stops_the_step_and_the_team() {
        for who in [0, 1] {
            let mut team = Team::new(2);
            let step = |worker: Worker<'_>| {
                assert!(worker.part.index != who, "on purpose");
                worker.meet();
            };
            let first = catch_unwind(AssertUnwindSafe(|| team.run(&step)));
            assert!(first.is_err());
            let second = catch_unwind(AssertUnwindSafe(|| team.run(&|_: Worker<'_>| {})));
            assert!(second.is_err());
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn denormals_are_zero_within_a_step_and_come_back_after_it() {
        let tiny = std::hint::black_box(f32::MIN_POSITIVE);
        let mut team = Team::new(2);
        team.run(&|_: Worker<'_>| assert_eq!(std::hint::black_box(tiny * 0.5), 0.0));
        assert!(std::hint::black_box(tiny * 0.5) > 0.0);
    }
}
