//! What the pages of a group would hold: for each slot the position and the whole past that led to it.

use std::io::{self, Read, Write};
use std::ops::Range;

use graph::{Feed, Group, PageId};

use super::check::page_of;
use crate::page_table::first_seen;
use crate::random::mix;

/// The pages of one group.
#[derive(Debug)]
pub(super) struct Shadow {
    group: Group,
    page_len: u32,
    slots: Vec<Option<Entry>>,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug)]
struct Entry {
    position: u32,
    token: u32,
    /// A hash of all tokens up to this one: equal only where the past is.
    past: u64,
}

impl Shadow {
    pub(super) fn new(group: Group, pages: u32, page_len: u32) -> Shadow {
        Shadow { group, page_len, slots: vec![None; (pages * page_len) as usize] }
    }

    /// Plays a step: copies, writes, and, where `named` are the pages that steps in flight name, checks.
    ///
    /// # Panics
    /// Where a page in use is overwritten, or a token would attend to a slot that is not of its own past.
    pub(super) fn run(&mut self, feed: &Feed<'_>, group: usize, ids: &[u32], named: Option<&[PageId]>) {
        self.copy(feed, group);
        let mut start = 0;
        while start < ids.len() {
            let sequence = feed.sequences[start];
            let count = feed.sequences[start..].iter().take_while(|&&s| s == sequence).count();
            let tokens = start..start + count;
            if let Some(named) = named {
                self.check_new(feed, group, tokens.clone(), named);
            }
            for t in tokens {
                self.write(feed, group, t, ids[t], named.is_some());
            }
            if named.is_some() {
                self.read(feed, group, start, feed.positions[start + count - 1]);
            }
            start += count;
        }
    }

    /// A page that begins anew is named by no step in flight.
    fn check_new(&self, feed: &Feed<'_>, group: usize, tokens: Range<usize>, named: &[PageId]) {
        let pages = feed.groups[group].slots[tokens.clone()].iter().map(|slot| PageId(slot / self.page_len));
        let firsts = pages.zip(&feed.positions[tokens]);
        for (page, _) in firsts.filter(|(_, position)| **position % self.page_len == 0) {
            assert!(!named.contains(&page), "page {} begins anew while a step in flight names it", page.0);
        }
    }

    /// What the pages hold that a token attends to.
    pub(super) fn digest_seen(&self, feed: &Feed<'_>, group: usize, t: usize) -> u64 {
        let position = feed.positions[t];
        digest((first_seen(self.group, position)..=position).map(|position| {
            let page = page_of(&feed.groups[group], self.page_len, feed.sequences[t], position);
            let slot = page.0 * self.page_len + position % self.page_len;
            let entry = self.slots.get(slot as usize).copied().flatten();
            entry.map_or((u32::MAX, u32::MAX), |entry| (entry.position, entry.token))
        }))
    }

    /// Writes the entries of pages.
    pub(super) fn export(&self, pages: &[PageId], out: &mut dyn Write) -> io::Result<()> {
        for entry in pages.iter().flat_map(|page| &self.slots[self.slots_of(*page)]) {
            let Entry { position, token, past } =
                entry.unwrap_or(Entry { position: u32::MAX, token: 0, past: 0 });
            out.write_all(&position.to_le_bytes())?;
            out.write_all(&token.to_le_bytes())?;
            out.write_all(&past.to_le_bytes())?;
        }
        Ok(())
    }

    /// Reads what `export` wrote.
    pub(super) fn import(&mut self, pages: &[PageId], from: &mut dyn Read) -> io::Result<()> {
        for &page in pages {
            for slot in self.slots_of(page) {
                let (mut position, mut token, mut past) = ([0; 4], [0; 4], [0; 8]);
                from.read_exact(&mut position)?;
                from.read_exact(&mut token)?;
                from.read_exact(&mut past)?;
                let (position, token) = (u32::from_le_bytes(position), u32::from_le_bytes(token));
                self.slots[slot] = Some(Entry { position, token, past: u64::from_le_bytes(past) });
            }
        }
        Ok(())
    }

    fn slots_of(&self, page: PageId) -> Range<usize> {
        let first = page.0 as usize * self.page_len as usize;
        first..first + self.page_len as usize
    }

    fn copy(&mut self, feed: &Feed<'_>, group: usize) {
        let size = self.page_len as usize;
        for copy in feed.copies.iter().filter(|copy| copy.group.index() == group) {
            let from = copy.from.0 as usize * size;
            self.slots.copy_within(from..from + size, copy.to.0 as usize * size);
        }
    }

    fn write(&mut self, feed: &Feed<'_>, group: usize, t: usize, token: u32, strict: bool) {
        let position = feed.positions[t];
        let past = if strict { chain(self.past(feed, group, feed.sequences[t], position), token) } else { 0 };
        let slot = feed.groups[group].slots[t] as usize;
        self.slots[slot] = Some(Entry { position, token, past });
    }

    /// All that the tokens of a sequence attend to, from the first token's first to the last token.
    fn read(&self, feed: &Feed<'_>, group: usize, t: usize, last: u32) {
        let sequence = feed.sequences[t];
        let first = first_seen(self.group, feed.positions[t]);
        self.entry(feed, group, sequence, first);
        for position in first + 1..=last {
            let entry = self.entry(feed, group, sequence, position);
            let past = self.past(feed, group, sequence, position);
            assert_eq!(entry.past, chain(past, entry.token), "position {position} has another's past");
        }
    }

    /// The past before a position; nothing where a token sees only itself.
    fn past(&self, feed: &Feed<'_>, group: usize, sequence: u32, position: u32) -> u64 {
        if first_seen(self.group, position) == position {
            return 0;
        }
        self.entry(feed, group, sequence, position - 1).past
    }

    /// The entry of a position, which must have been written for that position.
    fn entry(&self, feed: &Feed<'_>, group: usize, sequence: u32, position: u32) -> Entry {
        let page = page_of(&feed.groups[group], self.page_len, sequence, position);
        let slot = page.0 * self.page_len + position % self.page_len;
        let entry = self.slots.get(slot as usize).copied().flatten();
        let entry = entry.unwrap_or_else(|| panic!("position {position} is attended and was never written"));
        assert_eq!(entry.position, position, "slot {slot} holds another position");
        entry
    }
}

/// Of positions and the tokens there.
pub(super) fn digest(entries: impl Iterator<Item = (u32, u32)>) -> u64 {
    entries.fold(0, |all, (position, token)| mix(all ^ (u64::from(position) << 32 | u64::from(token))))
}

fn chain(past: u64, token: u32) -> u64 {
    mix(past ^ mix(u64::from(token)))
}
