//! Tests counted from what they print.

use std::fmt;

/// A count of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Tests that did not run.
    pub ignored: usize,
    /// Tests that passed without doing what they are there for, and said so.
    pub skipped: usize,
}

impl Tally {
    /// The count in a line like `test result: ok. 3 passed; 0 failed; 1 ignored; ...`, or one of a test like
    /// `skipped: NAME ...`; `None` for any other line.
    pub fn of_line(line: &str) -> Option<Tally> {
        if line.starts_with("skipped: ") {
            return Some(Tally { skipped: 1, ..Tally::default() });
        }
        let words: Vec<&str> = line.trim_start().strip_prefix("test result:")?.split_whitespace().collect();
        let count = |what: &str| {
            let pair = words.windows(2).find(|pair| pair[1].trim_end_matches(';') == what)?;
            pair[0].parse().ok()
        };
        let (passed, failed, ignored) = (count("passed")?, count("failed")?, count("ignored")?);
        Some(Tally { passed, failed, ignored, skipped: 0 })
    }

    /// The sum of two counts.
    pub fn plus(self, other: Tally) -> Tally {
        Tally {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            ignored: self.ignored + other.ignored,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed() {
        let lines = "running 4 tests\ntest a ... ok\n\
            test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            skipped: backends_agree is not proven\n\
            test result: \u{1b}[32mok\u{1b}[m. 5 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out\n\
            all doctests ran\n";
        let total = lines.lines().filter_map(Tally::of_line).fold(Tally::default(), Tally::plus);
        assert_eq!(total, Tally { passed: 8, failed: 1, ignored: 2, skipped: 1 });
        assert_eq!(total.to_string(), "8 passed, 1 failed");
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(Tally::of_line("the test result: 3 passed"), None);
        assert_eq!(Tally::of_line("test result: nonsense"), None);
    }
}
