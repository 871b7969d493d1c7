//! One request under way: its tokens, how far they were given to the device, and the pages that hold their state.

mod guesses;

use std::mem;
use std::time::Duration;

use graph::{Sampling, Seen};

use crate::batch::Part;
use crate::grammar::Form;
use crate::page_table::PageTable;
use crate::pages::Indexed;
use crate::policy::order::Turn;
use crate::policy::sharing::Share;
use crate::scores::Scores;
use crate::speculate::Guesses;
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
    /// The search that it is a beam of.
    pub search: Option<SequenceId>,
    /// Whether it waits for the other beams of its search.
    pub held: bool,
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
    /// What is told of the prompt.
    scores: Option<Scores>,
    /// How it guesses ahead.
    guesses: Option<Guesses>,
    drafted: u32,
    accepted: u32,
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
        let scores = request.prompt_logprobs.then(|| Scores::new(&tokens));
        // Guesses are verified as prompts are read, beside what others decode.
        let may_guess = facts.mixed_steps && form.is_none() && request.sampling.penalties.is_none();
        let guesses = request.drafter.take().filter(|_| may_guess);
        Sequence {
            turn: Turn::new(now, request.priority),
            request,
            tokens,
            prompt,
            limit,
            paused: false,
            search: None,
            held: false,
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
            guesses: guesses.map(Guesses::new),
            drafted: 0,
            accepted: 0,
            form,
            scores,
            cached: None,
            started: now,
            first: None,
            last: now,
            device: Duration::ZERO,
        }
    }

    /// Another with the same tokens, which holds no pages.
    pub(crate) fn fork(&self) -> Sequence {
        Sequence {
            request: self.request.clone(),
            tokens: self.tokens.clone(),
            tables: self.tables.iter().map(|_| PageTable::default()).collect(),
            seen: self.seen.clone(),
            answers: vec![],
            running: false,
            indexed: Indexed::default(),
            launched: 0,
            written: 0,
            device: Duration::ZERO,
            form: None,
            scores: None,
            guesses: None,
            ..*self
        }
    }

    /// Whether it is in no step for now.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused || self.held
    }

    /// What this sequence would do in the next step, with such a share of it at most; `None` where it must wait for a
    /// step in flight or has nothing left to do. `newest` is the step launched last.
    pub(crate) fn next(&self, id: SequenceId, share: Share, newest: u64) -> Option<Part> {
        let known = self.known();
        if self.launched < known {
            let first = self.first_row();
            let count = share.tokens.min(known - self.launched);
            let mut count = count.min(first + share.rows - self.launched);
            let mut rows = (self.launched + count).saturating_sub(first);
            if self.launched + count == self.tokens.len() as u32 && rows > 0 && self.lacks_mask() {
                // All but the token whose row the mask is for.
                (count, rows) = (count - 1, rows - 1);
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

    /// The tokens that steps are to take, of those that the host knows: not the last where nothing is to follow it.
    fn known(&self) -> u32 {
        let is_last = self.untold().is_some() && self.ended().is_some();
        self.tokens.len() as u32 - u32::from(is_last)
    }

    /// The first position whose row is still to be told of the prompt.
    fn untold(&self) -> Option<u32> {
        self.scores.as_ref()?.next_row()
    }

    /// The first position from which on each has a row, of those that are still to be given to steps: the newest token's,
    /// or the next that is to be told of the prompt.
    fn first_row(&self) -> u32 {
        self.untold().map_or(self.tokens.len() as u32 - 1, |row| row.max(self.launched))
    }

    /// How the row of a position chooses whose token is told of the prompt.
    pub(crate) fn score(&self, position: u32) -> Option<(&Sampling, &[(u32, f32)])> {
        self.scores.as_ref()?.choice(position)
    }

    /// Notes that the row of a position was told of the prompt, where that is what it was for: the place and the id of the
    /// token that it is about.
    pub(crate) fn tell(&mut self, position: u32) -> Option<(u32, u32)> {
        let scores = self.scores.as_mut().filter(|scores| scores.next_row() == Some(position))?;
        scores.tell()
    }

    /// Whether it would decode in the next step.
    pub(crate) fn decodes(&self, newest: u64) -> bool {
        let known = self.known();
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
        // What is taken for right without being so is of no use to others.
        self.written = if self.request.synthetic.is_some() { end.min(self.prompt) } else { end };
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

    /// Why nothing more will come, where nothing will.
    pub(crate) fn finish(&self) -> Option<Finish> {
        if self.untold().is_some() { None } else { self.ended() }
    }

    /// Why no more tokens will be made, where none will.
    fn ended(&self) -> Option<Finish> {
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
            completion_tokens: self.made(),
            drafted_tokens: self.drafted,
            accepted_tokens: self.accepted,
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

    /// The tokens made.
    pub(crate) fn answer(&self) -> &[u32] {
        &self.tokens[self.prompt as usize..]
    }

    /// How many tokens were made.
    pub(crate) fn made(&self) -> u32 {
        self.tokens.len() as u32 - self.prompt
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

    /// Tokens whose state may be taken from what is kept, all but the last, and pages to change. What is to be told of the
    /// prompt is computed.
    pub(crate) fn sharing(&mut self) -> (&[u32], &mut [PageTable]) {
        let untold = self.untold();
        (&self.tokens[..untold.map_or(self.tokens.len(), |row| row as usize + 1)], &mut self.tables)
    }

    /// Tokens that steps have written, how far their pages are indexed, and pages to change.
    pub(crate) fn indexing(&mut self) -> (&[u32], &mut Indexed, &mut [PageTable]) {
        (&self.tokens[..self.written as usize], &mut self.indexed, &mut self.tables)
    }

    /// Tokens that it may still make.
    pub(crate) fn left(&self) -> u32 {
        self.limit - self.tokens.len() as u32
    }

    /// Changes its tokens behind everybody's back.
    #[cfg(test)]
    pub(crate) fn forge(&mut self, change: impl Fn(u32) -> u32) {
        self.tokens.iter_mut().for_each(|token| *token = change(*token));
    }

    /// Whether a row cannot be chosen before the host knows the token before it: penalties count it, and guesses, the form
    /// of the answer and the other beams depend on it.
    fn needs_host(&self) -> bool {
        let guesses = self.guesses.as_ref().is_some_and(Guesses::need_host);
        let waits = guesses || self.form.is_some() || self.search.is_some();
        waits || !self.request.sampling.penalties.is_none()
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
        tokens: u32,
        newest: u64,
    ) -> Option<(u32, u32, u32, Option<u32>)> {
        let part = roster[id].next(id, Share { tokens, rows: 1 }, newest);
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
    fn what_is_told_of_a_prompt_has_its_rows() {
        let request = Request { prompt_logprobs: true, max_tokens: 1, ..Request::new(vec![5, 6, 7, 8, 9]) };
        let (mut roster, id) = seated(request.clone(), 100);
        let sequence = roster.find_mut(id).expect("it is alive");
        assert_eq!(sequence.sharing().0, [5], "nothing is taken from what is kept");
        let next = |sequence: &Sequence, tokens, rows| {
            sequence.next(id, Share { tokens, rows }, 1).map(|part| (part.from, part.count, part.rows))
        };
        assert_eq!(next(sequence, 8, 8), Some((0, 5, 5)), "the last row is the answer's");
        assert_eq!(next(sequence, 8, 3), Some((0, 3, 3)));
        sequence.launch(1, 3, 2);
        assert_eq!(next(sequence, 8, 1), Some((3, 1, 1)));
        assert_eq!([0, 1, 1].map(|row| sequence.tell(row)), [Some((1, 6)), Some((2, 7)), None]);
        sequence.rest();
        assert_eq!(
            (sequence.sharing().0.len(), next(sequence, 8, 2)),
            (3, Some((0, 4, 2))),
            "once is enough"
        );
        // Where no answer is wanted, the last token is not fed.
        let (roster, id) = seated(Request { max_tokens: 0, ..request }, 100);
        let part = roster[id].next(id, Share { tokens: 8, rows: 8 }, 1).expect("the prompt is told of");
        assert_eq!((part.count, part.rows, roster[id].finish()), (4, 4, None));
    }

    #[test]
    fn penalties_count_tokens_and_wait_for_them() {
        let penalties = Penalties { repetition: 1.1, ..Penalties::NONE };
        let sampling = Sampling { penalties, ..Sampling::default() };
        let (mut roster, id) = seated(Request { sampling, ..Request::new(vec![4, 2, 4]) }, 100);
        let sequence = roster.find_mut(id).expect("it is alive");
        sequence.launch(1, 3, 0);
        let share = Share { tokens: 8, rows: 1 };
        assert!(sequence.next(id, share, 1).is_none(), "the token being made is not counted yet");
        [3, 2, 3].into_iter().for_each(|token| sequence.push(token, Duration::ZERO));
        let seen = [(2, 1), (3, 2), (4, 0)].map(|(id, generated)| Seen { id, generated });
        assert_eq!(sequence.seen(), seen);
        // The same, where the answer goes on in another request.
        let again = Request { sampling, made: 3, ..Request::new(vec![4, 2, 4, 3, 2, 3]) };
        let (roster, id) = seated(again, 100);
        assert_eq!(roster[id].seen(), seen);
    }
}
