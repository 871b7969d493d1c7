//! The engine: what it owns, and how sequences come and go. What a step does is decided in `schedule.rs`, how it is
//! done is in `step.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use graph::{Executor, Fetch, PageId};

use crate::batch::{Batch, Plan};
use crate::beams::Search;
use crate::event::Record;
use crate::flight::{Flight, give_up};
use crate::limits::check_answers;
use crate::line::Line;
use crate::meter::{Account, Meter};
use crate::pages::Pages;
use crate::policy::admission;
use crate::policy::sharing::Kind;
use crate::policy::speculation::StepCost;
use crate::programs::Programs;
use crate::roster::Roster;
use crate::sequence::Sequence;
use crate::{Clock, Ending, EngineError, Facts, Finish, RefuseError, Request, SequenceId};

/// Runs requests on an executor. One thread owns it.
pub struct Engine {
    pub(crate) executor: Box<dyn Executor>,
    pub(crate) facts: Facts,
    /// The most tokens of a sequence: what the facts say, or what the pages hold.
    pub(crate) context: u32,
    pub(crate) pages: Pages,
    pub(crate) roster: Roster,
    pub(crate) line: Line,
    /// What the pages had been through when the first in line did not fit; it is not tried again before they change.
    pub(crate) stuck: Option<u64>,
    /// Sequences whose answers have a form.
    pub(crate) forms: u32,
    /// Searches under way, by their first beams.
    pub(crate) searches: BTreeMap<SequenceId, Search>,
    /// Sequences that want no token at all.
    pub(crate) unasked: Vec<SequenceId>,
    pub(crate) batch: Batch,
    pub(crate) programs: Programs,
    /// What the next step does; kept for its memory.
    pub(crate) plan: Plan,
    /// What the step before was for.
    pub(crate) kind: Kind,
    /// What steps were measured to cost.
    pub(crate) cost: StepCost,
    /// Steps in flight, the oldest first.
    pub(crate) flights: VecDeque<Flight>,
    /// Flights that have landed; kept for their memory.
    pub(crate) landed: Vec<Flight>,
    /// Steps launched.
    pub(crate) steps: u64,
    /// Pages to give up because others hold the same; empty between steps, kept for its memory.
    pub(crate) doubles: Vec<(usize, PageId)>,
    pub(crate) fetch: Fetch,
    pub(crate) events: Vec<Record>,
    pub(crate) clock: Clock,
    /// Where time goes.
    pub(crate) meter: Meter,
}

impl Engine {
    /// An engine on an executor that was opened with [`Facts::budget`], or with more.
    ///
    /// # Panics
    /// Where a size among the facts is zero: they come from a verified graph.
    pub fn new(executor: Box<dyn Executor>, facts: Facts) -> Result<Engine, EngineError> {
        Engine::with_clock(executor, facts, Clock::system())
    }

    /// As [`Engine::new`], by a clock of the caller's.
    pub fn with_clock(
        executor: Box<dyn Executor>,
        facts: Facts,
        clock: Clock,
    ) -> Result<Engine, EngineError> {
        facts.check();
        let context = facts.context_within(executor.pages())?;
        Ok(Engine {
            context,
            pages: Pages::new(&facts, executor.pages()),
            batch: Batch::new(&facts),
            executor,
            facts,
            roster: Roster::default(),
            line: Line::default(),
            stuck: None,
            forms: 0,
            searches: BTreeMap::new(),
            unasked: vec![],
            programs: Programs::new(),
            plan: Plan::default(),
            kind: Kind::default(),
            cost: StepCost::default(),
            flights: VecDeque::new(),
            landed: vec![],
            steps: 0,
            doubles: vec![],
            fetch: Fetch::default(),
            events: vec![],
            meter: Meter::new(clock.now()),
            clock,
        })
    }

    /// The most tokens a sequence may have, prompt and answer together.
    pub fn context(&self) -> u32 {
        self.context
    }

