//! The step loop: while one step runs, the next is launched behind it; then the older one's tokens are delivered.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use graph::{Copy, ProgramSpec, StepId};

use crate::event::Record;
use crate::flight::{Flight, Flown, Rows, give_up};
use crate::grammar::Form;
use crate::meter::Landed;
use crate::prompt::Probe;
use crate::{Engine, EngineError, Events, Finish, SequenceId};

impl Engine {
    /// Waits for the oldest step in flight and tells what it gave, having launched the next behind it. Call it until
    /// [`Engine::is_idle`].
    pub fn step(&mut self) -> Events<'_> {
        self.begin_events();
        // The step in flight, if there is one, is what the device works on meanwhile; behind the next launch it would be
        // too late for that launch, and an answer of a form would get a token in every third step only.
        self.make_masks();
        while self.flights.len() < self.facts.steps_in_flight() && self.launch_next() {}
        // Those of sequences that were admitted just now.
        if self.make_masks() && self.flights.is_empty() {
            self.launch_next();
        }
        self.land_oldest();
        self.tell()
    }

    /// As [`Engine::step`], but launches nothing; `None` where no step is in flight any more.
    pub fn drain(&mut self) -> Option<Events<'_>> {
        if self.flights.is_empty() {
            return None;
        }
        self.begin_events();
        self.land_oldest();
        Some(self.tell())
    }

    fn tell(&mut self) -> Events<'_> {
        self.end_account();
        Events { records: self.events.iter(), fetch: &self.fetch, account: self.meter.account() }
    }

    /// Forgets the events of the step before, and ends whatever ends without a step.
    fn begin_events(&mut self) {
        let now = self.clock.now();
        self.meter.begin(now);
        self.events.clear();
        self.fetch.clear();
        while let Some(id) = self.unasked.pop() {
            let finish = self.roster.find(id).and_then(|sequence| sequence.finish());
            self.finish(id, finish.unwrap_or(Finish::Length));
        }
        while let Some(id) = self.line.overdue(now) {
            self.finish(id, Finish::Deadline);
        }
    }

    /// Makes the masks that running sequences wait for; whether there were any. Called while the device works.
    fn make_masks(&mut self) -> bool {
        let mut made = false;
        let mut next = if self.forms > 0 { self.line.running().first().copied() } else { None };
        while let Some(place @ (_, id)) = next {
            made |= self.make_mask(id);
            next = self.line.running_behind(place);
        }
        made
    }

    /// Makes the mask of a sequence's next token, where it waits for it and all tokens before it are known.
    pub(crate) fn make_mask(&mut self, id: SequenceId) -> bool {
        let Some(sequence) = self.roster.find_mut(id).filter(|sequence| sequence.pending == 0) else {
            return false;
        };
        let Some(form) = sequence.form_mut().filter(|form| form.mask().is_none()) else { return false };
        form.prepare();
        match (form.take_fault(), sequence.finish()) {
            (Some(fault), _) => self.fail(id, Arc::new(EngineError::Grammar(fault))),
            (None, Some(finish)) => self.finish(id, finish),
            (None, None) => return true,
        }
        false
    }

    /// Launches the next step; says whether there is reason to ask for another.
    fn launch_next(&mut self) -> bool {
        if !self.plan_next() {
            return false;
        }
        match self.launch(&Probe::default()) {
            Ok(flight) => self.flights.push_back(flight),
            Err(error) => {
                let (parts, copies) = (mem::take(&mut self.plan.parts), mem::take(&mut self.plan.copies));
                self.fail_step(parts.iter().map(|part| part.sequence), &copies, error);
            }
        }
        true
    }

    /// Ends the sequences of a step that failed, and those that hold a page which it was to fill by copying: an answer
    /// may have its prompt's pages before it has a part in any step.
    fn fail_step(&mut self, parts: impl Iterator<Item = SequenceId>, copies: &[Copy], error: EngineError) {
        let error = Arc::new(error);
        parts.for_each(|id| self.fail(id, error.clone()));
        let holds = |engine: &Engine, id: SequenceId, copy: &Copy| {
            engine.roster[id].tables()[copy.group.index()].pages().contains(&copy.to)
        };
        for copy in copies {
            while let Some(&(_, id)) = self.line.running().iter().find(|&&(_, id)| holds(self, id, copy)) {
                self.fail(id, error.clone());
            }
        }
    }

    /// Launches the plan.
    pub(crate) fn launch(&mut self, probe: &Probe<'_>) -> Result<Flight, EngineError> {
        let Engine { batch, plan, roster, programs, executor, pages, .. } = self;
        let patches = probe.patches.iter().map(|(_, values)| *values).collect::<Vec<_>>();
        let launched = batch.feed(plan, roster, &patches, |feed, bucket| {
            let names = probe.patches.iter().map(|(name, _)| (*name).to_owned());
            let taps = probe.taps.iter().map(|&name| name.to_owned()).collect();
            let spec = ProgramSpec { bucket, taps, patches: names.collect(), timed: false };
            let program = programs.find(&mut **executor, spec)?;
            executor.launch(program, feed)
        });
        match launched {
            Ok(step) => Ok(self.note_launch(step)),
            Err(error) => {
                plan.releases.drain(..).for_each(|(group, page)| pages.release(group, page));
                Err(error.into())
            }
        }
    }

    fn note_launch(&mut self, step: StepId) -> Flight {
        self.steps += 1;
        let mut flight = self.landed.pop().unwrap_or_default();
        (flight.number, flight.step, flight.padding) = (self.steps, Some(step), self.batch.padding());
        mem::swap(&mut flight.releases, &mut self.plan.releases);
        flight.copies.extend_from_slice(&self.plan.copies);
        let vocab = self.facts.vocab as usize;
        let mut row = 0;
        for &part in &self.plan.parts {
            let Some(sequence) = self.roster.find_mut(part.sequence) else { continue };
            row += part.rows;
            sequence.launch(self.steps, part.end(), row.saturating_sub(1));
            let request = sequence.request();
            let logits = if request.logits { vocab } else { 0 };
            let top = vocab.min(request.top_logprobs as usize);
            let owner = sequence.search.unwrap_or(part.sequence);
            // What is computed again after its pages were lost has no rows but its last.
            let prefill = part.from < sequence.prompt() || part.count > part.rows;
            flight.parts.push(Flown { part, top, logits, owner, prefill });
        }
        flight
    }

    /// Waits for the oldest step in flight and delivers what it gave.
    fn land_oldest(&mut self) {
        let Some(flight) = self.flights.pop_front() else { return };
        let waited = self.wait(&flight);
        // A step that was lost took its time too.
        let landed = Landed {
            device: Duration::from_nanos(self.fetch.device_ns),
            padding: flight.padding,
            experts_touched: self.fetch.experts_touched,
        };
        self.meter.land(landed, flight.parts.iter().map(Flown::ran));
        match waited {
            Ok(()) => self.deliver(&flight),
            Err(error) => {
                self.fail_step(flight.parts.iter().map(|flown| flown.part.sequence), &flight.copies, error);
            }
        }
        self.settle(flight);
    }

    /// Waits for a step, into `self.fetch`.
    pub(crate) fn wait(&mut self, flight: &Flight) -> Result<(), EngineError> {
        self.fetch.clear();
        if let Some(step) = flight.step {
            self.executor.finish(step, &mut self.fetch)?;
        }
        flight.check(&self.fetch, self.facts.vocab)
    }

    /// Releases the pages that only this step still named, and keeps its memory.
    pub(crate) fn settle(&mut self, mut flight: Flight) {
        for (group, page) in flight.releases.drain(..) {
            self.pages.release(group, page);
        }
        flight.parts.clear();
        flight.copies.clear();
        self.landed.push(flight);
    }

    fn deliver(&mut self, flight: &Flight) {
        let device = Duration::from_nanos(self.fetch.device_ns);
        let tokens = flight.tokens().max(1);
        self.cost.learn(tokens, self.fetch.device_ns);
        let mut rows = Rows::default();
        for flown in &flight.parts {
            let id = flown.part.sequence;
            // A sequence that ended while the step ran has no use for its tokens.
            let Some(sequence) = self.roster.find_mut(id) else {
                rows.skip(flown, flown.part.rows);
                continue;
            };
            sequence.pending -= 1;
            sequence.charge(device * flown.part.count / tokens);
            let wrong = self.deliver_rows(flown, &mut rows);
            self.index(flown, wrong);
            let Some(sequence) = self.roster.find_mut(id) else { continue };
            let fault = sequence.form_mut().and_then(Form::take_fault);
            match (fault, sequence.finish()) {
                (Some(fault), _) => self.fail(id, Arc::new(EngineError::Grammar(fault))),
                (None, Some(finish)) => self.finish(id, finish),
                (None, None) => {}
            }
        }
        self.advance_searches();
    }

    /// Gives a sequence the tokens that a step made for it, up to the first that it had guessed otherwise; how many rows
    /// are left.
    fn deliver_rows(&mut self, flown: &Flown, rows: &mut Rows) -> u32 {
        let (id, now) = (flown.part.sequence, self.clock.now());
        let (mut wrong, mut agrees, mut draws) = (flown.part.rows, true, false);
        for place in 0..flown.part.rows {
            let (row, top, logits) = rows.next(flown);
            let sampled = self.fetch.sampled[row];
            let Some(sequence) = self.roster.find_mut(id).filter(|_| agrees) else { continue };
            if sampled.logprob.is_nan() {
                self.fail(id, Arc::new(EngineError::NotNumbers));
                continue;
            }
            wrong -= 1;
            if let Some(search) = sequence.search {
                self.tell_beam(search, id, top);
                continue;
            }
            if let Some((position, id)) = sequence.tell(flown.part.end() - flown.part.rows + place) {
                // A token that cannot be is not chosen even so.
                let logprob = if sampled.id == id { sampled.logprob } else { f32::NEG_INFINITY };
                let sequence = flown.part.sequence;
                self.events.push(Record::Prompt { sequence, position, id, logprob, top });
                continue;
            }
            draws = true;
            agrees = sequence.agrees(place, sampled.id);
            sequence.push(sampled.id, now);
            // Nothing follows the end, even where it was guessed.
            agrees &= sequence.finish().is_none();
            let usage = sequence.usage(now);
            self.events.push(Record::Token { sequence: id, row, top, logits, usage });
        }
        // What was told of a prompt has no guesses behind it; the part after it may have.
        if let Some(sequence) = self.roster.find_mut(id).filter(|_| draws) {
            sequence.settle_drafts(wrong);
        }
        wrong
    }

    /// Notes what a part has written, without its last `wrong` tokens, where its sequence still has the pages, and lets
    /// others find it.
    fn index(&mut self, flown: &Flown, wrong: u32) {
        let id = flown.part.sequence;
        let Engine { roster, pages, flights, doubles, .. } = self;
        let Some(sequence) = roster.find_mut(id).filter(|sequence| sequence.running) else { return };
        sequence.land(flown.part.end() - wrong);
        let (tenant, last) = (sequence.request().tenant, sequence.step);
        let (written, indexed, tables) = sequence.indexing();
        pages.enter(tenant, written, indexed, tables, doubles);
        for (group, page) in doubles.drain(..) {
            give_up(pages, flights, last, group, page);
        }
        if sequence.written().len() as u32 >= sequence.prompt() && !sequence.answers.is_empty() {
            self.let_answers_begin(id);
        }
    }
}

impl Engine {
    /// Whether a sequence of this id is alive.
    pub fn is_alive(&self, id: SequenceId) -> bool {
        self.roster.find(id).is_some()
    }
}
