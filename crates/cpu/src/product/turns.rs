//! The order in which products go through a weight, a group of a strip at a time.

use std::ops::Range;

use simd::LANES;

use crate::measure::caches;

/// Rows of a product made at a time: many enough to use each weight often, few enough for their sums to stay near.
pub const ROWS: usize = 512;

/// A group of a strip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub strip: usize,
    pub group: usize,
    /// Which of the strips that go together.
    pub place: usize,
}

/// Every group of some strips: strip by strip while the activations of all groups stay in the second cache, else some
/// strips together group by group, so that activations are fetched once for all of them. Each turn comes with the one
/// after it, which after the last is of a strip that is not there.
pub struct Turns {
    strips: Range<usize>,
    groups: usize,
    at_once: usize,
    next: Turn,
}

impl Turns {
    /// Turns of `rows` rows whose activations take `row_bytes` each.
    pub fn new(strips: Range<usize>, groups: usize, rows: usize, row_bytes: usize) -> Turns {
        let next = Turn { strip: strips.start, group: 0, place: 0 };
        Turns { at_once: strips_at_once(rows, row_bytes), strips, groups, next }
    }

    fn after(&self, turn: Turn) -> Turn {
        let first = turn.strip - turn.place;
        let end = self.strips.end.min(first + self.at_once);
        match (turn.strip + 1 < end, turn.group + 1 < self.groups) {
            (true, _) => Turn { strip: turn.strip + 1, place: turn.place + 1, ..turn },
            (false, true) => Turn { strip: first, group: turn.group + 1, place: 0 },
            (false, false) => Turn { strip: end, group: 0, place: 0 },
        }
    }
}

impl Iterator for Turns {
    type Item = [Turn; 2];

    #[inline]
    fn next(&mut self) -> Option<[Turn; 2]> {
        let turn = self.next;
        if turn.strip >= self.strips.end || self.groups == 0 {
            return None;
        }
        self.next = self.after(turn);
        Some([turn, self.next])
    }
}

fn strips_at_once(rows: usize, row_bytes: usize) -> usize {
    match rows * row_bytes <= caches().l2 / 2 {
        true => 1,
        false => (caches().l2 / 4 / (rows * LANES * size_of::<f32>())).clamp(1, 16),
    }
}

/// Bytes of the sums of so many rows, or fewer, while there are groups to come.
pub fn kept_bytes(rows: usize, row_bytes: usize) -> usize {
    let rows = rows.clamp(1, ROWS);
    let most = if strips_at_once(rows, row_bytes) > 1 { caches().l2 / 4 } else { 0 };
    most.max(rows * LANES * size_of::<f32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_of_every_strip_has_a_turn_and_knows_the_next() {
        let l2 = caches().l2;
        for (rows, row_bytes) in [(1, 64), (512, l2), (300, l2)] {
            for (strips, groups) in [(3..3, 2), (0..1, 1), (5..38, 3), (2..4, 7)] {
                let turns = Turns::new(strips.clone(), groups, rows, row_bytes).collect::<Vec<_>>();
                for pair in turns.windows(2) {
                    assert_eq!(pair[0][1], pair[1][0]);
                }
                assert!(turns.last().is_none_or(|last| last[1].strip == strips.end));
                let room = kept_bytes(rows, row_bytes) / (rows * LANES * 4);
                assert!(turns.iter().all(|[turn, _]| turn.place < room));
                let mut places = turns.iter().map(|[turn, _]| (turn.strip, turn.group)).collect::<Vec<_>>();
                places.sort_unstable();
                places.dedup();
                assert_eq!(places.len(), strips.len() * groups);
            }
        }
    }

    #[test]
    fn room_for_many_rows_serves_fewer() {
        for row_bytes in [64, 2048, 1 << 14, 1 << 20] {
            let bytes = (0..1200).map(|rows| kept_bytes(rows, row_bytes)).collect::<Vec<_>>();
            assert!(bytes.is_sorted(), "{row_bytes}");
        }
    }
}
