//! Blocks of groups: each group has a scale of its own (and a min), stored as whole steps of the block's.
//!
//! Every group's scale is searched for on its own. The largest becomes the most steps of a unit, the others are
//! rounded to steps of it, and neighbouring steps are tried as well. With all steps and codes fixed, the unit that
//! fits them best is once more a least-squares problem: the few bits of a step make that worth another round.

use half::f16;

use super::search::{Grid, Points, affine, dot, extreme, f16_unit, neighbours, product, symmetric, weights};

/// How often the unit is fitted again at most; once that does not help, it stops.
const ROUNDS: usize = 2;

/// Scales as steps of a unit.
pub(super) struct Scales<const G: usize> {
    pub(super) unit: f16,
    pub(super) steps: [i8; G],
}

impl<const G: usize> Scales<G> {
    /// The scales of groups of points. Steps are `lowest..-lowest`.
    pub(super) fn of<const N: usize>(groups: &[[f32; N]], points: &impl Points, lowest: i8) -> Scales<G> {
        let lowest = f32::from(lowest);
        let weights: [_; G] = std::array::from_fn(|g| weights(&groups[g]));
        let wanted: [_; G] = std::array::from_fn(|g| symmetric(&groups[g], &weights[g], points));
        let fit = |unit: f16| {
            let mut fit = Fit { unit, ..Fit::NONE };
            for g in 0..G {
                let near = neighbours(wanted[g], unit.to_f32()).map(|s| s.clamp(lowest, -lowest - 1.0));
                fit.add(g, &groups[g], &weights[g], points, near);
            }
            fit
        };
        let mut best = fit(f16_unit(extreme(&wanted), lowest));
        for _ in 0..ROUNDS {
            let next = fit(best.better_unit());
            if next.error >= best.error {
                break;
            }
            best = next;
        }
        Scales { unit: best.unit, steps: best.steps.map(|s| s as i8) }
    }

    /// What a group's points are multiplied by.
    pub(super) fn scale(&self, group: usize) -> f32 {
        self.unit.to_f32() * f32::from(self.steps[group])
    }
}

/// Steps under a unit, their weighted squared error, and the sums that say what unit would suit them better.
struct Fit<const G: usize> {
    unit: f16,
    steps: [f32; G],
    error: f32,
    /// Of steps times point (p) and value (x): the weighted p x and p p.
    px: f32,
    pp: f32,
}

impl<const G: usize> Fit<G> {
    const NONE: Fit<G> = Fit { unit: f16::ZERO, steps: [0.0; G], error: 0.0, px: 0.0, pp: 0.0 };

    /// Takes the best of some steps for a group.
    fn add<const N: usize>(
        &mut self,
        group: usize,
        values: &[f32; N],
        weights: &[f32; N],
        points: &impl Points,
        steps: [f32; 3],
    ) {
        let mut best = f32::INFINITY;
        let mut sums = (0.0, 0.0);
        for steps in steps {
            let scale = self.unit.to_f32() * steps;
            let p = points.under(scale, values);
            let difference: [f32; N] = std::array::from_fn(|i| scale * p[i] - values[i]);
            let error = dot(&product(weights, &difference), &difference);
            if error < best {
                let p = p.map(|p| p * steps);
                let wp = product(weights, &p);
                (best, sums, self.steps[group]) = (error, (dot(&wp, values), dot(&wp, &p)), steps);
            }
        }
        self.error += best;
        self.px += sums.0;
        self.pp += sums.1;
    }

    fn better_unit(&self) -> f16 {
        if self.pp > 0.0 { super::finite_f16(self.px / self.pp) } else { self.unit }
    }
}

/// Scales and mins, each as steps of a unit of its own. A min is taken off.
pub(super) struct Affine<const G: usize> {
    pub(super) scale: f16,
    pub(super) min: f16,
    pub(super) scales: [u8; G],
    pub(super) mins: [u8; G],
}

