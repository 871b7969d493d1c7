//! Running a program, and waiting for it no longer than is said.
//!
//! A runtime from 2.31 on queues programs itself and signals an event for each. For an older one a thread per core
//! makes the blocking calls and signals the events. Either way what a run uses lives until the device is done.

use std::mem::forget;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use super::event::Event;
use super::model::{HeldModel, Model};
use super::tensor::{HeldSet, TensorSet};
use crate::error::Error;
use crate::result::Outcome;
use crate::sys::{AsyncFunctions, Functions};

/// A program under way. Dropping it waits for its end.
#[must_use = "the outcome of a run is known when it was waited for"]
pub struct Run {
    /// None when it was waited for.
    flight: Option<Flight>,
}

struct Flight {
    call: &'static str,
    /// Written when the run ends: success, should a runtime write failures only.
    outcome: Arc<AtomicI32>,
    event: Arc<Event>,
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
        let flight = Flight {
            call: if seat.runtime.later.is_some() { "nrta_execute_schedule" } else { "nrt_execute" },
            outcome: Arc::default(),
            event: Arc::new(Event::new()?),
            model: Arc::clone(&self.held),
            inputs: Arc::clone(&inputs.held),
            outputs: Arc::clone(&outputs.held),
        };
        let flight = match &seat.runtime.later {
            Some(later) => flight.queued(later)?,
            None => flight.posted(seat.runtime.calls),
        };
        Ok(Run { flight: Some(flight) })
    }
}

impl Flight {
    /// Begun on the core's thread.
    fn posted(self, calls: Functions) -> Flight {
        let (outcome, event) = (Arc::clone(&self.outcome), Arc::clone(&self.event));
        let (model, inputs, outputs) = (self.model.handle, self.inputs.handle, self.outputs.handle);
        self.model.seat.execute.post(Box::new(move || {
            // SAFETY: the flight keeps all three alive until the event came, and for ever where it does not come.
            let code = unsafe { (calls.nrt_execute)(model.as_ptr(), inputs.as_ptr(), outputs.as_ptr()) };
            outcome.store(code, Ordering::Release);
            event.signal();
        }));
        self
    }

    /// Begun in the runtime's queue.
    fn queued(self, later: &AsyncFunctions) -> Result<Flight, Error> {
        let (seat, mut sequence) = (&self.model.seat, 0);
        seat.runtime.call(&seat.execute, |_| {
            let (inputs, outputs) = (self.inputs.handle.as_ptr(), self.outputs.handle.as_ptr());
            let (model, outcome) = (self.model.handle.as_ptr(), self.outcome.as_ptr());
            // SAFETY: as in `posted`; the outcome's place is the flight's too.
            unsafe { later.nrta_execute_schedule(model, inputs, outputs, 0, outcome, &mut sequence) }
        })?;
        let event = self.event.fd();
        // SAFETY: the sequence is the one that was begun.
        let signal = |_: &_| unsafe { later.nrta_event_register_seq_id_completion(sequence, event) };
        match seat.runtime.call(&seat.execute, signal) {
            Ok(()) => Ok(self),
            Err(error) => {
                forget(self);
                Err(error)
            }
        }
    }

    fn end(self, limit: Duration) -> Result<(), Error> {
        let runtime = Arc::clone(&self.model.seat.runtime);
        if self.event.wait(limit) {
            return runtime.heed(self.outcome.load(Ordering::Acquire).check(self.call));
        }
        let late = Error::Late { call: self.call, limit };
        forget(self);
        runtime.heed(Err(late))
    }
}

impl Run {
    /// Waits for the end. A run that takes longer than the limit poisons the runtime, since nobody can take it back:
    /// the process has to be restarted.
    pub fn wait(mut self, limit: Duration) -> Result<(), Error> {
        self.flight.take().expect("a run is waited for once").end(limit)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        // After poisoning nothing is waited for.
        let patience = if flight.model.seat.runtime.healthy().is_ok() { ABANDONED } else { Duration::ZERO };
        drop(flight.end(patience));
    }
}
