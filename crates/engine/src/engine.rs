//! The engine: what it owns, and how sequences come and go. How it steps is in `step.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use graph::{Executor, Fetch, GroupId, PageId};

use crate::batch::{Batch, Part};
use crate::clock::Clock;
use crate::event::Record;
use crate::page_table::PageTable;
use crate::programs::Programs;
use crate::roster::Roster;
use crate::sequence::Sequence;
use crate::step::Flight;
use crate::{Ending, EngineError, Facts, Finish, PagePool, RefuseError, Request, SequenceId};

/// Runs requests on an executor. One thread owns it.
pub struct Engine {
    pub(crate) executor: Box<dyn Executor>,
    pub(crate) facts: Facts,
    /// The most tokens of a sequence: what the facts say, or what the pages hold.
    pub(crate) context: u32,
    /// Pages, per group.
    pub(crate) pools: Vec<PagePool>,
    pub(crate) roster: Roster,
    pub(crate) batch: Batch,
    pub(crate) programs: Programs,
    /// What the next step does; kept for its memory.
    pub(crate) parts: Vec<Part>,
    /// Steps in flight, the oldest first.
    pub(crate) flights: VecDeque<Flight>,
    /// Flights that have landed; kept for their memory.
    pub(crate) landed: Vec<Flight>,
    pub(crate) fetch: Fetch,
    pub(crate) events: Vec<Record>,
    pub(crate) clock: Clock,
}

impl Engine {
    /// An engine on an executor that was opened with [`Facts::budget`], or with more.
    ///
    /// # Panics
    /// Where a size among the facts is zero: they come from a verified graph.
    pub fn new(executor: Box<dyn Executor>, facts: Facts) -> Result<Engine, EngineError> {
        facts.check();
        let context = facts.context_within(executor.pages())?;
        Ok(Engine {
            context,
            pools: executor.pages().iter().map(|&pages| PagePool::new(facts.usable(pages))).collect(),
            batch: Batch::new(&facts),
            executor,
            facts,
            roster: Roster::default(),
            programs: Programs::default(),
            parts: vec![],
            flights: VecDeque::new(),
            landed: vec![],
            fetch: Fetch::default(),
            events: vec![],
            clock: Clock::start(),
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
        if !self.is_idle() {
            return Err(RefuseError::Busy);
        }
        request.check(self.facts.vocab, self.context)?;
        Ok(self.seat(request))
    }

    /// Ends a sequence now; what steps in flight still make for it is dropped. `None` where it has ended before.
    pub fn cancel(&mut self, sequence: SequenceId) -> Option<Ending> {
        self.retire(sequence).map(|sequence| sequence.ending(Finish::Cancelled, self.clock.now()))
    }

    /// Whether no sequence is alive, so that [`Engine::step`] would have no event.
    pub fn is_idle(&self) -> bool {
        self.roster.is_empty()
    }

    /// Gives a checked request its place.
    pub(crate) fn seat(&mut self, request: Request) -> SequenceId {
        let (groups, now) = (self.facts.groups.len(), self.clock.now());
        self.roster.insert(Sequence::new(request, groups, self.context, now))
    }

    /// Ends a sequence and tells the caller.
    pub(crate) fn finish(&mut self, id: SequenceId, finish: Finish) {
        if let Some(sequence) = self.retire(id) {
            let ending = sequence.ending(finish, self.clock.now());
            self.events.push(Record::Finished { sequence: id, ending });
        }
    }

    /// Ends a sequence whose step failed and tells the caller.
    pub(crate) fn fail(&mut self, id: SequenceId, error: Arc<EngineError>) {
        if self.retire(id).is_some() {
            self.events.push(Record::Failed { sequence: id, error });
        }
    }

    /// Takes a sequence out and gives up its pages.
    pub(crate) fn retire(&mut self, id: SequenceId) -> Option<Sequence> {
        let mut sequence = self.roster.remove(id)?;
        for (table, group) in sequence.tables_mut().iter_mut().zip(0..) {
            for page in table.clear() {
                give_up(&mut self.pools, &mut self.flights, GroupId(group), page);
            }
        }
        Some(sequence)
    }

    /// Gets the pages that a part writes, after giving up those it no longer sees; says whether there were enough.
    pub(crate) fn grant(&mut self, part: &Part) -> bool {
        let Engine { roster, pools, flights, facts, .. } = self;
        let Some(sequence) = roster.find_mut(part.sequence) else { return false };
        for ((table, &group), id) in sequence.tables_mut().iter_mut().zip(&facts.groups).zip(0..) {
            for page in table.drop_unseen(group, part.from, facts.page_len) {
                give_up(pools, flights, GroupId(id), page);
            }
        }
        let missing = |table: &PageTable| table.missing(part.end(), facts.page_len);
        let enough = |(table, pool): (_, &PagePool)| missing(table) <= pool.free();
        if !sequence.tables().iter().zip(&*pools).all(enough) {
            return false;
        }
        for (table, pool) in sequence.tables_mut().iter_mut().zip(pools) {
            (0..missing(table)).filter_map(|_| pool.take()).for_each(|page| table.push(page));
        }
        true
    }
}

/// Gives a page back, after the newest step in flight: that one may still name it.
fn give_up(pools: &mut [PagePool], flights: &mut VecDeque<Flight>, group: GroupId, page: PageId) {
    match flights.back_mut() {
        Some(flight) => flight.releases.push((group, page)),
        None => {
            pools[group.index()].release(page);
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Engine { facts, context, pools, flights, .. } = self;
        let flights = flights.len();
        f.debug_struct("Engine")
            .field("facts", facts)
            .field("context", context)
            .field("pools", pools)
            .field("flights", &flights)
            .finish_non_exhaustive()
    }
}
