//! A logical core: its memory, and a queue of executions that a thread works off in order.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::abi::{
    Code, EXEC_HW_ERR_COLLECTIVES, EXEC_UNIT_UNRECOVERABLE, FAILURE, INVALID, NETWORK_PROXY_FAILURE,
    QUEUE_FULL, RESOURCE, SUCCESS, TIMEOUT,
};
use crate::memory::{Bank, Share};
use crate::model::{Bound, Counters, Model};
use crate::time::LAUNCH_NS;

/// The number of a compute unit is that of its core times this, plus [`COMPUTE`]: the upper 16 bits of a sequence.
const UNITS: u64 = 8;
const COMPUTE: u64 = 3;

/// Bits of a sequence that count.
const COUNT_BITS: u32 = 48;

/// A logical core.
pub struct Core {
    pub index: u32,
    pub bank: Arc<Bank>,
    counters: Arc<Counters>,
    queue: Mutex<Queue>,
    changed: Condvar,
    gate: Arc<Gate>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The largest need of a program for intermediate values, which all of them share.
    scratch: Mutex<Vec<(usize, Share)>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// How many were queued, and how many are done.
    queued: u64,
    done: u64,
    events: Vec<(u64, RawFd)>,
    /// Failed for good.
    dead: bool,
    closed: bool,
}

/// An execution.
pub struct Job {
    pub model: Arc<Model>,
    pub bound: Bound,
    /// The outcome on demand, instead of an execution.
    pub fault: Option<Code>,
    pub tell: Tell,
}

/// Who learns the outcome.
pub enum Tell {
    /// A caller that waits.
    Waiting(Sender<Code>),
    /// A number that the caller reads later.
    Later(Outcome),
}

/// Where the outcome of an execution is to be written.
pub struct Outcome(pub *mut Code);

// SAFETY: `nrta_execute_schedule` asks its caller to leave the place alone until the execution is done.
unsafe impl Send for Outcome {}

