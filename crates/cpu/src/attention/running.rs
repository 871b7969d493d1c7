//! Chunks merged, and the end of a row.

use simd::{LANES, Simd};

use super::exp2::Exp2;

/// Results of rows: maximum, sum of weights and weighted sums of each.
#[derive(Clone, Copy)]
pub struct Rows {
    /// By row.
    pub max: *mut f32,
    /// By row; 0 where a row has seen nothing.
    pub total: *mut f32,
    /// `[rows, lanes]`.
    pub sums: *mut f32,
}

impl Rows {
    /// The rows from this one on.
    ///
    /// # Safety
    /// There are as many.
    #[inline(always)]
    pub unsafe fn from(self, row: usize, lanes: usize) -> Rows {
        // SAFETY: as the caller says.
        unsafe {
            Rows { max: self.max.add(row), total: self.total.add(row), sums: self.sums.add(row * lanes) }
        }
    }
}

/// Merges a chunk's results into those of the chunks before it, for at most sixteen rows: with the larger maximum `m`,
/// `sums e^(max - m) + chunk_sums e^(chunk_max - m)`, the same for the totals. A row that saw nothing of the chunk stays.
///
/// # Safety
/// Both have sixteen maxima and totals, and sums of `count` rows of `lanes`, a multiple of 16.
#[inline(always)]
pub unsafe fn merge<S: Simd>(s: S, exp2: Exp2, so_far: Rows, chunk: Rows, count: usize, lanes: usize) {
    let (mut old, mut new) = ([0.0f32; LANES], [0.0f32; LANES]);
    // SAFETY: as the caller says.
    unsafe {
        let (before, here) = (s.load(so_far.max), s.load(chunk.max));
        let max = s.max(before, here);
        let by_old = exp2.of::<S, false>(s, s.sub(before, max));
        let by_new = exp2.of::<S, false>(s, s.sub(here, max));
        let total = s.fma(s.load(so_far.total), by_old, s.mul(s.load(chunk.total), by_new));
        s.store(old.as_mut_ptr(), by_old);
        s.store(new.as_mut_ptr(), by_new);
        let (mut maxima, mut totals) = ([0.0f32; LANES], [0.0f32; LANES]);
        s.store(maxima.as_mut_ptr(), max);
        s.store(totals.as_mut_ptr(), total);
        for row in 0..count {
            if *chunk.total.add(row) == 0.0 {
                continue;
            }
            *so_far.max.add(row) = maxima[row];
            *so_far.total.add(row) = totals[row];
            let (a, b) = (s.splat(old[row]), s.splat(new[row]));
            let (to, from) = (so_far.sums.add(row * lanes), chunk.sums.add(row * lanes));
            let mut at = 0;
            while at < lanes {
                let sum = s.fma(s.load(to.add(at)), a, s.mul(s.load(from.add(at)), b));
                s.store(to.add(at), sum);
                at += LANES;
            }
        }
    }
}

/// Writes a row's result: its sums over its total, a sink's weight added to that. Zeros where it saw nothing.
///
/// # Safety
/// `width` elements may be written, `width` rounded up to whole vectors read.
#[inline(always)]
pub unsafe fn finish<S: Simd>(
    s: S,
    exp2: Exp2,
    (max, total, sums): (f32, f32, *const f32),
    sink: Option<f32>,
    out: *mut f32,
    width: usize,
) {
    let (mut factor, mut total) = (1.0, total);
    if let (Some(sink), true) = (sink, total != 0.0) {
        // Maxima are of scores before the scale; so is the sink brought.
        let mut weights = [0.0f32; LANES];
        let (max, sink) = (max * exp2.c(), sink * std::f32::consts::LOG2_E);
        let larger = if max > sink { max } else { sink };
        let mut d = [0.0f32; LANES];
        (d[0], d[1]) = (max - larger, sink - larger);
        // SAFETY: arrays of sixteen.
        unsafe { s.store(weights.as_mut_ptr(), Exp2::new(1.0).of::<S, false>(s, s.load(d.as_ptr()))) };
        factor = weights[0];
        total = total * factor + weights[1];
    }
    if total == 0.0 {
        (factor, total) = (0.0, 1.0);
    }
    let (factor, total) = (s.splat(factor), s.splat(total));
    let mut at = 0;
    while at < width {
        let n = (width - at).min(LANES);
        // SAFETY: as the caller says.
        unsafe { s.store_first(out.add(at), s.div(s.mul(s.load(sums.add(at)), factor), total), n) };
        at += LANES;
    }
}
