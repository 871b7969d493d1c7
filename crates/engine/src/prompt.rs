//! Work on a prompt alone, with nothing generated: its logits, and its values on the way.

use graph::Fetch;

use crate::batch::Part;
use crate::limits::PROBED_VALUES;
use crate::request::{at_most, check_prompt};
use crate::{Engine, EngineError, RefuseError, Request, SequenceId};

/// Values of a step to bring out and to replace, by the names the graph gives them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe<'a> {
    /// Values to bring out.
    pub taps: &'a [&'a str],
    /// Values to replace, and by what.
    pub patches: &'a [(&'a str, &'a [f32])],
}

impl Engine {
    /// Gives the logits at every position of a prompt, in order: `sink` takes the position and `[V]` logits. No step
    /// may be in flight ([`Engine::drain`]); sequences that run wait meanwhile, and the prompt may fill the whole context.
    pub fn logits(&mut self, ids: &[u32], mut sink: impl FnMut(u32, &[f32])) -> Result<(), EngineError> {
        let id = self.seat_prompt(ids)?;
        let chunk = self.facts.logit_rows();
        let mut run = || {
            let mut from = 0;
            while from < ids.len() as u32 {
                let count = chunk.min(ids.len() as u32 - from);
                self.run(Part { sequence: id, from, count, rows: count, previous: None }, &Probe::default())?;
                self.check_numbers()?;
                let rows = self.fetch.logits.chunks_exact(self.facts.vocab as usize);
                rows.zip(from..).for_each(|(logits, position)| sink(position, logits));
                from += count;
            }
            Ok(())
        };
        let result = run();
        self.retire(id);
        result
    }

    /// Runs a prompt in one step, replacing and bringing out values; gives them as [`Fetch::taps`] and the logits
    /// at every position as [`Fetch::logits`]. No step may be in flight.
    pub fn probe(&mut self, ids: &[u32], probe: &Probe<'_>) -> Result<&Fetch, EngineError> {
        at_most("values to bring out", probe.taps.len(), PROBED_VALUES)?;
        at_most("values to replace", probe.patches.len(), PROBED_VALUES)?;
        at_most("tokens for one step", ids.len(), self.facts.logit_rows() as usize)?;
        let id = self.seat_prompt(ids)?;
        let count = ids.len() as u32;
        let result = self.run(Part { sequence: id, from: 0, count, rows: count, previous: None }, probe);
        self.retire(id);
        result.map(|()| &self.fetch)
    }

    /// Seats a prompt that is not to be continued.
    fn seat_prompt(&mut self, ids: &[u32]) -> Result<SequenceId, RefuseError> {
        check_prompt(ids, self.facts.vocab)?;
        if ids.len() as u64 > u64::from(self.context) {
            return Err(RefuseError::PromptTooLong { tokens: ids.len(), context: self.context });
        }
        let flown = self.flights.iter().flat_map(|flight| &flight.parts);
        if flown.into_iter().any(|flown| self.is_alive(flown.part.sequence)) {
            return Err(RefuseError::Busy);
        }
        // Steps of sequences that have ended are of no use to anyone, but hold pages.
        while let Some(flight) = self.flights.pop_front() {
            // Whether it failed concerns nobody any more.
            let _ = self.wait(&flight);
            self.settle(flight);
        }
        Ok(self.seat(Request { logits: true, ..Request::new(ids.to_vec()) }))
    }

    /// Runs one part to its end, into `self.fetch`.
    fn run(&mut self, part: Part, probe: &Probe<'_>) -> Result<(), EngineError> {
        self.plan.clear();
        while !self.grant(&part) {
            let last = self.line.running().last().copied();
            let (_, other) = last.expect("the pool holds a whole context, and nobody else has any of it");
            self.preempt(other);
        }
        self.plan.parts.push(part);
        let flight = self.launch(probe)?;
        let result = self.wait(&flight);
        self.settle(flight);
        result
    }

    /// Whether a step gave numbers. A probe does not ask: it is how one finds where they end.
    fn check_numbers(&self) -> Result<(), EngineError> {
        let are = !self.fetch.sampled.iter().any(|sampled| sampled.logprob.is_nan());
        if are { Ok(()) } else { Err(EngineError::NotNumbers) }
    }
}
