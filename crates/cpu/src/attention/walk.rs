//! A unit's walk over its chunks.

use std::marker::PhantomData;
use std::ops::Range;

use simd::{Isa, Kernel, LANES, Simd};
use tensor::DType;

use super::chunk::{Blocks, Chunk};
use super::element::{Bf16, Element, F16, F32};
use super::exp2::Exp2;
use super::own::{GROUP_ROWS, Own};
use super::running::{self, Rows};
use super::softmax::{InPlace, Packed, STEP, Weighed, weigh};
use super::step::{Merging, Unit};
use super::tiles::{self, Tiles};
use super::vectors::Products;
use super::{CHUNK, Call};
use crate::states::Layout;

/// Rows from which on tiles are worth their loads.
const TILES_FROM: usize = 9;

/// How a unit is computed. Both ways give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On vectors.
    Vectors,
    /// On the machine's tiles.
    Tiles,
    /// On a model of tiles.
    #[cfg(test)]
    Model,
}

/// Does a unit in the way that suits it.
///
/// # Safety
/// As for [`Call::unit`].
pub unsafe fn unit(isa: Isa, call: &Call<'_>, unit: &Unit, own: &mut [f32]) {
    let rows = unit.tokens.len() * call.shape.group();
    let way = if isa == Isa::Amx && takes_tiles(call) && rows >= TILES_FROM { Way::Tiles } else { Way::Vectors };
    // SAFETY: as the caller says; the level has tiles.
    unsafe { unit_by(way, isa, call, unit, own) }
}

/// Whether keys and values lie as tiles read them.
pub fn takes_tiles(call: &Call<'_>) -> bool {
    call.shape.rounded && in_cells(call) == Some(DType::BF16)
}

/// The type of keys and values that can be read where they are.
fn in_cells(call: &Call<'_>) -> Option<DType> {
    let (keys, values) = (call.keys.shape(), call.values.shape());
    let fits = keys.layout == Layout::Keys && values.layout == Layout::Values && keys.dtype == values.dtype;
    fits.then_some(keys.dtype)
}

/// Does a unit in a given way.
///
/// # Safety
/// As for [`Call::unit`]; tiles are taken where the level has them, and models of tiles, where the call takes tiles.
pub unsafe fn unit_by(way: Way, isa: Isa, call: &Call<'_>, unit: &Unit, own: &mut [f32]) {
    let exp2 = Exp2::new(call.shape.scale.abs() * std::f32::consts::LOG2_E);
    let walk = Walk { call, unit, own: Own::cut(&call.shape, own), exp2 };
    match way {
        Way::Vectors => isa.run(OnVectors(walk)),
        #[cfg(target_arch = "x86_64")]
        Way::Tiles => isa.run(OnTiles::<tiles::Hardware>(walk, PhantomData)),
        #[cfg(not(target_arch = "x86_64"))]
        Way::Tiles => unreachable!("no other architecture has tiles"),
        #[cfg(test)]
        Way::Model => isa.run(OnTiles::<tiles::Model>(walk, PhantomData)),
    }
}

/// Merges the partial results of a sequence's tokens for one kv head, and ends their rows.
///
/// # Safety
/// As for [`Call::merge`].
pub unsafe fn merge(isa: Isa, call: &Call<'_>, merging: &Merging) {
    let exp2 = Exp2::new(call.shape.scale.abs() * std::f32::consts::LOG2_E);
    isa.run(Merge { call, merging, exp2 });
}

/// A unit with what it takes to do it.
struct Walk<'a> {
    call: &'a Call<'a>,
    unit: &'a Unit,
    own: Own<'a>,
    exp2: Exp2,
}

struct OnVectors<'a>(Walk<'a>);
struct OnTiles<'a, T>(Walk<'a>, PhantomData<T>);

impl Kernel for OnVectors<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut walk = self.0;
        // SAFETY: `unit_by` is told that the unit may be done.
        unsafe {
            match (in_cells(walk.call), walk.call.shape.rounded) {
                (Some(DType::BF16), true) => walk.on_vectors::<S, Bf16, true>(s, true),
                (Some(DType::BF16), false) => walk.on_vectors::<S, Bf16, false>(s, true),
                (Some(DType::F16), false) => walk.on_vectors::<S, F16, false>(s, true),
                (Some(DType::F32), false) => walk.on_vectors::<S, F32, false>(s, true),
                (_, true) => walk.on_vectors::<S, F32, true>(s, false),
                (_, false) => walk.on_vectors::<S, F32, false>(s, false),
            }
        }
    }
}

impl<T: Tiles> Kernel for OnTiles<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut walk = self.0;
        // SAFETY: as for vectors, and tiles were asked for where there are some.
        unsafe { walk.on_tiles::<S, T>(s) }
    }
}

