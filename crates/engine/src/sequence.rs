//! One request under way: its tokens, how far they were given to the device, and the pages that hold their state.

use std::mem;
use std::time::Duration;

use graph::Seen;

use crate::batch::Part;
use crate::grammar::Form;
use crate::page_table::PageTable;
use crate::pages::Indexed;
use crate::policy::order::Turn;
use crate::{Ending, Facts, Finish, Request, SequenceId, Usage};

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
    /// Its place in line.
    pub turn: Turn,
    /// Whether its reader has stalled: it is in no step until that has passed.
    pub paused: bool,
    /// Whether it is among the running: only those hold pages.
    pub running: bool,
    /// Parts of it in flight.
    pub pending: u32,
    /// The newest step that it has a part in.
    pub step: u64,
    /// Whether it waits for another answer's prompt.
    pub parked: bool,
    /// Another answer to the same prompt, whose pages it will share once the prompt is computed.
    pub stem: Option<SequenceId>,
    /// Answers that wait for this one's prompt.
    pub answers: Vec<SequenceId>,
    /// How far its full pages are in the prefix index.
    pub indexed: Indexed,
    /// Positions given to steps; one beyond `tokens` at most, where a step reads a token of the step before it.
    launched: u32,
    /// Positions that steps have written.
    written: u32,
    /// The row in which the newest step makes this sequence's next token.
    row: u32,
    /// Pages held, per group.
    tables: Vec<PageTable>,
    /// Distinct tokens in order of id, where penalties want them.
    seen: Vec<Seen>,
    /// The form of the answer.
    form: Option<Form>,
    /// Tokens of the prompt that needed no computation, once it has run.
    cached: Option<u32>,
    started: Duration,
    first: Option<Duration>,
    last: Duration,
    device: Duration,
}

impl Sequence {
    /// A sequence of a checked request, in a context that its prompt fits.
    pub(crate) fn new(mut request: Request, facts: &Facts, context: u32, now: Duration) -> Sequence {
        let tokens = mem::take(&mut request.prompt);
        let (asked, made) = tokens.split_at(tokens.len() - request.made as usize);
        let mut form = request.grammar.take().map(|grammar| Form::new(grammar, facts.vocab));
        made.iter().for_each(|&token| form.iter_mut().for_each(|form| form.accept(token)));
        let prompt = tokens.len() as u32;
        let limit = prompt.saturating_add(request.max_tokens).min(context);
        let seen = if request.sampling.penalties.counts() { distinct(asked, made) } else { vec![] };
        Sequence {
            turn: Turn::new(now, request.priority),
            request,
            tokens,
            prompt,
            limit,
            paused: false,
            running: false,
            parked: false,
            pending: 0,
            step: 0,
            stem: None,
            answers: vec![],
            indexed: Indexed::default(),
            launched: 0,
            written: 0,
            row: 0,
            tables: facts.groups.iter().map(|_| PageTable::default()).collect(),
            seen,
            form,
            cached: None,
            started: now,
            first: None,
            last: now,
            device: Duration::ZERO,
        }
    }

    /// What this sequence would do in the next step, with at most `chunk` tokens of what the host knows; `None` where it
    /// must wait for a step in flight or has nothing left to do. `newest` is the step launched last.
    pub(crate) fn next(&self, id: SequenceId, chunk: u32, newest: u64) -> Option<Part> {
        let known = self.tokens.len() as u32;
        if self.launched < known {
            let mut count = chunk.min(known - self.launched);
            let mut rows = u32::from(self.launched + count == known);
            if rows > 0 && self.lacks_mask() {
                // All but the token whose row the mask is for.
                (count, rows) = (count - 1, 0);
            }
            let part = Part { sequence: id, from: self.launched, count, rows, previous: None };
            return (count > 0).then_some(part);
        }
        // The token at `launched` is being made. Feeding it makes one more, unless it is the last.
        let ahead = self.launched == known && known + 1 < self.limit && !self.needs_host();
        // A step can name rows of the one before it, and of none earlier.
        let part = Part { sequence: id, from: known, count: 1, rows: 1, previous: Some(self.row) };
        (ahead && self.step == newest).then_some(part)
    }

    /// Whether it would decode in the next step.
    pub(crate) fn decodes(&self, newest: u64) -> bool {
        let known = self.tokens.len() as u32;
        match self.launched < known {
            true => self.launched + 1 == known && !self.lacks_mask(),
            false => known + 1 < self.limit && !self.needs_host() && self.step == newest,
        }
    }

