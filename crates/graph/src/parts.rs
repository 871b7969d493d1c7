//! What ranks have of a weight, as rows that are read once and given to whoever has them; and what they have of a page, and
//! of a value that is asked for by its name.

use std::borrow::Cow;
use std::ops::Range;

use crate::{Part, StateSpec, Ty, WeightSpec};

/// Rows of a weight that lie one behind another, and who has what of them.
#[derive(Debug, PartialEq)]
pub struct Run {
    /// Rows of the whole.
    pub rows: Range<usize>,
    /// Who has them.
    pub takers: Vec<Taker>,
}

/// What some ranks have of every row of a run.
#[derive(Debug, PartialEq)]
pub struct Taker {
    /// The ranks; all where there is no number.
    pub ranks: Vec<Option<u32>>,
    /// Where the first row of the run is in their part.
    pub to: usize,
    /// What they have of a row; all of it where `None`.
    columns: Option<Columns>,
}

/// A slice of a row.
#[derive(Clone, Debug, PartialEq)]
struct Columns {
    /// Elements of the row, whole blocks of them.
    range: Range<usize>,
    /// Elements that a row of theirs has.
    len: usize,
    /// Elements of the row in all.
    whole: usize,
}

impl Taker {
    /// What they have of some rows of `row` bytes, and the bytes of a row of theirs.
    pub fn cut<'a>(&self, rows: &'a [u8], row: usize) -> (Cow<'a, [u8]>, usize) {
        let Some(Columns { range, len, whole }) = &self.columns else { return (Cow::Borrowed(rows), row) };
        // Whole blocks are whole bytes.
        let bytes = |elements: usize| elements * row / whole;
        let own = bytes(*len);
        let mut cut = vec![0; rows.len() / row.max(1) * own];
        for (from, to) in rows.chunks_exact(row).zip(cut.chunks_exact_mut(own)) {
            let from = &from[bytes(range.start)..bytes(range.end)];
            to[..from.len()].copy_from_slice(from);
        }
        (Cow::Owned(cut), own)
    }
}

/// All rows that are read of a weight for so many ranks. Whatever no run gives to a rank is zeros.
pub fn runs(spec: &WeightSpec, ranks: u32) -> Vec<Run> {
    let shape = &spec.info.shape;
    let all = shape.rows().unwrap_or(0);
    let one =
        |rank| vec![Run { rows: 0..all, takers: vec![Taker { ranks: vec![rank], to: 0, columns: None }] }];
    let (axis, whole, copies) = match spec.part {
        Part::Whole => return one(None),
        Part::First => return one(Some(0)),
        Part::Slice { axis, whole, copies } => (usize::from(axis), whole as usize, copies),
    };
    let len = shape[axis];
    let slices = (0..ranks).step_by(copies as usize).map(|first| {
        let range = spec.part.range(len as u32, first);
        ((first..first + copies).map(Some).collect::<Vec<_>>(), range.start as usize..range.end as usize)
    });
    if axis == shape.len() - 1 {
        let takers =
            slices.map(|(ranks, range)| Taker { ranks, to: 0, columns: Some(Columns { range, len, whole }) });
        return vec![Run { rows: 0..all, takers: takers.collect() }];
    }
    let (outer, inner) = (product(&shape[..axis]), product(&shape[axis + 1..shape.len() - 1]));
    let runs = slices.filter(|(_, range)| !range.is_empty()).flat_map(|(ranks, range)| {
        (0..outer).map(move |place| Run {
            rows: (place * whole + range.start) * inner..(place * whole + range.end) * inner,
            takers: vec![Taker { ranks: ranks.clone(), to: place * len * inner, columns: None }],
        })
    });
    runs.collect()
}

/// How a page of a state is spread over ranks.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    /// Bytes of a page on one rank.
    pub bytes: usize,
    /// Bytes of a whole page.
    pub whole: usize,
    /// Bytes that lie together in a page of one rank; those of the slices follow each other in the whole.
    piece: usize,
    /// Ranks with the same slice, one behind another.
    copies: u32,
}

impl Pages {
    /// Pages of so many slots of a state.
    pub fn of(state: &StateSpec, page_len: u32) -> Pages {
        let bytes = (Ty { dtype: state.dtype, dims: state.slot }).bytes() as usize * page_len as usize;
        let Part::Slice { axis, whole, copies } = state.part else {
            return Pages { bytes, whole: bytes, piece: bytes, copies: 0 };
        };
        let axes = state.slot.iter().map(|dim| dim.number().unwrap_or(0) as usize).collect::<Vec<_>>();
        let axis = usize::from(axis);
        let outer = product(&axes[..axis]) * page_len as usize;
        let piece = bytes / outer.max(1);
        Pages { bytes, whole: bytes / axes[axis].max(1) * whole as usize, piece, copies }
    }

