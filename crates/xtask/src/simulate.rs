//! `cargo xtask simulate`: the engine's simulation from more seeds than its tests take, or from one again.

use std::path::Path;

use crate::check::command;

/// Seeds where nobody says how many.
const SEEDS: u64 = 1000;

/// Which worlds to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seeds {
    first: u64,
    count: u64,
}

impl Seeds {
    /// From the words behind `simulate`; one seed alone is run once.
    pub fn parse(words: &[&str]) -> Option<Seeds> {
        let (mut first, mut count) = (None, None);
        for pair in words.chunks(2) {
            let &[name, number] = pair else { return None };
            let number = number.parse::<u64>().ok()?;
            match name {
                "--seed" if first.is_none() => first = Some(number),
                "--seeds" if count.is_none() => count = Some(number),
                _ => return None,
            }
        }
        let alone = if first.is_some() { 1 } else { SEEDS };
        Some(Seeds { first: first.unwrap_or(0), count: count.unwrap_or(alone) })
    }
}

/// Runs them; whether nothing was found.
pub fn run(root: &Path, seeds: Seeds) -> Result<bool, String> {
    let (first, count) = (seeds.first.to_string(), seeds.count.to_string());
    let variables = [("POLYSILICON_SEED", first.as_str()), ("POLYSILICON_SEEDS", count.as_str())];
    let words = "test --release -p polysilicon-engine --lib simulation::seeds -- --exact --nocapture";
    command::cargo(root, words, &variables).map(|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_seeds() {
        let parsed = |words: &[&str]| Seeds::parse(words).map(|seeds| (seeds.first, seeds.count));
        assert_eq!(parsed(&[]), Some((0, SEEDS)));
        assert_eq!(parsed(&["--seed", "7"]), Some((7, 1)));
        assert_eq!(parsed(&["--seeds", "20", "--seed", "7"]), Some((7, 20)));
        for wrong in [&["--seed"][..], &["--seed", "x"], &["--seed", "1", "--seed", "2"], &["7"]] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }
}
