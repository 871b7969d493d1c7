//! Products of matrices, and weights of every type as f32.

use graph::Op;
use tensor::DType;

use crate::conformance::Case;

/// What is special, outer axes of the left and the right side, and `M, N, O`.
type Shapes = (&'static str, &'static [usize], &'static [usize], [usize; 3]);

const SHAPES: [Shapes; 5] = [
    ("two axes", &[], &[], [5, 17, 3]),
    ("one row", &[], &[], [1, 64, 33]),
    ("batched", &[2, 3], &[2, 3], [4, 5, 6]),
    ("shared right side", &[2, 3], &[], [4, 18, 2]),
    ("long sums", &[3], &[3], [2, 1000, 2]),
];

pub fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for (what, outer, b_outer, [m, n, o]) in SHAPES {
        for transposed in [false, true] {
            let op = Op::Matmul { transposed };
            let right = if transposed { [o, n] } else { [n, o] };
            cases.push(Case::new(format!("{op}/{what}"), op, |data| {
                vec![data.f32s(&[outer, &[m, n]].concat()), data.f32s(&[b_outer, &right].concat())]
            }));
        }
    }
    for dtype in DType::weights() {
        cases.push(Case::new(format!("dequantize/{dtype}"), Op::Dequantize, |data| {
            vec![data.weight(dtype, &[2, 3, 512])]
        }));
    }
    cases
}
