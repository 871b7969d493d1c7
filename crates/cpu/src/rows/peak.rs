//! The largest of a row of logits and the sum that its softmax divides by, made of pieces.

use simd::{Isa, Kernel, LANES, Simd, decay};

use super::lanes::{filled, largest};

/// Columns of a piece. A row is cut at the multiples of it, whoever takes which pieces, and the pieces are merged from
/// left to right; so the result does not depend on the workers.
pub const CHUNK: usize = 4096;

/// What is kept of some columns of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// The largest value; minus infinity where there is none.
    pub value: f32,
    /// Its column, the first among equals.
    pub column: u32,
    /// The sum of `e^(x - value)`; 0 where all columns are minus infinity, none where one is no number.
    pub sum: f64,
}

impl Peak {
    /// Of no columns.
    pub const NONE: Peak = Peak { value: f32::NEG_INFINITY, column: 0, sum: 0.0 };

    /// Of the columns `first..first + x.len()`, a piece or the last of a row.
    ///
    /// # Panics
    /// Where there are more than [`CHUNK`].
    pub fn of(isa: Isa, x: &[f32], first: u32) -> Peak {
        assert!(x.len() <= CHUNK, "a piece has at most {CHUNK} columns, not {}", x.len());
        let (value, sum) = isa.run(Survey { x });
        if value == f32::NEG_INFINITY {
            let is_none = x.iter().any(|x| x.is_nan());
            return Peak { column: first, sum: if is_none { f64::NAN } else { 0.0 }, ..Peak::NONE };
        }
        let place = x.iter().position(|&x| x == value).expect("the largest is one of them");
        Peak { value, column: first + place as u32, sum: f64::from(sum) }
    }

    #[cfg(test)]
    /// Of a whole row.
    pub fn of_row(isa: Isa, x: &[f32]) -> Peak {
        let pieces = x.chunks(CHUNK).zip((0..).step_by(CHUNK));
        pieces.fold(Peak::NONE, |peak, (piece, first)| peak.merge(Peak::of(isa, piece, first)))
    }

    /// Of these columns and of those of `right`, which lie behind them.
    pub fn merge(self, right: Peak) -> Peak {
        let (high, low) = if right.value > self.value { (right, self) } else { (self, right) };
        if low.value == f32::NEG_INFINITY {
            // Nothing, or what is no number and makes the sum none.
            return Peak { sum: high.sum + low.sum, ..high };
        }
        let sum = high.sum + low.sum * f64::from(low.value - high.value).exp();
        Peak { sum, ..high }
    }

    /// `ln(sum of e^x)`
    pub fn log_sum_exp(self) -> f32 {
        self.value + self.sum.ln() as f32
    }
}

/// The largest, and the sum of the exponentials.
struct Survey<'a> {
    x: &'a [f32],
}

impl Kernel for Survey<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, f32) {
        let n = self.x.len();
        let mut x = self.x.as_ptr();
        // SAFETY: the whole vectors and the rest behind them are the slice.
        unsafe {
            let value = largest(s, x, n);
            let high = s.splat(value);
            let mut sum = s.splat(0.0);
            for _ in 0..n / LANES {
                sum = s.add(sum, decay(s, s.sub(s.load(x), high)));
                x = x.add(LANES);
            }
            let rest = n % LANES;
            if rest > 0 {
                let y = decay(s, s.sub(s.load_first(x, rest), high));
                sum = s.add(sum, filled(s, y, rest, 0.0));
            }
            (value, s.sum(sum))
        }
    }
}
