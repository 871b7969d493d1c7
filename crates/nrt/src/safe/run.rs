//! Running a program, and waiting for it no longer than is said.
//!
//! A runtime from 2.31 on queues programs itself and signals an event for each; for an older one a thread per core
//! makes the blocking calls. Either way a run holds the program and its tensors until the device is done.

use std::mem::forget;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::event::Event;
use super::model::{HeldModel, Model};
use super::runtime::Inner;
use super::tensor::{HeldSet, TensorSet};
use crate::error::Error;
use crate::result::Outcome;
use crate::sys::{self, AsyncFunctions};

/// A program under way. Where it is dropped instead of waited for, what it uses lives until the device is done.
#[must_use = "the outcome of a run is known when it was waited for"]
pub struct Run {
    runtime: Arc<Inner>,
    flight: Option<Flight>,
}

enum Flight {
    /// On the core's thread, which gives back what it used.
    Posted(Receiver<(Result<(), Error>, Held)>),
    /// In the runtime's queue.
    Queued(Queued),
}

struct Queued {
    /// Written when the run ends, so it stays in its box until then.
    outcome: Box<AtomicI32>,
    event: Event,
    _held: Held,
}

/// What must live as long as a program runs.
struct Held {
    model: Arc<HeldModel>,
    inputs: Arc<HeldSet>,
    outputs: Arc<HeldSet>,
}

/// How long a run that nobody waited for is waited for when it is dropped.
const ABANDONED: Duration = Duration::from_secs(60);

impl Model {
    /// Runs the program once and waits for its end.
    pub fn execute(&self, inputs: &TensorSet, outputs: &TensorSet, limit: Duration) -> Result<(), Error> {
        self.start(inputs, outputs)?.wait(limit)
    }

    /// Begins a run. Runs of one core are executed in the order in which they began.
    pub fn start(&self, inputs: &TensorSet, outputs: &TensorSet) -> Result<Run, Error> {
        let seat = &self.held.seat;
        seat.runtime.healthy()?;
        seat.assert_same_runtime(&inputs.held.seat);
        seat.assert_same_runtime(&outputs.held.seat);
        let (inputs, outputs) = (Arc::clone(&inputs.held), Arc::clone(&outputs.held));
        let held = Held { model: Arc::clone(&self.held), inputs, outputs };
        match &seat.runtime.later {
            Some(functions) => held.queue(functions),
            None => Ok(held.post()),
        }
    }
}

impl Held {
    fn post(self) -> Run {
        let seat = Arc::clone(&self.model.seat);
        let run = move || {
            let (runtime, calls) = (&self.model.seat.runtime, &self.model.seat.runtime.calls);
            let (model, inputs, outputs) = self.pointers();
            let healthy = runtime.healthy();
            // SAFETY: `self` keeps all three alive.
            let outcome = healthy.and_then(|()| unsafe { calls.nrt_execute(model, inputs, outputs) });
            (runtime.heed(outcome), self)
        };
        Run { runtime: Arc::clone(&seat.runtime), flight: Some(Flight::Posted(seat.execute.post(run))) }
    }

    fn queue(self, later: &AsyncFunctions) -> Result<Run, Error> {
        let seat = Arc::clone(&self.model.seat);
        let event = Event::new()?;
        // Success, should a runtime write failures only.
        let outcome = Box::new(AtomicI32::new(0));
        let mut sequence = 0;
        seat.runtime.call(&seat.execute, |_| {
            let (model, inputs, outputs) = self.pointers();
            // SAFETY: what is queued is kept until the event came, and for ever where it does not come.
            unsafe { later.nrta_execute_schedule(model, inputs, outputs, 0, outcome.as_ptr(), &mut sequence) }
        })?;
        let queued = Queued { outcome, event, _held: self };
        let fd = queued.event.fd();
        // SAFETY: the sequence is the one that was begun.
        let signal = |_: &_| unsafe { later.nrta_event_register_seq_id_completion(sequence, fd) };
        match seat.runtime.call(&seat.execute, signal) {
            Ok(()) => Ok(Run { runtime: Arc::clone(&seat.runtime), flight: Some(Flight::Queued(queued)) }),
            Err(error) => {
                forget(queued);
                Err(error)
            }
        }
    }

    fn pointers(&self) -> (*mut sys::Model, *mut sys::TensorSet, *mut sys::TensorSet) {
        (self.model.handle.as_ptr(), self.inputs.handle.as_ptr(), self.outputs.handle.as_ptr())
    }
}

impl Run {
    /// Waits for the end. A run that takes longer than the limit poisons the runtime, since nobody can take it back:
    /// the process has to be restarted.
    pub fn wait(mut self, limit: Duration) -> Result<(), Error> {
        let flight = self.flight.take().expect("a run is waited for once");
        self.end(flight, limit)
    }

    fn end(&self, flight: Flight, limit: Duration) -> Result<(), Error> {
        let late = |call| self.runtime.heed(Err(Error::Late { call, limit }));
        match flight {
            Flight::Posted(outcome) => match outcome.recv_timeout(limit) {
                Ok((outcome, _held)) => outcome,
                Err(RecvTimeoutError::Timeout) => late("nrt_execute"),
                Err(RecvTimeoutError::Disconnected) => unreachable!("a call to libnrt does not panic"),
            },
            Flight::Queued(queued) if queued.event.wait(limit) => {
                let code = queued.outcome.load(Ordering::Acquire);
                self.runtime.heed(code.check("nrta_execute_schedule"))
            }
            Flight::Queued(queued) => {
                forget(queued);
                late("nrta_execute_schedule")
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A thread that runs a program holds what it uses; a queue in the runtime does not.
        if let Some(flight @ Flight::Queued(_)) = self.flight.take() {
            drop(self.end(flight, ABANDONED));
        }
    }
}
