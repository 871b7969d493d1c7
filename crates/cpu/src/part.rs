//! A worker's share of a node.

use std::ops::Range;

/// Which of how many workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// This worker.
    pub index: usize,
    /// All of them.
    pub of: usize,
}

impl Part {
    /// This worker's contiguous share of `count` things; shares differ by at most one.
    pub fn share(self, count: usize) -> Range<usize> {
        let at = |index: usize| count * index / self.of;
        at(self.index)..at(self.index + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_one_another_and_leave_nothing_out() {
        for (count, of) in [(0, 3), (1, 2), (7, 3), (64, 5)] {
            let shares = (0..of).map(|index| Part { index, of }.share(count)).collect::<Vec<_>>();
            assert_eq!(
                shares.iter().flat_map(Clone::clone).collect::<Vec<_>>(),
                (0..count).collect::<Vec<_>>()
            );
            assert!(shares.iter().all(|share| share.len() <= count.div_ceil(of)));
        }
    }
}
