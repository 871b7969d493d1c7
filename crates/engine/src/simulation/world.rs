//! One world: its engine, the requests that are under way, and what is known of them from outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use graph::Executor;

use super::audit::{audit, waits};
use super::lone::{lone, lone_search};
use super::plan::{Arrival, Dice, VOCAB, arrivals, facts, faults, pages};
use crate::engine::Engine;
use crate::null::{Fault, Null, NullExecutor, continuation};
use crate::policy::order::Turn;
use crate::{Account, BeamSearch, Clock, Ending, Event, Facts, Finish, Request, SequenceId};

/// More steps than any of these worlds needs.
const STEPS: u64 = 30_000;

/// Time that goes by where nobody has anything to do.
const REST: Duration = Duration::from_micros(7);

/// What happened, summed up.
#[derive(Clone, Default, Debug, PartialEq)]
pub struct Tally {
    pub steps: u64,
    pub tokens: u64,
    pub whole: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub late: u64,
    pub cached: u64,
    pub preempted: u64,
    pub copied: u64,
    pub guessed: u64,
    pub right: u64,
    pub told: u64,
    pub searched: u64,
}

/// A request under way, from outside.
struct Watched {
    request: Request,
    started: Duration,
    turn: Turn,
    tokens: Vec<u32>,
    /// Tokens of the prompt that were told of.
    told: u32,
    /// Until which step its reader does not read.
    stalled: Option<u64>,
    ran: bool,
}

/// A search under way, from outside.
struct Searched {
    search: BeamSearch,
    started: Duration,
    answers: Vec<Vec<u32>>,
}

/// What breaks the engine on purpose; says whether it could.
pub type Sabotage = fn(&mut Engine, &mut Dice) -> bool;

pub struct World {
    pub engine: Engine,
    facts: Facts,
    faulty: bool,
    dice: Dice,
    arrivals: Vec<Arrival>,
    watched: BTreeMap<SequenceId, Watched>,
    searches: BTreeMap<SequenceId, Searched>,
    clock: Clock,
    hands: Arc<AtomicU64>,
    /// Time that the engine has accounted for, and what of it nobody had anything to do.
    accounted: Duration,
    idle: Duration,
    /// Time that went by while nobody had anything to do.
    rested: Duration,
    tally: Tally,
    sabotage: Option<Sabotage>,
    /// Whether it is broken again and again.
    at_every_step: bool,
    /// Whether the engine was broken.
    pub is_broken: bool,
}

impl World {
    pub fn new(seed: u64) -> World {
        World::on(seed, |null| Box::new(null))
    }

    /// A world whose device stands behind another.
    pub fn on(seed: u64, wrap: fn(NullExecutor) -> Box<dyn Executor>) -> World {
        let mut dice = Dice::new(seed);
        let facts = facts(&mut dice);
        let hands = Arc::new(AtomicU64::new(0));
        let pages = pages(&mut dice, &facts);
        let faults = faults(&mut dice);
        let faulty = faults.iter().any(|fault| !matches!(fault, Fault::Slow(..)));
        let null = Null::new(facts.groups.clone(), facts.page_len, pages, VOCAB);
        let null =
            Null { faults, step_ns: 20_000, hands: Some(hands.clone()), strict: !dice.one_in(4), ..null };
        let clock = Clock::by_hand(hands.clone());
        let executor = wrap(NullExecutor::new(null));
        let engine = Engine::with_clock(executor, facts.clone(), clock.clone()).expect("there are pages");
        let mut arrivals = arrivals(&mut dice, &Facts { context: engine.context(), ..facts.clone() });
        arrivals.reverse();
        World {
            engine,
            facts,
            faulty,
            dice,
            arrivals,
            watched: BTreeMap::new(),
            searches: BTreeMap::new(),
            clock,
            hands,
            accounted: Duration::ZERO,
            idle: Duration::ZERO,
            rested: Duration::ZERO,
            tally: Tally::default(),
            sabotage: None,
            at_every_step: false,
            is_broken: false,
        }
    }

    /// Breaks the engine as soon as that is possible.
    pub fn broken_by(mut self, sabotage: Sabotage) -> World {
        self.sabotage = Some(sabotage);
        self
    }

    /// Breaks it again at every step, where a fault passes by itself.
    pub fn at_every_step(mut self) -> World {
        self.at_every_step = true;
        self
    }

    /// Lets guesses count as right without being so; broken where anybody guesses.
    pub fn trusting_guesses(mut self) -> World {
        for arrival in self.arrivals.iter_mut().filter(|arrival| arrival.request.drafter.is_some()) {
            arrival.request.synthetic = Some(0.9);
            self.is_broken = true;
        }
        self
    }

