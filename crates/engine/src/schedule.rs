//! What the next step does: who has a part in it, and which pages that takes. The decisions are those of `policy`.
//!
//! Its cost grows with the sequences that run, and not with those that wait.

use graph::{Copy, GroupId};

use crate::batch::Part;
use crate::flight::give_up;
use crate::page_table::first_seen;
use crate::pages::Indexed;
use crate::policy::admission::{Room, Verdict, verdict};
use crate::policy::preemption::{Holder, gives_way, makes_room};
use crate::policy::sharing::{Kind, Share, left_for_prompts};
use crate::sequence::Sequence;
use crate::{Engine, SequenceId};

/// What there is to do in a step.
struct Ready {
    /// Sequences that decode.
    decodes: u32,
    /// Whether prompts are there to be computed.
    prefills: bool,
    /// Whether any that decodes may guess.
    guesses: bool,
}

impl Engine {
    /// Plans the next step; whether there is anything to do in it.
    pub(crate) fn plan_next(&mut self) -> bool {
        self.plan.clear();
        self.push_out();
        let ready = self.ready();
        self.kind = Kind::next(self.facts.mixed_steps, self.kind, ready.decodes > 0, ready.prefills);
        self.fill(&ready);
        if self.plan.parts.is_empty() && ready.decodes > 0 && !self.kind.decodes() {
            self.kind = Kind::Decode;
            self.fill(&ready);
        }
        !self.plan.parts.is_empty()
    }

    /// What there is to do.
    fn ready(&self) -> Ready {
        let prefills = self.line.first().is_some() && !self.is_stuck();
        let mut ready = Ready { decodes: 0, prefills, guesses: false };
        for &(_, id) in self.line.running() {
            let sequence = &self.roster[id];
            if sequence.is_paused() {
            } else if sequence.decodes(self.steps) {
                ready.decodes += 1;
                ready.guesses |= sequence.guesses();
            } else {
                ready.prefills |= sequence.next(id, Share { tokens: 1, rows: 1 }, self.steps).is_some();
            }
        }
        ready
    }

    /// Takes parts as long as there are any and the step has room.
    fn fill(&mut self, ready: &Ready) {
        let decodes = if self.kind.decodes() { ready.decodes } else { 0 };
        let prompts = if self.kind.prefills() { self.facts.step_tokens() } else { 0 };
        let mut left = Share { tokens: left_for_prompts(prompts, decodes), rows: self.spare_rows(ready) };
        // Devices that do not mix want steps in which all sequences have as many tokens.
        if self.facts.mixed_steps && ready.guesses {
            self.ask_drafters(decodes, left.tokens.min(left.rows));
        }
        let mut next = self.line.running().first().copied();
        while let Some(place @ (_, id)) = next {
            let decodes = self.roster[id].decodes(self.steps);
            if let Some(part) = self.part(id, left)
                && let Some(part) =
                    self.fit_drafts(part, if decodes { left.tokens.min(left.rows) } else { 0 })
            {
                // A token that is decoded was counted before; its drafts are not.
                left.tokens -= part.count - u32::from(decodes);
                left.rows -= part.rows.saturating_sub(1);
                self.plan.parts.push(part);
            }
            // Those that gave way are gone from the list.
            next = self.line.running_behind(place);
        }
        while left.tokens > 0
            && let Some(part) = self.admit(left)
        {
            left.tokens -= part.count;
            left.rows -= part.rows.saturating_sub(1);
            self.plan.parts.push(part);
        }
    }

    /// Rows for guesses and for what is told of prompts, beside the one that everybody may have.
    fn spare_rows(&self, ready: &Ready) -> u32 {
        let alone = !ready.prefills && self.line.first().is_none();
        self.facts.step_rows().saturating_sub(if alone { ready.decodes } else { self.facts.max_seqs })
    }

    /// Lets those that decode guess ahead, all together.
    fn ask_drafters(&mut self, decodes: u32, most: u32) {
        let most = most.min(self.facts.chunk - 1);
        let Engine { line, roster, cost, steps, .. } = self;
        for &(_, id) in line.running() {
            let decoding = |sequence: &&mut Sequence| !sequence.is_paused() && sequence.decodes(*steps);
            if let Some(sequence) = roster.find_mut(id).filter(decoding) {
                sequence.ask_drafter(|right, each| cost.drafts(right, each, decodes, most));
            }
        }
    }

