//! Pages of one group as integers with reference counts. Where their bytes lie is the device's business.

use graph::PageId;

/// The pages of one group.
///
/// Page 0 is the bin that padding writes to: it is never granted. A page is granted by [`PagePool::take`], held once
/// more by each [`PagePool::share`], and free again when every holder has released it.
#[derive(Debug)]
pub struct PagePool {
    /// Holders of each page; the bin has none.
    holders: Vec<u32>,
    /// Free pages, the one to grant next at the end: what was just freed is still warm in the device's caches.
    free: Vec<PageId>,
}

impl PagePool {
    /// A pool of `pages` pages, the bin included.
    pub fn new(pages: u32) -> PagePool {
        PagePool { holders: vec![0; pages as usize], free: (1..pages).rev().map(PageId).collect() }
    }

    /// Grants a page, or `None` where none is free.
    pub fn take(&mut self) -> Option<PageId> {
        let page = self.free.pop()?;
        self.holders[page.0 as usize] = 1;
        Some(page)
    }

    /// Holds a granted page once more.
    ///
    /// # Panics
    /// Where nobody holds the page: its contents are gone, and the caller's account is wrong.
    pub fn share(&mut self, page: PageId) {
        *self.held(page) += 1;
    }

    /// Gives a page back, once per holder; says whether it is free now.
    ///
    /// # Panics
    /// Where nobody holds the page: it would be granted twice.
    pub fn release(&mut self, page: PageId) -> bool {
        let holders = self.held(page);
        *holders -= 1;
        let freed = *holders == 0;
        if freed {
            self.free.push(page);
        }
        freed
    }

    /// Pages that can be granted now.
    pub fn free(&self) -> u32 {
        self.free.len() as u32
    }

    /// Pages that are held.
    pub fn taken(&self) -> u32 {
        (self.holders.len().saturating_sub(1) - self.free.len()) as u32
    }

    fn held(&mut self, page: PageId) -> &mut u32 {
        let holders = self.holders.get_mut(page.0 as usize).filter(|holders| **holders > 0);
        holders.unwrap_or_else(|| panic!("page {} is held by nobody", page.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bin_is_never_granted() {
        assert_eq!(PagePool::new(0).take(), None);
        assert_eq!(PagePool::new(1).take(), None);
        let mut pool = PagePool::new(2);
        assert_eq!((pool.take(), pool.take()), (Some(PageId(1)), None));
    }

    #[test]
    #[should_panic(expected = "page 1 is held by nobody")]
    fn releasing_twice_is_a_mistake() {
        let mut pool = PagePool::new(2);
        let page = pool.take().expect("one is free");
        pool.release(page);
        pool.release(page);
    }

    #[derive(Clone, Debug)]
    enum Act {
        Take,
        Share(prop::sample::Index),
        Release(prop::sample::Index),
    }

    fn act() -> impl Strategy<Value = Act> {
        let index = any::<prop::sample::Index>;
        prop_oneof![Just(Act::Take), index().prop_map(Act::Share), index().prop_map(Act::Release)]
    }

    proptest! {
        #[test]
        fn never_leaks_and_never_grants_twice(
            pages in 0u32..12,
            acts in prop::collection::vec(act(), 0..200),
        ) {
            let mut pool = PagePool::new(pages);
            let mut model = BTreeMap::<PageId, u32>::new();
            let nth = |model: &BTreeMap<PageId, u32>, index: prop::sample::Index| {
                (!model.is_empty()).then(|| *index.get(&model.keys().copied().collect::<Vec<_>>()))
            };
            for act in acts {
                match act {
                    Act::Take => match pool.take() {
                        Some(page) => {
                            prop_assert!(page.0 > 0 && page.0 < pages);
                            prop_assert_eq!(model.insert(page, 1), None);
                        }
                        None => prop_assert_eq!(model.len() as u32, pages.saturating_sub(1)),
                    },
                    Act::Share(index) => if let Some(page) = nth(&model, index) {
                        pool.share(page);
                        *model.entry(page).or_default() += 1;
                    },
                    Act::Release(index) => if let Some(page) = nth(&model, index) {
                        let left = model[&page] - 1;
                        prop_assert_eq!(pool.release(page), left == 0);
                        if left == 0 { model.remove(&page); } else { model.insert(page, left); }
                    },
                }
                prop_assert_eq!(pool.taken(), model.len() as u32);
                prop_assert_eq!(pool.free() + pool.taken(), pages.saturating_sub(1));
            }
        }
    }
}
