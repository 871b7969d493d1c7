//! Rates by thread count.

/// A rate by thread count, fewest threads first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates(pub(super) Vec<(usize, f64)>);

impl Rates {
    /// Each thread count that was measured, with its rate.
    pub fn iter(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.0.iter().copied()
    }

    /// The rate of so many threads: between two counts measured on the line through them, beyond all as the last one,
    /// since there are no more cores.
    pub fn at(&self, threads: usize) -> f64 {
        let above = self.0.partition_point(|&(count, _)| count < threads);
        match (above.checked_sub(1).map(|below| self.0[below]), self.0.get(above)) {
            (Some((below, slow)), Some(&(above, fast))) => {
                slow + (fast - slow) * (threads - below) as f64 / (above - below) as f64
            }
            (Some((_, rate)), None) | (None, Some(&(_, rate))) => rate,
            (None, None) => 0.0,
        }
    }

    /// Takes note of what so many threads reached, where it is the best they did.
    pub(super) fn raise(&mut self, threads: usize, rate: f64) {
        let place = self.0.partition_point(|&(count, _)| count < threads);
        match self.0.get_mut(place).filter(|(count, _)| *count == threads) {
            Some((_, best)) => *best = best.max(rate),
            None => self.0.insert(place, (threads, rate)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_lie_on_the_line_between_what_was_measured() {
        let mut rates = Rates::default();
        assert_eq!(rates.at(3), 0.0);
        for (threads, rate) in [(1, 9.0), (6, 30.0), (2, 18.0), (1, 10.0), (6, 20.0)] {
            rates.raise(threads, rate);
        }
        assert_eq!(
            [0, 1, 2, 3, 6, 64].map(|threads| rates.at(threads)),
            [10.0, 10.0, 18.0, 21.0, 30.0, 30.0]
        );
    }
}
