//! Beam search: sequences with a common beginning, of which at every token the likeliest go on. Which those are is a policy
//! (`policy/beams.rs`); here they fork, sharing pages until they write, and end.

use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::event::Record;
use crate::limits::BEAMS;
use crate::policy::admission;
use crate::policy::beams::{Aim, Next};
use crate::{Ending, Engine, EngineError, Finish, RefuseError, Request, SequenceId, Usage};

/// A prompt whose likeliest answers are searched for. All answers come at the end.
#[derive(Clone, Debug)]
pub struct BeamSearch {
    /// Token ids to continue; at least one.
    pub prompt: Vec<u32>,
    /// Beams that go on at every token, and answers at the end.
    pub width: u32,
    /// An answer's score is its log-probability over its length to the power of this.
    pub length_penalty: f64,
    /// The most tokens of an answer, one at least; the context bounds them too.
    pub max_tokens: u32,
    /// Ids that end an answer, and are part of it.
    pub stop: Vec<u32>,
    /// Goes before others, as [`Request::priority`].
    pub priority: i8,
    /// The search ends when so much time has passed, with what it has.
    pub deadline: Option<Duration>,
    /// Whose it is, as [`Request::tenant`].
    pub tenant: u64,
}

impl BeamSearch {
    /// The likeliest answers to a prompt, long and short ones by their mean log-probability.
    pub fn new(prompt: Vec<u32>, width: u32, max_tokens: u32) -> BeamSearch {
        BeamSearch {
            prompt,
            width,
            length_penalty: 1.0,
            max_tokens,
            stop: vec![],
            priority: 0,
            deadline: None,
            tenant: 0,
        }
    }

    /// Holds the search against every bound, for a model of `vocab` tokens and a context of `context` tokens.
    pub fn check(&self, vocab: u32, context: u32) -> Result<(), RefuseError> {
        let outside = |name, value, range| Err(RefuseError::OutOfRange { name, value, range });
        if !(1..=BEAMS).contains(&self.width) {
            return outside("the number of beams", self.width as f32, "from 1 to 64");
        }
        if !self.length_penalty.is_finite() {
            return outside("the length penalty", self.length_penalty as f32, "a finite number");
        }
        if self.max_tokens == 0 {
            return outside("the number of tokens that beams make", 0.0, "1 or more");
        }
        self.request().check(vocab, context)
    }

    /// What each beam asks for.
    fn request(&self) -> Request {
        Request {
            max_tokens: self.max_tokens,
            stop: self.stop.clone(),
            priority: self.priority,
            deadline: self.deadline,
            tenant: self.tenant,
            ..Request::new(self.prompt.clone())
        }
    }
}

/// An answer that a search has found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub tokens: Vec<u32>,
    pub logprob: f64,
    pub score: f64,
    pub finish: Finish,
}

/// A search under way.
#[derive(Debug)]
pub(crate) struct Search {
    aim: Aim,
    /// Those that go on, the likeliest first.
    beams: Vec<Beam>,
    /// The best that have ended, the best first; as many as there are beams at most.
    answers: Vec<Answer>,
    /// Tokens made by all beams.
    made: u32,
    /// What the device worked for beams that are gone.
    device: Duration,
}

/// A sequence of a search.
#[derive(Debug)]
struct Beam {
    id: SequenceId,
    /// Of all its tokens.
    logprob: f64,
    /// The likeliest tokens that may follow, once its step has told them.
    top: Option<Vec<(u32, f32)>>,
}

impl Search {
    /// Keeps an answer, if it is among the best.
    fn keep(&mut self, answer: Answer) {
        let place = self.answers.partition_point(|kept| kept.score >= answer.score);
        self.answers.insert(place, answer);
        self.answers.truncate(self.aim.width as usize);
    }

    fn is_told(&self) -> bool {
        self.beams.iter().all(|beam| beam.top.is_some())
    }
}