    /// Runs until every request has ended.
    pub fn run(mut self) -> Tally {
        self.go();
        self.tally
    }

    pub fn go(&mut self) {
        while !(self.arrivals.is_empty() && self.engine.is_idle()) {
            assert!(self.tally.steps < STEPS, "somebody starves: {:?}", self.engine);
            self.arrive();
            self.disturb();
            if self.tally.steps > 20 && (self.at_every_step || !self.is_broken) {
                let dice = &mut self.dice;
                self.is_broken |= self.sabotage.is_some_and(|sabotage| sabotage(&mut self.engine, dice));
            }
            self.step();
            audit(&self.engine, &self.facts);
        }
        let all_ended = self.watched.is_empty() && self.searches.is_empty();
        assert!(all_ended, "a request has ended without a word");
        while self.engine.drain().is_some() {}
        assert!(self.engine.pages.pools.iter().all(|pool| pool.taken() == 0), "a page leaks");
    }

    fn arrive(&mut self) {
        let now = self.clock.now();
        while let Some(Arrival { request, answers, search, .. }) =
            self.arrivals.pop_if(|arrival| arrival.step <= self.tally.steps || self.engine.is_idle())
        {
            if let Some(search) = search {
                let id = self.engine.start_beams(search.clone()).expect("the search is good");
                self.searches.insert(id, Searched { search, started: now, answers: vec![] });
                continue;
            }
            let ids = self.engine.start_answers(request.clone(), answers).expect("the request is good");
            for (id, answer) in ids.into_iter().zip(request.answer..) {
                let turn = Turn::new(now, request.priority);
                let told = request.prompt_logprobs && answer == request.answer;
                let request = Request { answer, prompt_logprobs: told, ..request.clone() };
                let watched = Watched {
                    request,
                    started: now,
                    turn,
                    tokens: vec![],
                    told: 0,
                    stalled: None,
                    ran: false,
                };
                self.watched.insert(id, watched);
            }
        }
    }

    /// Cancels, stalls, goes on reading, asks for logits.
    fn disturb(&mut self) {
        let step = self.tally.steps;
        for (&id, watched) in &mut self.watched {
            match watched.stalled {
                None if self.dice.one_in(150) => {
                    watched.stalled = Some(step + u64::from(self.dice.below(60)));
                    self.engine.pause(id);
                }
                Some(until) if until <= step => {
                    watched.stalled = None;
                    self.engine.resume(id);
                }
                _ => {}
            }
        }
        let alive = self.watched.keys().chain(self.searches.keys()).copied().collect::<Vec<_>>();
        if !alive.is_empty() && self.dice.one_in(40) {
            let id = alive[self.dice.below(alive.len() as u32) as usize];
            let ending = self.engine.cancel(id).expect("it is alive");
            assert!(self.engine.cancel(id).is_none(), "it is cancelled once");
            self.ended(id, &ending);
        }
        if self.dice.one_in(200) {
            self.logits();
        }
    }

    /// Asks for the logits of a prompt in the middle of everything.
    fn logits(&mut self) {
        while self.drain() {}
        let ids = (0..self.dice.within(1, self.engine.context()))
            .map(|_| self.dice.below(VOCAB))
            .collect::<Vec<_>>();
        let mut next = vec![];
        let largest = |logits: &[f32]| logits.iter().position(|&logit| logit == 8.0).expect("there is one");
        let result =
            self.engine.aside(|engine| engine.logits(&ids, |_, logits| next.push(largest(logits) as u32)));
        match result {
            Ok(()) => {
                let wanted = (1..=ids.len()).map(|end| continuation(&self.facts.groups, VOCAB, &ids[..end]));
                assert_eq!(next, wanted.collect::<Vec<_>>(), "logits are those of the prompt");
            }
            Err(error) => assert!(self.faulty, "a sound device fails: {error}"),
        }
    }

    fn drain(&mut self) -> bool {
        let Some(events) = self.engine.drain() else { return false };
        let account = Spent::of(&events.account());
        let events = events.map(Seen::of).collect::<Vec<_>>();
        self.account(account);
        events.into_iter().for_each(|event| self.hear(event));
        true
    }

