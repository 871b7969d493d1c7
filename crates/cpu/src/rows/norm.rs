//! Root mean square norms.

use simd::{Isa, Kernel, LANES, Simd};

use super::lanes::{Zip, rows, zip_row};

/// `out = x / sqrt(mean(x^2) + eps) * w`, for rows as long as `w`: of tokens, or of heads.
///
/// # Panics
/// Where `x` and `out` are not equally many whole rows.
pub fn rms_norm(isa: Isa, x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    isa.run(RmsNorm { x: x.as_ptr(), w, eps, out: out.as_mut_ptr(), rows: rows(x.len(), w.len()) });
}

#[cfg(test)]
/// As [`rms_norm`], over its argument.
pub fn rms_norm_in_place(isa: Isa, x: &mut [f32], w: &[f32], eps: f32) {
    isa.run(RmsNorm { x: x.as_ptr(), w, eps, out: x.as_mut_ptr(), rows: rows(x.len(), w.len()) });
}

/// Made by the two above only: there are `rows` rows to read at `x` and to write at `out`.
struct RmsNorm<'a> {
    x: *const f32,
    w: &'a [f32],
    eps: f32,
    out: *mut f32,
    rows: usize,
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (mut x, mut out) = (self.x, self.out);
        for _ in 0..self.rows {
            // SAFETY: as the type says.
            unsafe {
                norm_row(s, x, self.w, self.eps, out);
                (x, out) = (x.add(self.w.len()), out.add(self.w.len()));
            }
        }
    }
}

/// One row.
///
/// # Safety
/// As many values as `w` has may be read at `x` and written at `out`, which is `x` or apart from it.
#[inline(always)]
pub unsafe fn norm_row<S: Simd>(s: S, x: *const f32, w: &[f32], eps: f32, out: *mut f32) {
    // SAFETY: as the caller says.
    unsafe {
        let mean = sum_of_squares(s, x, w.len()) / w.len() as f32;
        zip_row(s, Scaled(1.0 / (mean + eps).sqrt()), x, w.as_ptr(), out, w.len());
    }
}

/// `x * self.0 * w`
#[derive(Clone, Copy)]
struct Scaled(f32);

impl Zip for Scaled {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, x: S::F, w: S::F) -> S::F {
        s.mul(s.mul(x, s.splat(self.0)), w)
    }
}

/// Vector `i` goes to chain `i % 4`, so that additions do not wait for each other; the chains are added in pairs.
///
/// # Safety
/// `n` values may be read.
#[inline(always)]
unsafe fn sum_of_squares<S: Simd>(s: S, mut x: *const f32, n: usize) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    // SAFETY: groups of four vectors, then vectors, then the rest are the `n` values of the caller.
    unsafe {
        for _ in 0..n / (4 * LANES) {
            for sum in &mut sums {
                *sum = square_onto(s, s.load(x), *sum);
                x = x.add(LANES);
            }
        }
        let vectors = n % (4 * LANES) / LANES;
        for sum in &mut sums[..vectors] {
            *sum = square_onto(s, s.load(x), *sum);
            x = x.add(LANES);
        }
        let rest = n % LANES;
        if rest > 0 {
            sums[vectors] = square_onto(s, s.load_first(x, rest), sums[vectors]);
        }
    }
    s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

#[inline(always)]
fn square_onto<S: Simd>(s: S, x: S::F, sum: S::F) -> S::F {
    s.fma(x, x, sum)
}
