//! Softmax.

use simd::{Isa, Kernel, LANES, Simd, decay};

use super::lanes::{Zip, filled, largest, rows, zip_row};

#[cfg(test)]
/// Softmax over rows of this width.
///
/// # Panics
/// Where `x` and `out` are not equally many whole rows.
pub fn softmax(isa: Isa, x: &[f32], width: usize, out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    isa.run(Softmax { x: x.as_ptr(), width, out: out.as_mut_ptr(), rows: rows(x.len(), width) });
}

/// As [`softmax`], over its argument.
pub fn softmax_in_place(isa: Isa, x: &mut [f32], width: usize) {
    isa.run(Softmax { x: x.as_ptr(), width, out: x.as_mut_ptr(), rows: rows(x.len(), width) });
}

/// Made by the two above only: there are `rows` rows to read at `x` and to write at `out`.
struct Softmax {
    x: *const f32,
    width: usize,
    out: *mut f32,
    rows: usize,
}

impl Kernel for Softmax {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (mut x, mut out) = (self.x, self.out);
        for _ in 0..self.rows {
            // SAFETY: as the type says.
            unsafe {
                softmax_row(s, x, self.width, out);
                (x, out) = (x.add(self.width), out.add(self.width));
            }
        }
    }
}

/// # Safety
/// `n` values may be read at `x` and written at `out`, which is `x` or apart from it.
#[inline(always)]
unsafe fn softmax_row<S: Simd>(s: S, x: *const f32, n: usize, out: *mut f32) {
    // SAFETY: as the caller says.
    unsafe {
        let largest = largest(s, x, n);
        let sum = exp_row(s, x, largest, out, n);
        zip_row(s, Over(sum), out, out, out, n);
    }
}

/// `x / self.0`; the second argument is not looked at.
#[derive(Clone, Copy)]
struct Over(f32);

impl Zip for Over {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, x: S::F, _: S::F) -> S::F {
        s.div(x, s.splat(self.0))
    }
}

/// `out = e^(x - largest)`, and the sum of that: in sixteen partial sums, which are folded.
///
/// # Safety
/// `n` values may be read at `x` and written at `out`, which is `x` or apart from it.
#[inline(always)]
unsafe fn exp_row<S: Simd>(s: S, mut x: *const f32, largest: f32, mut out: *mut f32, n: usize) -> f32 {
    let largest = s.splat(largest);
    let mut sum = s.splat(0.0);
    // SAFETY: the whole vectors and the rest behind them are the `n` values of the caller.
    unsafe {
        for _ in 0..n / LANES {
            let y = decay(s, s.sub(s.load(x), largest));
            sum = s.add(sum, y);
            s.store(out, y);
            (x, out) = (x.add(LANES), out.add(LANES));
        }
        let rest = n % LANES;
        if rest > 0 {
            let y = decay(s, s.sub(s.load_first(x, rest), largest));
            sum = s.add(sum, filled(s, y, rest, 0.0));
            s.store_first(out, y, rest);
        }
    }
    s.sum(sum)
}
