//! A worker's scratch.

use super::{CHUNK, ROWS, Shape};

/// Query rows whose scores are made together at most: two tiles of sixteen.
pub const GROUP_ROWS: usize = 32;
/// Elements of a line: every region begins on one.
const LINE: usize = 16;

/// Regions of a worker's scratch, each on a line's boundary.
pub struct Own<'a> {
    /// `[rows, depth]`: the unit's queries as they are multiplied, f32 or (in the first half) bf16.
    pub queries: &'a mut [f32],
    /// `[rows, lanes]`: weighted sums of the chunks so far.
    pub sums: &'a mut [f32],
    /// `[rows]`, and a line that is read with the last: the maximum so far.
    pub max: &'a mut [f32],
    /// `[rows]`, and a line: sum of the weights so far; 0 where nothing was seen.
    pub total: &'a mut [f32],
    /// `[GROUP_ROWS, CHUNK]`: scores of a chunk, then their weights.
    pub scores: &'a mut [f32],
    /// `[GROUP_ROWS, lanes]`: a chunk's weighted sums.
    pub chunk_sums: &'a mut [f32],
    /// `[GROUP_ROWS]`: a chunk's maximum.
    pub chunk_max: &'a mut [f32],
    /// `[GROUP_ROWS]`: a chunk's sum of weights.
    pub chunk_total: &'a mut [f32],
    /// A chunk's keys where its pages cannot be read as they are.
    pub keys: &'a mut [f32],
    /// A chunk's values where its pages cannot be read as they are.
    pub values: &'a mut [f32],
}

/// Lengths of the regions, in their order.
fn lengths(shape: &Shape) -> [usize; 10] {
    let rows = ROWS.max(shape.group()).next_multiple_of(GROUP_ROWS);
    let (lanes, depth) = (shape.lanes(), shape.depth());
    let group = GROUP_ROWS;
    // Edges of values: two blocks and one of zeros take less than a chunk.
    [
        rows * depth,
        rows * lanes,
        rows + LINE,
        rows + LINE,
        group * CHUNK,
        group * lanes,
        group,
        group,
        CHUNK * depth,
        CHUNK * lanes,
    ]
}

impl<'a> Own<'a> {
    /// f32 that the regions take.
    pub fn floats(shape: &Shape) -> usize {
        lengths(shape).iter().map(|len| len.next_multiple_of(LINE)).sum()
    }

    /// Cuts scratch into its regions.
    ///
    /// # Panics
    /// Where it is too short or begins within a line.
    pub fn cut(shape: &Shape, mut scratch: &'a mut [f32]) -> Own<'a> {
        assert!(scratch.as_ptr().cast::<u8>().align_offset(64) == 0, "scratch begins on a line");
        let [queries, sums, max, total, scores, chunk_sums, chunk_max, chunk_total, keys, values] =
            lengths(shape).map(|len| {
                let (region, rest) = std::mem::take(&mut scratch).split_at_mut(len.next_multiple_of(LINE));
                scratch = rest;
                region
            });
        Own { queries, sums, max, total, scores, chunk_sums, chunk_max, chunk_total, keys, values }
    }
}