    fn step(&mut self) {
        let now = self.clock.now();
        let before = self.engine.line.running().iter().map(|&(_, id)| id).collect::<Vec<_>>();
        let waiting = self.watched.keys().copied().filter(|&id| waits(&self.engine, id)).collect::<Vec<_>>();
        let events = self.engine.step();
        let account = Spent::of(&events.account());
        let events = events.map(Seen::of).collect::<Vec<_>>();
        self.account(account);
        self.tally.steps += 1;
        self.tally.copied += self.engine.plan.copies.len() as u64;
        events.into_iter().for_each(|event| self.hear(event));
        self.check_order(&before, &waiting);
        for (id, watched) in &self.watched {
            let deadline = watched.request.deadline.map(|patience| watched.started + patience);
            assert!(deadline.is_none_or(|deadline| deadline > now), "{id:?} outlives its deadline");
        }
        for (id, searched) in &self.searches {
            let deadline = searched.search.deadline.map(|patience| searched.started + patience);
            assert!(deadline.is_none_or(|deadline| deadline > now), "{id:?} outlives its deadline");
        }
        if self.engine.is_resting() && !self.engine.is_idle() {
            // Nothing happens until somebody reads on.
            assert!(
                self.watched.values().any(|watched| watched.stalled.is_some()),
                "all read, and nothing happens"
            );
            self.watched
                .values_mut()
                .filter_map(|watched| watched.stalled.as_mut())
                .for_each(|until| *until = 0);
        }
    }

    /// All time is accounted for, and none is taken for waiting that was not: what a step took is not what is left over.
    fn account(&mut self, Spent { busy, idle, aside, device }: Spent) {
        self.accounted += busy + idle + aside;
        self.idle += idle;
        assert_eq!(self.accounted, self.clock.now(), "each moment is accounted for once");
        assert_eq!(self.idle, self.rested, "waiting is told as waiting");
        assert!(device <= busy, "the device works within its step");
        if self.engine.is_resting() {
            self.rested += REST;
            self.hands.fetch_add(REST.as_nanos() as u64, Ordering::Relaxed);
        }
    }

    /// Nobody begins before another that waited as well, still waits, and came first.
    fn check_order(&mut self, before: &[SequenceId], waiting: &[SequenceId]) {
        let turn = |world: &World, id| Some((world.watched.get(&id)?.turn, id));
        let waiting =
            waiting.iter().filter_map(|&id| turn(self, id)).filter(|&(_, id)| waits(&self.engine, id));
        let first = waiting.min();
        let running =
            self.engine.line.running().iter().filter_map(|&(_, id)| turn(self, id)).collect::<Vec<_>>();
        for begun in running.into_iter().filter(|(_, id)| !before.contains(id)) {
            assert!(first.is_none_or(|first| begun < first), "{:?} begins before another's turn", begun.1);
            let watched = self.watched.get_mut(&begun.1).expect("it is alive");
            self.tally.preempted += u64::from(std::mem::replace(&mut watched.ran, true));
        }
        before
            .iter()
            .for_each(|id| self.watched.get_mut(id).into_iter().for_each(|watched| watched.ran = true));
    }

    fn hear(&mut self, event: Seen) {
        match event {
            Seen::Token(id, token) => {
                let watched = self.watched.get_mut(&id).expect("nothing follows the end");
                watched.tokens.push(token);
                self.tally.tokens += 1;
            }
            Seen::Prompt(id, position, token, logprob) => self.told(id, position, token, logprob),
            Seen::Answer(id, tokens) => {
                self.searches.get_mut(&id).expect("it searches").answers.push(tokens);
            }
            Seen::Finished(id, ending) => self.ended(id, &ending),
            Seen::Failed(id) => {
                assert!(self.faulty, "a sound device fails");
                self.tally.failed += 1;
                if self.searches.remove(&id).is_some() {
                    return;
                }
                let watched = self.watched.remove(&id).expect("a request ends once");
                self.check_tokens(&watched, None);
            }
        }
    }

    /// What is told of a prompt comes in order, once, and is what the device thinks.
    fn told(&mut self, id: SequenceId, position: u32, token: u32, logprob: f32) {
        let watched = self.watched.get_mut(&id).expect("nothing follows the end");
        watched.told += 1;
        self.tally.told += 1;
        let prompt = &watched.request.prompt;
        assert!(
            watched.request.prompt_logprobs && watched.tokens.is_empty(),
            "{id:?} is told what nobody asked"
        );
        assert_eq!((position, token), (watched.told, prompt[watched.told as usize]), "each is told of once");
        let likeliest = continuation(&self.facts.groups, VOCAB, &prompt[..position as usize]) == token;
        assert_eq!(logprob > -1.0, likeliest, "what is told is what the device thinks");
    }

