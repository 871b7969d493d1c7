//! A row's scores of one chunk made into weights.

use std::ops::Range;

use simd::{LANES, Simd};

use super::CHUNK;
use super::exp2::Exp2;

/// Positions that a product adds up in one step.
pub const STEP: usize = 32;

/// Where weights go.
pub trait Weights: Copy {
    /// Whether they are rounded to bf16.
    const ROUNDED: bool;

    /// Writes the weights of a step.
    ///
    /// # Safety
    /// There is room for them.
    unsafe fn put<S: Simd>(self, s: S, step: usize, low: S::F, high: S::F);
}

/// In place of the scores, as f32, rounded or not.
#[derive(Clone, Copy)]
pub struct InPlace<const ROUNDED: bool>(pub *mut f32);

impl<const ROUNDED: bool> Weights for InPlace<ROUNDED> {
    const ROUNDED: bool = ROUNDED;

    #[inline(always)]
    unsafe fn put<S: Simd>(self, s: S, step: usize, low: S::F, high: S::F) {
        // SAFETY: as the caller says.
        unsafe {
            s.store(self.0.add(step * STEP), low);
            s.store(self.0.add(step * STEP + LANES), high);
        }
    }
}

/// As bf16, as tiles take them. A row of them may lie where its scores begin: a step is read before it is written.
#[derive(Clone, Copy)]
pub struct Packed(pub *mut u16);

impl Weights for Packed {
    const ROUNDED: bool = true;

    #[inline(always)]
    unsafe fn put<S: Simd>(self, s: S, step: usize, low: S::F, high: S::F) {
        // SAFETY: as the caller says.
        unsafe { s.store_i(self.0.add(step * STEP).cast(), s.high_halves(s.bits(low), s.bits(high))) }
    }
}

/// Makes scores into weights, `max` being the [`largest`]: of the positions `seen` of the chunk, at least one; all
/// others of `steps` get zero. Their sum.
///
/// # Safety
/// `scores` may be read, and weights written, for all `steps`, which hold all positions seen.
#[inline(always)]
pub unsafe fn weigh<S: Simd, W: Weights>(
    s: S,
    exp2: Exp2,
    scores: *const f32,
    max: f32,
    seen: Range<usize>,
    steps: Range<usize>,
    weights: W,
) -> f32 {
    let max = s.splat(max);
    let mut total = s.splat(0.0);
    let mut step = steps.start;
    while step < steps.end {
        let first = step * STEP;
        let whole = seen.start <= first && first + STEP <= seen.end;
        // SAFETY: as the caller says, here and below.
        let [low, high] = unsafe {
            let at = scores.add(first);
            let [low, high] = [s.sub(s.load(at), max), s.sub(s.load(at.add(LANES)), max)];
            let [low, high] = [power::<S, W>(s, exp2, low), power::<S, W>(s, exp2, high)];
            match whole {
                true => [low, high],
                false => {
                    let zero = s.splat(0.0);
                    [within(s, first, &seen, low, zero), within(s, first + LANES, &seen, high, zero)]
                }
            }
        };
        total = s.add(s.add(total, low), high);
        // SAFETY: as above.
        unsafe { weights.put(s, step, low, high) };
        step += 1;
    }
    s.sum(total)
}

#[inline(always)]
fn power<S: Simd, W: Weights>(s: S, exp2: Exp2, d: S::F) -> S::F {
    if W::ROUNDED { exp2.rounded(s, d) } else { exp2.of::<S, false>(s, d) }
}

/// The largest score seen.
///
/// # Safety
/// The blocks that hold positions seen may be read.
#[inline(always)]
pub unsafe fn largest<S: Simd>(s: S, scores: *const f32, seen: &Range<usize>) -> f32 {
    if seen.len() == CHUNK {
        // SAFETY: as the caller says.
        return s.largest(unsafe { whole(s, scores) });
    }
    let none = s.splat(f32::NEG_INFINITY);
    let mut max = none;
    let mut first = seen.start / LANES * LANES;
    while first < seen.end {
        // SAFETY: as the caller says.
        let block = unsafe { s.load(scores.add(first)) };
        max = s.max(max, within(s, first, seen, block, none));
        first += LANES;
    }
    s.largest(max)
}

/// The larger of all scores of a chunk, lane by lane: four by four, which do not wait for each other.
///
/// # Safety
/// They may be read.
#[inline(always)]
unsafe fn whole<S: Simd>(s: S, scores: *const f32) -> S::F {
    // SAFETY: as the caller says.
    unsafe {
        let block = |block: usize| scores.add(block * LANES);
        let mut max = [s.load(block(0)), s.load(block(1)), s.load(block(2)), s.load(block(3))];
        for first in (4..CHUNK / LANES).step_by(4) {
            for (i, max) in max.iter_mut().enumerate() {
                *max = s.max(*max, s.load(block(first + i)));
            }
        }
        s.max(s.max(max[0], max[1]), s.max(max[2], max[3]))
    }
}

/// `x` at the positions seen of sixteen from `first` on, else `other`.
#[inline(always)]
fn within<S: Simd>(s: S, first: usize, seen: &Range<usize>, x: S::F, other: S::F) -> S::F {
    const COUNT: [f32; LANES] =
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
    // SAFETY: a constant of sixteen.
    let count = unsafe { s.load(COUNT.as_ptr()) };
    let place = s.add(count, s.splat(first as f32));
    let x = s.select_less(place, s.splat(seen.start as f32), other, x);
    s.select_less(place, s.splat(seen.end as f32), x, other)
}
