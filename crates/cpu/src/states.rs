//! The pools that keys and values live in: pages written by all workers, copied, brought out and put in.

mod layout;
mod roles;
#[cfg(test)]
mod tests;

use std::io::{Read, Write};

use graph::{BackendError, Budget, Copy, Graph, GroupId, PageId, StateSpec};
use tensor::{Buffer, blocks};

pub use layout::{CELL, Layout, PageShape};

use crate::NAME;

/// All states of a graph.
pub struct States {
    /// In the order of the graph's states.
    states: Vec<State>,
    /// Pages of each group's pool.
    pages: Vec<u32>,
}

impl States {
    /// As many zeroed pages as are wanted and fit beside what is `taken` by weights and work space.
    pub fn new(graph: &Graph, budget: &Budget, taken: u64) -> Result<States, BackendError> {
        let pages = budget.fit(graph, taken, NAME)?;
        let layouts = roles::layouts(graph);
        let state = |(spec, layout): (&StateSpec, Layout)| {
            let shape = page_shape(spec, layout, graph.page_len as usize)?;
            State::zeroed(shape, spec.group, pages[spec.group.index()] as usize)
        };
        let states = graph.states.iter().zip(layouts).map(state).collect::<Result<_, _>>()?;
        Ok(States { states, pages })
    }

    /// States that were made one by one, of no group.
    pub fn of(states: Vec<State>) -> States {
        States { states, pages: vec![] }
    }

    /// Pages of each group's pool, the bin included.
    pub fn pages(&self) -> &[u32] {
        &self.pages
    }

    /// A state by its place in the graph.
    pub fn state(&self, index: usize) -> &State {
        &self.states[index]
    }

    #[cfg(test)]
    /// Decodes pages of a state; see [`State::read`].
    ///
    /// # Safety
    /// Nobody writes to these pages.
    pub unsafe fn read(&self, state: usize, pages: &[i32], out: &mut [f32]) {
        // SAFETY: as the caller says.
        unsafe { self.states[state].read(pages, out) }
    }

    /// Copies pages within their group.
    pub fn copy(&mut self, copies: &[Copy]) {
        for copy in copies {
            for state in self.states.iter().filter(|state| state.group == copy.group) {
                let [from, to] = [copy.from, copy.to].map(|page| state.page(page.0 as usize));
                // SAFETY: two pages of the pool, which `&mut self` owns alone.
                unsafe { state.shape.copy(from, to) };
            }
        }
    }

    /// Writes pages of a group, state by state, slot after slot: the same bytes on every device.
    pub fn export(&self, group: GroupId, pages: &[PageId], out: &mut dyn Write) -> Result<(), BackendError> {
        for state in self.states.iter().filter(|state| state.group == group) {
            let shape = state.shape;
            let mut slot = vec![0; shape.bytes(shape.slot_len())];
            for &page in pages {
                let page = state.page(page.0 as usize);
                for place in 0..shape.page_len {
                    // SAFETY: a page of the pool; `&self` is held by whoever brings out, and no step runs meanwhile.
                    unsafe { shape.take(page, place, 0, &mut slot) };
                    out.write_all(&slot)?;
                }
            }
        }
        Ok(())
    }

    /// Reads what `export` wrote.
    pub fn import(
        &mut self,
        group: GroupId,
        pages: &[PageId],
        from: &mut dyn Read,
    ) -> Result<(), BackendError> {
        for state in self.states.iter_mut().filter(|state| state.group == group) {
            let shape = state.shape;
            let mut slot = vec![0; shape.bytes(shape.slot_len())];
            for &page in pages {
                let page = state.page(page.0 as usize);
                for place in 0..shape.page_len {
                    from.read_exact(&mut slot)?;
                    // SAFETY: a page of the pool, which `&mut self` owns alone.
                    unsafe { shape.put(page, place, 0, &slot) };
                }
            }
        }
        Ok(())
    }
}

