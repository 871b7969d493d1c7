//! The step loop: while one step runs, the next is launched behind it; then the older one's tokens are delivered.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use graph::{Fetch, GroupId, PageId, ProgramSpec, StepId};

use crate::batch::Rows;
use crate::event::Record;
use crate::prompt::Probe;
use crate::{Engine, EngineError, Events, Finish, SequenceId};

/// A step that was launched and not yet finished.
#[derive(Debug)]
pub(crate) struct Flight {
    pub step: StepId,
    /// Sequences with tokens in it.
    pub sequences: Vec<SequenceId>,
    /// What its rows were asked for. A row's sequence may have ended while the step ran.
    pub rows: Vec<FlightRow>,
    /// Pages given up while it was the newest step.
    pub releases: Vec<(GroupId, PageId)>,
}

/// What one row of a step was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlightRow {
    pub sequence: SequenceId,
    /// Entries of `Fetch::top`.
    pub top: usize,
    /// Floats of `Fetch::logits`.
    pub logits: usize,
}

impl Engine {
    /// Waits for the oldest step in flight and tells what it gave, having launched the next behind it. Call it until
    /// [`Engine::is_idle`].
    pub fn step(&mut self) -> Events<'_> {
        self.events.clear();
        self.fetch.clear();
        self.finish_unasked();
        while self.flights.len() < self.facts.steps_in_flight() && self.launch_next() {}
        if let Some(flight) = self.flights.pop_front() {
            self.land(flight);
        }
        Events { records: self.events.iter(), fetch: &self.fetch }
    }

    /// Ends sequences that want no token at all.
    fn finish_unasked(&mut self) {
        while let Some((id, finish)) = self.complete() {
            self.finish(id, finish);
        }
    }

    fn complete(&self) -> Option<(SequenceId, Finish)> {
        self.roster.iter().find_map(|(id, sequence)| Some((id, sequence.finish()?)))
    }

    /// Launches the next step; says whether there is reason to ask for another.
    fn launch_next(&mut self) -> bool {
        let chunk = self.facts.chunk;
        let Some(part) = self.roster.iter().find_map(|(id, sequence)| sequence.next(id, chunk)) else {
            return false;
        };
        if !self.grant(&part) {
            // The pages are held by steps in flight, of a sequence that has ended.
            assert!(
                !self.flights.is_empty(),
                "the pool holds a whole context, and one sequence runs at a time"
            );
            return false;
        }
        self.parts.clear();
        self.parts.push(part);
        match self.launch(&Probe::default()) {
            Ok(flight) => self.flights.push_back(flight),
            Err(error) => self.fail(part.sequence, Arc::new(error)),
        }
        true
    }

    /// Launches `self.parts`, whose pages have been granted.
    pub(crate) fn launch(&mut self, probe: &Probe<'_>) -> Result<Flight, EngineError> {
        let Engine { batch, parts, roster, programs, executor, .. } = self;
        let patches = probe.patches.iter().map(|(_, values)| *values).collect::<Vec<_>>();
        let step = batch.feed(parts, roster, &patches, |feed, bucket| {
            let names = probe.patches.iter().map(|(name, _)| (*name).to_owned());
            let taps = probe.taps.iter().map(|&name| name.to_owned()).collect();
            let spec = ProgramSpec { bucket, taps, patches: names.collect(), timed: false };
            let program = programs.find(&mut **executor, spec)?;
            executor.launch(program, feed)
        })?;
        Ok(self.note_launch(step))
    }

    fn note_launch(&mut self, step: StepId) -> Flight {
        let mut flight = self.landed.pop().unwrap_or_else(|| Flight::new(step));
        flight.step = step;
        let vocab = self.facts.vocab as usize;
        for part in &self.parts {
            let Some(sequence) = self.roster.find_mut(part.sequence) else { continue };
            sequence.launch(part.end(), flight.rows.len() as u32);
            flight.sequences.push(part.sequence);
            let request = sequence.request();
            let logits = if request.logits || part.rows == Rows::All { vocab } else { 0 };
            let top = vocab.min(request.top_logprobs as usize);
            let row = FlightRow { sequence: part.sequence, top, logits };
            flight.rows.extend((0..part.row_count()).map(|_| row));
        }
        flight
    }

    /// Waits for a step and delivers what it gave.
    fn land(&mut self, flight: Flight) {
        match self.wait(&flight).and_then(|()| self.check_numbers()) {
            Ok(()) => self.deliver(&flight),
            Err(error) => {
                let error = Arc::new(error);
                flight.sequences.iter().for_each(|&id| self.fail(id, error.clone()));
            }
        }
        self.settle(flight);
    }

    /// Waits for a step, into `self.fetch`.
    pub(crate) fn wait(&mut self, flight: &Flight) -> Result<(), EngineError> {
        self.fetch.clear();
        self.executor.finish(flight.step, &mut self.fetch)?;
        flight.check(&self.fetch, self.facts.vocab)
    }

    /// Whether the step that was waited for gave numbers. A probe does not ask: it is how one finds where they end.
    pub(crate) fn check_numbers(&self) -> Result<(), EngineError> {
        let are = !self.fetch.sampled.iter().any(|sampled| sampled.logprob.is_nan());
        if are { Ok(()) } else { Err(EngineError::NotNumbers) }
    }

    /// Releases the pages that only this step still named, and keeps its memory.
    pub(crate) fn settle(&mut self, mut flight: Flight) {
        for (group, page) in flight.releases.drain(..) {
            self.pools[group.index()].release(page);
        }
        flight.sequences.clear();
        flight.rows.clear();
        self.landed.push(flight);
    }

    fn deliver(&mut self, flight: &Flight) {
        let now = self.clock.now();
        for &id in &flight.sequences {
            if let Some(sequence) = self.roster.find_mut(id) {
                sequence.charge(Duration::from_nanos(self.fetch.device_ns));
            }
        }
        let (mut top, mut logits) = (0, 0);
        for (row, asked) in flight.rows.iter().enumerate() {
            let (top, logits) = (take(&mut top, asked.top), take(&mut logits, asked.logits));
            // A sequence that ended while the step ran has no use for its token.
            let Some(sequence) = self.roster.find_mut(asked.sequence) else { continue };
            sequence.push(self.fetch.sampled[row].id, now);
            let finish = sequence.finish();
            self.events.push(Record::Token { sequence: asked.sequence, row, top, logits });
            if let Some(finish) = finish {
                self.finish(asked.sequence, finish);
            }
        }
    }
}

impl Flight {
    fn new(step: StepId) -> Flight {
        Flight { step, sequences: vec![], rows: vec![], releases: vec![] }
    }

    /// Holds what the device gave against what it was asked: the engine indexes by these counts.
    fn check(&self, fetch: &Fetch, vocab: u32) -> Result<(), EngineError> {
        let wrong = |what, given, wanted| Err(EngineError::Answer { what, given, wanted });
        let top = self.rows.iter().map(|row| row.top).sum();
        let logits = self.rows.iter().map(|row| row.logits).sum();
        if fetch.sampled.len() != self.rows.len() {
            return wrong("tokens", fetch.sampled.len(), self.rows.len());
        }
        if fetch.top.len() != top {
            return wrong("top log-probabilities", fetch.top.len(), top);
        }
        if fetch.logits.len() != logits {
            return wrong("logits", fetch.logits.len(), logits);
        }
        match fetch.sampled.iter().find(|sampled| sampled.id >= vocab) {
            Some(sampled) => wrong("as a token id", sampled.id as usize, vocab as usize),
            None => Ok(()),
        }
    }
}

/// The next `count` places.
fn take(next: &mut usize, count: usize) -> Range<usize> {
    *next += count;
    *next - count..*next
}
