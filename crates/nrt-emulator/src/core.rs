//! A logical core: its memory, and its units of execution: one that computes, and two that move bytes.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::abi::{Code, INVALID, RESOURCE};
use crate::memory::{Bank, Share};
use crate::model::{Bound, Counters, Model};
use crate::time::LAUNCH_NS;
use crate::unit::{COUNT_BITS, Gate, Job, Tell, Unit};

/// Units of a core in the numbers of units, and the first of each kind.
const UNITS: u64 = 8;
const MOVES: u64 = 0;
const COMPUTE: u64 = 3;

/// Queues for moving bytes.
const MOVE_QUEUES: usize = 2;

/// A logical core.
pub struct Core {
    pub index: u32,
    pub bank: Arc<Bank>,
    counters: Arc<Counters>,
    compute: Arc<Unit>,
    moves: [Arc<Unit>; MOVE_QUEUES],
    /// The largest need of a program for intermediate values, which all of them share.
    scratch: Mutex<Vec<(usize, Share)>>,
}

impl Core {
    pub fn start(index: u32, memory: usize, counters: &Arc<Counters>, gate: &Arc<Gate>) -> Arc<Core> {
        let unit = |number| Unit::start(u64::from(index) * UNITS + number, gate);
        Arc::new(Core {
            index,
            bank: Arc::new(Bank::new(memory)),
            counters: Arc::clone(counters),
            compute: unit(COMPUTE),
            moves: std::array::from_fn(|queue| unit(MOVES + queue as u64)),
            scratch: Mutex::default(),
        })
    }

    /// Queues an execution that the caller waits for.
    pub fn execute(
        &self,
        model: Arc<Model>,
        bound: Bound,
        fault: Option<Code>,
    ) -> Result<Receiver<Code>, Code> {
        let (tell, outcome) = channel();
        self.submit(model, bound, fault, Tell::Waiting(tell), usize::MAX)?;
        Ok(outcome)
    }

    /// Queues an execution behind at most so many, and gives its sequence. A `fault` is its outcome, instead of what it
    /// would have been.
    pub fn submit(
        &self,
        model: Arc<Model>,
        bound: Bound,
        fault: Option<Code>,
        tell: Tell,
        room: usize,
    ) -> Result<u64, Code> {
        let counters = Arc::clone(&self.counters);
        let work = Box::new(move || fault.map_or_else(|| model.run(&bound, &counters), Err));
        let (sequence, idle) = self.compute.submit(Job { work, tell }, room)?;
        self.counters.simulated_ns.fetch_add(if idle { LAUNCH_NS } else { 0 }, Ordering::Relaxed);
        Ok(sequence)
    }

    /// Queues a movement of bytes, as `submit` does.
    pub fn submit_move(&self, queue: usize, job: Job, room: usize) -> Result<u64, Code> {
        self.moves.get(queue).ok_or(INVALID)?.submit(job, room).map(|(sequence, _)| sequence)
    }

    /// The core of a sequence.
    pub fn of_sequence(sequence: u64) -> u64 {
        (sequence >> COUNT_BITS) / UNITS
    }

    /// The unit of a sequence.
    pub fn unit(&self, sequence: u64) -> Result<&Unit, Code> {
        match (sequence >> COUNT_BITS) % UNITS {
            COMPUTE => Ok(&self.compute),
            number => self.queue(number as usize),
        }
    }

    /// The unit that computes.
    pub fn compute(&self) -> &Unit {
        &self.compute
    }

    /// A unit that moves bytes.
    pub fn queue(&self, queue: usize) -> Result<&Unit, Code> {
        self.moves.get(queue).map(|unit| &**unit).ok_or(INVALID)
    }

    /// Makes room for a program's intermediate values, which lie where those of other programs do.
    pub fn reserve_scratch(&self, bytes: usize) -> Result<(), Code> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let had: usize = scratch.iter().map(|(bytes, _)| bytes).sum();
        if let Some(more) = bytes.checked_sub(had).filter(|&more| more > 0) {
            scratch.push((more, self.bank.take(more).map_err(|_| RESOURCE)?));
        }
        Ok(())
    }

    /// Ends the threads when their queues are empty.
    pub fn close(&self) {
        self.compute.close();
        self.moves.iter().for_each(|unit| unit.close());
    }
}
