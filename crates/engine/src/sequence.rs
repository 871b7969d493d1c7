//! One request under way: its tokens, how far they were given to the device, and the pages that hold their state.

use std::mem;
use std::time::Duration;

use graph::Seen;

use crate::batch::{Part, Rows};
use crate::page_table::PageTable;
use crate::{Ending, Finish, Request, SequenceId, Usage};

/// One request under way.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// What was asked for; the prompt has moved to `tokens`.
    request: Request,
    /// Prompt and answer, as far as the host knows them.
    tokens: Vec<u32>,
    prompt: u32,
    /// `tokens` never grows beyond this.
    limit: u32,
    /// Positions given to steps; one beyond `tokens` at most, where a step reads a token of the step before it.
    launched: u32,
    /// The row in which the newest step makes this sequence's next token.
    row: u32,
    /// Pages held, per group.
    tables: Vec<PageTable>,
    /// Distinct tokens in order of id, where penalties want them.
    seen: Vec<Seen>,
    started: Duration,
    first: Option<Duration>,
    last: Duration,
    device: Duration,
}

impl Sequence {
    /// A sequence of a checked request, in a context that its prompt fits.
    pub(crate) fn new(mut request: Request, groups: usize, context: u32, now: Duration) -> Sequence {
        let mut tokens = mem::take(&mut request.prompt);
        let prompt = tokens.len() as u32;
        let limit = prompt.saturating_add(request.max_tokens).min(context);
        // Decoding then allocates nothing.
        tokens.reserve_exact(limit.saturating_sub(prompt) as usize);
        let seen = if request.sampling.penalties.is_none() { vec![] } else { distinct(&tokens) };
        Sequence {
            request,
            tokens,
            prompt,
            limit,
            launched: 0,
            row: 0,
            tables: (0..groups).map(|_| PageTable::default()).collect(),
            seen,
            started: now,
            first: None,
            last: now,
            device: Duration::ZERO,
        }
    }

    /// What this sequence would do in the next step, with at most `chunk` tokens; `None` where it must wait for a step
    /// in flight or has nothing left to do.
    pub(crate) fn next(&self, id: SequenceId, chunk: u32) -> Option<Part> {
        let known = self.tokens.len() as u32;
        if self.launched < known {
            let count = chunk.min(known - self.launched);
            let rows = if self.launched + count == known { Rows::Last } else { Rows::None };
            return Some(Part { sequence: id, from: self.launched, count, rows, previous: None });
        }
        // The token at `launched` is being made. Feeding it makes one more, unless it is the last.
        let ahead = self.launched == known && known + 1 < self.limit && !self.needs_host();
        let part = Part { sequence: id, from: known, count: 1, rows: Rows::Last, previous: Some(self.row) };
        ahead.then_some(part)
    }

    /// Notes that a step takes positions up to `end` and makes the next token in row `row`.
    pub(crate) fn launch(&mut self, end: u32, row: u32) {
        self.launched = end;
        self.row = row;
    }

    /// Appends a token that a step made.
    pub(crate) fn push(&mut self, token: u32, now: Duration) {
        self.tokens.push(token);
        self.first.get_or_insert(now);
        self.last = now;
        if self.needs_host() {
            match self.seen.binary_search_by_key(&token, |seen| seen.id) {
                Ok(place) => self.seen[place].generated += 1,
                Err(place) => self.seen.insert(place, Seen { id: token, generated: 1 }),
            }
        }
    }

    /// Adds what the device worked on a step of this sequence.
    pub(crate) fn charge(&mut self, device: Duration) {
        self.device += device;
    }

    /// Why no more tokens will come, where none will.
    pub(crate) fn finish(&self) -> Option<Finish> {
        let stops = |token: &u32| !self.request.ignore_end && self.request.stop.contains(token);
        if self.tokens[self.prompt as usize..].last().is_some_and(stops) {
            return Some(Finish::Stop);
        }
        (self.tokens.len() as u32 >= self.limit).then_some(Finish::Length)
    }