/// One state's pool.
pub struct State {
    shape: PageShape,
    group: GroupId,
    pages: usize,
    /// Bytes of sixteen positions of a head, and how many of them a head has in a page.
    block_bytes: usize,
    blocks: usize,
    /// Where `pool` begins; workers write through it.
    start: *mut u8,
    _pool: Buffer,
}

// SAFETY: the pool is written through `&self` by `write` alone, whose callers promise that nobody else touches the
// slots they write; all else is plain memory that the state owns.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Sync for State {}

impl State {
    /// A pool of so many zeroed pages.
    pub fn zeroed(shape: PageShape, group: GroupId, pages: usize) -> Result<State, BackendError> {
        let shape = shape.pooled(pages);
        let bytes = shape.page_bytes().checked_mul(shape.pool_pages(pages));
        let pool = bytes.filter(|&bytes| bytes <= isize::MAX as usize - 4096).and_then(Buffer::try_zeroed);
        let mut pool = pool.ok_or(BackendError::Memory {
            device: NAME,
            what: "keys and values",
            needed: bytes.map_or(u64::MAX, |bytes| bytes as u64),
            available: 0,
        })?;
        let start = pool.as_mut_slice::<u8>().as_mut_ptr();
        let block_bytes = shape.bytes(CELL * shape.width);
        let blocks = shape.page_len / CELL;
        Ok(State { shape, group, pages, block_bytes, blocks, start, _pool: pool })
    }

    /// A pool of these bytes, page after page and slot after slot.
    pub fn of(shape: PageShape, pages: usize, bytes: &[u8]) -> Result<State, BackendError> {
        let state = State::zeroed(shape, GroupId(0), pages)?;
        for (slot, bytes) in bytes.chunks_exact(shape.bytes(shape.slot_len()).max(1)).enumerate() {
            // SAFETY: a page of the pool, which nobody else knows yet.
            unsafe { shape.put(state.page(slot / shape.page_len), slot % shape.page_len, 0, bytes) };
        }
        Ok(state)
    }

    /// The pool's bytes, page after page and slot after slot.
    pub fn bytes(&self) -> Vec<u8> {
        let shape = &self.shape;
        let mut bytes = vec![0; self.pages * shape.page_len * shape.bytes(shape.slot_len())];
        for (slot, bytes) in bytes.chunks_exact_mut(shape.bytes(shape.slot_len()).max(1)).enumerate() {
            // SAFETY: a page of the pool; whoever holds `&self` here lets no step run.
            unsafe { shape.take(self.page(slot / shape.page_len), slot % shape.page_len, 0, bytes) };
        }
        bytes
    }

    /// How pages are laid out.
    pub fn shape(&self) -> &PageShape {
        &self.shape
    }

    /// Where a page begins.
    ///
    /// # Panics
    /// Where there is no such page.
    #[inline]
    pub fn page(&self, page: usize) -> *mut u8 {
        assert!(page < self.pages, "a pool of {} pages has no page {page}", self.pages);
        // SAFETY: within the pool, which has `pages` pages.
        unsafe { self.start.add(self.shape.page_at(page)) }
    }

    /// Bytes of sixteen positions of a head in cells.
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Where sixteen positions of a head begin in a page of cells.
    ///
    /// # Panics
    /// Where there is no such page, head or block.
    #[inline]
    pub fn block(&self, page: usize, head: usize, block: usize) -> *const u8 {
        assert!(head < self.shape.heads && block < self.blocks, "a block lies in its page");
        // SAFETY: within the page, whose heads have as many blocks.
        unsafe { self.page(page).add(self.shape.block_at(head, block)) }
    }

