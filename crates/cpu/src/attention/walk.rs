//! A unit's walk over its chunks, in either way.

use std::marker::PhantomData;
use std::ops::Range;

use simd::{Isa, LANES, Simd};
use tensor::DType;

use super::ahead::Ahead;
use super::chunk::Chunk;
use super::exp2::Exp2;
use super::merge::partial;
use super::on_tiles::OnTiles;
use super::on_vectors::{InPairs, OnVectors};
use super::own::{GROUP_ROWS, Own};
use super::running::{self, Rows};
use super::sight::Sight;
use super::step::Unit;
use super::{CHUNK, Call, Shape, tiles};
use crate::states::Layout;

/// Rows from which on tiles are worth their loads.
const TILES_FROM: usize = 2;

/// How a unit is computed. Bits depend on it only where bf16 is multiplied by bf16: in pairs they are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On vectors, bf16 by bf16 in pairs.
    Pairs,
    /// On vectors, as tiles do.
    Vectors,
    /// On the machine's tiles.
    Tiles,
    /// On a model of tiles.
    #[cfg(test)]
    Model,
}

/// A unit with what it takes to do it.
pub struct Walk<'a> {
    pub call: &'a Call<'a>,
    pub unit: &'a Unit,
    /// What the worker does after it, if it is known.
    pub next: Option<&'a Unit>,
    pub own: Own<'a>,
    pub exp2: Exp2,
}

/// Does a unit in the way that suits it.
///
/// # Safety
/// As for [`Call::unit`].
pub unsafe fn unit(isa: Isa, call: &Call<'_>, [unit, next]: [Option<&Unit>; 2], own: &mut [f32]) {
    let Some(unit) = unit else { return };
    let rows = unit.tokens.len() * call.shape.group();
    let way = match call.takes_tiles() {
        true if isa != Isa::Amx => Way::Pairs,
        true if rows >= TILES_FROM => Way::Tiles,
        _ => Way::Vectors,
    };
    // SAFETY: as the caller says; the level has tiles.
    unsafe { unit_by(way, isa, call, unit, next, own) }
}

/// Does a unit in a given way.
///
/// # Safety
/// As for [`Call::unit`]; tiles are taken where the level has them, and models of tiles, where the call takes tiles.
pub unsafe fn unit_by(
    way: Way,
    isa: Isa,
    call: &Call<'_>,
    unit: &Unit,
    next: Option<&Unit>,
    own: &mut [f32],
) {
    let walk = Walk { call, unit, next, own: Own::cut(&call.shape, own), exp2: call.shape.exp2() };
    match way {
        Way::Pairs => isa.run_bf16(InPairs(walk)),
        Way::Vectors => isa.run(OnVectors(walk)),
        #[cfg(target_arch = "x86_64")]
        Way::Tiles => isa.run(OnTiles::<tiles::Hardware>(walk, PhantomData)),
        #[cfg(not(target_arch = "x86_64"))]
        Way::Tiles => unreachable!("no other architecture has tiles"),
        #[cfg(test)]
        Way::Model => isa.run(OnTiles::<tiles::Model>(walk, PhantomData)),
    }
}

impl Call<'_> {
    /// The type of keys and values, where they can be read as they lie.
    pub fn in_cells(&self) -> Option<DType> {
        let (keys, values) = (self.keys.shape(), self.values.shape());
        let fits =
            keys.layout == Layout::Keys && values.layout == Layout::Values && keys.dtype == values.dtype;
        fits.then_some(keys.dtype)
    }

    /// Whether bf16 is multiplied by bf16, and keys and values lie as tiles read them.
    pub fn takes_tiles(&self) -> bool {
        self.shape.rounded && self.in_cells() == Some(DType::BF16)
    }
}

impl Shape {
    /// The exponential of differences of scores before the scale, whose sign the queries take.
    pub fn exp2(&self) -> Exp2 {
        Exp2::new(self.scale.abs() * std::f32::consts::LOG2_E)
    }
}

impl<'a> Walk<'a> {
    /// Rows of queries.
    pub fn rows(&self) -> usize {
        self.unit.tokens.len() * self.call.shape.group()
    }

    /// All rows, so many at a time.
    pub fn groups(&self, at_once: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let rows = self.rows();
        (0..rows).step_by(at_once).map(move |first| first..(first + at_once).min(rows))
    }