    /// The account of a sequence that ends now.
    pub(crate) fn ending(&self, finish: Finish, now: Duration) -> Ending {
        let usage = Usage {
            prompt_tokens: self.prompt,
            cached_tokens: 0,
            completion_tokens: self.tokens.len() as u32 - self.prompt,
            prefill: self.first.unwrap_or(now) - self.started,
            decode: self.first.map_or(Duration::ZERO, |first| self.last - first),
            device: self.device,
        };
        Ending { finish, usage }
    }

    /// What was asked for, without the prompt.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// Prompt and answer, as far as the host knows them.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens seen so far; empty where no penalty asks for them.
    pub(crate) fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// Pages held, per group.
    pub(crate) fn tables(&self) -> &[PageTable] {
        &self.tables
    }

    /// Pages held, to change.
    pub(crate) fn tables_mut(&mut self) -> &mut [PageTable] {
        &mut self.tables
    }

    /// Whether a row cannot be chosen before the host knows the token before it: penalties count it.
    fn needs_host(&self) -> bool {
        !self.request.sampling.penalties.is_none()
    }
}

/// The distinct tokens of a prompt, in order.
fn distinct(tokens: &[u32]) -> Vec<Seen> {
    let mut ids = tokens.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| Seen { id, generated: 0 }).collect()
}

#[cfg(test)]
mod tests {
    use graph::{Penalties, Sampling};

    use super::*;
    use crate::roster::Roster;

    fn seated(request: Request, context: u32) -> (Roster, SequenceId) {
        let mut roster = Roster::default();
        let id = roster.insert(Sequence::new(request, 0, context, Duration::ZERO));
        (roster, id)
    }

    #[test]
    fn a_prompt_goes_in_chunks_and_decoding_runs_one_ahead() {
        let request = Request { max_tokens: 3, ..Request::new(vec![5; 7]) };
        let (mut roster, id) = seated(request, 100);
        let next = |roster: &Roster| roster[id].next(id, 4).map(|p| (p.from, p.count, p.rows, p.previous));
        assert_eq!(next(&roster), Some((0, 4, Rows::None, None)));
        let sequence = |roster: &mut Roster, act: &dyn Fn(&mut Sequence)| {
            act(roster.find_mut(id).expect("it is alive"));
        };
        sequence(&mut roster, &|s| s.launch(4, 0));
        assert_eq!(next(&roster), Some((4, 3, Rows::Last, None)));
        sequence(&mut roster, &|s| s.launch(7, 2));
        assert_eq!(next(&roster), Some((7, 1, Rows::Last, Some(2))));
        sequence(&mut roster, &|s| s.launch(8, 0));
        assert_eq!(next(&roster), None, "two tokens are being made");
        sequence(&mut roster, &|s| s.push(9, Duration::ZERO));
        assert_eq!(next(&roster), Some((8, 1, Rows::Last, Some(0))));
        sequence(&mut roster, &|s| s.launch(9, 0));
        sequence(&mut roster, &|s| s.push(9, Duration::ZERO));
        assert_eq!((next(&roster), roster[id].finish()), (None, None), "the last one is being made");
        sequence(&mut roster, &|s| s.push(9, Duration::ZERO));
        assert_eq!(roster[id].finish(), Some(Finish::Length));
    }

    #[test]
    fn penalties_count_tokens_and_wait_for_them() {
        let penalties = Penalties { repetition: 1.1, ..Penalties::NONE };
        let sampling = Sampling { penalties, ..Sampling::default() };
        let (mut roster, id) = seated(Request { sampling, ..Request::new(vec![4, 2, 4]) }, 100);
        let sequence = roster.find_mut(id).expect("it is alive");
        sequence.launch(3, 0);
        assert!(sequence.next(id, 8).is_none(), "the token being made is not counted yet");
        [3, 2, 3].into_iter().for_each(|token| sequence.push(token, Duration::ZERO));
        let seen = [(2, 1), (3, 2), (4, 0)].map(|(id, generated)| Seen { id, generated });
        assert_eq!(sequence.seen(), seen);
    }
}
