//! Repeated measurements of one thing.

use std::time::Duration;

/// Times of several rounds.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// One more round.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The middle one, in seconds; of an even number the mean of the two in the middle. Zero where there is none.
    pub fn median_s(&self) -> f64 {
        median(self.seconds().collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every round, in seconds, as they came.
    pub fn seconds(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().map(Duration::as_secs_f64)
    }
}

/// The middle one; of an even number the mean of the two in the middle. Zero where there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let median = |seconds: &[u64]| {
            let mut samples = Samples::default();
            seconds.iter().for_each(|&s| samples.push(Duration::from_secs(s)));
            samples.median_s()
        };
        assert_eq!(
            [median(&[]), median(&[7]), median(&[9, 1, 2]), median(&[4, 1, 9, 2])],
            [0.0, 7.0, 2.0, 3.0]
        );
    }
}