    /// The executor, to ask for its reports.
    pub fn executor(&self) -> &dyn Executor {
        &*self.executor
    }

    /// Takes a request. Its tokens come from [`Engine::step`].
    pub fn start(&mut self, request: Request) -> Result<SequenceId, RefuseError> {
        Ok(self.start_answers(request, 1)?[0])
    }

    /// Takes a request for several answers, each a sequence of its own that draws its own numbers. The prompt is
    /// computed once.
    pub fn start_answers(&mut self, request: Request, answers: u32) -> Result<Vec<SequenceId>, RefuseError> {
        request.check(self.facts.vocab, self.context)?;
        check_answers(answers)?;
        admission::check(self.alive(), answers)?;
        let mut ids = Vec::with_capacity(answers as usize);
        for answer in 1..u64::from(answers) {
            let answer = request.answer.wrapping_add(answer);
            // One tells of the prompt that all have.
            ids.push(self.seat(Request { answer, prompt_logprobs: false, ..request.clone() }));
        }
        let stem = self.seat(request);
        for &id in &ids {
            if let Some(sequence) = self.roster.find_mut(id) {
                (sequence.stem, sequence.parked) = (Some(stem), true);
            }
        }
        self.line_up(stem);
        if let Some(sequence) = self.roster.find_mut(stem) {
            sequence.answers.clone_from(&ids);
        }
        ids.insert(0, stem);
        Ok(ids)
    }

    /// Ends a sequence now; what steps in flight still make for it is dropped. `None` where it has ended before.
    pub fn cancel(&mut self, sequence: SequenceId) -> Option<Ending> {
        if let Some(search) = self.searches.remove(&sequence) {
            return Some(Ending { finish: Finish::Cancelled, usage: self.retire_search(&search) });
        }
        self.retire(sequence).map(|sequence| sequence.ending(Finish::Cancelled, self.clock.now()))
    }

    /// Leaves a sequence out of all steps to come, until [`Engine::resume`]: its reader has stalled. Others may take
    /// its pages meanwhile; it loses no token by that. A search has nothing to be read before its end, and goes on.
    pub fn pause(&mut self, id: SequenceId) {
        if let Some(sequence) = self.roster.find_mut(id).filter(|sequence| sequence.search.is_none()) {
            sequence.paused = true;
            self.line.stop_waiting(sequence.turn, id);
        }
    }

    /// Goes on with a sequence that was paused.
    pub fn resume(&mut self, id: SequenceId) {
        if let Some(sequence) = self.roster.find_mut(id) {
            sequence.paused = false;
            self.line_up(id);
        }
    }

    /// Whether no sequence is alive, so that [`Engine::step`] would have no event.
    pub fn is_idle(&self) -> bool {
        self.roster.is_empty()
    }

    /// Whether [`Engine::step`] would have nothing to do before a sequence is resumed or a deadline passes.
    pub fn is_resting(&self) -> bool {
        let mut running = self.line.running().iter();
        self.flights.is_empty()
            && self.unasked.is_empty()
            && self.line.first().is_none()
            && running.all(|&(_, id)| self.roster[id].is_paused())
    }

