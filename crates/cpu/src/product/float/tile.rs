//! The innermost product: a few rows of activations by one strip of weights or two.

use simd::Simd;

use super::form::Form;
use super::walk::BUSY;
use crate::packed::BLOCK;

/// How far ahead of the product weights are asked for, in bytes of each strip.
const AHEAD: usize = 2048;

/// What a call multiplies: `C` strips of weights by rows of activations, over some blocks of the depth.
#[derive(Clone, Copy)]
pub struct Tile<const C: usize> {
    /// The first pair of each strip.
    pub weights: [*const u8; C],
    /// The first value of the first row.
    pub x: *const f32,
    /// Values from one row to the next.
    pub x_stride: usize,
    /// Blocks of [`BLOCK`] values.
    pub blocks: usize,
    /// Where each strip's sums for the first row go.
    pub out: [*mut f32; C],
    /// How many rows each strip really has, sixteen but in the last.
    pub lanes: [usize; C],
    /// Values from one row of sums to the next.
    pub out_stride: usize,
    /// Whether the sums start from zero, else from what is there.
    pub first: bool,
}

/// Multiplies the tile by `R` rows.
///
/// A sum goes, for each block of 32 values: the sixteen even products one after the other from zero, the sixteen odd
/// ones likewise, then the two sums to each other and to the sum so far.
///
/// # Safety
/// `blocks` blocks may be read of each strip and of each of the `R` rows, and each strip's lanes may be read and
/// written in `R` rows of sums.
#[inline(always)]
pub unsafe fn multiply<S: Simd, F: Form, const R: usize, const C: usize>(s: S, tile: &Tile<C>) {
    let zero = s.splat(0.0);
    let mut weights = tile.weights;
    let mut rows = [tile.x; R];
    let mut sums = [[zero; C]; R];
    for r in 0..R {
        rows[r] = tile.x.wrapping_add(r.wrapping_mul(tile.x_stride));
        for c in 0..C {
            if !tile.first {
                // SAFETY: the lanes of strip `c` in row `r`.
                sums[r][c] = unsafe { s.load_first(at(tile, r, c), tile.lanes[c]) };
            }
        }
    }
    for _ in 0..tile.blocks {
        let (mut even, mut odd) = ([[zero; C]; R], [[zero; C]; R]);
        for _ in 0..BLOCK / 2 {
            for c in 0..C {
                // SAFETY: a pair of each strip and two values of each row, within the block.
                unsafe { pair::<S, F, R, C>(s, weights[c], &rows, c, &mut even, &mut odd) };
                weights[c] = weights[c].wrapping_add(F::PAIR);
            }
            for row in &mut rows {
                *row = row.wrapping_add(2);
            }
        }
        for r in 0..R {
            for c in 0..C {
                sums[r][c] = s.add(sums[r][c], s.add(even[r][c], odd[r][c]));
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            // SAFETY: the lanes of strip `c` in row `r`.
            unsafe { s.store_first(at(tile, r, c), sums[r][c], tile.lanes[c]) };
        }
    }
}

/// Adds the products of one pair of strip `c`; many rows ask for weights to come.
///
/// # Safety
/// A pair may be read at `weights` and two values at each of the rows.
#[inline(always)]
unsafe fn pair<S: Simd, F: Form, const R: usize, const C: usize>(
    s: S,
    weights: *const u8,
    rows: &[*const f32; R],
    c: usize,
    even: &mut [[S::F; C]; R],
    odd: &mut [[S::F; C]; R],
) {
    if R >= BUSY {
        for line in 0..F::PAIR / 64 {
            s.prefetch(weights.wrapping_add(AHEAD + 64 * line));
        }
    }
    // SAFETY: as the caller says.
    unsafe {
        let w = F::even(s, weights);
        for r in 0..R {
            even[r][c] = s.fma(s.splat(*rows[r]), w, even[r][c]);
        }
        let w = F::odd(s, weights);
        for r in 0..R {
            odd[r][c] = s.fma(s.splat(*rows[r].add(1)), w, odd[r][c]);
        }
    }
}

#[inline(always)]
fn at<const C: usize>(tile: &Tile<C>, r: usize, c: usize) -> *mut f32 {
    tile.out[c].wrapping_add(r.wrapping_mul(tile.out_stride))
}