    /// A chunk of a unit, where something of it is seen.
    pub fn chunk(&self, unit: &Unit, index: usize) -> Option<Chunk<'a>> {
        let sequence = usize::try_from(self.call.sequences[unit.tokens.start]);
        let sequence = sequence.expect("sequences are counted from zero");
        // Nothing is seen so far: the range grows from its ends.
        #[allow(clippy::reversed_empty_ranges, reason = "empty on purpose")]
        let mut chunk =
            Chunk { call: self.call, sequence, head: unit.head, first: index * CHUNK, seen: CHUNK..0 };
        for &position in &self.call.positions[unit.tokens.clone()] {
            let seen = self.call.shape.seen(position);
            let [start, end] = [seen.start, seen.end].map(|at| at.saturating_sub(chunk.first).min(CHUNK));
            if start < end {
                chunk.seen = chunk.seen.start.min(start)..chunk.seen.end.max(end);
            }
        }
        (!chunk.seen.is_empty()).then_some(chunk)
    }

    /// What rows see of a chunk.
    pub fn sight(&self, chunk: &Chunk<'_>, rows: Range<usize>) -> Sight {
        Sight::of(&self.call.shape, &self.call.positions[self.unit.tokens.clone()], chunk.first, rows)
    }

    /// What to bring near while a chunk is computed on tiles, where memory is what a unit waits for: it has one group
    /// of rows.
    pub fn ahead(&self, chunk: &Chunk<'_>) -> Ahead {
        if self.rows() > GROUP_ROWS {
            return Ahead::NOTHING;
        }
        let index = chunk.first / CHUNK + 1;
        let next = match index < self.unit.chunks.end {
            true => self.chunk(self.unit, index),
            false => self.next.and_then(|next| self.chunk(next, next.chunks.start)),
        };
        Ahead::of(chunk, next.as_ref())
    }

    /// The first element of a row's query, and of its result.
    fn element(&self, row: usize) -> usize {
        let shape = &self.call.shape;
        let (token, head) = (self.unit.tokens.start + row / shape.group(), row % shape.group());
        (token * shape.heads + self.unit.head * shape.group() + head) * shape.width
    }

    /// Sixteen elements of a row's query, zeros behind its last; its sign is the scale's.
    ///
    /// # Safety
    /// The row is one of the unit.
    #[inline(always)]
    pub unsafe fn query<S: Simd>(&self, s: S, row: usize, at: usize) -> S::F {
        let row = &self.call.q[self.element(row)..][..self.call.shape.width];
        let rest = &row[at.min(row.len())..];
        // SAFETY: no more is read than there is.
        let x = unsafe { s.load_first(rest.as_ptr(), rest.len().min(LANES)) };
        if self.call.shape.scale < 0.0 { s.mul(x, s.splat(-1.0)) } else { x }
    }

    /// Nothing has been seen.
    pub fn begin(&mut self) {
        let rows = self.rows();
        self.own.max[..rows].fill(f32::NEG_INFINITY);
        self.own.total[..rows].fill(0.0);
        self.own.sums[..rows * self.call.shape.lanes()].fill(0.0);
    }

    /// Merges a group's results of a chunk into what was seen before, or keeps them apart.
    ///
    /// # Safety
    /// As for `unit_by`.
    #[inline(always)]
    pub unsafe fn keep<S: Simd>(&mut self, s: S, index: usize, rows: Range<usize>) {
        let lanes = self.call.shape.lanes();
        let Own { max, total, sums, chunk_max, chunk_total, chunk_sums, .. } = &mut self.own;
        let Some(at) = self.unit.partial else {
            let so_far = Rows { max: max.as_mut_ptr(), total: total.as_mut_ptr(), sums: sums.as_mut_ptr() };
            let chunk = Rows {
                max: chunk_max.as_mut_ptr(),
                total: chunk_total.as_mut_ptr(),
                sums: chunk_sums.as_mut_ptr(),
            };
            for first in (0..rows.len()).step_by(LANES) {
                let count = (rows.len() - first).min(LANES);
                // SAFETY: scratch has maxima and totals of sixteen rows more than there are.
                unsafe {
                    let so_far = so_far.from(rows.start + first, lanes);
                    running::merge(s, self.exp2, so_far, chunk.from(first, lanes), count, lanes);
                }
            }
            return;
        };
        let first = at + (index - self.unit.chunks.start) * self.unit.tokens.len() * self.call.shape.group();
        for (place, row) in rows.enumerate() {
            let nothing = chunk_total[place] == 0.0;
            // SAFETY: the survey counted the partial results, and this one is the unit's own.
            unsafe {
                let to = partial(self.call, first + row);
                *to.max = if nothing { f32::NEG_INFINITY } else { chunk_max[place] };
                *to.total = chunk_total[place];
                match nothing {
                    true => to.sums.write_bytes(0, lanes),
                    false => to.sums.copy_from_nonoverlapping(chunk_sums[place * lanes..].as_ptr(), lanes),
                }
            }
        }
    }

    /// Keeps that no row saw anything of a chunk.
    ///
    /// # Safety
    /// As for `unit_by`.
    #[inline(always)]
    pub unsafe fn keep_nothing<S: Simd>(&mut self, s: S, index: usize) {
        self.own.chunk_total.fill(0.0);
        for rows in self.groups(GROUP_ROWS) {
            // SAFETY: as the caller says.
            unsafe { self.keep(s, index, rows) };
        }
    }

    /// Writes the rows' results, unless they are partial.
    ///
    /// # Safety
    /// As for `unit_by`.
    #[inline(always)]
    pub unsafe fn end<S: Simd>(&mut self, s: S) {
        if self.unit.partial.is_some() {
            return;
        }
        let shape = &self.call.shape;
        for row in 0..self.rows() {
            let head = self.unit.head * shape.group() + row % shape.group();
            let sums = self.own.sums[row * shape.lanes()..].as_ptr();
            let result = (self.own.max[row], self.own.total[row], sums);
            let sink = self.call.sinks.map(|sinks| sinks[head]);
            // SAFETY: the row's results are the unit's own.
            unsafe {
                running::finish(s, self.exp2, result, sink, self.call.out.add(self.element(row)), shape.width)
            };
        }
    }
}
