use graph::{Copy, GroupId, PageId};
use tensor::{DType, blocks};

use super::*;

impl State {
    /// A state over pages that somebody else keeps.
    ///
    /// # Safety
    /// So many pages may be read and written from `start` on for as long as the state lives, by it alone: all that lie
    /// together.
    pub unsafe fn over(shape: PageShape, group: GroupId, pages: usize, start: *mut u8) -> State {
        let shape = shape.pooled(pages);
        assert_eq!(shape.pool_pages(pages), pages, "pages are whole runs");
        let block_bytes = shape.bytes(CELL * shape.width);
        let blocks = shape.page_len / CELL;
        State { shape, group, pages, block_bytes, blocks, start, _pool: Buffer::zeroed(0) }
    }
}

const TYPES: [DType; 4] = [DType::F32, DType::F16, DType::BF16, DType::Q8_0];

fn states(layout: Layout, dtype: DType, page_len: usize) -> States {
    let shape = PageShape::new(dtype, layout, page_len, 3, 32);
    let state = || State::zeroed(shape, GroupId(0), 5).unwrap();
    States { states: vec![state(), state()], pages: vec![5] }
}

fn rows(count: usize) -> Vec<f32> {
    (0..count * 96).map(|i| ((i * 7919 % 1013) as f32 - 500.0) / 37.0).collect()
}

/// What `blocks` makes of a row.
fn encoded(dtype: DType, row: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; dtype.bytes_of(row.len()).unwrap()];
    blocks::encode(dtype, row, &mut bytes);
    bytes
}

#[test]
fn pages_come_out_as_rows_whatever_their_layout() {
    for (dtype, page_len) in TYPES.into_iter().flat_map(|dtype| [(dtype, 16), (dtype, 32), (dtype, 5)]) {
        for layout in [Layout::Plain, Layout::Keys, Layout::Values] {
            let mut states = states(layout, dtype, page_len);
            let slots = [0, page_len as i32 + 3, 4 * page_len as i32 + 1];
            let rows = rows(slots.len());
            // SAFETY: nobody else knows the states.
            unsafe { states.state(1).write(&slots, &rows) };
            let mut out = vec![];
            states.export(GroupId(0), &[PageId(4), PageId(1)], &mut out).unwrap();
            let slot = dtype.bytes_of(96).unwrap();
            let mut wanted = vec![0; 4 * page_len * slot];
            let (first, second) = (2 * page_len, 3 * page_len);
            wanted[(first + 1) * slot..][..slot].copy_from_slice(&encoded(dtype, &rows[192..]));
            wanted[(second + 3) * slot..][..slot].copy_from_slice(&encoded(dtype, &rows[96..192]));
            assert_eq!(out, wanted, "{dtype} {layout:?} {page_len}");

            states.import(GroupId(0), &[PageId(2), PageId(3)], &mut &out[..]).unwrap();
            states.copy(&[Copy { group: GroupId(0), from: PageId(3), to: PageId(0) }]);
            states.copy(&[Copy { group: GroupId(1), from: PageId(4), to: PageId(0) }]);
            let mut again = vec![];
            states.export(GroupId(0), &[PageId(2), PageId(0)], &mut again).unwrap();
            assert_eq!(again, out, "{dtype} {layout:?} {page_len}");

            let mut found = vec![f32::NAN; 2 * page_len * 96];
            // SAFETY: nobody writes.
            unsafe { states.read(1, &[2, 0], &mut found) };
            let mut wanted = vec![f32::NAN; found.len()];
            blocks::decode(dtype, &out[2 * page_len * slot..], &mut wanted);
            assert_eq!(found, wanted, "{dtype} {layout:?} {page_len}");
            let mut head = vec![f32::NAN; 32];
            // SAFETY: nobody writes.
            unsafe { states.state(1).head(0, 3, 2, &mut head) };
            assert_eq!(head, wanted[(page_len + 3) * 96 + 64..][..32]);
        }
    }
}

#[test]
#[should_panic(expected = "a pool of 5 pages has no page 5")]
fn a_slot_outside_the_pool_is_refused() {
    let states = states(Layout::Keys, DType::BF16, 16);
    // SAFETY: nobody else knows the states.
    unsafe { states.state(0).write(&[80], &rows(1)) };
}

#[test]
fn pages_of_any_pool_lie_apart() {
    for (pages, page_len) in [(1, 16), (63, 16), (64, 16), (65, 16), (200, 16), (5, 1024), (7, 2048)] {
        for layout in [Layout::Plain, Layout::Keys] {
            let shape = PageShape::new(DType::BF16, layout, page_len, 3, 32).pooled(pages);
            let mut parts = vec![];
            for page in 0..pages {
                let at = shape.page_at(page);
                match shape.layout {
                    Layout::Plain => parts.push((at, shape.page_bytes())),
                    _ => parts.extend((0..3).map(|head| (at + shape.block_at(head, 0), shape.part_bytes()))),
                }
            }
            parts.sort_unstable();
            assert!(parts.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{pages} {page_len}");
            let end = parts.last().map(|(at, bytes)| at + bytes);
            assert!(end.is_some_and(|end| end <= shape.pool_pages(pages) * shape.page_bytes()));
        }
    }
}
