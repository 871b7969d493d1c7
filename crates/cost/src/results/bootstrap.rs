//! How sure a rate is. Requests in one batch depend on each other, so not they but stretches of time are drawn again.

use serde::{Deserialize, Serialize};

use super::Run;

/// Stretches of a run.
const BLOCKS: usize = 10;

/// Draws.
const DRAWS: usize = 1000;

/// A figure with the range that holds it nineteen times of twenty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// The figure.
    pub mid: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// The same of another figure that follows from it; ends keep their order.
    pub fn map(self, f: impl Fn(f64) -> f64) -> Interval {
        let (a, b) = (f(self.low), f(self.high));
        Interval { low: a.min(b), mid: f(self.mid), high: a.max(b) }
    }

    /// Whether two cannot be told apart.
    pub fn overlaps(&self, other: &Interval) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// Tokens out per second, over all runs.
pub(super) fn tokens_per_s(runs: &[Run]) -> Interval {
    let blocks = runs.iter().flat_map(blocks).collect::<Vec<_>>();
    let rate = |blocks: &mut dyn Iterator<Item = (f64, f64)>| {
        let (tokens, seconds) = blocks.fold((0.0, 0.0), |sum, block| (sum.0 + block.0, sum.1 + block.1));
        if seconds > 0.0 { tokens / seconds } else { 0.0 }
    };
    let mid = rate(&mut blocks.iter().copied());
    if blocks.is_empty() {
        return Interval::default();
    }
    let mut dice = 0x9e37_79b9_7f4a_7c15;
    let mut draw = || blocks[(next(&mut dice) % blocks.len() as u64) as usize];
    let mut rates = (0..DRAWS).map(|_| rate(&mut (0..blocks.len()).map(|_| draw()))).collect::<Vec<_>>();
    rates.sort_by(f64::total_cmp);
    Interval { low: rates[DRAWS / 40].min(mid), mid, high: rates[DRAWS - 1 - DRAWS / 40].max(mid) }
}

/// Tokens and seconds of each stretch of a run.
fn blocks(run: &Run) -> Vec<(f64, f64)> {
    let seconds = run.wall_s / BLOCKS as f64;
    let mut blocks = vec![(0.0, seconds); BLOCKS];
    for request in run.requests.iter().filter(|request| request.error.is_none()) {
        let mut keep = |at: f64, tokens: f64| {
            let block = if seconds > 0.0 { (at / seconds) as usize } else { 0 };
            blocks[block.min(BLOCKS - 1)].0 += tokens;
        };
        if !request.tells_each_token() {
            // Evenly over its answer: nobody knows more.
            let part = f64::from(request.tokens_out) / BLOCKS as f64;
            let answer = request.end_s - request.first_s;
            (0..BLOCKS).for_each(|n| keep(request.first_s + answer * (n as f64 + 0.5) / BLOCKS as f64, part));
            continue;
        }
        let mut at = request.first_s;
        keep(at, 1.0);
        for &gap in &request.between_s {
            at += f64::from(gap);
            keep(at, 1.0);
        }
    }
    blocks
}

/// The next number of a sequence: SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
