//! What the rows of a group see of a chunk.

use std::ops::Range;

use super::own::GROUP_ROWS;
use super::{CHUNK, Shape};

/// Positions seen, from a chunk's first on: by each row of a group, and by any.
pub struct Sight {
    rows: [(u16, u16); GROUP_ROWS],
    count: usize,
    /// By any row; empty where none sees anything.
    pub any: Range<usize>,
}

impl Sight {
    /// Of no rows.
    pub const NOTHING: Sight = Sight { rows: [(0, 0); GROUP_ROWS], count: 0, any: 0..0 };

    /// What `rows` of a unit, at most [`GROUP_ROWS`], see of the chunk from `first` on. Row `r` is of the token
    /// `r / group` of those at `positions`.
    pub fn of(shape: &Shape, positions: &[i32], first: usize, rows: Range<usize>) -> Sight {
        let group = shape.group();
        let mut sight = Sight { count: rows.len(), ..Sight::NOTHING };
        let (mut row, mut token, mut left) = (0, rows.start / group, group - rows.start % group);
        while row < rows.len() {
            let seen = shape.seen(positions[token]);
            let [start, end] = [seen.start, seen.end].map(|at| at.saturating_sub(first).min(CHUNK));
            let end_row = (row + left).min(rows.len());
            sight.rows[row..end_row].fill((start as u16, end as u16));
            if start < end {
                let any = &sight.any;
                sight.any = if any.is_empty() { start..end } else { any.start.min(start)..any.end.max(end) };
            }
            (row, token, left) = (end_row, token + 1, group);
        }
        sight
    }

    /// By a row of the group.
    #[inline(always)]
    pub fn row(&self, row: usize) -> Range<usize> {
        let (start, end) = self.rows[row];
        usize::from(start)..usize::from(end)
    }

    /// Rows of the group.
    pub fn rows(&self) -> usize {
        self.count
    }
}