    /// Gets the pages of a part with its drafts, or of the part alone: nobody gives way for guesses.
    fn fit_drafts(&mut self, part: Part, most: u32) -> Option<Part> {
        let drafts = match most {
            0 => 0,
            _ => self.roster.find_mut(part.sequence)?.take_drafts(most, self.facts.vocab),
        };
        if drafts == 0 {
            return self.fit(&part).then_some(part);
        }
        let drafted = Part { count: part.count + drafts, rows: part.rows + drafts, ..part };
        if self.leaves_room(&drafted) && self.grant(&drafted) {
            return Some(drafted);
        }
        self.roster.find_mut(part.sequence)?.forget_drafts();
        self.fit(&part).then_some(part)
    }

    /// Whether everybody who runs could have a page beside those of a part.
    fn leaves_room(&self, part: &Part) -> bool {
        let running = self.line.running().len() as u32;
        let mut tables = self.roster[part.sequence].tables().iter().enumerate();
        tables.all(|(group, table)| {
            self.pages.wanted(group, table, part) + running <= self.pages.pools[group].free()
        })
    }

    /// What a running sequence does in a step of this kind.
    fn part(&self, id: SequenceId, left: Share) -> Option<Part> {
        let sequence = &self.roster[id];
        if sequence.is_paused() {
            return None;
        }
        match sequence.decodes(self.steps) {
            true if self.kind.decodes() => sequence.next(id, Share { tokens: 1, rows: 1 }, self.steps),
            false if self.kind.prefills() => sequence.next(id, self.of_prompt(left), self.steps),
            _ => None,
        }
    }

    /// What a prompt may have of what is left of a step.
    fn of_prompt(&self, left: Share) -> Share {
        Share { tokens: left.tokens.min(self.facts.chunk), rows: left.rows.saturating_add(1) }
    }

    /// Gets the pages of a part; others give way where there are too few. Whether it has them.
    fn fit(&mut self, part: &Part) -> bool {
        let turn = self.roster[part.sequence].turn;
        while !self.grant(part) {
            if self.is_coming(part) {
                return false;
            }
            let running = self.line.running();
            assert!(
                running.len() > 1 || !self.flights.is_empty(),
                "the pool holds a whole context, and one sequence runs alone"
            );
            if running.len() == 1 {
                return false;
            }
            let place = running.partition_point(|other| *other < (turn, part.sequence));
            let (_, other) = running[gives_way(self.holders(), place)];
            self.preempt(other);
            if other == part.sequence {
                return false;
            }
        }
        true
    }

    /// Gets the pages that a part writes, after giving up those it no longer sees; says whether there were enough. A
    /// page that others read is copied first.
    pub(crate) fn grant(&mut self, part: &Part) -> bool {
        let Engine { roster, pages, flights, plan, .. } = self;
        let Some(sequence) = roster.find_mut(part.sequence) else { return false };
        let (last, page_len) = (sequence.step, pages.page_len);
        for (group, table) in sequence.tables_mut().iter_mut().enumerate() {
            for page in table.drop_unseen(pages.groups[group], part.from, page_len) {
                give_up(pages, flights, last, group, page);
            }
        }
        let mut tables = sequence.tables().iter().enumerate();
        if tables.any(|(group, table)| pages.wanted(group, table, part) > pages.pools[group].free()) {
            return false;
        }
        let number = part.from / page_len;
        for (group, table) in sequence.tables_mut().iter_mut().enumerate() {
            if let Some(from) = table.page(number).filter(|&page| pages.pools[group].is_shared(page))
                && let Some(to) = pages.take(group)
            {
                plan.copies.push(Copy { group: GroupId(group as u32), from, to });
                plan.releases.push((group, table.replace(number, to)));
            }
            for _ in 0..table.missing(part.end(), page_len) {
                pages.take(group).into_iter().for_each(|page| table.push(page));
            }
        }
        true
    }

    /// Whether the pages that a part lacks come back with the steps in flight.
    fn is_coming(&self, part: &Part) -> bool {
        let of_group = |group: usize| {
            let given = self.flights.iter().flat_map(|flight| &flight.releases);
            let given = given.chain(&self.plan.releases).filter(|(of, _)| *of == group).count() as u32;
            self.pages.pools[group].free() + given
        };
        let mut tables = self.roster[part.sequence].tables().iter().enumerate();
        tables.all(|(group, table)| self.pages.wanted(group, table, part) <= of_group(group))
    }

    /// Lets the first in line begin, if it fits: its first part, whose pages it has.
    fn admit(&mut self, left: Share) -> Option<Part> {
        let (turn, id) = self.line.first()?;
        let running = self.line.running().len() as u32;
        if running >= self.facts.max_seqs || self.is_stuck() || self.roster[id].pending > 0 {
            return None;
        }
        let (indexed, written) = self.adopt(id);
        if verdict(self.rooms(id), running) == Verdict::Wait {
            self.give_back(id);
            self.stuck = Some(self.pages.changes());
            return None;
        }
        self.stuck = None;
        self.line.stop_waiting(turn, id);
        self.line.run(turn, id);
        let (page_len, facts) = (self.pages.page_len, &self.facts);
        let most = |group: usize, limit: u32| {
            facts.sequence_pages(facts.groups[group]).min(limit.div_ceil(page_len))
        };
        let sequence = self.roster.find_mut(id)?;
        sequence.begin(indexed, written, most);
        if !self.facts.overlap {
            self.make_mask(id);
        }
        let part = self.roster.find(id)?.next(id, self.of_prompt(left), self.steps)?;
        self.fit(&part).then_some(part)
    }

