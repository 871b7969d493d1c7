//! Attention: queries, pages, tables, scratch, partial results and results.

use graph::{Bucket, GroupId};
use simd::Isa;
use tensor::DType;

use super::{COUNTS, Guarded, SIDES, Side, assert_written, numbers};
use crate::attention::{Call, Shape, Step, Survey};
use crate::states::{Layout, PageShape, State};

const SHAPE: Shape =
    Shape { heads: 4, kv_heads: 2, width: 64, page_len: 16, scale: 0.125, window: None, rounded: true };

/// Shapes with the type of their keys and values: tiles and vectors, cells and rows, whole steps and rests.
fn cases() -> Vec<(Shape, DType)> {
    let plain = Shape { rounded: false, ..SHAPE };
    vec![
        (SHAPE, DType::BF16),
        (Shape { width: 80, window: Some(130), ..SHAPE }, DType::BF16),
        (plain, DType::BF16),
        (Shape { width: 48, ..plain }, DType::F16),
        (Shape { width: 16, heads: 6, ..plain }, DType::F32),
        (plain, DType::Q8_0),
        (Shape { width: 5, page_len: 7, ..plain }, DType::F16),
    ]
}

/// A pool against the pages that may not be touched, with every slot written.
struct Pool {
    bytes: Guarded<u8>,
    state: State,
}

impl Pool {
    fn new(side: Side, shape: PageShape, pages: usize) -> Pool {
        let mut bytes = Guarded::line(side, pages * shape.page_bytes());
        // SAFETY: so many pages, which outlive the state: it is dropped with them.
        let state = unsafe { State::over(shape, GroupId(0), pages, bytes.as_mut_ptr()) };
        let slots = (0..(pages * shape.page_len) as i32).collect::<Vec<_>>();
        let rows = numbers(side, slots.len() * shape.slot_len());
        // SAFETY: nobody else knows the pool.
        unsafe { state.write(&slots, &rows) };
        Pool { bytes, state }
    }
}

/// Tokens of a sequence behind `history` positions, on so many workers one after the other.
fn check(
    side: Side,
    isa: Isa,
    (shape, dtype): (Shape, DType),
    history: usize,
    tokens: usize,
    workers: usize,
) {
    let what = (side, isa, shape, dtype, history, tokens, workers);
    let pages = (history + tokens).div_ceil(shape.page_len);
    let pool = |layout| {
        Pool::new(side, PageShape::new(dtype, layout, shape.page_len, shape.kv_heads, shape.width), pages)
    };
    let (keys, values) = (pool(Layout::Keys), pool(Layout::Values));
    let row = shape.heads * shape.width;
    let positions = (history..history + tokens).map(|position| position as i32).collect::<Vec<_>>();
    let positions = Guarded::of(side, &positions);
    let sequences = Guarded::of(side, &vec![0; tokens]);
    let table = Guarded::of(side, &(0..pages as i32).collect::<Vec<_>>());
    let base = Guarded::of(side, &[0]);
    let (q, sinks) = (numbers(side, tokens * row), numbers(side, shape.heads));
    let survey = Survey::new(&shape, workers);
    let mut step = Step::default();
    survey.look(&positions, &sequences, &mut step);
    let bucket = Bucket { tokens: tokens as u32, seqs: 1, queries: 0, pages: pages as u32, rows: 0 };
    let mut partials = Guarded::<f32>::line(side, survey.partial_bytes(&bucket) / 4);
    let mut own = Guarded::<f32>::line(side, shape.own_bytes() / 4);
    let mut out = Guarded::<f32>::unwritten(side, tokens * row);
    let call = Call {
        shape,
        q: &q,
        keys: &keys.state,
        values: &values.state,
        positions: &positions,
        sequences: &sequences,
        table: &table,
        columns: pages,
        base: &base,
        sinks: Some(&sinks),
        out: out.as_mut_ptr(),
        partials: partials.as_mut_ptr(),
    };
    // SAFETY: one thread does all, on room that is as long as the shape and the survey say.
    unsafe {
        (0..step.units().len()).for_each(|unit| call.unit(isa, &step, unit, &mut own));
        (0..step.merges()).for_each(|merge| call.merge(isa, &step, merge));
    }
    assert_written(&out, &what);
    assert!(partials.is_intact() && own.is_intact(), "{what:?}: nothing is written beside the scratch");
    assert!(keys.bytes.is_intact() && values.bytes.is_intact(), "{what:?}: nothing is written beside pages");
}

#[test]
fn attention_stays_within_its_operands() {
    for side in SIDES {
        for isa in Isa::present() {
            for case in cases() {
                for tokens in COUNTS {
                    for (history, workers) in [(0, 1), (251, 1), (251, 4)] {
                        check(side, isa, case, history, tokens, workers);
                    }
                }
            }
        }
    }
}