impl<'a> Walk<'a> {
    /// # Safety
    /// As for `unit_by`.
    #[inline(always)]
    unsafe fn on_vectors<S: Simd, E: Element, const ROUNDED: bool>(&mut self, s: S, in_cells: bool) {
        let (lanes, depth) = (self.call.shape.lanes(), self.call.shape.depth());
        let widest = if S::ISA >= Isa::Avx512 { 8 } else { 2 };
        // SAFETY: as the caller says; scratch is cut for the call's shape.
        unsafe {
            self.take_queries::<S, ROUNDED>(s);
            self.begin();
            for index in self.unit.chunks.clone() {
                let Some(chunk) = self.chunk(index) else {
                    self.keep_nothing(s, index);
                    continue;
                };
                let blocks = match in_cells {
                    true => chunk.in_place(self.own.values),
                    false => chunk.decoded(self.own.keys, self.own.values, self.own.chunk_sums),
                };
                let products = Products::<S, E> { s, element: PhantomData, pairs: lanes / 2, blocks: &blocks };
                for rows in self.groups(widest) {
                    self.own.chunk_total.fill(0.0);
                    if let Some(seen) = self.seen(&chunk, rows.clone()) {
                        let queries = self.own.queries.as_ptr().add(rows.start * depth);
                        // Levels of few registers never have more than two rows at once.
                        let few = S::ISA < Isa::Avx512;
                        match rows.len() {
                            1 => self.group::<S, E, ROUNDED, 1>(products, &chunk, queries, rows.clone(), seen),
                            _ if few => self.group::<S, E, ROUNDED, 2>(products, &chunk, queries, rows.clone(), seen),
                            2 => self.group::<S, E, ROUNDED, 2>(products, &chunk, queries, rows.clone(), seen),
                            3 | 4 => self.group::<S, E, ROUNDED, 4>(products, &chunk, queries, rows.clone(), seen),
                            _ => self.group::<S, E, ROUNDED, 8>(products, &chunk, queries, rows.clone(), seen),
                        }
                    }
                    self.keep(s, index, rows);
                }
            }
            self.end(s);
        }
    }

    /// A chunk's results of up to `R` rows, which see some of it.
    ///
    /// # Safety
    /// As for `unit_by`.
    #[inline(always)]
    unsafe fn group<S: Simd, E: Element, const ROUNDED: bool, const R: usize>(
        &mut self,
        products: Products<'_, S, E>,
        chunk: &Chunk<'_>,
        queries: *const f32,
        rows: Range<usize>,
        seen: Range<usize>,
    ) {
        let (lanes, depth) = (self.call.shape.lanes(), self.call.shape.depth());
        let steps = seen.start / STEP..seen.end.div_ceil(STEP);
        let scores = self.own.scores.as_mut_ptr();
        // SAFETY: scratch has as many rows of queries, scores and sums.
        unsafe {
            products.scores::<R>(queries, depth, seen.start / LANES..seen.end.div_ceil(LANES), scores);
            for (place, row) in rows.enumerate() {
                if let Some(seen) = self.seen(chunk, row..row + 1) {
                    let scores = scores.add(place * CHUNK);
                    let weights = InPlace::<ROUNDED>(scores);
                    let weighed = weigh(products.s, self.exp2, scores, seen, steps.clone(), weights);
                    self.note(place, weighed);
                }
            }
            products.sums::<R>(scores, steps, lanes, self.own.chunk_sums.as_mut_ptr());
        }
    }

    /// # Safety
    /// As for `unit_by`.
    #[inline(always)]
    unsafe fn on_tiles<S: Simd, T: Tiles>(&mut self, s: S) {
        // SAFETY: as the caller says; scratch is cut for the call's shape.
        unsafe {
            let mut tiles = T::open();
            self.pack_queries(s);
            self.begin();
            for index in self.unit.chunks.clone() {
                let Some(chunk) = self.chunk(index) else {
                    self.keep_nothing(s, index);
                    continue;
                };
                let blocks = chunk.gathered(self.own.keys, self.own.values);
                for rows in self.groups(GROUP_ROWS) {
                    self.own.chunk_total.fill(0.0);
                    if let Some(seen) = self.seen(&chunk, rows.clone()) {
                        match rows.len() > GROUP_ROWS / 2 {
                            true => self.tiled::<S, T, true>(s, &mut tiles, &chunk, &blocks, rows.clone(), seen),
                            false => self.tiled::<S, T, false>(s, &mut tiles, &chunk, &blocks, rows.clone(), seen),
                        }
                    }
                    self.keep(s, index, rows);
                }
            }
            self.end(s);
        }
    }

