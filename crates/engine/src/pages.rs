//! The pages of all groups: granted, shared, kept for whoever comes with the same prefix.

use graph::{Group, GroupId, PageId};

use crate::batch::Part;
use crate::page_table::{PageTable, first_seen};
use crate::prefix::{Hit, NodeId, PrefixIndex};
use crate::{Facts, PagePool};

/// Pools and what they keep.
#[derive(Debug)]
pub(crate) struct Pages {
    pub groups: Vec<Group>,
    pub page_len: u32,
    pub pools: Vec<PagePool>,
    pub index: PrefixIndex,
    /// Counts what could let a request in that had to wait.
    changes: u64,
}

/// How far a sequence's pages are in the index.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Indexed {
    /// Its full pages that have their node.
    pub pages: u32,
    /// The node of the last of them.
    pub node: Option<NodeId>,
    /// Whether the chain was cut: no more is entered.
    pub cut: bool,
}

impl Pages {
    /// Pools of an executor's pages.
    pub(crate) fn new(facts: &Facts, pages: &[u32]) -> Pages {
        let usable = pages.iter().map(|&pages| facts.usable(pages)).collect::<Vec<_>>();
        Pages {
            index: PrefixIndex::new(&facts.groups, facts.page_len, &usable),
            pools: usable.iter().map(|&pages| PagePool::new(pages)).collect(),
            groups: facts.groups.clone(),
            page_len: facts.page_len,
            changes: 0,
        }
    }

    /// Grants a page; the oldest that is kept where none is free.
    pub(crate) fn take(&mut self, group: usize) -> Option<PageId> {
        let granted = self.pools[group].take()?;
        if granted.evicted {
            self.index.lose(GroupId(group as u32), granted.page, &mut self.pools);
        }
        Some(granted.page)
    }

    /// Gives a page back.
    pub(crate) fn release(&mut self, group: usize, page: PageId) {
        self.pools[group].release(page);
        self.changes += 1;
    }

    /// Changes whenever a page was given back.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Pages that a part takes beyond those of its table: new ones, and the copy of one that others read too.
    pub(crate) fn wanted(&self, group: usize, table: &PageTable, part: &Part) -> u32 {
        let shared =
            table.page(part.from / self.page_len).is_some_and(|page| self.pools[group].is_shared(page));
        table.missing(part.end(), self.page_len) + u32::from(shared)
    }

    /// Lets empty tables hold the longest prefix of these tokens that is kept, one token at least being left to
    /// compute; how far they are indexed then.
    pub(crate) fn adopt(&mut self, tenant: u64, tokens: &[u32], tables: &mut [PageTable]) -> Indexed {
        let most = tokens.len().saturating_sub(1);
        let Some(Hit { node, pages }) = self.index.longest(tenant, &tokens[..most]) else {
            return Indexed::default();
        };
        for (group, table) in tables.iter_mut().enumerate() {
            let first = first_seen(self.groups[group], pages * self.page_len) / self.page_len;
            table.begin(first);
            for number in first..pages {
                let page = self.index.page(self.index.on_path(number), group);
                let page = page.expect("the index found all pages that the next token sees");
                self.pools[group].share(page);
                table.push(page);
            }
        }
        Indexed { pages, node: Some(node), cut: false }
    }

    /// Enters a sequence's full pages, as far as steps have written them. Where the index has a page with the same
    /// contents, the sequence holds that one from now on, and its own is among the `doubles`.
    pub(crate) fn enter(
        &mut self,
        tenant: u64,
        written: &[u32],
        indexed: &mut Indexed,
        tables: &mut [PageTable],
        doubles: &mut Vec<(usize, PageId)>,
    ) {
        let page_len = self.page_len as usize;
        let full = (written.len() / page_len) as u32;
        while indexed.pages < full && !indexed.cut {
            let number = indexed.pages;
            let tokens = &written[number as usize * page_len..][..page_len];
            let Some(node) = self.index.enter(tenant, indexed.node, tokens) else {
                indexed.cut = true;
                return;
            };
            for (group, table) in tables.iter_mut().enumerate() {
                // Behind a window it is gone already.
                let Some(own) = table.page(number) else { continue };
                match self.index.page(node, group) {
                    None => {
                        self.index.put(node, group, own);
                        self.pools[group].keep(own);
                    }
                    Some(same) if same != own => {
                        self.pools[group].share(same);
                        doubles.push((group, table.replace(number, same)));
                    }
                    Some(_) => {}
                }
            }
            indexed.pages += 1;
            indexed.node = Some(node);
        }
    }

    /// Notes that nobody extends a chain any more.
    pub(crate) fn leave(&mut self, indexed: &Indexed) {
        if let Some(node) = indexed.node {
            self.index.prune_at(node);
        }
    }
}
