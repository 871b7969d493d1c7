//! Where a chunk's keys and values lie.
//!
//! Pages of cells are read where they are. Bytes at positions that nobody sees may be anything, so a block of values
//! that is seen in part is copied with zeros in the rest: a weight of zero times what is no number would be none.
//! Pages of any other layout are decoded into blocks of f32.

use std::ops::Range;

use simd::Simd;

use super::ahead::Ahead;
use super::{CHUNK, Call};
use crate::states::CELL;

/// Blocks of a chunk.
pub const BLOCKS: usize = CHUNK / CELL;

/// The blocks of a chunk, in the order of positions.
#[derive(Clone, Copy)]
pub struct Blocks {
    /// Keys; those of which nothing is seen are some other's.
    pub keys: [*const u8; BLOCKS],
    /// Values; those of which nothing is seen are zeros, if they are asked for.
    pub values: [*const u8; BLOCKS],
}

/// A chunk of a sequence as a kv head sees it.
#[derive(Clone)]
pub struct Chunk<'a> {
    pub call: &'a Call<'a>,
    pub sequence: usize,
    pub head: usize,
    /// Its first position.
    pub first: usize,
    /// The positions that are seen, from its first on; at least one.
    pub seen: Range<usize>,
}

impl Chunk<'_> {
    /// The blocks of which something is seen.
    pub fn blocks(&self) -> Range<usize> {
        self.seen.start / CELL..self.seen.end.div_ceil(CELL)
    }

    /// Where blocks of the pool's pages lie; only those seen are told.
    pub fn lie(&self) -> Blocks {
        let mut blocks = Blocks { keys: [std::ptr::null(); BLOCKS], values: [std::ptr::null(); BLOCKS] };
        let Call { keys, values, shape, .. } = self.call;
        let all = self.blocks();
        let (mut column, mut place) = self.column(self.first + all.start * CELL);
        for block in all {
            let page = self.page(column);
            blocks.keys[block] = keys.block(page, self.head, place / CELL);
            blocks.values[block] = values.block(page, self.head, place / CELL);
            place += CELL;
            if place == shape.page_len {
                (column, place) = (column + 1, 0);
            }
        }
        blocks
    }

    /// The blocks as vectors read them, from pages of cells. `scratch` holds three blocks of values.
    ///
    /// # Safety
    /// Nobody writes to the pages.
    pub unsafe fn in_place(&self, scratch: &mut [f32]) -> Blocks {
        let lie = self.lie();
        let mut blocks = lie;
        let bytes = self.block_bytes();
        let scratch = bytes_of(scratch);
        let [zeros, low, high] = {
            let (zeros, rest) = scratch.split_at_mut(bytes);
            let (low, rest) = rest.split_at_mut(bytes);
            [zeros, low, &mut rest[..bytes]]
        };
        let all = self.blocks();
        let known = blocks.keys[all.start];
        blocks.keys.iter_mut().filter(|key| key.is_null()).for_each(|key| *key = known);
        // Whole steps are read, of two blocks each.
        if (all.start | all.end) % 2 == 1 {
            zeros.fill(0);
        }
        blocks.values.iter_mut().filter(|value| value.is_null()).for_each(|value| *value = zeros.as_ptr());
        for (block, copy) in [(all.start, low), (all.end - 1, high)] {
            // The first may be the last, and copied already.
            if !self.is_whole(block) && blocks.values[block] == lie.values[block] {
                // SAFETY: a block of the pool, and one of scratch.
                unsafe { copy.as_mut_ptr().copy_from_nonoverlapping(lie.values[block], bytes) };
                self.erase_unseen(block, copy);
                blocks.values[block] = copy.as_ptr();
            }
        }
        blocks
    }

    /// The blocks as vectors read them, decoded to f32. `row` is scratch of a head's width.
    ///
    /// # Safety
    /// Nobody writes to the pages.
    pub unsafe fn decoded(&self, keys: &mut [f32], values: &mut [f32], row: &mut [f32]) -> Blocks {
        let lanes = self.call.shape.lanes();
        let len = CELL * lanes;
        // Whole steps are read, of two blocks each.
        let blocks = self.blocks();
        let read = blocks.start / 2 * 2 * len..blocks.end.next_multiple_of(2) * len;
        keys[read.clone()].fill(0.0);
        values[read].fill(0.0);
        let row = &mut row[..self.call.shape.width];
        for at in self.seen.clone() {
            let (column, place) = self.column(self.first + at);
            let page = self.page(column);
            let (block, column) = (at / CELL * len, at % CELL);
            // SAFETY: as the caller says.
            unsafe { self.call.keys.head(page, place, self.head, row) };
            for (e, &x) in row.iter().enumerate() {
                keys[block + e * CELL + column] = x;
            }
            // SAFETY: as the caller says.
            unsafe { self.call.values.head(page, place, self.head, row) };
            for (e, &x) in row.iter().enumerate() {
                values[block + column * lanes + e] = x;
            }
        }
        let block = |all: &[f32], block: usize| all[block * len..].as_ptr().cast::<u8>();
        Blocks {
            keys: std::array::from_fn(|b| block(keys, b)),
            values: std::array::from_fn(|b| block(values, b)),
        }
    }

    /// The chunk's keys and values as tiles read them: those of two neighbouring blocks behind each other, of which the
    /// first is told. They are copied only where they do not lie so. With each copy goes a run to ask ahead.
    ///
    /// # Safety
    /// Nobody writes to the pages; both are bf16 in blocks.
    #[inline(always)]
    pub unsafe fn gathered<S: Simd>(
        &self,
        s: S,
        keys: &mut [f32],
        values: &mut [f32],
        ahead: &mut Ahead,
    ) -> Blocks {
        let mut blocks = self.lie();
        let (keys, values) = (bytes_of(keys), bytes_of(values));
        let (row, depth) = (2 * CELL * self.call.shape.width, 2 * CELL * self.call.shape.depth());
        let all = self.blocks();
        let lie = blocks.values;
        for even in (all.start / 2 * 2..all.end).step_by(2) {
            let both = [even, even + 1];
            let in_place = both.iter().all(|block| all.contains(block) && self.is_whole(*block));
            if in_place && lie[even + 1] == lie[even].wrapping_add(row) {
                continue;
            }
            for block in both {
                let to = &mut values[block * row..][..row];
                match all.contains(&block) {
                    // SAFETY: a block of the pool, and one of scratch.
                    true => unsafe { to.as_mut_ptr().copy_from_nonoverlapping(lie[block], row) },
                    false => to.fill(0),
                }
                ahead.ask(s);
                if all.contains(&block) && !self.is_whole(block) {
                    self.erase_unseen(block, to);
                }
            }
            blocks.values[even] = values[even * row..].as_ptr();
        }
        if row != depth {
            for block in all.clone() {
                let to = &mut keys[block * depth..][..depth];
                // SAFETY: a block of the pool, and one of scratch.
                unsafe { to.as_mut_ptr().copy_from_nonoverlapping(blocks.keys[block], row) };
                to[row..].fill(0);
                blocks.keys[block] = to.as_ptr();
            }
        }
        let known = blocks.keys[all.start];
        blocks.keys.iter_mut().filter(|key| key.is_null()).for_each(|key| *key = known);
        blocks
    }

    /// Bytes of sixteen positions of a head, where they lie in cells.
    pub fn block_bytes(&self) -> usize {
        self.call.keys.block_bytes()
    }

    fn is_whole(&self, block: usize) -> bool {
        self.seen.start <= block * CELL && (block + 1) * CELL <= self.seen.end
    }

    /// Puts zeros at the positions of a block that are not seen.
    fn erase_unseen(&self, block: usize, bytes: &mut [u8]) {
        let within = |at: usize| at.saturating_sub(block * CELL).min(CELL);
        self.call.values.shape().erase_unseen(bytes, &(within(self.seen.start)..within(self.seen.end)));
    }

    /// The column of the table whose page holds a position, and the place in the page.
    fn column(&self, position: usize) -> (usize, usize) {
        let (page, place) = (position / self.call.shape.page_len, position % self.call.shape.page_len);
        let base = usize::try_from(self.call.base[self.sequence]).ok();
        let column = base.and_then(|base| page.checked_sub(base));
        (column.expect("the table holds every page that a token sees"), place)
    }

    /// The page of a column.
    fn page(&self, column: usize) -> usize {
        let Call { table, columns, .. } = self.call;
        assert!(column < *columns, "the table holds every page that a token sees");
        usize::try_from(table[self.sequence * columns + column]).expect("pages are counted from zero")
    }
}

fn bytes_of(values: &mut [f32]) -> &mut [u8] {
    // SAFETY: any f32 is four bytes, any four bytes an f32; the borrow is handed on.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}