    /// Where the time went since the step before, though no step has landed: to know it until now.
    pub fn read_meter(&mut self) -> Account<'_> {
        self.meter.begin(self.clock.now());
        self.end_account();
        self.meter.account()
    }

    /// Does something that no request asked for, so that its time is told apart from theirs.
    pub fn aside<T>(&mut self, work: impl FnOnce(&mut Engine) -> T) -> T {
        self.meter.step_aside(self.clock.now());
        let result = work(self);
        self.meter.step_back(self.clock.now());
        result
    }

    /// A step is over, or there was none.
    pub(crate) fn end_account(&mut self) {
        let resting = self.is_resting();
        self.meter.end(self.clock.now(), resting);
    }

    /// How long until the next deadline, where one was asked for.
    pub fn until_deadline(&self) -> Option<Duration> {
        self.line.next_deadline().map(|deadline| deadline.saturating_sub(self.clock.now()))
    }

    /// Gives a checked request its seat.
    pub(crate) fn seat(&mut self, request: Request) -> SequenceId {
        self.forms += u32::from(request.grammar.is_some());
        let sequence = Sequence::new(request, &self.facts, self.context, self.clock.now());
        let (deadline, unasked) = (sequence.deadline(), sequence.finish().is_some());
        let id = self.roster.insert(sequence);
        if let Some(deadline) = deadline {
            self.line.end_at(deadline, id);
        }
        if unasked {
            self.unasked.push(id);
        }
        id
    }

    /// Puts a sequence in line that could run and does not.
    pub(crate) fn line_up(&mut self, id: SequenceId) {
        let Some(sequence) = self.roster.find(id) else { return };
        if !(sequence.running || sequence.is_paused() || sequence.parked) && sequence.finish().is_none() {
            self.line.wait(sequence.turn, id);
        }
    }

    /// Lets the answers begin that waited for a prompt.
    pub(crate) fn let_answers_begin(&mut self, stem: SequenceId) {
        let Some(sequence) = self.roster.find_mut(stem) else { return };
        let answers = std::mem::take(&mut sequence.answers);
        self.unpark(&answers);
    }

    fn unpark(&mut self, answers: &[SequenceId]) {
        for &id in answers {
            if let Some(sequence) = self.roster.find_mut(id) {
                sequence.parked = false;
                self.line_up(id);
            }
        }
    }

    /// Ends a sequence and tells the caller.
    pub(crate) fn finish(&mut self, id: SequenceId, finish: Finish) {
        if let Some((id, search)) = self.take_search(id) {
            return self.end_search(id, search, Some(finish));
        }
        if let Some(sequence) = self.retire(id) {
            let ending = sequence.ending(finish, self.clock.now());
            self.events.push(Record::Finished { sequence: id, ending });
        }
    }

    /// Ends a sequence that failed and tells the caller.
    pub(crate) fn fail(&mut self, id: SequenceId, error: Arc<EngineError>) {
        if let Some((id, search)) = self.take_search(id) {
            return self.fail_search(id, &search, error);
        }
        if self.retire(id).is_some() {
            self.events.push(Record::Failed { sequence: id, error });
        }
    }

    /// Takes a sequence out and gives up its pages.
    pub(crate) fn retire(&mut self, id: SequenceId) -> Option<Sequence> {
        let mut sequence = self.roster.remove(id)?;
        self.line.stop_waiting(sequence.turn, id);
        self.line.stop_running(sequence.turn, id);
        self.forms -= u32::from(sequence.form_mut().is_some());
        if let Some(deadline) = sequence.deadline() {
            self.line.forget_deadline(deadline, id);
        }
        strip(&mut self.pages, &mut self.flights, &mut sequence);
        self.unpark(&sequence.answers);
        Some(sequence)
    }

    /// Takes its pages from a running sequence and puts it back in line.
    pub(crate) fn preempt(&mut self, id: SequenceId) {
        let Some(sequence) = self.roster.find_mut(id) else { return };
        self.line.stop_running(sequence.turn, id);
        strip(&mut self.pages, &mut self.flights, sequence);
        self.line_up(id);
    }
}

/// Takes its pages from a sequence, which rests then.
pub(crate) fn strip(pages: &mut Pages, flights: &mut VecDeque<Flight>, sequence: &mut Sequence) {
    let last = sequence.step;
    for (group, table) in sequence.tables_mut().iter_mut().enumerate() {
        for page in table.clear() {
            give_up(pages, flights, last, group, page);
        }
    }
    pages.leave(&sequence.indexed);
    sequence.rest();
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Engine { facts, context, pages, flights, line, .. } = self;
        f.debug_struct("Engine")
            .field("facts", facts)
            .field("context", context)
            .field("pools", &pages.pools)
            .field("flights", &flights.len())
            .field("running", &line.running().len())
            .field("waiting", &line.waiting())
            .finish_non_exhaustive()
    }
}
