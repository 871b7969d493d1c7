//! Prefixes that are kept, written out and read back in: what session files are made of.
//!
//! How much a prefix takes follows from its length alone, so whoever reads knows what to expect: of each group the pages
//! that a token behind the prefix sees.

use std::io::{Read, Write};
use std::ops::Range;

use graph::{GroupId, PageId};

use crate::page_table::first_seen;
use crate::request::check_prompt;
use crate::{Engine, EngineError};

impl Engine {
    /// The most positions of these tokens, in whole pages, whose state is kept for a tenant.
    pub fn kept(&mut self, tenant: u64, tokens: &[u32]) -> u32 {
        self.pages.index.longest(tenant, tokens).map_or(0, |hit| hit.pages * self.facts.page_len)
    }

    /// Writes the state of the first `positions` of these tokens, which must be kept: group after group, page after
    /// page, the same bytes on every device. No step may be in flight ([`Engine::drain`]).
    pub fn export(
        &mut self,
        tenant: u64,
        tokens: &[u32],
        positions: u32,
        out: &mut dyn Write,
    ) -> Result<(), EngineError> {
        let prefix = &tokens[..positions as usize];
        let hit = self.pages.index.longest(tenant, prefix);
        let whole = hit.filter(|hit| hit.pages * self.facts.page_len == positions);
        let pages = whole.ok_or(EngineError::NotKept { positions })?.pages;
        for group in 0..self.facts.groups.len() {
            let index = &self.pages.index;
            let found = self.span(group, pages).map(|number| index.page(index.on_path(number), group));
            let found = found.collect::<Option<Vec<_>>>().ok_or(EngineError::NotKept { positions })?;
            self.executor.export(GroupId(group as u32), &found, out)?;
        }
        Ok(())
    }

    /// Reads what [`Engine::export`] wrote of as many positions as there are tokens, whole pages of them, and keeps it
    /// for a tenant once `check` has passed. Whether there was room; where there was none nothing is read, and the
    /// tokens are computed when somebody comes with them. No step may be in flight.
    pub fn import<R: Read>(
        &mut self,
        tenant: u64,
        tokens: &[u32],
        from: &mut R,
        check: impl FnOnce(&mut R) -> Result<(), EngineError>,
    ) -> Result<bool, EngineError> {
        check_prompt(tokens, self.facts.vocab)?;
        let pages = tokens.len() as u32 / self.facts.page_len;
        let mut taken = vec![];
        let mut fits = true;
        for group in 0..self.facts.groups.len() {
            let span = self.span(group, pages);
            fits &= span.len() as u32 <= self.pages.pools[group].free();
            let wanted = if fits { span } else { 0..0 };
            taken.push(wanted.map_while(|_| self.pages.take(group)).collect::<Vec<_>>());
        }
        let read = if fits { self.read_pages(&taken, from).and_then(|()| check(from)) } else { Ok(()) };
        if fits && read.is_ok() {
            self.keep(tenant, tokens, &taken);
        }
        for (group, pages) in taken.into_iter().enumerate() {
            pages.into_iter().rev().for_each(|page| self.pages.release(group, page));
        }
        read.map(|()| fits)
    }

    fn read_pages<R: Read>(&mut self, taken: &[Vec<PageId>], from: &mut R) -> Result<(), EngineError> {
        for (pages, group) in taken.iter().zip(0..) {
            self.executor.import(GroupId(group), pages, from)?;
        }
        Ok(())
    }

    /// Enters pages that hold the state of these tokens; where the index has some already, those stay.
    fn keep(&mut self, tenant: u64, tokens: &[u32], taken: &[Vec<PageId>]) {
        let pages = tokens.len() as u32 / self.facts.page_len;
        let mut before = None;
        for (page, number) in tokens.chunks_exact(self.facts.page_len as usize).zip(0..) {
            let Some(node) = self.pages.index.enter(tenant, before, page) else { break };
            for (group, taken) in taken.iter().enumerate() {
                let place = number - self.span(group, pages).start.min(number);
                let is_held = self.span(group, pages).contains(&number);
                if is_held && self.pages.index.page(node, group).is_none() {
                    let page = taken[place as usize];
                    self.pages.index.put(node, group, page);
                    self.pages.pools[group].keep(page);
                }
            }
            before = Some(node);
        }
        before.into_iter().for_each(|node| self.pages.index.prune_at(node));
    }

    /// Which pages of a sequence a token behind the first `pages` of them sees.
    fn span(&self, group: usize, pages: u32) -> Range<u32> {
        let page_len = self.facts.page_len;
        first_seen(self.facts.groups[group], pages * page_len) / page_len..pages
    }
}

/// Pages of each group that a prefix of so many pages takes.
pub fn pages_of(groups: &[graph::Group], page_len: u32, pages: u32) -> Vec<u32> {
    groups.iter().map(|&group| pages - first_seen(group, pages * page_len) / page_len).collect()
}