    /// Lets a sequence in line hold what is there of its prefix; how far that is indexed, and its positions.
    fn adopt(&mut self, id: SequenceId) -> (Indexed, u32) {
        if let Some(written) = self.adopt_stem(id) {
            return (Indexed::default(), written);
        }
        let Some(sequence) = self.roster.find_mut(id) else { return Default::default() };
        let tenant = sequence.request().tenant;
        let (tokens, tables) = sequence.sharing();
        let indexed = self.pages.adopt(tenant, tokens, tables);
        (indexed, indexed.pages * self.pages.page_len)
    }

    /// Lets an answer hold the pages of another answer to the same prompt, all but the last token's: that one it
    /// computes itself, for the row it draws from.
    fn adopt_stem(&mut self, id: SequenceId) -> Option<u32> {
        let sequence = &self.roster[id];
        let stem = self.roster.find(sequence.stem?)?;
        let (end, page_len) = (sequence.prompt() - 1, self.pages.page_len);
        let fresh = sequence.tokens().len() as u32 == sequence.prompt();
        if !fresh || end == 0 || (stem.written().len() as u32) < end {
            return None;
        }
        let first = |group| first_seen(self.pages.groups[group], end) / page_len;
        let mut found = Vec::with_capacity(self.facts.groups.len());
        for (group, table) in stem.tables().iter().enumerate() {
            let held = (first(group)..end.div_ceil(page_len)).map(|number| table.page(number));
            found.push((first(group), held.collect::<Option<Vec<_>>>()?));
        }
        let tables = self.roster.find_mut(id)?.tables_mut();
        for (group, (first, shared)) in found.into_iter().enumerate() {
            tables[group].begin(first);
            for page in shared {
                self.pages.pools[group].share(page);
                tables[group].push(page);
            }
        }
        Some(end)
    }

    /// Takes back what [`Engine::adopt`] gave; no step has named it.
    fn give_back(&mut self, id: SequenceId) {
        let Some(sequence) = self.roster.find_mut(id) else { return };
        for (group, table) in sequence.tables_mut().iter_mut().enumerate() {
            table.clear().for_each(|page| self.pages.release(group, page));
        }
    }

    /// The pages of each group as a sequence in line finds them.
    fn rooms(&mut self, id: SequenceId) -> &[Room] {
        let Engine { plan, roster, pages, facts, line, .. } = self;
        let rooms = &mut plan.rooms;
        rooms.clear();
        let needs = |id: SequenceId, more: u32, group: usize| {
            let (sequence, most) = (&roster[id], facts.sequence_pages(facts.groups[group]));
            let table = &sequence.tables()[group];
            let missing = table.missing(sequence.tokens().len() as u32 + more, pages.page_len);
            missing.min(most.saturating_sub(table.pages().len() as u32))
        };
        rooms.extend((0..facts.groups.len()).map(|group| {
            // A page that is shared and not full is copied.
            let copied = roster[id].tables()[group]
                .pages()
                .last()
                .is_some_and(|&page| pages.pools[group].is_shared(page));
            Room {
                free: pages.pools[group].free(),
                promised: line.running().iter().map(|&(_, other)| needs(other, 0, group)).sum(),
                needed: needs(id, 1, group) + u32::from(copied && roster[id].stem.is_some()),
            }
        }));
        rooms
    }

    /// Lets a running sequence give way to the first in line, where that waits for pages or a seat and policy says so.
    fn push_out(&mut self) {
        let Some((turn, id)) = self.line.first() else { return };
        let full = self.line.running().len() as u32 >= self.facts.max_seqs;
        if self.roster[id].pending == 0
            && (full || self.is_stuck())
            && let Some(place) = makes_room(self.holders(), turn)
        {
            self.preempt(self.line.running()[place].1);
        }
    }

    fn holders(&self) -> impl DoubleEndedIterator<Item = Holder> + ExactSizeIterator {
        let holder = |&(turn, id)| Holder { turn, paused: self.roster[id].is_paused() };
        self.line.running().iter().map(holder)
    }

    fn is_stuck(&self) -> bool {
        self.stuck == Some(self.pages.changes())
    }
}
