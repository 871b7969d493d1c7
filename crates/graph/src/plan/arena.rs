//! Offsets of values that live for a while, in one block of memory.

use super::ARENA_ALIGN;

/// A value's life: it is made by one step and read last by another, both included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) bytes: usize,
}

impl Span {
    fn meets(&self, other: &Span) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Bytes it occupies; more than can be counted stay more than any machine has, so that allocating them fails.
    fn room(&self) -> usize {
        self.bytes.checked_next_multiple_of(ARENA_ALIGN).unwrap_or(usize::MAX)
    }
}

/// The offset of each span, and the bytes of the whole. The largest are placed first, each into the smallest gap that
/// holds it between those that it meets: values of many sizes then fill the gaps which the few large ones leave.
pub(super) fn pack(spans: &[Span]) -> (Vec<usize>, usize) {
    let mut order = (0..spans.len()).collect::<Vec<_>>();
    order.sort_by_key(|&i| std::cmp::Reverse(spans[i].bytes));
    let mut offsets = vec![0; spans.len()];
    // By offset.
    let mut placed: Vec<usize> = vec![];
    let mut total = 0;
    for i in order {
        let met = placed.iter().filter(|&&j| spans[j].meets(&spans[i]));
        let offset = best_gap(spans[i].room(), met.map(|&j| (offsets[j], spans[j].room())));
        offsets[i] = offset;
        total = total.max(offset.saturating_add(spans[i].room()));
        let at = placed.partition_point(|&j| offsets[j] <= offset);
        placed.insert(at, i);
    }
    (offsets, total)
}

/// Where `room` bytes fit best between `taken` offsets and sizes, which come by offset and may overlap.
fn best_gap(room: usize, taken: impl Iterator<Item = (usize, usize)>) -> usize {
    let mut end = 0;
    let mut best = None;
    for (offset, size) in taken {
        let gap = offset.saturating_sub(end);
        if gap >= room && best.is_none_or(|(_, least)| gap < least) {
            best = Some((end, gap));
        }
        end = end.max(offset.saturating_add(size));
    }
    best.map_or(end, |(offset, _)| offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(spans: &[[usize; 3]]) -> (Vec<usize>, usize) {
        pack(&spans.iter().map(|&[first, last, bytes]| Span { first, last, bytes }).collect::<Vec<_>>())
    }

    #[test]
    fn lives_that_do_not_meet_share_bytes() {
        assert_eq!(packed(&[[0, 1, 100], [2, 3, 100], [4, 4, 1]]), (vec![0, 0, 0], 128));
    }

    #[test]
    fn lives_that_meet_do_not() {
        assert_eq!(packed(&[[0, 1, 64], [1, 2, 64], [2, 3, 64]]), (vec![0, 64, 0], 128));
    }

    #[test]
    fn the_smallest_gap_that_holds_it_is_taken() {
        // Two that die leave gaps of 960 and 832 bytes between three that last.
        let spans =
            [[0, 9, 1024], [0, 1, 960], [0, 9, 896], [0, 1, 832], [0, 9, 768], [3, 4, 704], [3, 4, 640]];
        assert_eq!(packed(&spans), (vec![0, 1024, 1984, 2880, 3712, 2880, 1024], 4480));
    }

    #[test]
    fn nothing_takes_nothing() {
        assert_eq!(packed(&[]), (vec![], 0));
        assert_eq!(packed(&[[0, 5, 0], [0, 5, 0]]), (vec![0, 0], 0));
    }

    #[test]
    fn what_cannot_be_counted_cannot_be_had() {
        assert_eq!(packed(&[[0, 1, usize::MAX], [0, 1, 64]]).1, usize::MAX);
    }
}