    /// A chunk's results of up to 32 rows (16 where not `BOTH`), which see some of it.
    ///
    /// # Safety
    /// As for `unit_by`.
    #[inline(always)]
    unsafe fn tiled<S: Simd, T: Tiles, const BOTH: bool>(
        &mut self,
        s: S,
        tiles: &mut T,
        chunk: &Chunk<'_>,
        blocks: &Blocks,
        rows: Range<usize>,
        seen: Range<usize>,
    ) {
        let (lanes, depth) = (self.call.shape.lanes(), self.call.shape.depth());
        let steps = seen.start / STEP..seen.end.div_ceil(STEP);
        let scores = self.own.scores.as_mut_ptr();
        let weights = self.own.weights.as_mut_ptr().cast::<u16>();
        // SAFETY: scratch has as many rows of queries, scores, weights and sums.
        unsafe {
            let queries = self.own.queries.as_ptr().cast::<u16>().add(rows.start * depth);
            tiles::scores::<T, BOTH>(tiles, queries.cast(), depth, blocks, steps.clone(), scores);
            for (place, row) in rows.enumerate() {
                if let Some(seen) = self.seen(chunk, row..row + 1) {
                    let weights = Packed(weights.add(place * CHUNK));
                    let scores = scores.add(place * CHUNK);
                    let weighed = weigh(s, self.exp2, scores, seen, steps.clone(), weights);
                    self.note(place, weighed);
                }
            }
            tiles::sums::<T, BOTH>(tiles, weights.cast(), blocks, steps, lanes, self.own.chunk_sums.as_mut_ptr());
        }
    }

    fn rows(&self) -> usize {
        self.unit.tokens.len() * self.call.shape.group()
    }

    /// All rows, so many at a time.
    fn groups(&self, at_once: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let rows = self.rows();
        (0..rows).step_by(at_once).map(move |first| first..(first + at_once).min(rows))
    }