    fn ended(&mut self, id: SequenceId, ending: &Ending) {
        if let Some(searched) = self.searches.remove(&id) {
            return self.search_ended(&searched, ending);
        }
        let watched = self.watched.remove(&id).expect("a request ends once");
        let usage = &ending.usage;
        assert_eq!(usage.completion_tokens as usize, watched.tokens.len(), "each token is counted");
        assert_eq!(usage.prompt_tokens as usize, watched.request.prompt.len());
        assert!(usage.cached_tokens < usage.prompt_tokens, "one token at least is computed");
        self.tally.cached += u64::from(usage.cached_tokens);
        self.tally.guessed += u64::from(usage.drafted_tokens);
        self.tally.right += u64::from(usage.accepted_tokens);
        match ending.finish {
            Finish::Cancelled => self.tally.cancelled += 1,
            Finish::Deadline => {
                let deadline = watched.started + watched.request.deadline.expect("it has a deadline");
                assert!(deadline <= self.clock.now(), "it ends before its deadline");
                self.tally.late += 1;
            }
            Finish::Stop | Finish::Length => self.tally.whole += 1,
        }
        self.check_tokens(&watched, Some(ending.finish));
    }

    /// A search finds what it finds alone.
    fn search_ended(&mut self, searched: &Searched, ending: &Ending) {
        let Searched { search, answers, .. } = searched;
        match ending.finish {
            Finish::Stop | Finish::Length => {
                let alone = lone_search(&self.facts, self.engine.context(), search);
                assert_eq!(
                    (answers, ending.finish),
                    (&alone.0, alone.1),
                    "a search finds what it finds alone"
                );
                self.tally.searched += 1;
            }
            Finish::Deadline => self.tally.late += 1,
            Finish::Cancelled => self.tally.cancelled += 1,
        }
        assert!(answers.len() as u32 <= search.width, "a search has too many answers");
    }

    /// The tokens are those of a lone run: all of them, or the first where it was cut short.
    fn check_tokens(&self, watched: &Watched, finish: Option<Finish>) {
        let (tokens, whole) = lone(&self.facts, self.engine.context(), &watched.request);
        match finish {
            Some(finish @ (Finish::Stop | Finish::Length)) => {
                assert_eq!((&watched.tokens, finish), (&tokens, whole), "an answer is that of a lone run");
                let all =
                    if watched.request.prompt_logprobs { watched.request.prompt.len() as u32 - 1 } else { 0 };
                assert_eq!(watched.told, all, "each token of the prompt is told of");
            }
            _ => assert!(tokens.starts_with(&watched.tokens), "an answer begins as that of a lone run"),
        }
    }
}

/// Where the time went, without what an account borrows.
struct Spent {
    busy: Duration,
    idle: Duration,
    aside: Duration,
    device: Duration,
}

impl Spent {
    fn of(&Account { busy, idle, aside, device, .. }: &Account<'_>) -> Spent {
        Spent { busy, idle, aside, device }
    }
}

/// An event without what it borrows.
enum Seen {
    Token(SequenceId, u32),
    Prompt(SequenceId, u32, u32, f32),
    Answer(SequenceId, Vec<u32>),
    Finished(SequenceId, Ending),
    Failed(SequenceId),
}

impl Seen {
    fn of(event: Event<'_>) -> Seen {
        match event {
            Event::Token { sequence, id, .. } => Seen::Token(sequence, id),
            Event::Prompt { sequence, position, id, logprob, .. } => {
                Seen::Prompt(sequence, position, id, logprob)
            }
            Event::Answer { sequence, tokens, .. } => Seen::Answer(sequence, tokens.to_vec()),
            Event::Finished { sequence, ending } => Seen::Finished(sequence, ending),
            Event::Failed { sequence, .. } => Seen::Failed(sequence),
        }
    }
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        let Tally {
            steps,
            tokens,
            whole,
            failed,
            cancelled,
            late,
            cached,
            preempted,
            copied,
            guessed,
            right,
            told,
            searched,
        } = other;
        self.steps += steps;
        self.tokens += tokens;
        self.whole += whole;
        self.failed += failed;
        self.cancelled += cancelled;
        self.late += late;
        self.cached += cached;
        self.preempted += preempted;
        self.copied += copied;
        self.guessed += guessed;
        self.right += right;
        self.told += told;
        self.searched += searched;
    }

    /// Everything that is to be survived has happened.
    pub fn assert_lively(&self) {
        for count in [
            self.whole,
            self.failed,
            self.cancelled,
            self.late,
            self.cached,
            self.preempted,
            self.copied,
            self.guessed,
            self.right,
            self.told,
            self.searched,
        ] {
            assert!(count > 50, "too little happens: {self:?}");
        }
    }
}
