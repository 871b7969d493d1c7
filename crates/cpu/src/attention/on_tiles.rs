//! A unit on tiles.

use std::marker::PhantomData;
use std::ops::Range;

use simd::{Kernel, LANES, Simd};

use super::CHUNK;
use super::chunk::Blocks;
use super::own::GROUP_ROWS;
use super::sight::Sight;
use super::softmax::{Packed, STEP, largest, weigh};
use super::tiles::{Scores, Sums, Tiles};
use super::walk::Walk;

/// A unit to be done on tiles.
pub struct OnTiles<'a, T>(pub Walk<'a>, pub PhantomData<T>);

impl<T: Tiles> Kernel for OnTiles<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut walk = self.0;
        // SAFETY: whoever made the walk knows that its unit may be done, and that there are tiles.
        unsafe { on_tiles::<S, T>(s, &mut walk) }
    }
}

/// # Safety
/// As for [`super::walk::unit_by`].
#[inline(always)]
unsafe fn on_tiles<S: Simd, T: Tiles>(s: S, walk: &mut Walk<'_>) {
    // SAFETY: as the caller says; scratch is cut for the call's shape.
    unsafe {
        let mut tiles = T::open();
        pack_queries(s, walk);
        walk.begin();
        for index in walk.unit.chunks.clone() {
            let Some(chunk) = walk.chunk(walk.unit, index) else {
                walk.keep_nothing(s, index);
                continue;
            };
            let mut ahead = walk.ahead(&chunk);
            let blocks = chunk.gathered(s, walk.own.keys, walk.own.values, &mut ahead);
            for rows in walk.groups(GROUP_ROWS) {
                let sight = walk.sight(&chunk, rows.clone());
                walk.own.chunk_total.fill(0.0);
                if !sight.any.is_empty() {
                    let mut scores = scores(walk, rows.start, &sight, &blocks);
                    while !scores.blocks.is_empty() {
                        scores.next(&mut tiles);
                        ahead.ask(s);
                    }
                    weights(s, walk, &sight);
                    let mut sums = sums(walk, &sight, &blocks);
                    while sums.left() > 0 {
                        sums.next(&mut tiles);
                        ahead.ask(s);
                    }
                }
                walk.keep(s, index, rows);
            }
        }
        walk.end(s);
    }
}

/// The scores of a group.
fn scores(walk: &mut Walk<'_>, row: usize, sight: &Sight, blocks: &Blocks) -> Scores {
    let depth = walk.call.shape.depth();
    Scores {
        queries: walk.own.queries[row * depth / 2..].as_ptr().cast(),
        depth,
        keys: blocks.keys,
        blocks: sight.any.start / LANES..sight.any.end.div_ceil(LANES),
        scores: walk.own.scores.as_mut_ptr().cast(),
        both: sight.rows() > LANES,
    }
}

/// The weighted sums of a group.
fn sums(walk: &mut Walk<'_>, sight: &Sight, blocks: &Blocks) -> Sums {
    let steps = steps(sight);
    Sums {
        weights: walk.own.scores.as_ptr().cast(),
        values: blocks.values,
        cell: 0,
        step: steps.start,
        steps,
        lanes: walk.call.shape.lanes(),
        sums: walk.own.chunk_sums.as_mut_ptr().cast(),
        both: sight.rows() > LANES,
    }
}

/// The weights of a group, in place of its scores.
///
/// # Safety
/// As for [`super::walk::unit_by`]; the group's scores are there.
#[inline(always)]
unsafe fn weights<S: Simd>(s: S, walk: &mut Walk<'_>, sight: &Sight) {
    let scores = walk.own.scores.as_mut_ptr();
    let max = &mut walk.own.chunk_max[..GROUP_ROWS];
    let total = &mut walk.own.chunk_total[..GROUP_ROWS];
    let steps = steps(sight);
    // SAFETY: scratch has as many rows of scores.
    unsafe {
        for row in 0..sight.rows() {
            let seen = sight.row(row);
            if !seen.is_empty() {
                max[row] = largest(s, scores.add(row * CHUNK), &seen);
            }
        }
        for row in 0..sight.rows() {
            let seen = sight.row(row);
            if !seen.is_empty() {
                let scores = scores.add(row * CHUNK);
                total[row] =
                    weigh(s, walk.exp2, scores, max[row], seen, steps.clone(), Packed(scores.cast()));
            }
        }
    }
}

fn steps(sight: &Sight) -> Range<usize> {
    sight.any.start / STEP..sight.any.end.div_ceil(STEP)
}

/// The unit's queries; zeros to whole steps and groups.
///
/// # Safety
/// Scratch is cut for the call's shape.
#[inline(always)]
unsafe fn pack_queries<S: Simd>(s: S, walk: &mut Walk<'_>) {
    let depth = walk.call.shape.depth();
    let all = walk.rows().next_multiple_of(GROUP_ROWS);
    walk.own.queries[..all * depth / 2].fill(0.0);
    for row in 0..walk.rows() {
        for at in (0..depth).step_by(LANES) {
            // SAFETY: rows of scratch are `depth` long, a multiple of 16.
            unsafe {
                let to = walk.own.queries.as_mut_ptr().cast::<u16>().add(row * depth + at);
                s.store_bf16(to, walk.query(s, row, at));
            }
        }
    }
}