    /// Writes rows to slots (page * S + place), rounding to the state's type.
    ///
    /// # Safety
    /// Until the workers meet nobody else touches these slots.
    ///
    /// # Panics
    /// Where a slot lies outside the pool, or the rows are not as many as the slots.
    pub unsafe fn write(&self, slots: &[i32], rows: &[f32]) {
        let len = self.shape.slot_len();
        assert_eq!(rows.len(), slots.len() * len, "there is a row for each slot");
        let mut encoded = [0; ENCODED];
        for (&slot, row) in slots.iter().zip(rows.chunks_exact(len)) {
            let slot = usize::try_from(slot).expect("slots are counted from zero");
            let (page, place) = (self.page(slot / self.shape.page_len), slot % self.shape.page_len);
            for (index, piece) in row.chunks(PIECE).enumerate() {
                let encoded = &mut encoded[..self.shape.bytes(piece.len())];
                blocks::encode(self.shape.dtype, piece, encoded);
                // SAFETY: a page of the pool; the slot is the caller's.
                unsafe { self.shape.put(page, place, index * PIECE, encoded) };
            }
        }
    }

    /// Decodes pages, slot after slot: what `StateRead` gives for a table.
    ///
    /// # Safety
    /// Nobody writes to these pages.
    ///
    /// # Panics
    /// Where there is no such page, or `out` is not as long as the pages.
    pub unsafe fn read(&self, pages: &[i32], out: &mut [f32]) {
        let shape = &self.shape;
        let len = shape.slot_len();
        assert_eq!(out.len(), pages.len() * shape.page_len * len, "there is room for each page");
        for (&page, out) in pages.iter().zip(out.chunks_exact_mut(shape.page_len * len)) {
            let page = self.page(usize::try_from(page).expect("pages are counted from zero"));
            for (place, out) in out.chunks_exact_mut(len).enumerate() {
                // SAFETY: as the caller says.
                unsafe { self.decode(page, place, 0, out) };
            }
        }
    }

    /// Decodes a head of one slot.
    ///
    /// # Safety
    /// Nobody writes to the slot.
    ///
    /// # Panics
    /// Where there is no such page, place or head, or `out` is not as long as a head.
    pub unsafe fn head(&self, page: usize, place: usize, head: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.shape.width, "there is room for a head");
        // SAFETY: as the caller says.
        unsafe { self.decode(self.page(page), place, head * self.shape.width, out) }
    }

    /// Decodes elements of a slot, from `first` on.
    ///
    /// # Safety
    /// As for `head`; the page is one of the pool.
    unsafe fn decode(&self, page: *const u8, place: usize, first: usize, out: &mut [f32]) {
        let mut encoded = [0; ENCODED];
        for (index, out) in out.chunks_mut(PIECE).enumerate() {
            let encoded = &mut encoded[..self.shape.bytes(out.len())];
            // SAFETY: as the caller says.
            unsafe { self.shape.take(page, place, first + index * PIECE, encoded) };
            blocks::decode(self.shape.dtype, encoded, out);
        }
    }
}

/// Elements rounded at a time: whole blocks of every type, and few enough for the stack.
const PIECE: usize = 256;
/// Bytes that they take at most.
const ENCODED: usize = 4 * PIECE;

/// How a state's pages are laid out, or why they cannot be.
fn page_shape(spec: &StateSpec, layout: Layout, page_len: usize) -> Result<PageShape, BackendError> {
    let axes = spec.slot.iter().filter_map(|dim| dim.number()).map(|n| n as usize).collect::<Vec<_>>();
    let (heads, width) = match axes[..] {
        [heads, width] => (heads, width),
        _ => (1, axes.iter().product()),
    };
    let is_kept = spec.dtype.is_float() || spec.dtype == tensor::DType::Q8_0;
    if !is_kept || !width.is_multiple_of(spec.dtype.block_len()) {
        return Err(BackendError::Unsupported {
            device: NAME,
            what: format!("the state `{}` of {}", spec.name, spec.dtype),
            reason: "states are kept in f32, f16, bf16 or whole blocks of q8_0".to_owned(),
        });
    }
    Ok(PageShape::new(spec.dtype, layout, page_len, heads, width))
}