    /// The ranks to ask for a whole page, one per slice.
    pub fn sources(&self, ranks: u32) -> impl Iterator<Item = u32> {
        (0..if self.copies == 0 { 1 } else { ranks }).step_by(self.copies.max(1) as usize)
    }

    /// The ranks that have the slice which the rank of this number begins; all where there is one slice.
    pub fn holders(&self, first: u32) -> Vec<Option<u32>> {
        if self.copies == 0 { vec![None] } else { (first..first + self.copies).map(Some).collect() }
    }

    /// Pairs of a slice's bytes with the whole's, by the number of the slice: where each lies, in pieces.
    fn pieces(&self, slice: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let (piece, stride) = (self.piece, self.whole / (self.bytes / self.piece).max(1));
        (0..self.bytes / piece).map(move |place| {
            let at = place * stride + slice * piece;
            (place * piece..(place + 1) * piece, at..at + piece)
        })
    }

    /// Puts a slice where it belongs in a whole page.
    pub fn join(&self, slice: usize, bytes: &[u8], page: &mut [u8]) {
        self.pieces(slice).for_each(|(own, whole)| page[whole].copy_from_slice(&bytes[own]));
    }

    /// Takes a slice out of a whole page.
    pub fn part(&self, slice: usize, page: &[u8], bytes: &mut [u8]) {
        self.pieces(slice).for_each(|(own, whole)| bytes[own].copy_from_slice(&page[whole]));
    }
}

/// The ranks to ask for all of a value, one per slice.
pub fn sources(part: Part, ranks: u32) -> impl Iterator<Item = u32> {
    let (ranks, copies) = match part {
        Part::Slice { copies, .. } => (ranks, copies),
        Part::Whole | Part::First => (1, 1),
    };
    (0..ranks).step_by(copies as usize)
}

/// A value put together of what ranks have of it, each with these axes and elements of so many bytes: its axes and its bytes.
/// What slices hold beyond the whole is left out.
pub fn joined(part: Part, dims: &[usize], element_bytes: usize, parts: &[Vec<u8>]) -> (Vec<usize>, Vec<u8>) {
    let (mut dims, mut joined) = (dims.to_vec(), vec![]);
    let Part::Slice { axis, whole, .. } = part else { return (dims, parts.concat()) };
    let axis = usize::from(axis);
    let inner = product(&dims[axis + 1..]) * element_bytes;
    let len = std::mem::replace(&mut dims[axis], whole as usize) * inner;
    let whole = whole as usize * inner;
    for outer in 0..product(&dims[..axis]) {
        let mut left = whole;
        for part in parts {
            let own = left.min(len);
            joined.extend_from_slice(&part[outer * len..][..own]);
            left -= own;
        }
    }
    (dims, joined)
}

fn product(axes: &[usize]) -> usize {
    axes.iter().product()
}

#[cfg(test)]
mod tests {
    use tensor::{DType, WeightInfo};

    use super::*;
    use crate::GroupId;

    /// What each rank has of a weight of u8-like elements that are their own places, by `runs`.
    fn divided(shape: &[usize], part: Part, ranks: u32) -> Vec<Vec<u8>> {
        let info = WeightInfo { dtype: DType::U8, shape: tensor::Shape::new(shape) };
        let spec = WeightSpec { name: "w".to_owned(), info, part };
        let whole = spec.whole();
        let row = whole.shape.row_len();
        let bytes = (1..=whole.bytes().unwrap() as u8).collect::<Vec<_>>();
        let mut parts = vec![vec![0; info.bytes().unwrap()]; ranks as usize];
        for run in runs(&spec, ranks) {
            let rows = &bytes[run.rows.start * row..run.rows.end * row];
            for taker in &run.takers {
                let (cut, own) = taker.cut(rows, row);
                for rank in &taker.ranks {
                    let ranks = rank.map_or(0..ranks as usize, |rank| rank as usize..rank as usize + 1);
                    for part in &mut parts[ranks] {
                        part[taker.to * own..][..cut.len()].copy_from_slice(&cut);
                    }
                }
            }
        }
        parts
    }