impl Engine {
    /// Takes a search. The id is that of the search: its answers come as [`Event::Answer`](crate::Event::Answer), the best
    /// first, and then its end.
    pub fn start_beams(&mut self, search: BeamSearch) -> Result<SequenceId, RefuseError> {
        search.check(self.facts.vocab, self.context)?;
        admission::check(self.alive(), search.width)?;
        let aim = Aim { width: search.width, length_penalty: search.length_penalty };
        let top_logprobs = aim.looked_at().min(self.facts.vocab);
        let id = self.seat(Request { top_logprobs, ..search.request() });
        if let Some(sequence) = self.roster.find_mut(id) {
            sequence.search = Some(id);
        }
        let beams = vec![Beam { id, logprob: 0.0, top: None }];
        let search = Search { aim, beams, answers: vec![], made: 0, device: Duration::ZERO };
        self.searches.insert(id, search);
        self.line_up(id);
        Ok(id)
    }

    /// Sequences alive, and those that searches under way may still fork.
    pub(crate) fn alive(&self) -> u32 {
        let may_come = |search: &Search| search.aim.width.saturating_sub(search.beams.len() as u32);
        self.roster.len() + self.searches.values().map(may_come).sum::<u32>()
    }

    /// Notes what may follow a beam, which is held until all of its search have told.
    pub(crate) fn tell_beam(&mut self, search: SequenceId, id: SequenceId, top: Range<usize>) {
        let beams = self.searches.get_mut(&search).map(|search| &mut search.beams);
        if let Some(beam) = beams.into_iter().flatten().find(|beam| beam.id == id)
            && let Some(sequence) = self.roster.find_mut(id)
        {
            beam.top = Some(self.fetch.top[top].to_vec());
            sequence.held = true;
            // It may have lost its pages while its step ran.
            self.line.stop_waiting(sequence.turn, id);
        }
    }

    /// Goes on with every search all of whose beams have told.
    pub(crate) fn advance_searches(&mut self) {
        let told = |search: &Search| search.is_told();
        while let Some((&id, _)) = self.searches.iter().find(|(_, search)| told(search)) {
            if let Some(search) = self.searches.remove(&id) {
                self.advance(id, search);
            }
        }
    }

    /// Chooses the beams that go on.
    fn advance(&mut self, id: SequenceId, mut search: Search) {
        let Some(first) = search.beams.first().and_then(|beam| self.roster.find(beam.id)) else {
            return self.end_search(id, search, None);
        };
        let (made, is_full) = (first.made() + 1, first.left() == 1);
        let stop = first.request().stop.clone();
        let beams = search.beams.iter().map(|beam| (beam.logprob, beam.top.as_deref().unwrap_or_default()));
        let mut choice = search.aim.choose(beams, |token| stop.contains(&token));
        search.made += (choice.on.len() + choice.ended.len()) as u32;
        for next in &choice.ended {
            self.keep_answer(&mut search, next, Finish::Stop);
        }
        if is_full {
            for next in choice.on.drain(..) {
                self.keep_answer(&mut search, &next, Finish::Length);
            }
        }
        let scores = search.answers.iter().map(|answer| answer.score);
        let over = choice.on.first().is_none_or(|best| search.aim.is_over(scores, best.logprob, made));
        if over {
            self.end_search(id, search, None);
        } else {
            self.go_on(&mut search, &choice.on);
            self.searches.insert(id, search);
        }
    }

    /// Keeps a beam with one more token as an answer.
    fn keep_answer(&self, search: &mut Search, next: &Next, finish: Finish) {
        let Some(sequence) = self.roster.find(search.beams[next.beam].id) else { return };
        let tokens = [sequence.answer(), &[next.token]].concat();
        let score = search.aim.score(next.logprob, tokens.len() as u32);
        search.keep(Answer { tokens, logprob: next.logprob, score, finish });
    }

