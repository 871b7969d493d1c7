//! The pages that one sequence holds in one group.

use std::mem;

use graph::{Group, PageId};

/// Pages of a sequence in order, from `base` on; those before are behind the window and gone.
#[derive(Debug, Default)]
pub(crate) struct PageTable {
    base: u32,
    pages: Vec<PageId>,
}

impl PageTable {
    /// Which page of the sequence the first one held is.
    pub(crate) fn base(&self) -> u32 {
        self.base
    }

    /// The pages held, in order.
    pub(crate) fn pages(&self) -> &[PageId] {
        &self.pages
    }

    /// The pages of the positions before `end`. Guesses that were wrong leave pages behind it, for what follows.
    pub(crate) fn pages_before(&self, end: u32, page_len: u32) -> &[PageId] {
        let pages = end.div_ceil(page_len).saturating_sub(self.base) as usize;
        &self.pages[..pages.min(self.pages.len())]
    }

    /// Makes room for so many pages, so that pushing them allocates nothing.
    pub(crate) fn reserve(&mut self, pages: u32) {
        self.pages.reserve_exact((pages as usize).saturating_sub(self.pages.len()));
    }

    /// Lets an empty table begin at this page of the sequence.
    pub(crate) fn begin(&mut self, base: u32) {
        assert!(self.pages.is_empty(), "a table that holds pages has begun");
        self.base = base;
    }

    /// Appends a page.
    pub(crate) fn push(&mut self, page: PageId) {
        self.pages.push(page);
    }

    /// The page held as page `number` of the sequence.
    pub(crate) fn page(&self, number: u32) -> Option<PageId> {
        self.pages.get(number.checked_sub(self.base)? as usize).copied()
    }

    /// Holds another page in the place of page `number`, which it gives back.
    pub(crate) fn replace(&mut self, number: u32, page: PageId) -> PageId {
        mem::replace(&mut self.pages[(number - self.base) as usize], page)
    }

    /// Pages still missing to hold all positions before `end`.
    pub(crate) fn missing(&self, end: u32, page_len: u32) -> u32 {
        end.div_ceil(page_len).saturating_sub(self.base + self.pages.len() as u32)
    }

    /// The slot of a position, which must be held.
    pub(crate) fn slot(&self, position: u32, page_len: u32) -> u32 {
        let page = self.pages[(position / page_len - self.base) as usize];
        page.0 * page_len + position % page_len
    }

    /// Gives up the pages that no token from position `from` on can see.
    pub(crate) fn drop_unseen(
        &mut self,
        group: Group,
        from: u32,
        page_len: u32,
    ) -> impl Iterator<Item = PageId> {
        let first = first_seen(group, from) / page_len;
        let gone = (first - self.base.min(first)).min(self.pages.len() as u32);
        self.base += gone;
        self.pages.drain(..gone as usize)
    }

    /// Gives up all pages, the last first: of a prefix that is kept, its end is to go before its beginning.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = PageId> {
        self.base = 0;
        self.pages.drain(..).rev()
    }
}

/// The first position that a token at `position` attends to.
pub(crate) fn first_seen(group: Group, position: u32) -> u32 {
    match group {
        Group::Pages { window: None } => 0,
        Group::Pages { window: Some(window) } => (position + 1).saturating_sub(window.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_behind_the_window_go() {
        let group = Group::Pages { window: Some(5) };
        let mut table = PageTable::default();
        assert_eq!(table.missing(9, 4), 3);
        (7..10).for_each(|page| table.push(PageId(page)));
        assert_eq!((table.missing(12, 4), table.missing(13, 4)), (0, 1));
        assert_eq!(table.slot(6, 4), 8 * 4 + 2);
        // A token at 7 still sees 3, the last of the first page; one at 8 sees 4.
        assert_eq!(table.drop_unseen(group, 7, 4).count(), 0);
        assert_eq!(table.drop_unseen(group, 8, 4).collect::<Vec<_>>(), [PageId(7)]);
        assert_eq!((table.base(), table.slot(6, 4), table.missing(12, 4)), (1, 8 * 4 + 2, 0));
        assert_eq!(table.pages_before(8, 4), [PageId(8)]);
        assert_eq!(table.pages_before(9, 4), [PageId(8), PageId(9)]);
        assert_eq!((table.pages_before(4, 4).len(), table.pages_before(100, 4).len()), (0, 2));
        assert_eq!(table.drop_unseen(Group::Pages { window: None }, 100, 4).count(), 0);
        assert_eq!((table.page(0), table.page(1), table.page(3)), (None, Some(PageId(8)), None));
        assert_eq!((table.replace(2, PageId(5)), table.slot(8, 4)), (PageId(9), 5 * 4));
        assert_eq!(table.clear().collect::<Vec<_>>(), [PageId(5), PageId(8)]);
        table.begin(3);
        assert_eq!(table.missing(16, 4), 1);
    }
}
