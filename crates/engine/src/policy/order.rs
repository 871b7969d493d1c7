//! Who goes first: whoever came first, where a level of priority is worth some time of waiting.
//!
//! Waiting so ages a request without anybody counting: its turn is fixed when it comes, and no stream of later requests,
//! however urgent, stays ahead of it for ever.

use std::time::Duration;

/// What a level of priority is worth: a request goes before those of the level below that came so much earlier.
const LEVEL: Duration = Duration::from_secs(10);

/// A request's place in line; the smaller goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Turn(i64);

impl Turn {
    /// The turn of a request that comes now.
    pub(crate) fn new(now: Duration, priority: i8) -> Turn {
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        Turn(now.saturating_sub(i64::from(priority) * LEVEL.as_nanos() as i64))
    }

    /// Whether this turn is a whole level of priority before another's.
    pub(crate) fn is_far_before(self, other: Turn) -> bool {
        other.0.saturating_sub(self.0) >= LEVEL.as_nanos() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_is_worth_time_and_no_more() {
        let turn = |seconds, priority| Turn::new(Duration::from_secs(seconds), priority);
        assert!(turn(1, 0) < turn(2, 0));
        assert!(turn(5, 1) < turn(0, 0) && turn(11, 1) > turn(0, 0));
        assert!(turn(0, -1) > turn(9, 0) && turn(0, -1) < turn(11, 0));
        assert!(turn(0, 1).is_far_before(turn(0, 0)) && !turn(1, 1).is_far_before(turn(0, 0)));
        assert!(turn(u64::MAX, 127) > turn(0, 127));
    }
}