    #[test]
    fn ranks_get_their_rows_and_columns_and_zeros_behind() {
        let slice = |axis, whole, copies| Part::Slice { axis, whole, copies };
        assert_eq!(divided(&[2, 2], Part::Whole, 2), [[1, 2, 3, 4], [1, 2, 3, 4]]);
        assert_eq!(divided(&[2], Part::First, 2), [[1, 2], [0, 0]]);
        // Three rows for two ranks.
        assert_eq!(divided(&[2, 2], slice(0, 3, 1), 2), [[1, 2, 3, 4], [5, 6, 0, 0]]);
        // Three columns for two ranks.
        assert_eq!(divided(&[2, 2], slice(1, 3, 1), 2), [[1, 2, 4, 5], [3, 0, 6, 0]]);
        // Two experts, each cut along its rows.
        assert_eq!(divided(&[2, 1, 2], slice(1, 2, 1), 2), [[1, 2, 5, 6], [3, 4, 7, 8]]);
        // Two heads for four ranks.
        assert_eq!(divided(&[1, 2], slice(0, 2, 2), 4), [[1, 2], [1, 2], [3, 4], [3, 4]]);
        assert_eq!(divided(&[1], slice(0, 3, 1), 4), [[1], [2], [3], [0]]);
    }

    #[test]
    fn rows_of_blocks_are_cut_between_blocks() {
        // Three blocks of 34 bytes for two ranks.
        let info = WeightInfo { dtype: DType::Q8_0, shape: tensor::Shape::new(&[2, 64]) };
        let part = Part::Slice { axis: 1, whole: 96, copies: 1 };
        let spec = WeightSpec { name: "w".to_owned(), info, part };
        let found = (0..2 * 102).collect::<Vec<u8>>();
        let [Run { takers, .. }] = &runs(&spec, 2)[..] else { panic!("rows are read once") };
        let [(first, own), (last, _)] = [0, 1].map(|taker: usize| takers[taker].cut(&found, 102));
        assert_eq!(own, 68);
        assert_eq!(*first, [&found[..68], &found[102..170]].concat());
        assert_eq!(*last, [&found[68..102], &[0; 34], &found[170..], &[0; 34]].concat());
    }

    #[test]
    fn values_are_put_together_as_they_were_divided() {
        let slice = |axis, whole, copies| Part::Slice { axis, whole, copies };
        // Three columns on two ranks, the last with one that is filling.
        let (dims, bytes) = joined(slice(1, 3, 1), &[2, 2], 1, &[vec![1, 2, 4, 5], vec![3, 0, 6, 0]]);
        assert_eq!((dims, bytes), (vec![2, 3], vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(sources(slice(1, 3, 1), 2).collect::<Vec<_>>(), [0, 1]);
        // Two heads of two on four ranks.
        let (dims, bytes) = joined(slice(1, 2, 2), &[1, 1, 2], 1, &[vec![1, 2], vec![3, 4]]);
        assert_eq!((dims, bytes), (vec![1, 2, 2], vec![1, 2, 3, 4]));
        assert_eq!(sources(slice(1, 2, 2), 4).collect::<Vec<_>>(), [0, 2]);
        // Fewer elements than ranks: the last have none.
        let (dims, bytes) = joined(slice(0, 2, 1), &[1], 1, &[vec![1], vec![2], vec![0], vec![0]]);
        assert_eq!((dims, bytes), (vec![2], vec![1, 2]));
        assert_eq!(joined(Part::Whole, &[2], 1, &[vec![1, 2]]), (vec![2], vec![1, 2]));
        assert_eq!(sources(Part::Whole, 4).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn pages_are_put_together_and_taken_apart() {
        // Two slots of four heads of one byte, two heads per slice, each slice on two ranks.
        let part = Part::Slice { axis: 0, whole: 4, copies: 2 };
        let state = StateSpec {
            name: "k".to_owned(),
            group: GroupId(0),
            dtype: DType::U8,
            slot: [2, 1].into(),
            part,
        };
        let pages = Pages::of(&state, 2);
        assert_eq!((pages.bytes, pages.whole), (4, 8));
        assert_eq!(pages.sources(4).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(pages.holders(2), [Some(2), Some(3)]);
        let mut page = [0; 8];
        pages.join(0, &[1, 2, 5, 6], &mut page);
        pages.join(1, &[3, 4, 7, 8], &mut page);
        assert_eq!(page, [1, 2, 3, 4, 5, 6, 7, 8]);
        let mut slice = [0; 4];
        pages.part(1, &page, &mut slice);
        assert_eq!(slice, [3, 4, 7, 8]);
        let alone = Pages::of(&StateSpec { part: Part::Whole, ..state }, 2);
        assert_eq!((alone.bytes, alone.whole), (4, 4));
        assert_eq!((alone.sources(4).collect::<Vec<_>>(), alone.holders(0)), (vec![0], vec![None]));
        alone.join(0, &[1, 2, 3, 4], &mut page[..4]);
    }
}
