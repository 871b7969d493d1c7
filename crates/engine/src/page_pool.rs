//! Pages of one group as integers with reference counts. Where their bytes lie is the device's business.

use graph::PageId;

/// The pages of one group.
///
/// Page 0 is the bin that padding writes to: it is never granted. A page is granted by [`PagePool::take`], held once
/// more by each [`PagePool::share`], and free again when every holder has released it. A page whose contents are worth
/// keeping ([`PagePool::keep`]) is not free then but cached: it can be shared again, until `take` finds nothing free and
/// grants the cached page that was released first.
#[derive(Debug)]
pub struct PagePool {
    /// Holders of each page; the bin has none.
    holders: Vec<u32>,
    kept: Vec<bool>,
    /// Free pages, the one to grant next at the end: what was just freed is still warm in the device's caches.
    free: Vec<PageId>,
    /// Neighbours of each cached page in a ring: behind the bin stands the page released first, before it the last.
    ring: Vec<Neighbours>,
    cached: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Neighbours {
    before: u32,
    behind: u32,
}

/// A page that was granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    /// The page.
    pub page: PageId,
    /// Whether it was a cached page, whose contents are lost now.
    pub evicted: bool,
}

impl PagePool {
    /// A pool of `pages` pages, the bin included.
    pub fn new(pages: u32) -> PagePool {
        PagePool {
            holders: vec![0; pages as usize],
            kept: vec![false; pages as usize],
            free: (1..pages).rev().map(PageId).collect(),
            ring: vec![Neighbours::default(); pages.max(1) as usize],
            cached: 0,
        }
    }

    /// Grants a page, or `None` where all are held.
    pub fn take(&mut self) -> Option<Granted> {
        let free = self.free.pop();
        let oldest = PageId(self.ring[0].behind);
        let (page, evicted) = match free {
            Some(page) => (page, false),
            None if oldest.0 == 0 => return None,
            None => (oldest, true),
        };
        if evicted {
            self.unlink(page);
            self.kept[page.0 as usize] = false;
        }
        self.holders[page.0 as usize] = 1;
        Some(Granted { page, evicted })
    }

    /// Holds a page once more, which is held or cached.
    ///
    /// # Panics
    /// Where the page is free: its contents are gone, and the caller's account is wrong.
    pub fn share(&mut self, page: PageId) {
        if self.is_cached(page) {
            self.unlink(page);
            self.holders[page.0 as usize] = 1;
        } else {
            *self.held(page) += 1;
        }
    }

    /// Gives a page back, once per holder; says whether nobody holds it now.
    ///
    /// # Panics
    /// Where nobody holds the page: it would be granted twice.
    pub fn release(&mut self, page: PageId) -> bool {
        let holders = self.held(page);
        *holders -= 1;
        if *holders > 0 {
            return false;
        }
        match self.kept[page.0 as usize] {
            true => self.link(page),
            false => self.free.push(page),
        }
        true
    }

    /// Notes that the contents of a held page are worth keeping.
    pub fn keep(&mut self, page: PageId) {
        self.held(page);
        self.kept[page.0 as usize] = true;
    }

    /// Notes that the contents of a page are no longer worth keeping; a cached one is free then.
    pub fn forget(&mut self, page: PageId) {
        if self.is_cached(page) {
            self.unlink(page);
            self.free.push(page);
        }
        self.kept[page.0 as usize] = false;
    }

    /// Whether a page must not be written to by one holder: others read it, or may.
    pub fn is_shared(&self, page: PageId) -> bool {
        self.holders[page.0 as usize] > 1 || self.kept[page.0 as usize]
    }

    /// Whether the contents of a page are kept.
    #[cfg(test)]
    pub(crate) fn is_kept(&self, page: PageId) -> bool {
        self.kept[page.0 as usize]
    }

    /// Pages that can be granted now, cached ones included.
    pub fn free(&self) -> u32 {
        self.free.len() as u32 + self.cached
    }

    /// Pages that nobody holds and that keep their contents.
    pub fn cached(&self) -> u32 {
        self.cached
    }

    /// Pages that are held.
    pub fn taken(&self) -> u32 {
        self.holders.len().saturating_sub(1) as u32 - self.free()
    }

    /// Holders of a page.
    pub fn holders(&self, page: PageId) -> u32 {
        self.holders[page.0 as usize]
    }

    fn is_cached(&self, page: PageId) -> bool {
        self.kept[page.0 as usize] && self.holders[page.0 as usize] == 0
    }

    fn held(&mut self, page: PageId) -> &mut u32 {
        let holders = self.holders.get_mut(page.0 as usize).filter(|holders| **holders > 0);
        holders.unwrap_or_else(|| panic!("page {} is held by nobody", page.0))
    }