    /// Lets beams go on by these tokens, fork where there are several for one, and end where there is none.
    fn go_on(&mut self, search: &mut Search, on: &[Next]) {
        let before = mem::take(&mut search.beams);
        let now = self.clock.now();
        for (place, beam) in before.iter().enumerate() {
            if !on.iter().any(|next| next.beam == place) {
                search.device += self.retire(beam.id).map_or(Duration::ZERO, |gone| gone.usage(now).device);
            }
        }
        for (rank, next) in on.iter().enumerate() {
            let own = before[next.beam].id;
            let is_last = !on[rank + 1..].iter().any(|later| later.beam == next.beam);
            let Some(id) = (if is_last { Some(own) } else { self.fork(own) }) else { continue };
            if let Some(sequence) = self.roster.find_mut(id) {
                sequence.push(next.token, now);
                sequence.held = false;
            }
            self.line_up(id);
            search.beams.push(Beam { id, logprob: next.logprob, top: None });
        }
    }

    /// Another sequence with the same tokens and, where there is a seat for it, the same pages.
    fn fork(&mut self, of: SequenceId) -> Option<SequenceId> {
        let Engine { roster, pages, line, facts, .. } = self;
        let parent = roster.find(of)?;
        let mut child = parent.fork();
        if parent.running && (line.running().len() as u32) < facts.max_seqs {
            for (group, table) in parent.tables().iter().enumerate() {
                child.tables_mut()[group].begin(table.base());
                for &page in table.pages() {
                    pages.pools[group].share(page);
                    child.tables_mut()[group].push(page);
                }
            }
            child.begin(parent.indexed, parent.written().len() as u32, |group, limit| {
                facts.sequence_pages(facts.groups[group]).min(limit.div_ceil(facts.page_len))
            });
        }
        let (turn, deadline, running) = (child.turn, child.deadline(), child.running);
        let id = roster.insert(child);
        if running {
            line.run(turn, id);
        }
        deadline.into_iter().for_each(|deadline| line.end_at(deadline, id));
        Some(id)
    }

    /// The search that a sequence is a beam of, taken from those under way.
    pub(crate) fn take_search(&mut self, id: SequenceId) -> Option<(SequenceId, Search)> {
        let search = self.roster.find(id).and_then(|sequence| sequence.search)?;
        Some((search, self.searches.remove(&search)?))
    }

    /// Ends a search with what it has found; `cut` says why, where it was not over.
    pub(crate) fn end_search(&mut self, id: SequenceId, mut search: Search, cut: Option<Finish>) {
        if let Some(finish) = cut {
            self.keep_unfinished(&mut search, finish);
        }
        let usage = self.retire_search(&search);
        let best = search.answers.first().map(|answer| answer.finish);
        for answer in search.answers {
            self.events.push(Record::Answer { sequence: id, answer });
        }
        let finish = cut.or(best).unwrap_or(Finish::Length);
        self.events.push(Record::Finished { sequence: id, ending: Ending { finish, usage } });
    }

    /// Keeps the beams as they are among the answers.
    fn keep_unfinished(&self, search: &mut Search, finish: Finish) {
        let answer = |beam: &Beam| {
            let tokens = self.roster.find(beam.id)?.answer().to_vec();
            let score = search.aim.score(beam.logprob, tokens.len() as u32);
            (!tokens.is_empty()).then_some(Answer { tokens, logprob: beam.logprob, score, finish })
        };
        let answers = search.beams.iter().filter_map(answer).collect::<Vec<_>>();
        answers.into_iter().for_each(|answer| search.keep(answer));
    }

    /// Ends a search that failed.
    pub(crate) fn fail_search(&mut self, id: SequenceId, search: &Search, error: Arc<EngineError>) {
        self.retire_search(search);
        self.events.push(Record::Failed { sequence: id, error });
    }

    /// Takes out all beams of a search; what it has used.
    pub(crate) fn retire_search(&mut self, search: &Search) -> Usage {
        let now = self.clock.now();
        let mut usage = Usage::default();
        let mut device = search.device;
        for beam in &search.beams {
            if let Some(sequence) = self.retire(beam.id) {
                usage = sequence.usage(now);
                device += usage.device;
            }
        }
        Usage { completion_tokens: search.made, device, ..usage }
    }
}
