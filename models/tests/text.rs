//! Models as text: what a change of a block, a family or an expansion does to real shapes is seen here before it runs.

use graph::{Bucket, Catalogue, Graph, bind, expand, verify};
use models::{Options, describe, shapes};
use tensor::{DType, Shape, WeightInfo};

const OPTIONS: Options = Options { kv: DType::F16, page_len: 16 };

/// One token of each of two sequences of up to 64 positions.
const DECODE: Bucket = Bucket { tokens: 2, seqs: 2, queries: 1, pages: 4, rows: 2 };

/// Has every weight: experts in MXFP4, vectors in f32, other matrices in bf16.
struct Made;

impl Catalogue for Made {
    fn find(&self, name: &str, dims: &[u32]) -> Option<WeightInfo> {
        let dtype = match dims.len() {
            1 => DType::F32,
            3 if name.contains(".experts.") => DType::MXFP4,
            _ => DType::BF16,
        };
        Some(WeightInfo { dtype, shape: Shape::new(&dims.iter().map(|&n| n as usize).collect::<Vec<_>>()) })
    }
}

fn model(name: &str) -> Graph {
    let config = shapes::config(name).expect("a shape");
    describe(name, &config, &OPTIONS, &Made).expect("a model")
}

fn expanded(graph: &Graph) -> Graph {
    let graph = expand(&bind(graph, &DECODE), &DECODE, &|_| false);
    verify(&graph).expect("an expansion is legal");
    graph
}

#[test]
fn llama() {
    let graph = model("llama-3.2-1b");
    insta::assert_snapshot!("llama_built", graph);
    insta::assert_snapshot!("llama_expanded", expanded(&graph));
}

#[test]
fn gpt_oss() {
    let graph = model("gpt-oss-20b");
    insta::assert_snapshot!("gpt_oss_built", graph);
    insta::assert_snapshot!("gpt_oss_expanded", expanded(&graph));
}
