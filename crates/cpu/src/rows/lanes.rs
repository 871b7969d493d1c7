//! Walking rows vector by vector.

use simd::{Isa, Kernel, LANES, Simd};

/// A function of two vectors, lane by lane.
pub trait Zip: Copy {
    /// Its value. Implementations are `#[inline(always)]`.
    fn of<S: Simd>(self, s: S, a: S::F, b: S::F) -> S::F;
}

/// How many rows of this width there are.
pub fn rows(len: usize, width: usize) -> usize {
    assert!(len.is_multiple_of(width), "{len} values are no rows of {width}");
    len / width.max(1)
}

/// `out[i] = f(a[i], b[i])`.
pub fn zip(isa: Isa, f: impl Zip, a: &[f32], b: &[f32], out: &mut [f32]) {
    assert!(a.len() == b.len() && a.len() == out.len(), "{} by {} to {}", a.len(), b.len(), out.len());
    isa.run(Zipped { f, a: a.as_ptr(), b: b.as_ptr(), out: out.as_mut_ptr(), n: out.len() });
}

/// `a[i] = f(a[i], b[i])`.
pub fn zip_in_place(isa: Isa, f: impl Zip, a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    isa.run(Zipped { f, a: a.as_ptr(), b: b.as_ptr(), out: a.as_mut_ptr(), n: a.len() });
}

/// Made by the two above only: `n` values may be read at `a` and `b` and written at `out`.
struct Zipped<Z> {
    f: Z,
    a: *const f32,
    b: *const f32,
    out: *mut f32,
    n: usize,
}

impl<Z: Zip> Kernel for Zipped<Z> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: as the type says.
        unsafe { zip_row(s, self.f, self.a, self.b, self.out, self.n) }
    }
}

/// The loop of [`zip`], for kernels that do more.
///
/// # Safety
/// `n` values may be read at `a` and at `b` and written at `out`, which is one of them or apart from both.
#[inline(always)]
pub unsafe fn zip_row<S: Simd>(
    s: S,
    f: impl Zip,
    mut a: *const f32,
    mut b: *const f32,
    mut out: *mut f32,
    n: usize,
) {
    // SAFETY: the whole vectors and the rest behind them are the `n` values of the caller.
    unsafe {
        for _ in 0..n / LANES {
            s.store(out, f.of(s, s.load(a), s.load(b)));
            (a, b, out) = (a.add(LANES), b.add(LANES), out.add(LANES));
        }
        let rest = n % LANES;
        if rest > 0 {
            s.store_first(out, f.of(s, s.load_first(a, rest), s.load_first(b, rest)), rest);
        }
    }
}

/// `x` in the first `n` lanes, `fill` behind them.
#[inline(always)]
pub fn filled<S: Simd>(s: S, x: S::F, n: usize, fill: f32) -> S::F {
    const PLACES: [f32; LANES] =
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
    // SAFETY: sixteen values.
    let places = unsafe { s.load(PLACES.as_ptr()) };
    s.select_less(places, s.splat(n as f32), x, s.splat(fill))
}

/// The largest of `n` values; minus infinity where there are none. What is no number is passed over.
///
/// # Safety
/// They may be read.
#[inline(always)]
pub unsafe fn largest<S: Simd>(s: S, mut x: *const f32, n: usize) -> f32 {
    let mut largest = s.splat(f32::NEG_INFINITY);
    // SAFETY: the whole vectors and the rest behind them are the `n` values of the caller.
    unsafe {
        for _ in 0..n / LANES {
            largest = s.max(s.load(x), largest);
            x = x.add(LANES);
        }
        let rest = n % LANES;
        if rest > 0 {
            let x = filled(s, s.load_first(x, rest), rest, f32::NEG_INFINITY);
            largest = s.max(x, largest);
        }
    }
    s.largest(largest)
}
