//! What is declared of a weight or a state, and which part of it one rank then has.

use std::ops::Range;

/// How a weight or a state is divided where several ranks compute together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shard {
    /// Every rank has all of it.
    #[default]
    Whole,
    /// Along this axis, in parts as even as whole blocks allow; the last are filled up with zeros. Outputs of a product
    /// are divided by columns, what the next one sums over by rows.
    Even(u8),
    /// Along this axis, between query heads.
    Heads {
        /// The axis.
        axis: u8,
        /// Elements of a head along it.
        width: u32,
    },
    /// Along this axis, between kv heads; where there are fewer than ranks, several ranks have the same.
    KvHeads {
        /// The axis; of a state, the axis of its slots.
        axis: u8,
        /// Elements of a head along it.
        width: u32,
    },
    /// One rank has it and the others zeros: what is added once to a sum over ranks.
    Once,
    /// A table `[V, E]`: who looks up rows has some columns of each, who multiplies by it some rows.
    Vocabulary,
}

/// The part of a weight or a state that a rank has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// All of it on the first rank, zeros on the others.
    First,
    /// A slice along one axis.
    Slice {
        /// The axis; of a state, the axis of its slots.
        axis: u8,
        /// Elements of the whole along it.
        whole: u32,
        /// Ranks that have the same slice, one behind another.
        copies: u32,
    },
}

impl Part {
    /// The elements of the whole that a rank has along the axis that is cut, where a slice holds `len` of them. What a
    /// slice holds beyond is zeros.
    pub fn range(&self, len: u32, rank: u32) -> Range<u32> {
        match *self {
            Part::Whole => 0..len,
            Part::First => 0..if rank == 0 { len } else { 0 },
            Part::Slice { whole, copies, .. } => {
                let at = |place: u32| place.saturating_mul(len).min(whole);
                at(rank / copies)..at(rank / copies + 1)
            }
        }
    }

    /// Elements along the axis that is cut which slices of `len` hold together beyond the whole.
    pub fn filling(&self, len: u32, ranks: u32) -> u32 {
        match *self {
            Part::Slice { whole, copies, .. } => (ranks / copies).saturating_mul(len).saturating_sub(whole),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_whole_and_end_with_it() {
        // 2880 elements in blocks of 32: 23 blocks for each of four, of which the last has 21.
        let part = Part::Slice { axis: 1, whole: 2880, copies: 1 };
        let ranges = (0..4).map(|rank| part.range(736, rank)).collect::<Vec<_>>();
        assert_eq!(ranges, [0..736, 736..1472, 1472..2208, 2208..2880]);
        assert_eq!(part.filling(736, 4), 64);
        // One head for two ranks.
        let part = Part::Slice { axis: 0, whole: 2, copies: 2 };
        assert_eq!((0..4).map(|rank| part.range(1, rank)).collect::<Vec<_>>(), [0..1, 0..1, 1..2, 1..2]);
        assert_eq!(part.filling(1, 4), 0);
        // More ranks than there is to divide.
        let part = Part::Slice { axis: 0, whole: 3, copies: 1 };
        assert_eq!((0..4).map(|rank| part.range(2, rank)).collect::<Vec<_>>(), [0..2, 2..3, 3..3, 3..3]);
        assert_eq!([0, 1].map(|rank| Part::First.range(5, rank)), [0..5, 0..0]);
        assert_eq!([0, 1].map(|rank| Part::Whole.range(5, rank)), [0..5, 0..5]);
    }
}