impl<const G: usize> Affine<G> {
    /// The scales and mins of groups whose codes are `0..=top`; steps are `0..=most`.
    pub(super) fn of<const N: usize>(groups: &[[f32; N]], top: f32, most: f32) -> Affine<G> {
        let weights: [_; G] = std::array::from_fn(|g| weights(&groups[g]));
        // The format takes a min off and never adds one.
        let wanted: [_; G] = std::array::from_fn(|g| affine(&groups[g], &weights[g], top, 0.0));
        let fit = |scale: f16, min: f16| {
            let mut fit = AffineFit::of(scale, min);
            for g in 0..G {
                fit.add(g, &groups[g], &weights[g], wanted[g], top, most);
            }
            fit
        };
        let mut best = fit(
            f16_unit(wanted.iter().fold(0.0, |max, g| g.scale.max(max)), most),
            f16_unit(wanted.iter().fold(0.0, |max, g| max.max(-g.min)), most),
        );
        for _ in 0..ROUNDS {
            let (scale, min) = best.better_units();
            let next = fit(scale, min);
            if next.error >= best.error {
                break;
            }
            best = next;
        }
        let [scales, mins] = [best.scales, best.mins].map(|steps| steps.map(|s| s as u8));
        Affine { scale: best.scale, min: best.min, scales, mins }
    }

    /// The grid of a group.
    pub(super) fn grid(&self, group: usize) -> Grid {
        Grid {
            scale: self.scale.to_f32() * f32::from(self.scales[group]),
            min: -self.min.to_f32() * f32::from(self.mins[group]),
        }
    }
}

/// Steps under a unit of scale and one of min, their weighted squared error, and the sums that say what units would
/// suit them better.
struct AffineFit<const G: usize> {
    scale: f16,
    min: f16,
    scales: [f32; G],
    mins: [f32; G],
    error: f32,
    /// Of scale steps times code (q), min steps (m) and value (x): the weighted q q, q m, m m, q x and m x.
    sums: [f32; 5],
}

impl<const G: usize> AffineFit<G> {
    fn of(scale: f16, min: f16) -> AffineFit<G> {
        AffineFit { scale, min, scales: [0.0; G], mins: [0.0; G], error: 0.0, sums: [0.0; 5] }
    }

    /// Takes the steps nearest to what a group wants, or neighbours of them where these fit the values better.
    fn add<const N: usize>(
        &mut self,
        group: usize,
        values: &[f32; N],
        weights: &[f32; N],
        wanted: Grid,
        top: f32,
        most: f32,
    ) {
        let near = |wanted, unit: f16| neighbours(wanted, unit.to_f32()).map(|s| s.clamp(0.0, most));
        let (unit_scale, unit_min) = (self.scale.to_f32(), self.min.to_f32());
        let mut best = f32::INFINITY;
        for scale in near(wanted.scale, self.scale) {
            for min in near(-wanted.min, self.min) {
                let grid = Grid { scale: unit_scale * scale, min: -unit_min * min };
                let error = grid.error(values, weights, top);
                if error < best {
                    (best, self.scales[group], self.mins[group]) = (error, scale, min);
                }
            }
        }
        self.error += best;
        let (scale, min) = (self.scales[group], self.mins[group]);
        let grid = Grid { scale: unit_scale * scale, min: -unit_min * min };
        let q = grid.codes(values, top).map(|code| scale * code);
        let wq = product(weights, &q);
        let more = [
            dot(&wq, &q),
            min * wq.iter().sum::<f32>(),
            min * min * weights.iter().sum::<f32>(),
            dot(&wq, values),
            min * dot(weights, values),
        ];
        self.sums = std::array::from_fn(|i| self.sums[i] + more[i]);
    }

    /// Least squares of the values against `scale * q - min * m`.
    fn better_units(&self) -> (f16, f16) {
        let [qq, qm, mm, qx, mx] = self.sums;
        let determinant = qq * mm - qm * qm;
        let (scale, min) = if determinant > 1e-5 * qq * mm {
            ((mm * qx - qm * mx) / determinant, (qm * qx - qq * mx) / determinant)
        } else if mm > 0.0 && qq == 0.0 {
            (0.0, -mx / mm)
        } else if qq > 0.0 && mm == 0.0 {
            (qx / qq, 0.0)
        } else {
            return (self.scale, self.min);
        };
        (super::finite_f16(scale.max(0.0)), super::finite_f16(min.max(0.0)))
    }
}
