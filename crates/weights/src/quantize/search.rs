//! The search for scales.
//!
//! For given codes the best scale (and min) is a least-squares problem with a closed solution; for a given scale the
//! best codes are found by rounding. The two depend on each other, so a range of scales around the one that just
//! covers the values is tried: each gives codes, the codes give their best scale, and the scale with the least error
//! wins. Covering everything is seldom best, because one outlier then makes every step coarse.
//!
//! Errors are weighted: what a layer computes is dominated by its large weights, so their errors cost more, though
//! not so much more that small ones are given up.

use half::f16;

use super::finite_f16;

/// How far beyond and short of the covering scale to look, and in what steps, in units of one code: 19 candidates.
/// Twice as many, closer or wider, take less than one per cent off the error.
const REACH: i32 = 9;
const STEP: f32 = 0.2;

/// Spreads below this are nothing: far under the smallest f16, yet their reciprocals are finite.
const TINY: f32 = 1e-30;

/// How much an error in each value counts: its magnitude, and the root mean square so that no value counts nothing.
pub(super) fn weights<const N: usize>(values: &[f32; N]) -> [f32; N] {
    let rms = (dot(values, values) / N as f32).sqrt();
    values.map(|v| rms + v.abs())
}

/// What codes stand for before they are scaled.
pub(super) trait Points {
    /// Where on the grid the value of largest magnitude may come to lie: each place makes a scale to try.
    fn places(&self) -> impl Iterator<Item = f32>;

    /// The points nearest to the values.
    fn nearest<const N: usize>(&self, values: &[f32; N]) -> [f32; N];

    /// The points which, scaled, are nearest to the values.
    fn under<const N: usize>(&self, scale: f32, values: &[f32; N]) -> [f32; N] {
        if scale == 0.0 { [0.0; N] } else { self.nearest(&values.map(|v| v / scale)) }
    }
}

/// The points `-n..n`, evenly spaced.
pub(super) struct Even(pub(super) f32);

impl Points for Even {
    /// On the negative side, which has one more point.
    fn places(&self) -> impl Iterator<Item = f32> {
        (-REACH..=REACH).map(|step| -(self.0 + STEP * step as f32))
    }

    fn nearest<const N: usize>(&self, values: &[f32; N]) -> [f32; N] {
        values.map(|v| round(v.clamp(-self.0, self.0 - 1.0)))
    }
}

/// The scale under which the points come nearest to the values.
pub(super) fn symmetric<const N: usize>(values: &[f32; N], weights: &[f32; N], points: &impl Points) -> f32 {
    let extreme = extreme(values);
    if extreme.abs() < TINY {
        return 0.0;
    }
    let mut best = 0.0;
    let mut gain = f32::NEG_INFINITY;
    for place in points.places() {
        let inverse = place / extreme;
        let p = points.nearest(&values.map(|v| v * inverse));
        let wp = product(weights, &p);
        let (xp, pp) = (dot(&wp, values), dot(&wp, &p));
        // The least-squares scale, and what it takes off the squared error.
        let scale = xp / pp;
        if scale * xp > gain {
            (gain, best) = (scale * xp, scale);
        }
    }
    best
}

/// The value of largest magnitude, with its sign; the first of equals.
pub(super) fn extreme(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |extreme: f32, v| if v.abs() > extreme.abs() { *v } else { extreme })
}

/// An evenly spaced grid: `scale * code + min`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    pub(super) scale: f32,
    pub(super) min: f32,
}

impl Grid {
    /// The codes of `0..=top` whose grid points are nearest to the values.
    pub(super) fn codes<const N: usize>(&self, values: &[f32; N], top: f32) -> [f32; N] {
        if self.scale == 0.0 {
            return [0.0; N];
        }
        values.map(|v| nearest((v - self.min) / self.scale, top))
    }

    /// The weighted squared error of the values under their nearest codes.
    pub(super) fn error<const N: usize>(&self, values: &[f32; N], weights: &[f32; N], top: f32) -> f32 {
        let mut differences = self.codes(values, top);
        for (d, v) in differences.iter_mut().zip(values) {
            *d = self.scale * *d + self.min - v;
        }
        dot(&product(weights, &differences), &differences)
    }
}

/// The grid of codes `0..=top` with a min of at most `highest_min` that comes nearest to the values.
///
/// The scale is never negative.
pub(super) fn affine<const N: usize>(
    values: &[f32; N],
    weights: &[f32; N],
    top: f32,
    highest_min: f32,
) -> Grid {
    let low = values.iter().fold(highest_min, |low, v| low.min(*v));
    let high = values.iter().fold(low, |high, v| high.max(*v));
    let spread = high - low;
    if spread < TINY {
        return Grid { scale: 0.0, min: low };
    }
    // Counted from the lowest value, so that sums of squares are not drowned by a common offset.
    let x = values.map(|v| v - low);
    let wx = product(weights, &x);
    let (sw, sx) = (weights.iter().sum::<f32>(), wx.iter().sum::<f32>());
    let mut best = Grid { scale: spread / top, min: 0.0 };
    let mut gain = f32::NEG_INFINITY;
    for step in -REACH..=REACH {
        let inverse = (top + STEP * step as f32) / spread;
        let q = x.map(|x| nearest(x * inverse, top));
        let wq = product(weights, &q);
        let (sq, sqq, sxq) = (dot(weights, &q), dot(&wq, &q), dot(&wq, &x));
        let grid = solve([sw, sx, sq, sqq, sxq], highest_min - low);
        // Of the squared error, the part that depends on the grid.
        let Grid { scale, min } = grid;
        let taken = scale * (2.0 * sxq - scale * sqq - 2.0 * min * sq) + min * (2.0 * sx - min * sw);
        if taken > gain {
            (gain, best) = (taken, grid);
        }
    }
    Grid { scale: best.scale.max(0.0), min: best.min + low }
}