    /// Puts a page last into the ring.
    fn link(&mut self, page: PageId) {
        let last = self.ring[0].before;
        self.ring[page.0 as usize] = Neighbours { before: last, behind: 0 };
        self.ring[last as usize].behind = page.0;
        self.ring[0].before = page.0;
        self.cached += 1;
    }

    fn unlink(&mut self, page: PageId) {
        let Neighbours { before, behind } = self.ring[page.0 as usize];
        self.ring[before as usize].behind = behind;
        self.ring[behind as usize].before = before;
        self.cached -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn page(pool: &mut PagePool) -> PageId {
        pool.take().expect("one is free").page
    }

    #[test]
    fn the_bin_is_never_granted() {
        assert_eq!(PagePool::new(0).take(), None);
        assert_eq!(PagePool::new(1).take(), None);
        let mut pool = PagePool::new(2);
        assert_eq!((page(&mut pool), pool.take()), (PageId(1), None));
    }

    #[test]
    #[should_panic(expected = "page 1 is held by nobody")]
    fn releasing_twice_is_a_mistake() {
        let mut pool = PagePool::new(2);
        let page = page(&mut pool);
        pool.release(page);
        pool.release(page);
    }

    #[test]
    fn what_was_released_first_is_evicted_first() {
        let mut pool = PagePool::new(4);
        let [a, b, c] = [(); 3].map(|()| page(&mut pool));
        [a, b, c].into_iter().for_each(|page| pool.keep(page));
        assert!([b, a, c].into_iter().all(|page| pool.release(page)));
        assert_eq!((pool.free(), pool.cached(), pool.taken()), (3, 3, 0));
        pool.share(b);
        assert!(pool.is_shared(b), "a kept page is not written to, even by its only holder");
        pool.release(b);
        for page in [a, c, b] {
            assert_eq!(pool.take(), Some(Granted { page, evicted: true }));
        }
        assert!(!pool.is_shared(a) && pool.take().is_none());
    }

    #[derive(Clone, Debug)]
    enum Act {
        Take,
        Share(prop::sample::Index),
        Release(prop::sample::Index),
        Keep(prop::sample::Index),
        Forget(prop::sample::Index),
    }

    fn act() -> impl Strategy<Value = Act> {
        let index = any::<prop::sample::Index>;
        prop_oneof![
            Just(Act::Take),
            index().prop_map(Act::Share),
            index().prop_map(Act::Release),
            index().prop_map(Act::Keep),
            index().prop_map(Act::Forget),
        ]
    }

    proptest! {
        #[test]
        fn never_leaks_and_never_grants_twice(
            pages in 0u32..12,
            acts in prop::collection::vec(act(), 0..300),
        ) {
            let mut pool = PagePool::new(pages);
            // Holders, and whether the page is kept.
            let mut model = BTreeMap::<PageId, (u32, bool)>::new();
            let nth = |model: &BTreeMap<PageId, (u32, bool)>, index: prop::sample::Index| {
                (!model.is_empty()).then(|| *index.get(&model.keys().copied().collect::<Vec<_>>()))
            };
            for act in acts {
                match act {
                    Act::Take => match pool.take() {
                        Some(Granted { page, evicted }) => {
                            prop_assert!(page.0 > 0 && page.0 < pages);
                            let before = model.insert(page, (1, false));
                            prop_assert_eq!(before, evicted.then_some((0, true)));
                        }
                        None => prop_assert!(model.values().filter(|page| page.0 > 0).count() as u32 == pages.saturating_sub(1)),
                    },
                    Act::Share(index) => if let Some(page) = nth(&model, index) {
                        pool.share(page);
                        model.entry(page).or_default().0 += 1;
                    },
                    Act::Release(index) => if let Some(page) = nth(&model, index).filter(|page| model[page].0 > 0) {
                        let (holders, kept) = model[&page];
                        prop_assert_eq!(pool.release(page), holders == 1);
                        if holders == 1 && !kept { model.remove(&page); } else { model.insert(page, (holders - 1, kept)); }
                    },
                    Act::Keep(index) => if let Some(page) = nth(&model, index).filter(|page| model[page].0 > 0) {
                        pool.keep(page);
                        model.entry(page).or_default().1 = true;
                    },
                    Act::Forget(index) => if let Some(page) = nth(&model, index) {
                        pool.forget(page);
                        let (holders, _) = model[&page];
                        if holders == 0 { model.remove(&page); } else { model.insert(page, (holders, false)); }
                    },
                }
                let held = model.values().filter(|page| page.0 > 0).count() as u32;
                prop_assert_eq!(pool.taken(), held);
                prop_assert_eq!(pool.cached(), model.len() as u32 - held);
                prop_assert_eq!(pool.free() + pool.taken(), pages.saturating_sub(1));
                for (&page, &(holders, kept)) in &model {
                    prop_assert_eq!((pool.holders(page), pool.is_shared(page)), (holders, holders > 1 || kept));
                }
            }
        }
    }
}
