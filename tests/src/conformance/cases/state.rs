//! Pages read and written.

use graph::Op;
use tensor::{DType, Value};

use crate::conformance::{Case, PAGE_LEN};

/// Pages in the pool.
const POOL: usize = 6;

pub fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for dtype in [DType::F32, DType::F16, DType::BF16, DType::Q8_0] {
        let state = [POOL, PAGE_LEN as usize, 2, 32];
        cases.push(Case::new(format!("state_read/{dtype}"), Op::StateRead, |data| {
            // Pages out of order, one of them in two tables, and the bin.
            vec![data.rounded(dtype, &state), Value::i32s([3, 2], &[4, 1, 3, 3, 5, 0])]
        }));
        cases.push(Case::new(format!("state_write/{dtype}"), Op::StateWrite, |data| {
            // Neighbours in a page, the first slot of the pool and the last.
            let slots = Value::i32s([5], &[9, 10, 0, 23, 4]);
            vec![data.rounded(dtype, &state), slots, data.f32s(&[5, 2, 32])]
        }));
    }
    cases.push(Case::new("state_write/plain slots", Op::StateWrite, |data| {
        let state = data.rounded(DType::F32, &[POOL, PAGE_LEN as usize, 3]);
        vec![state, Value::i32s([2], &[7, 2]), data.f32s(&[2, 3])]
    }));
    cases.push(Case::new("state_write/beyond f16", Op::StateWrite, |data| {
        let state = data.rounded(DType::F16, &[2, PAGE_LEN as usize, 4]);
        vec![state, Value::i32s([1], &[5]), Value::f32s([1, 4], &[1e6, -1e6, 1e-9, 65_504.0])]
    }));
    cases.into_iter().map(Case::exact).collect()
}
