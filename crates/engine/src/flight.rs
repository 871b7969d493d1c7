//! A step that was launched and not yet finished.

use std::collections::VecDeque;
use std::ops::Range;

use graph::{Copy, Fetch, PageId, StepId};

use crate::batch::Part;
use crate::meter::Ran;
use crate::pages::Pages;
use crate::{EngineError, SequenceId};

/// A step in flight.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    /// Its number; steps are numbered from 1.
    pub number: u64,
    /// What the device calls it.
    pub step: Option<StepId>,
    /// Tokens added to fill its bucket.
    pub padding: u32,
    /// What sequences do in it.
    pub parts: Vec<Flown>,
    /// Pages that it copies before all else.
    pub copies: Vec<Copy>,
    /// Pages given up that it still names.
    pub releases: Vec<(usize, PageId)>,
}

/// A part of a step in flight. Its sequence may have ended, or lost its pages, while the step ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flown {
    pub part: Part,
    /// Entries of `Fetch::top` per row.
    pub top: usize,
    /// Floats of `Fetch::logits` per row.
    pub logits: usize,
    /// Who asked for it: for beams their search.
    pub owner: SequenceId,
    /// Whether its tokens are a prompt's, or again those of an answer that had lost its pages.
    pub prefill: bool,
}

impl Flown {
    /// What it does, for the account of its step.
    pub(crate) fn ran(&self) -> Ran {
        let Part { from, count, rows, .. } = self.part;
        Ran { sequence: self.owner, from, count, rows, prefill: self.prefill }
    }
}

impl Flight {
    /// Tokens of all its parts.
    pub(crate) fn tokens(&self) -> u32 {
        self.parts.iter().map(|flown| flown.part.count).sum()
    }

    /// Holds what the device gave against what it was asked: the engine indexes by these counts.
    pub(crate) fn check(&self, fetch: &Fetch, vocab: u32) -> Result<(), EngineError> {
        let wrong = |what, given, wanted| Err(EngineError::Answer { what, given, wanted });
        let sum = |per_row: fn(&Flown) -> usize| {
            self.parts.iter().map(|flown| flown.part.rows as usize * per_row(flown)).sum::<usize>()
        };
        let (rows, top, logits) = (sum(|_| 1), sum(|flown| flown.top), sum(|flown| flown.logits));
        if fetch.sampled.len() != rows {
            return wrong("tokens", fetch.sampled.len(), rows);
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

/// Where the rows of a step find what they gave in its fetch.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    row: usize,
    top: usize,
    logits: usize,
}

impl Rows {
    /// The next row, of a part that asked for so much.
    pub(crate) fn next(&mut self, flown: &Flown) -> (usize, Range<usize>, Range<usize>) {
        self.row += 1;
        (self.row - 1, take(&mut self.top, flown.top), take(&mut self.logits, flown.logits))
    }

    /// Passes over rows that nobody wants.
    pub(crate) fn skip(&mut self, flown: &Flown, rows: u32) {
        self.row += rows as usize;
        self.top += flown.top * rows as usize;
        self.logits += flown.logits * rows as usize;
    }
}

/// The next `count` places.
fn take(next: &mut usize, count: usize) -> Range<usize> {
    *next += count;
    *next - count..*next
}

/// Gives a page back that step number `last` was the last to name: once that has landed.
pub(crate) fn give_up(
    pages: &mut Pages,
    flights: &mut VecDeque<Flight>,
    last: u64,
    group: usize,
    page: PageId,
) {
    match flights.iter_mut().find(|flight| flight.number == last) {
        Some(flight) => flight.releases.push((group, page)),
        None => pages.release(group, page),
    }
}