/// Least squares of `x` against `scale * q + min`, from the weighted sums of 1, x, q, q q and x q.
fn solve([sw, sx, sq, sqq, sxq]: [f32; 5], highest_min: f32) -> Grid {
    // The spread of the codes; where it is no more than rounding errors they are all the same and fix no line.
    let determinant = sw * sqq - sq * sq;
    let level = determinant < 1e-5 * sw * sqq;
    let min = if level { sx / sw } else { (sqq * sx - sq * sxq) / determinant };
    let min = min.min(highest_min);
    Grid { scale: (sxq - min * sq) / sqq, min }
}

/// The nearest of `0..=top`.
fn nearest(value: f32, top: f32) -> f32 {
    round(value.clamp(0.0, top))
}

/// Rounds magnitudes below 2^22 to the nearest integer, ties to even.
///
/// In a float near 1.5 * 2^23 the lowest bit counts ones. Unlike `f32::round_ties_even` this needs no instruction
/// that a baseline processor lacks, so loops around it vectorise.
fn round(value: f32) -> f32 {
    const ONES: f32 = 12_582_912.0;
    value + ONES - ONES
}

pub(super) fn product<const N: usize>(a: &[f32; N], b: &[f32; N]) -> [f32; N] {
    std::array::from_fn(|i| a[i] * b[i])
}

/// What one step is worth, an f16, so that `reach` is `steps` steps.
///
/// Near zero an f16 is coarse: rounded towards zero it could leave `reach` far out of reach, so the next f16 away from
/// zero is taken there and fewer steps are made of it.
pub(super) fn f16_unit(reach: f32, steps: f32) -> f16 {
    let unit = finite_f16(reach / steps);
    let short = unit.to_f32().abs() * steps < reach.abs() * (1.0 - 1.0 / 1024.0);
    let has_next = unit.to_f32().abs() < f16::MAX.to_f32();
    if short && has_next { f16::from_bits(unit.to_bits() + 1) } else { unit }
}

/// The number of steps of `unit` nearest to `wanted`, one less and one more.
pub(super) fn neighbours(wanted: f32, unit: f32) -> [f32; 3] {
    let nearest = if unit == 0.0 { 0.0 } else { (wanted / unit).round() };
    [nearest, nearest - 1.0, nearest + 1.0]
}

/// In eight partial sums, because the compiler may not reorder a sum of floats to vectorise it.
pub(super) fn dot<const N: usize>(a: &[f32; N], b: &[f32; N]) -> f32 {
    const { assert!(N.is_multiple_of(8)) };
    let mut sums = [0.0; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symmetric_grid_is_found() {
        for scale in [1.0, -0.037, 1e-5, 4e4] {
            let values: [f32; 16] = std::array::from_fn(|i| scale * (i as f32 - 8.0));
            let found = symmetric(&values, &weights(&values), &Even(8.0));
            assert!((found / scale - 1.0).abs() < 1e-6, "{found} for {scale}");
        }
    }

    #[test]
    fn an_offset_grid_is_found() {
        for (scale, min) in [(1.0, 0.0), (0.037, -100.0), (0.25, 1e4), (1e-5, -1e-5)] {
            let values: [f32; 32] = std::array::from_fn(|i| scale * (i % 16) as f32 + min);
            let found = affine(&values, &weights(&values), 15.0, f32::INFINITY);
            let error = found.error(&values, &weights(&values), 15.0) / dot(&values, &values);
            assert!(error < 1e-9, "{found:?} for {scale} {min}: {error}");
        }
    }

    #[test]
    fn a_min_stays_below_its_bound() {
        let values: [f32; 32] = std::array::from_fn(|i| 5.0 + i as f32);
        let found = affine(&values, &weights(&values), 15.0, 0.0);
        assert!(found.min <= 0.0 && found.scale > 0.0, "{found:?}");
        let level = affine(&[-3.0; 32], &[1.0; 32], 15.0, 0.0);
        assert_eq!(level, Grid { scale: 0.0, min: -3.0 });
    }

    #[test]
    fn a_unit_reaches() {
        assert_eq!(f16_unit(0.0, 63.0).to_f32(), 0.0);
        assert_eq!(f16_unit(63.0, 63.0).to_f32(), 1.0);
        assert_eq!(f16_unit(1e9, 63.0), f16::MAX);
        assert_eq!(f16_unit(-1e9, 63.0), f16::MIN);
        for reach in [1e-20, 1e-9, 5.6e-6, 1e-4, -1e-20, -1e-5, -3.0] {
            assert!(f16_unit(reach, 63.0).to_f32() * 63.0 / reach >= 0.999, "{reach}");
        }
    }

    #[test]
    fn an_outlier_does_not_coarsen_the_rest_beyond_reason() {
        // Uniform values with one just out of range: the covering scale is not the best one.
        let mut values: [f32; 32] = std::array::from_fn(|i| (i % 16) as f32 - 8.0);
        values[5] = -8.4;
        let ones = [1.0; 32];
        let covering = Grid { scale: 8.4 / 8.0, min: -8.4 };
        let scale = symmetric(&values, &ones, &Even(8.0));
        let found = Grid { scale, min: -8.0 * scale };
        assert!(found.error(&values, &ones, 15.0) < 0.5 * covering.error(&values, &ones, 15.0));
    }
}
