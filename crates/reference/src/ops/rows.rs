//! Along the innermost axis.

use graph::ReduceOp;
use tensor::{Shape, Value};

pub fn reduce(op: ReduceOp, x: &Value, shape: Shape) -> Value {
    let of = |row: &[f32]| match op {
        ReduceOp::Sum => row.iter().sum(),
        ReduceOp::Mean => row.iter().sum::<f32>() / row.len() as f32,
        ReduceOp::Max => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
    };
    Value::f32s(shape, &rows(x).map(of).collect::<Vec<_>>())
}

pub fn softmax(x: &Value) -> Value {
    let mut out = x.as_f32s().to_vec();
    out.chunks_exact_mut(x.shape.row_len()).for_each(|row| softmax_row(row, None));
    Value::f32s(x.shape, &out)
}

/// `exp(x - max) / sum`, with one more term under the sum where there is a sink.
pub fn softmax_row(row: &mut [f32], sink: Option<f32>) {
    let start = sink.unwrap_or(f32::NEG_INFINITY);
    let max = row.iter().copied().fold(start, f32::max);
    let mut sum = sink.map_or(0.0, |sink| (sink - max).exp());
    for x in row.iter_mut() {
        *x = (*x - max).exp();
        sum += *x;
    }
    row.iter_mut().for_each(|x| *x /= sum);
}

/// The largest first; among equals the smaller index first.
pub fn top_k(k: usize, x: &Value) -> [Value; 2] {
    let (mut values, mut places) = (vec![], vec![]);
    for row in rows(x) {
        let mut order = (0..row.len()).collect::<Vec<_>>();
        // Adding zero makes the two zeros equal, so that the first of them comes first.
        order.sort_by(|&a, &b| (row[b] + 0.0).total_cmp(&(row[a] + 0.0)));
        values.extend(order[..k].iter().map(|&i| row[i]));
        places.extend(order[..k].iter().map(|&i| i as i32));
    }
    let mut shape = x.shape.to_vec();
    *shape.last_mut().expect("typed: at least one axis") = k;
    let shape = Shape::new(&shape);
    [Value::f32s(shape, &values), Value::i32s(shape, &places)]
}

pub fn route(k: usize, scores: &Value) -> [Value; 2] {
    let [best, chosen] = top_k(k, scores);
    [softmax(&best), chosen]
}

fn rows(x: &Value) -> impl Iterator<Item = &[f32]> {
    x.as_f32s().chunks_exact(x.shape.row_len())
}