    /// Begins to run, or to run again, behind what its tables hold already.
    pub(crate) fn begin(&mut self, indexed: Indexed, written: u32, pages: impl Fn(usize, u32) -> u32) {
        self.running = true;
        self.indexed = indexed;
        (self.launched, self.written) = (written, written);
        self.cached.get_or_insert(written);
        // Decoding then allocates nothing.
        self.tokens.reserve_exact((self.limit as usize).saturating_sub(self.tokens.len()));
        for (group, table) in self.tables.iter_mut().enumerate() {
            table.reserve(pages(group, self.limit));
        }
    }

    /// Runs no longer: all it has computed is forgotten but for the tokens. Its pages must have been taken from it.
    pub(crate) fn rest(&mut self) {
        self.running = false;
        self.indexed = Indexed::default();
        (self.launched, self.written) = (0, 0);
    }

    /// Notes that a step takes positions up to `end` and makes the next token in row `row`.
    pub(crate) fn launch(&mut self, step: u64, end: u32, row: u32) {
        self.step = step;
        self.pending += 1;
        self.launched = end;
        self.row = row;
    }

    /// Notes that a step has written positions up to `end`.
    pub(crate) fn land(&mut self, end: u32) {
        self.written = end;
    }

    /// Appends a token that a step made.
    pub(crate) fn push(&mut self, token: u32, now: Duration) {
        self.tokens.push(token);
        self.first.get_or_insert(now);
        self.last = now;
        if let Some(form) = &mut self.form {
            form.accept(token);
        }
        if self.request.sampling.penalties.counts() {
            match self.seen.binary_search_by_key(&token, |seen| seen.id) {
                Ok(place) => self.seen[place].generated += 1,
                Err(place) => self.seen.insert(place, Seen { id: token, generated: 1 }),
            }
        }
    }

    /// Adds what the device worked for this sequence.
    pub(crate) fn charge(&mut self, device: Duration) {
        self.device += device;
    }

    /// Why no more tokens will come, where none will.
    pub(crate) fn finish(&self) -> Option<Finish> {
        let stops = |token: &u32| !self.request.ignore_end && self.request.stop.contains(token);
        if self.tokens[self.prompt as usize..].last().is_some_and(stops) {
            return Some(Finish::Stop);
        }
        if self.form.as_ref().is_some_and(Form::is_complete) {
            return Some(Finish::Stop);
        }
        (self.tokens.len() as u32 >= self.limit).then_some(Finish::Length)
    }

    /// The account of a sequence that ends now.
    pub(crate) fn ending(&self, finish: Finish, now: Duration) -> Ending {
        Ending { finish, usage: self.usage(now) }
    }

    /// What it has used so far.
    pub(crate) fn usage(&self, now: Duration) -> Usage {
        Usage {
            prompt_tokens: self.prompt,
            cached_tokens: self.cached.unwrap_or(0),
            completion_tokens: self.tokens.len() as u32 - self.prompt,
            prefill: self.first.unwrap_or(now) - self.started,
            decode: self.first.map_or(Duration::ZERO, |first| self.last - first),
            device: self.device,
        }
    }

    /// What was asked for, without the prompt.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// Prompt and answer, as far as the host knows them.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens of the prompt.
    pub(crate) fn prompt(&self) -> u32 {
        self.prompt
    }

    /// The tokens whose state steps have written.
    pub(crate) fn written(&self) -> &[u32] {
        &self.tokens[..self.written as usize]
    }

    /// When it ends at the latest.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.request.deadline.map(|patience| self.started.saturating_add(patience))
    }

    /// Tokens seen so far; empty where no penalty asks for them.
    pub(crate) fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// The tokens that may come next, where the answer has a form and they are known.
    pub(crate) fn mask(&self) -> Option<&[u32]> {
        self.form.as_ref()?.mask()
    }

    /// The form of the answer, to go on with.
    pub(crate) fn form_mut(&mut self) -> Option<&mut Form> {
        self.form.as_mut()
    }

    /// Whether it waits for the mask of its next token.
    pub(crate) fn lacks_mask(&self) -> bool {
        self.form.as_ref().is_some_and(|form| form.mask().is_none())
    }

    /// Pages held, per group.
    pub(crate) fn tables(&self) -> &[PageTable] {
        &self.tables
    }

    /// Pages held, to change.
    pub(crate) fn tables_mut(&mut self) -> &mut [PageTable] {
        &mut self.tables
    }

    /// Tokens, and pages to change.
    pub(crate) fn tokens_and_tables(&mut self) -> (&[u32], &mut [PageTable]) {
        (&self.tokens, &mut self.tables)
    }

    /// Tokens that steps have written, how far their pages are indexed, and pages to change.
    pub(crate) fn indexing(&mut self) -> (&[u32], &mut Indexed, &mut [PageTable]) {
        (&self.tokens[..self.written as usize], &mut self.indexed, &mut self.tables)
    }

    /// Tokens that it may still make.
    #[cfg(test)]
    pub(crate) fn left(&self) -> u32 {
        self.limit - self.tokens.len() as u32
    }

    /// Changes its tokens behind everybody's back.
    #[cfg(test)]
    pub(crate) fn forge(&mut self, change: impl Fn(u32) -> u32) {
        self.tokens.iter_mut().for_each(|token| *token = change(*token));
    }

    /// Whether a row cannot be chosen before the host knows the token before it: penalties count it, and the form of the
    /// answer depends on it.
    fn needs_host(&self) -> bool {
        !self.request.sampling.penalties.is_none() || self.form.is_some()
    }
}