    /// The chunk, where something of it is seen.
    fn chunk(&self, index: usize) -> Option<Chunk<'a>> {
        let sequence = self.call.sequences[self.unit.tokens.start];
        let sequence = usize::try_from(sequence).expect("sequences are counted from zero");
        let whole = Chunk { call: self.call, sequence, head: self.unit.head, first: index * CHUNK, seen: 0..CHUNK };
        let seen = self.seen(&whole, 0..self.rows())?;
        Some(Chunk { seen, ..whole })
    }

    /// The positions of a chunk, from its first on, that some of the rows see.
    #[inline(always)]
    fn seen(&self, chunk: &Chunk<'_>, rows: Range<usize>) -> Option<Range<usize>> {
        let group = self.call.shape.group();
        let tokens = self.unit.tokens.start + rows.start / group..self.unit.tokens.start + rows.end.div_ceil(group);
        let mut all = CHUNK..0;
        for &position in &self.call.positions[tokens] {
            let seen = self.call.shape.seen(position);
            let start = seen.start.max(chunk.first);
            let end = seen.end.min(chunk.first + CHUNK);
            if start < end {
                all = all.start.min(start - chunk.first)..all.end.max(end - chunk.first);
            }
        }
        (all.start < all.end).then_some(all)
    }

    /// The first element of a row's query, and of its result.
    fn element(&self, row: usize) -> usize {
        let shape = &self.call.shape;
        let (token, head) = (self.unit.tokens.start + row / shape.group(), row % shape.group());
        (token * shape.heads + self.unit.head * shape.group() + head) * shape.width
    }

    /// The unit's queries for vectors, rounded where they are to be; zeros to whole steps and groups.
    ///
    /// # Safety
    /// Scratch is cut for the call's shape.
    #[inline(always)]
    unsafe fn take_queries<S: Simd, const ROUNDED: bool>(&mut self, s: S) {
        let depth = self.call.shape.depth();
        let all = self.rows().next_multiple_of(GROUP_ROWS);
        let used = self.rows() * depth;
        self.own.queries[used..all * depth].fill(0.0);
        for row in 0..self.rows() {
            let mut at = 0;
            while at < depth {
                // SAFETY: rows of scratch are `depth` long, a multiple of 16.
                unsafe {
                    let x = self.query(s, row, at);
                    let to = self.own.queries.as_mut_ptr().add(row * depth + at);
                    if ROUNDED {
                        s.store_bf16(to.cast(), x);
                        s.store(to, s.load_bf16(to.cast()));
                    } else {
                        s.store(to, x);
                    }
                }
                at += LANES;
            }
        }
    }

    /// The unit's queries for tiles; zeros to whole steps and groups.
    ///
    /// # Safety
    /// Scratch is cut for the call's shape.
    #[inline(always)]
    unsafe fn pack_queries<S: Simd>(&mut self, s: S) {
        let depth = self.call.shape.depth();
        let all = self.rows().next_multiple_of(GROUP_ROWS);
        self.own.queries[..(all * depth).div_ceil(2)].fill(0.0);
        for row in 0..self.rows() {
            let mut at = 0;
            while at < depth {
                // SAFETY: rows of scratch are `depth` long, a multiple of 16.
                unsafe {
                    let to = self.own.queries.as_mut_ptr().cast::<u16>().add(row * depth + at);
                    s.store_bf16(to, self.query(s, row, at));
                }
                at += LANES;
            }
        }
    }

    /// Sixteen elements of a row's query, zeros behind its last; its sign is the scale's.
    ///
    /// # Safety
    /// The row is one of the unit.
    #[inline(always)]
    unsafe fn query<S: Simd>(&self, s: S, row: usize, at: usize) -> S::F {
        let row = &self.call.q[self.element(row)..][..self.call.shape.width];
        let rest = &row[at.min(row.len())..];
        // SAFETY: no more is read than there is.
        let x = unsafe { s.load_first(rest.as_ptr(), rest.len().min(LANES)) };
        if self.call.shape.scale < 0.0 { s.mul(x, s.splat(-1.0)) } else { x }
    }

    /// Nothing has been seen.
    fn begin(&mut self) {
        let rows = self.rows();
        self.own.max[..rows].fill(f32::NEG_INFINITY);
        self.own.total[..rows].fill(0.0);
        self.own.sums[..rows * self.call.shape.lanes()].fill(0.0);
    }

    fn note(&mut self, place: usize, weighed: Weighed) {
        self.own.chunk_max[place] = weighed.max;
        self.own.chunk_total[place] = weighed.total;
    }

    /// Merges a group's results of a chunk into what was seen before, or keeps them apart.
    ///
    /// # Safety
    /// As for `unit_by`.
    #[inline(always)]
    unsafe fn keep<S: Simd>(&mut self, s: S, index: usize, rows: Range<usize>) {
        let lanes = self.call.shape.lanes();
        let Own { max, total, sums, chunk_max, chunk_total, chunk_sums, .. } = &mut self.own;
        let Some(partial) = self.unit.partial else {
            let so_far = Rows { max: max.as_mut_ptr(), total: total.as_mut_ptr(), sums: sums.as_mut_ptr() };
            let chunk =
                Rows { max: chunk_max.as_mut_ptr(), total: chunk_total.as_mut_ptr(), sums: chunk_sums.as_mut_ptr() };
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
        let first = partial + (index - self.unit.chunks.start) * self.unit.tokens.len() * self.call.shape.group();
        for (place, row) in rows.enumerate() {
            let nothing = chunk_total[place] == 0.0;
            // SAFETY: the survey counted the partial results, and this one is the unit's own.
            unsafe {
                let to = partial_of(self.call, first + row);
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
    unsafe fn keep_nothing<S: Simd>(&mut self, s: S, index: usize) {
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
    unsafe fn end<S: Simd>(&mut self, s: S) {
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
            unsafe { running::finish(s, self.exp2, result, sink, self.call.out.add(self.element(row)), shape.width) };
        }
    }
}

/// Where a partial result lies.
///
/// # Safety
/// There are as many.
unsafe fn partial_of(call: &Call<'_>, index: usize) -> Rows {
    let lanes = call.shape.lanes();
    // SAFETY: as the caller says. Maximum and total have sixteen places each, since they are read as vectors.
    unsafe {
        let sums = call.partials.add(index * call.shape.partial_floats());
        Rows { max: sums.add(lanes), total: sums.add(lanes + LANES), sums }
    }
}

/// Partial results to be merged.
struct Merge<'a> {
    call: &'a Call<'a>,
    merging: &'a Merging,
    exp2: Exp2,
}

impl Kernel for Merge<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Merge { call, merging, exp2 } = self;
        let shape = &call.shape;
        let rows = merging.tokens.len() * shape.group();
        for row in 0..rows {
            let token = merging.tokens.start + row / shape.group();
            let head = merging.head * shape.group() + row % shape.group();
            // SAFETY: all units are done, and these partial results and this row are the merge's own.
            unsafe {
                let first = partial_of(call, merging.partial + row);
                for chunk in 1..merging.chunks {
                    let next = partial_of(call, merging.partial + chunk * rows + row);
                    running::merge(s, exp2, first, next, 1, shape.lanes());
                }
                let result = (*first.max, *first.total, first.sums.cast_const());
                let sink = call.sinks.map(|sinks| sinks[head]);
                let out = call.out.add((token * shape.heads + head) * shape.width);
                running::finish(s, exp2, result, sink, out, shape.width);
            }
        }
    }
}
