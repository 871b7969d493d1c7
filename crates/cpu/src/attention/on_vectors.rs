//! A unit on vectors.

use std::marker::PhantomData;
use std::ops::Range;

use simd::{Isa, Kernel, LANES, Simd};
use tensor::DType;

use super::CHUNK;
use super::element::{Bf16, Element, F16, F32, Pairs, Q8};
use super::sight::Sight;
use super::softmax::{InPlace, Packed, STEP, largest, weigh};
use super::vectors::Products;
use super::walk::Walk;

/// Rows at once, where there are registers for them.
const WIDEST: usize = 8;

/// A unit to be done on vectors, with the even and the odd products summed apart as tiles do.
pub struct OnVectors<'a>(pub Walk<'a>);

/// A unit to be done on vectors, bf16 in pairs.
pub struct InPairs<'a>(pub Walk<'a>);

impl Kernel for OnVectors<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut walk = self.0;
        // SAFETY: whoever made the walk knows that its unit may be done.
        unsafe {
            match (walk.call.in_cells(), walk.call.shape.rounded) {
                (Some(DType::BF16), true) => on_vectors::<S, Bf16, true>(s, &mut walk, true),
                (Some(DType::BF16), false) => on_vectors::<S, Bf16, false>(s, &mut walk, true),
                (Some(DType::F16), false) => on_vectors::<S, F16, false>(s, &mut walk, true),
                (Some(DType::F32), false) => on_vectors::<S, F32, false>(s, &mut walk, true),
                (Some(DType::Q8_0), false) => on_vectors::<S, Q8, false>(s, &mut walk, true),
                (_, true) => on_vectors::<S, F32, true>(s, &mut walk, false),
                (_, false) => on_vectors::<S, F32, false>(s, &mut walk, false),
            }
        }
    }
}

impl Kernel for InPairs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut walk = self.0;
        // SAFETY: whoever made the walk knows that its unit may be done, and that keys and values are bf16 in blocks.
        unsafe { on_vectors::<S, Pairs, true>(s, &mut walk, true) }
    }
}

/// # Safety
/// As for [`super::walk::unit_by`].
#[inline(always)]
unsafe fn on_vectors<S: Simd, E: Element, const ROUNDED: bool>(s: S, walk: &mut Walk<'_>, in_cells: bool) {
    let (lanes, depth) = (walk.call.shape.lanes(), walk.call.shape.depth());
    let few = const { !matches!(S::ISA, Isa::Avx512 | Isa::Amx) };
    // Levels of few registers have two rows at once at most.
    let widest = if few { 2 } else { WIDEST };
    // SAFETY: as the caller says; scratch is cut for the call's shape.
    unsafe {
        take_queries::<S, E, ROUNDED>(s, walk);
        walk.begin();
        for index in walk.unit.chunks.clone() {
            let Some(chunk) = walk.chunk(walk.unit, index) else {
                walk.keep_nothing(s, index);
                continue;
            };
            let blocks = match in_cells {
                true => chunk.in_place(walk.own.values),
                false => chunk.decoded(walk.own.keys, walk.own.values, walk.own.chunk_sums),
            };
            let query_bytes = depth * E::OF_ROW;
            let products = Products::<S, E> { s, element: PhantomData, lanes, query_bytes, blocks: &blocks };
            for rows in walk.groups(widest) {
                let sight = walk.sight(&chunk, rows.clone());
                walk.own.chunk_total.fill(0.0);
                if !sight.any.is_empty() {
                    let queries = walk.own.queries.as_ptr().cast::<u8>().add(rows.start * query_bytes);
                    match rows.len() {
                        1 => group::<S, E, ROUNDED, 1>(walk, &products, queries, &sight),
                        _ if few => group::<S, E, ROUNDED, 2>(walk, &products, queries, &sight),
                        2 => group::<S, E, ROUNDED, 2>(walk, &products, queries, &sight),
                        3 | 4 => group::<S, E, ROUNDED, 4>(walk, &products, queries, &sight),
                        _ => group::<S, E, ROUNDED, 8>(walk, &products, queries, &sight),
                    }
                }
                walk.keep(s, index, rows);
            }
        }
        walk.end(s);
    }
}

/// A chunk's results of up to `R` rows, some of which see some of it.
///
/// # Safety
/// As for [`super::walk::unit_by`].
#[inline(always)]
unsafe fn group<S: Simd, E: Element, const ROUNDED: bool, const R: usize>(
    walk: &mut Walk<'_>,
    products: &Products<'_, S, E>,
    queries: *const u8,
    sight: &Sight,
) {
    let s = products.s;
    let Range { start, end } = sight.any;
    let steps = start / STEP..end.div_ceil(STEP);
    let scores = walk.own.scores.as_mut_ptr();
    // SAFETY: scratch has as many rows of queries, scores and sums.
    unsafe {
        products.scores::<R>(queries, start / LANES..end.div_ceil(LANES), scores);
        for row in 0..sight.rows() {
            let seen = sight.row(row);
            if !seen.is_empty() {
                let scores = scores.add(row * CHUNK);
                let max = largest(s, scores, &seen);
                walk.own.chunk_max[row] = max;
                let (exp2, steps) = (walk.exp2, steps.clone());
                walk.own.chunk_total[row] = match E::OF_ROW {
                    2 => weigh(s, exp2, scores, max, seen, steps, Packed(scores.cast())),
                    _ => weigh(s, exp2, scores, max, seen, steps, InPlace::<ROUNDED>(scores)),
                };
            }
        }
        products.sums::<R>(scores.cast(), steps, walk.own.chunk_sums.as_mut_ptr());
    }
}

/// The unit's queries, rounded where they are to be; zeros to whole steps and groups.
///
/// # Safety
/// Scratch is cut for the call's shape.
#[inline(always)]
unsafe fn take_queries<S: Simd, E: Element, const ROUNDED: bool>(s: S, walk: &mut Walk<'_>) {
    let depth = walk.call.shape.depth();
    let all = walk.rows().next_multiple_of(WIDEST) * depth;
    walk.own.queries[..all * E::OF_ROW / size_of::<f32>()].fill(0.0);
    for row in 0..walk.rows() {
        for at in (0..depth).step_by(LANES) {
            // SAFETY: rows of scratch are `depth` long, a multiple of 16.
            unsafe {
                let x = walk.query(s, row, at);
                let to = walk.own.queries.as_mut_ptr().cast::<u8>().add((row * depth + at) * E::OF_ROW);
                if ROUNDED {
                    s.store_bf16(to.cast(), x);
                }
                if E::OF_ROW == 4 {
                    s.store(to.cast(), if ROUNDED { s.load_bf16(to.cast()) } else { x });
                }
            }
        }
    }
}
