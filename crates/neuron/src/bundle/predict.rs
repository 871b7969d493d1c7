//! What can be said of a program before there is one, from the chip's published figures.

use graph::{Bucket, Graph, StepCounts};
use serde_json::{Value, json};
use tensor::DType;

use crate::{Options, Precision, Target, weights};

/// An estimate from below of the time of the largest step, never a measurement. The graph is that of one rank.
pub(super) fn predicted(graph: &Graph, bucket: &Bucket, target: &Target, options: &Options) -> Value {
    let work = on_chip(graph, options).work(&StepCounts::largest(graph, bucket));
    // What is stored in fewer bits is read in fewer.
    let wide = Options { narrow: None, ..*options };
    let share = weights::bytes(graph, options) as f64 / weights::bytes(graph, &wide).max(1) as f64;
    let bounds = [
        ("memory", (share * work.weight_bytes + work.state_bytes) / target.bandwidth),
        ("compute", work.operations / target.bf16),
        ("links", work.link_bytes / target.link_of_core(graph.ranks)),
    ];
    let (bound, seconds) = bounds.into_iter().fold(bounds[0], |a, b| if b.1 > a.1 { b } else { a });
    json!({
        "kind": "a lower bound of the time, from published figures; nothing was measured",
        "step_ms": seconds * 1e3,
        "tokens_per_s": f64::from(bucket.tokens) / seconds,
        "bound": bound,
    })
}

/// The graph with weights of the types that they have on the chip.
fn on_chip(graph: &Graph, options: &Options) -> Graph {
    let unpacked = match options.precision {
        Precision::Bf16 => DType::BF16,
        Precision::F32 => DType::F32,
    };
    let mut graph = graph.clone();
    for ty in graph.funcs.iter_mut().flat_map(|func| &mut func.types) {
        if ty.dtype.is_block() {
            ty.dtype = unpacked;
        }
    }
    graph
}