/// Where executions wait as long as they are held.
#[derive(Default)]
pub struct Gate {
    held: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub fn set(&self, held: bool) {
        *lock(&self.held) = held;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let held = self.changed.wait_while(lock(&self.held), |held| *held);
        drop(held.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Core {
    pub fn start(index: u32, memory: usize, counters: &Arc<Counters>, gate: &Arc<Gate>) -> Arc<Core> {
        let core = Arc::new(Core {
            index,
            bank: Arc::new(Bank::new(memory)),
            counters: Arc::clone(counters),
            queue: Mutex::default(),
            changed: Condvar::new(),
            gate: Arc::clone(gate),
            thread: Mutex::default(),
            scratch: Mutex::default(),
        });
        let worker = Arc::clone(&core);
        let thread =
            std::thread::Builder::new().name(format!("emulated core {index}")).spawn(move || worker.work());
        *lock(&core.thread) = thread.ok();
        core
    }

    /// Queues an execution that the caller waits for.
    pub fn execute(
        &self,
        model: Arc<Model>,
        bound: Bound,
        fault: Option<Code>,
    ) -> Result<Receiver<Code>, Code> {
        let (tell, outcome) = channel();
        self.submit(Job { model, bound, fault, tell: Tell::Waiting(tell) }, usize::MAX)?;
        Ok(outcome)
    }

    /// Queues an execution behind at most so many, and gives its sequence.
    pub fn submit(&self, job: Job, room: usize) -> Result<u64, Code> {
        let mut queue = lock(&self.queue);
        if queue.dead {
            return Err(EXEC_UNIT_UNRECOVERABLE);
        }
        if queue.queued - queue.done >= room as u64 {
            return Err(QUEUE_FULL);
        }
        let idle = queue.queued == queue.done;
        self.counters.simulated_ns.fetch_add(if idle { LAUNCH_NS } else { 0 }, Ordering::Relaxed);
        queue.jobs.push_back(job);
        queue.queued += 1;
        self.changed.notify_all();
        Ok(self.sequence(queue.queued))
    }

    /// The sequence of the last execution that is done.
    pub fn last_done(&self) -> u64 {
        self.sequence(lock(&self.queue).done)
    }

    /// Whether an execution is done; `NRT_INVALID` for one that never was queued.
    pub fn is_done(&self, sequence: u64) -> Result<bool, Code> {
        let queue = lock(&self.queue);
        Ok(self.number(&queue, sequence)? <= queue.done)
    }

    /// Has an event signalled when an execution is done, at once where it is; -1 takes that back.
    pub fn signal(&self, sequence: u64, event: RawFd) -> Result<(), Code> {
        let mut queue = lock(&self.queue);
        let number = self.number(&queue, sequence)?;
        match event {
            -1 => queue.events.retain(|(waited, _)| *waited != number),
            _ if number <= queue.done => raise(event),
            _ => queue.events.push((number, event)),
        }
        Ok(())
    }

    /// The core of a sequence.
    pub fn of_sequence(sequence: u64) -> u64 {
        (sequence >> COUNT_BITS) / UNITS
    }

    /// Makes room for a program's intermediate values, which lie where those of other programs do.
    pub fn reserve_scratch(&self, bytes: usize) -> Result<(), Code> {
        let mut scratch = lock(&self.scratch);
        let had: usize = scratch.iter().map(|(bytes, _)| bytes).sum();
        if let Some(more) = bytes.checked_sub(had).filter(|&more| more > 0) {
            scratch.push((more, self.bank.take(more).map_err(|_| RESOURCE)?));
        }
        Ok(())
    }

    /// Ends the thread when its queue is empty.
    pub fn close(&self) {
        lock(&self.queue).closed = true;
        self.changed.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            drop(thread.join());
        }
    }

    fn sequence(&self, number: u64) -> u64 {
        (u64::from(self.index) * UNITS + COMPUTE) << COUNT_BITS | number
    }

    fn number(&self, queue: &Queue, sequence: u64) -> Result<u64, Code> {
        let number = sequence & ((1 << COUNT_BITS) - 1);
        let ours = sequence == self.sequence(number) && (1..=queue.queued).contains(&number);
        if ours { Ok(number) } else { Err(INVALID) }
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            self.gate.pass();
            let run = || job.fault.map_or_else(|| job.model.run(&job.bound, &self.counters), Err);
            let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(FAILURE));
            self.finish(job, outcome.err().unwrap_or(SUCCESS));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = lock(&self.queue);
        loop {
            match queue.jobs.pop_front() {
                Some(job) if queue.dead => {
                    drop(queue);
                    self.finish(job, EXEC_UNIT_UNRECOVERABLE);
                    queue = lock(&self.queue);
                }
                Some(job) => return Some(job),
                None if queue.closed => return None,
                None => queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn finish(&self, job: Job, code: Code) {
        let Job { model, bound, tell, .. } = job;
        // What the program used is let go before anybody is told.
        drop((model, bound));
        let mut queue = lock(&self.queue);
        queue.dead |= kills(code);
        queue.done += 1;
        match tell {
            Tell::Waiting(tell) => drop(tell.send(code)),
            // SAFETY: the caller of `nrta_execute_schedule` promised a place that stays until now.
            Tell::Later(Outcome(place)) => unsafe { place.write(code) },
        }
        let done = queue.done;
        queue.events.iter().filter(|(waited, _)| *waited <= done).for_each(|(_, event)| raise(*event));
        queue.events.retain(|(waited, _)| *waited > done);
    }
}

/// Whether a core that ended so takes no more.
fn kills(code: Code) -> bool {
    matches!(code, TIMEOUT | 6 | EXEC_UNIT_UNRECOVERABLE | EXEC_HW_ERR_COLLECTIVES..NETWORK_PROXY_FAILURE)
}

fn raise(event: RawFd) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: eight bytes are read from an array of eight. A descriptor that is not open gives an error, which is the
    // caller's.
    unsafe { libc::write(event, one.as_ptr().cast(), one.len()) };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
