//! A unit of execution: a queue that a thread works off in order.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::abi::{
    Code, EXEC_HW_ERR_COLLECTIVES, EXEC_UNIT_UNRECOVERABLE, FAILURE, INVALID, NETWORK_PROXY_FAILURE,
    QUEUE_FULL, SUCCESS, TIMEOUT,
};

/// Bits of a sequence that count; those above them are the unit's number.
pub const COUNT_BITS: u32 = 48;

/// A unit.
pub struct Unit {
    number: u64,
    queue: Mutex<Queue>,
    changed: Condvar,
    gate: Arc<Gate>,
    thread: Mutex<Option<JoinHandle<()>>>,
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

/// What is to be done, and who learns the outcome. What it uses is let go before anybody is told.
pub struct Job {
    pub work: Box<dyn FnOnce() -> Result<(), Code> + Send>,
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

// SAFETY: the asynchronous functions ask their caller to leave the place alone until the work is done.
unsafe impl Send for Outcome {}

/// Where work waits as long as it is held.
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

impl Unit {
    pub fn start(number: u64, gate: &Arc<Gate>) -> Arc<Unit> {
        let unit = Arc::new(Unit {
            number,
            queue: Mutex::default(),
            changed: Condvar::new(),
            gate: Arc::clone(gate),
            thread: Mutex::default(),
        });
        let worker = Arc::clone(&unit);
        let thread =
            std::thread::Builder::new().name(format!("emulated unit {number}")).spawn(move || worker.work());
        *lock(&unit.thread) = thread.ok();
        unit
    }

    /// Queues work behind at most so much other, and gives its sequence and whether the unit was idle.
    pub fn submit(&self, job: Job, room: usize) -> Result<(u64, bool), Code> {
        let mut queue = lock(&self.queue);
        if queue.dead {
            return Err(EXEC_UNIT_UNRECOVERABLE);
        }
        if queue.queued - queue.done >= room as u64 {
            return Err(QUEUE_FULL);
        }
        let idle = queue.queued == queue.done;
        queue.jobs.push_back(job);
        queue.queued += 1;
        self.changed.notify_all();
        Ok((self.sequence(queue.queued), idle))
    }

    /// The sequence of the last work that is done.
    pub fn last_done(&self) -> u64 {
        self.sequence(lock(&self.queue).done)
    }

    /// Whether work is done; `NRT_INVALID` for what never was queued.
    pub fn is_done(&self, sequence: u64) -> Result<bool, Code> {
        let queue = lock(&self.queue);
        Ok(self.count(&queue, sequence)? <= queue.done)
    }

    /// Has an event signalled when work is done, at once where it is; -1 takes that back.
    pub fn signal(&self, sequence: u64, event: RawFd) -> Result<(), Code> {
        let mut queue = lock(&self.queue);
        let number = self.count(&queue, sequence)?;
        match event {
            -1 => queue.events.retain(|(waited, _)| *waited != number),
            _ if number <= queue.done => raise(event),
            _ => queue.events.push((number, event)),
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

    fn sequence(&self, count: u64) -> u64 {
        self.number << COUNT_BITS | count
    }

    fn count(&self, queue: &Queue, sequence: u64) -> Result<u64, Code> {
        let count = sequence & ((1 << COUNT_BITS) - 1);
        let ours = sequence == self.sequence(count) && (1..=queue.queued).contains(&count);
        if ours { Ok(count) } else { Err(INVALID) }
    }

    fn work(&self) {
        while let Some(Job { work, tell }) = self.next() {
            self.gate.pass();
            let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(FAILURE));
            self.finish(tell, outcome.err().unwrap_or(SUCCESS));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = lock(&self.queue);
        loop {
            match queue.jobs.pop_front() {
                Some(Job { work, tell }) if queue.dead => {
                    drop(queue);
                    drop(work);
                    self.finish(tell, EXEC_UNIT_UNRECOVERABLE);
                    queue = lock(&self.queue);
                }
                Some(job) => return Some(job),
                None if queue.closed => return None,
                None => queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn finish(&self, tell: Tell, code: Code) {
        let mut queue = lock(&self.queue);
        queue.dead |= kills(code);
        queue.done += 1;
        match tell {
            Tell::Waiting(tell) => drop(tell.send(code)),
            // SAFETY: the caller of the asynchronous function promised a place that stays until now.
            Tell::Later(Outcome(place)) => unsafe { place.write(code) },
        }
        let done = queue.done;
        queue.events.iter().filter(|(waited, _)| *waited <= done).for_each(|(_, event)| raise(*event));
        queue.events.retain(|(waited, _)| *waited > done);
    }
}

/// Whether a unit that ended so takes no more.
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
