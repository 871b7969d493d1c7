//! Attention over pages.
//!
//! Positions are cut into chunks of [`CHUNK`], aligned to absolute positions. Within a chunk a query row has scores,
//! their maximum `m`, weights `e^(score - m)`, their sum `l` and the weighted sum of values `o`; chunks are merged in
//! the order of positions by one formula. Scores and weighted sums add up in the order of AMX's bf16 product: over 32
//! elements or positions the even and the odd products are summed apart from zero, then both are added. So a row has
//! the same bits whatever else is in the step, however its chunks are divided among workers, and at every level.
//!
//! A step is surveyed once ([`Survey::look`]) into units of work, each a kv head with some tokens of a sequence and
//! the chunks they see; every layer that attends alike runs the same units. A sequence with few tokens is memory
//! traffic: where units are too few for the workers, its chunks are divided, and partial results merged afterwards.

mod ahead;
mod chunk;
mod element;
mod exp2;
mod merge;
mod on_tiles;
mod on_vectors;
mod own;
mod running;
mod sight;
mod softmax;
mod step;
#[cfg(test)]
mod tests;
mod tiles;
mod vectors;
mod walk;

use simd::Isa;

use crate::states::State;
use own::Own;
pub use step::{Step, Survey};

/// Positions whose scores are weighed together.
pub const CHUNK: usize = 256;
/// Rows of queries (tokens times query heads of a kv head) that a unit has at most, unless one token has more.
const ROWS: usize = 256;
/// Tokens of a sequence up to which its chunks may be divided.
const FEW: usize = 8;

/// What does not change from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Query heads; whole groups of them share a kv head.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Elements of a head.
    pub width: usize,
    /// Slots of a page.
    pub page_len: usize,
    /// Multiplies the scores.
    pub scale: f32,
    /// Positions visible to a token, itself included; all where `None`.
    pub window: Option<u32>,
    /// Whether queries and weights are rounded to bf16, as keys and values are: the numbers of tiles. Else all is f32.
    pub rounded: bool,
}

impl Shape {
    /// Query heads of a kv head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Elements of a head, filled up to whole vectors.
    fn lanes(&self) -> usize {
        self.width.next_multiple_of(16)
    }

    /// Elements of a head, filled up to whole steps of a product.
    fn depth(&self) -> usize {
        self.width.next_multiple_of(32)
    }

    /// Bytes of scratch that each worker needs to itself.
    pub fn own_bytes(&self) -> usize {
        Own::floats(self) * size_of::<f32>()
    }

    /// f32 of a row's partial result of one chunk: the sums, then maximum and sum of weights on lines of their own.
    fn partial_floats(&self) -> usize {
        self.lanes() + 32
    }
}

/// One layer's attention in a step.
pub struct Call<'a> {
    /// What does not change.
    pub shape: Shape,
    /// `[T, H, D]`.
    pub q: &'a [f32],
    /// Pages of keys.
    pub keys: &'a State,
    /// Pages of values.
    pub values: &'a State,
    /// `[T]`, as the survey saw them.
    pub positions: &'a [i32],
    /// `[T]`, as the survey saw them.
    pub sequences: &'a [i32],
    /// `[B, columns]` pages of each sequence.
    pub table: &'a [i32],
    /// Columns of the table.
    pub columns: usize,
    /// `[B]` the page of the sequence that the first column is.
    pub base: &'a [i32],
    /// `[H]`.
    pub sinks: Option<&'a [f32]>,
    /// `[T, H, D]`, written.
    pub out: *mut f32,
    /// [`Survey::partial_bytes`] on a line's boundary, shared by all workers.
    pub partials: *mut f32,
}

impl Call<'_> {
    /// Does a unit of the step. `own` is at least [`Shape::own_bytes`] long.
    ///
    /// # Safety
    /// `out` and `partials` may be written as far as their shapes go; each unit is done by one worker; nobody writes
    /// to pages that the step reads.
    ///
    /// # Panics
    /// Where a position lies in no page of its sequence's table, or a table names no page of the pool.
    pub unsafe fn unit(&self, isa: Isa, step: &Step, unit: usize, own: &mut [f32]) {
        self.assert_lengths(step);
        // SAFETY: as the caller says.
        unsafe { walk::unit(isa, self, [unit, unit + 1].map(|unit| step.units().get(unit)), own) }
    }

    /// Merges partial results: one of [`Step::merges`], after all units are done.
    ///
    /// # Safety
    /// As for `unit`; and all units are done.
    pub unsafe fn merge(&self, isa: Isa, step: &Step, index: usize) {
        self.assert_lengths(step);
        // SAFETY: as the caller says.
        unsafe { merge::merge(isa, self, &step.merging()[index]) }
    }

    fn assert_lengths(&self, step: &Step) {
        let Shape { heads, kv_heads, width, page_len, .. } = self.shape;
        let tokens = step.tokens();
        assert_eq!(self.q.len(), tokens * heads * width, "there is a query of each token");
        assert!(self.positions.len() == tokens && self.sequences.len() == tokens, "the step was surveyed");
        assert_eq!(self.table.len(), self.base.len() * self.columns, "a table has a row for each sequence");
        assert!(self.sinks.is_none_or(|sinks| sinks.len() == heads), "there is a sink for each head");
        for state in [self.keys, self.values] {
            let pages = state.shape();
            assert!(
                (pages.page_len, pages.heads, pages.width) == (page_len, kv_heads, width),
                "pages hold what is attended to"
            );
        }
    }
}
