//! Ranks that compute together: they meet, and exchange bytes. All of them are in one process.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::abi::Code;

/// The ranks of a program or of the host's own collectives.
pub struct World {
    patience: Duration,
    meetings: Mutex<HashMap<(Vec<usize>, u64), Meeting>>,
    changed: Condvar,
}

/// What ranks brought to one exchange, and how many took it all along.
#[derive(Default)]
struct Meeting {
    brought: HashMap<usize, Vec<u8>>,
    left: usize,
}

impl World {
    pub fn new(patience: Duration) -> World {
        World { patience, meetings: Mutex::default(), changed: Condvar::new() }
    }

    /// Brings bytes to the exchange of this number in a group, and gives those of all its ranks in the group's order,
    /// when all have come; where they do not come in time, the status of that.
    pub fn exchange(
        &self,
        group: &[usize],
        rank: usize,
        number: u64,
        bytes: Vec<u8>,
        late: Code,
    ) -> Result<Vec<Vec<u8>>, Code> {
        let key = (group.to_vec(), number);
        let end = Instant::now() + self.patience;
        let mut meetings = self.meetings.lock().unwrap_or_else(PoisonError::into_inner);
        meetings.entry(key.clone()).or_default().brought.insert(rank, bytes);
        self.changed.notify_all();
        loop {
            let meeting = meetings.entry(key.clone()).or_default();
            if meeting.brought.len() == group.len() {
                let all = group.iter().map(|rank| meeting.brought.get(rank).cloned().ok_or(late)).collect();
                meeting.left += 1;
                if meeting.left == group.len() {
                    meetings.remove(&key);
                }
                return all;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                meeting.brought.remove(&rank);
                return Err(late);
            }
            meetings = self.changed.wait_timeout(meetings, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::EXEC_HW_ERR_COLLECTIVES;

    #[test]
    fn ranks_take_what_all_brought() {
        let world = World::new(Duration::from_secs(30));
        std::thread::scope(|scope| {
            let rank = |rank: usize| {
                let world = &world;
                scope.spawn(move || {
                    (0..3u64)
                        .map(|n| world.exchange(&[0, 1], rank, n, vec![rank as u8, n as u8], 1))
                        .collect::<Vec<_>>()
                })
            };
            let (a, b) = (rank(0), rank(1));
            let expected: Vec<_> = (0..3).map(|n| Ok(vec![vec![0, n], vec![1, n]])).collect();
            assert_eq!((a.join().unwrap(), b.join().unwrap()), (expected.clone(), expected));
        });
        assert!(world.meetings.lock().unwrap().is_empty());
    }

    #[test]
    fn a_rank_that_stays_alone_is_late() {
        let world = World::new(Duration::from_millis(1));
        let alone = world.exchange(&[0, 1], 0, 0, vec![], EXEC_HW_ERR_COLLECTIVES);
        assert_eq!(alone, Err(EXEC_HW_ERR_COLLECTIVES));
    }
}
