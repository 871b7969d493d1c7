//! Rotary positions: a table of turns once per step, and heads turned by it.

use simd::{Isa, Kernel, LANES, Simd};

use super::norm::norm_row;

/// The turns of tokens: per position a row of `n` cosines and `n` sines of `position * frequency`, times `scale`.
///
/// # Panics
/// Where the table does not have `2 n` values per position.
pub fn turns(positions: &[i32], frequencies: &[f32], scale: f32, table: &mut [f32]) {
    let n = frequencies.len();
    assert_eq!(table.len(), positions.len() * 2 * n, "a row of turns per position");
    for (&position, row) in positions.iter().zip(table.chunks_exact_mut((2 * n).max(1))) {
        let (cosines, sines) = row.split_at_mut(n);
        for (frequency, (cos, sin)) in frequencies.iter().zip(cosines.iter_mut().zip(sines)) {
            let angle = position as f32 * frequency;
            (*cos, *sin) = (angle.cos() * scale, angle.sin() * scale);
        }
    }
}

/// Turns every head of each token by the token's row of the table.
///
/// # Panics
/// Where the lengths do not belong together.
pub fn rope(isa: Isa, x: &[f32], table: &[f32], heads: Heads, out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    isa.run(Rope::new(x.as_ptr(), x.len(), None, table, heads, out.as_mut_ptr()));
}

#[cfg(test)]
/// As [`rope`], over its argument.
pub fn rope_in_place(isa: Isa, x: &mut [f32], table: &[f32], heads: Heads) {
    isa.run(Rope::new(x.as_ptr(), x.len(), None, table, heads, x.as_mut_ptr()));
}

/// `rms_norm` of every head by `w`, then [`rope`].
///
/// # Panics
/// Where the lengths do not belong together.
pub fn norm_rope(isa: Isa, x: &[f32], w: &[f32], eps: f32, table: &[f32], heads: Heads, out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    isa.run(Rope::new(x.as_ptr(), x.len(), Some((w, eps)), table, heads, out.as_mut_ptr()));
}

#[cfg(test)]
/// As [`norm_rope`], over its argument.
pub fn norm_rope_in_place(isa: Isa, x: &mut [f32], w: &[f32], eps: f32, table: &[f32], heads: Heads) {
    isa.run(Rope::new(x.as_ptr(), x.len(), Some((w, eps)), table, heads, x.as_mut_ptr()));
}

/// How a token's row is made of heads.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Heads per token.
    pub count: usize,
    /// Values per head.
    pub width: usize,
    /// Pairs that are turned in each head: `i` with `i + turned`, and `2 turned` is at most the width.
    pub turned: usize,
}

/// Made by `new` only, whose callers have as much room at `out` as there is to read at `x`.
struct Rope<'a> {
    x: *const f32,
    norm: Option<(&'a [f32], f32)>,
    table: &'a [f32],
    heads: Heads,
    out: *mut f32,
    tokens: usize,
}

impl<'a> Rope<'a> {
    fn new(
        x: *const f32,
        len: usize,
        norm: Option<(&'a [f32], f32)>,
        table: &'a [f32],
        heads: Heads,
        out: *mut f32,
    ) -> Rope<'a> {
        let Heads { count, width, turned } = heads;
        assert!(2 * turned <= width, "{turned} pairs are more than {width} values");
        assert!(count * width > 0, "tokens have heads");
        let tokens = len / (count * width);
        assert_eq!(len, tokens * count * width, "rows of {count} heads of {width}");
        assert_eq!(table.len(), tokens * 2 * turned, "a row of turns per token");
        assert!(norm.is_none_or(|(w, _)| w.len() == width), "a norm as wide as a head");
        Rope { x, norm, table, heads, out, tokens }
    }
}

impl Kernel for Rope<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Heads { count, width, turned } = self.heads;
        let (mut x, mut out, mut row) = (self.x, self.out, self.table.as_ptr());
        for _ in 0..self.tokens {
            for _ in 0..count {
                // SAFETY: as the type says; a row of the table has `2 turned` values, as `new` asserts.
                unsafe {
                    match self.norm {
                        Some((w, eps)) => {
                            norm_row(s, x, w, eps, out);
                            turn(s, out, row, turned, out);
                        }
                        None => {
                            turn(s, x, row, turned, out);
                            std::ptr::copy(x.add(2 * turned), out.add(2 * turned), width - 2 * turned);
                        }
                    }
                    (x, out) = (x.add(width), out.add(width));
                }
            }
            row = row.wrapping_add(2 * turned);
        }
    }
}

/// Pairs of one head: every product is rounded, as where cosines and sines are values of the graph.
///
/// # Safety
/// `2 n` values may be read at `x` and `row` and written at `out`, which is `x` or apart from both.
#[inline(always)]
unsafe fn turn<S: Simd>(s: S, mut x: *const f32, mut row: *const f32, n: usize, mut out: *mut f32) {
    // SAFETY: the whole vectors and the rest behind them are the caller's values, and the same `n` further on.
    unsafe {
        for _ in 0..n / LANES {
            let (a, b) = (s.load(x), s.load(x.add(n)));
            let (cos, sin) = (s.load(row), s.load(row.add(n)));
            s.store(out, s.sub(s.mul(a, cos), s.mul(b, sin)));
            s.store(out.add(n), s.add(s.mul(b, cos), s.mul(a, sin)));
            (x, row, out) = (x.add(LANES), row.add(LANES), out.add(LANES));
        }
        let rest = n % LANES;
        if rest > 0 {
            let (a, b) = (s.load_first(x, rest), s.load_first(x.add(n), rest));
            let (cos, sin) = (s.load_first(row, rest), s.load_first(row.add(n), rest));
            s.store_first(out, s.sub(s.mul(a, cos), s.mul(b, sin)), rest);
            s.store_first(out.add(n), s.add(s.mul(b, cos), s.mul(a, sin)), rest);
        }
    }
}