/// The distinct tokens of what was asked and of what was made, in order.
fn distinct(asked: &[u32], made: &[u32]) -> Vec<Seen> {
    let asked = asked.iter().map(|&id| Seen { id, generated: 0 });
    let mut all = asked.chain(made.iter().map(|&id| Seen { id, generated: 1 })).collect::<Vec<_>>();
    all.sort_unstable_by_key(|seen| seen.id);
    all.dedup_by(|next, kept| {
        let same = next.id == kept.id;
        kept.generated += if same { next.generated } else { 0 };
        same
    });
    all
}

#[cfg(test)]
mod tests {
    use graph::{Penalties, Sampling};

    use super::*;
    use crate::roster::Roster;

    fn seated(request: Request, context: u32) -> (Roster, SequenceId) {
        let mut roster = Roster::default();
        let id = roster.insert(Sequence::new(request, &Facts::tiny(), context, Duration::ZERO));
        (roster, id)
    }

    fn next(
        roster: &Roster,
        id: SequenceId,
        chunk: u32,
        newest: u64,
    ) -> Option<(u32, u32, u32, Option<u32>)> {
        let part = roster[id].next(id, chunk, newest);
        let decodes = part.is_some_and(|part| part.count == 1 && part.rows == 1);
        assert!(!decodes || roster[id].decodes(newest));
        part.map(|part| (part.from, part.count, part.rows, part.previous))
    }

    #[test]
    fn a_prompt_goes_in_chunks_and_decoding_runs_one_ahead() {
        let request = Request { max_tokens: 3, ..Request::new(vec![5; 7]) };
        let (mut roster, id) = seated(request, 100);
        assert_eq!(next(&roster, id, 4, 0), Some((0, 4, 0, None)));
        let sequence = |roster: &mut Roster, act: &dyn Fn(&mut Sequence)| {
            act(roster.find_mut(id).expect("it is alive"));
        };
        sequence(&mut roster, &|s| s.launch(1, 4, 0));
        assert_eq!(next(&roster, id, 4, 1), Some((4, 3, 1, None)));
        assert_eq!(next(&roster, id, 0, 1), None, "there is no room in the step");
        sequence(&mut roster, &|s| s.launch(2, 7, 2));
        assert_eq!(next(&roster, id, 4, 2), Some((7, 1, 1, Some(2))));
        assert_eq!(next(&roster, id, 4, 3), None, "the row is of a step before the last");
        sequence(&mut roster, &|s| s.launch(3, 8, 0));
        assert_eq!(next(&roster, id, 4, 3), None, "two tokens are being made");
        sequence(&mut roster, &|s| s.push(9, Duration::ZERO));
        assert_eq!(next(&roster, id, 4, 3), Some((8, 1, 1, Some(0))));
        sequence(&mut roster, &|s| s.launch(4, 9, 0));
        sequence(&mut roster, &|s| s.push(9, Duration::ZERO));
        assert_eq!(
            (next(&roster, id, 4, 4), roster[id].finish()),
            (None, None),
            "the last one is being made"
        );
        sequence(&mut roster, &|s| s.push(9, Duration::ZERO));
        assert_eq!(roster[id].finish(), Some(Finish::Length));
    }

    #[test]
    fn penalties_count_tokens_and_wait_for_them() {
        let penalties = Penalties { repetition: 1.1, ..Penalties::NONE };
        let sampling = Sampling { penalties, ..Sampling::default() };
        let (mut roster, id) = seated(Request { sampling, ..Request::new(vec![4, 2, 4]) }, 100);
        let sequence = roster.find_mut(id).expect("it is alive");
        sequence.launch(1, 3, 0);
        assert!(sequence.next(id, 8, 1).is_none(), "the token being made is not counted yet");
        [3, 2, 3].into_iter().for_each(|token| sequence.push(token, Duration::ZERO));
        let seen = [(2, 1), (3, 2), (4, 0)].map(|(id, generated)| Seen { id, generated });
        assert_eq!(sequence.seen(), seen);
        // The same, where the answer goes on in another request.
        let again = Request { sampling, made: 3, ..Request::new(vec![4, 2, 4, 3, 2, 3]) };
        let (roster, id) = seated(again, 100);
        assert_eq!(roster[id].seen(), seen);
    }
}
