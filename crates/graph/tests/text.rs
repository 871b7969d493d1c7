//! The text form, which people read to see what a model does.

mod common;

use common::{Made, mixture, plain};
use graph::{Bucket, bind, expand, fuse};
use tensor::DType;

const DECODE: Bucket = Bucket { tokens: 2, seqs: 2, queries: 1, pages: 3, rows: 2 };
const MIXED: Bucket = Bucket { tokens: 5, seqs: 2, queries: 0, pages: 3, rows: 2 };

fn catalogue() -> Made {
    Made(|name| match name {
        name if name.contains("experts") && !name.contains("bias") => DType::MXFP4,
        name if name.contains("norm") || name.contains("sinks") || name.contains("bias") => DType::F32,
        _ => DType::Q8_0,
    })
}

#[test]
fn a_graph_fits_a_screen() {
    insta::assert_snapshot!("plain_built", plain(&catalogue()));
    insta::assert_snapshot!("mixture_built", mixture(&catalogue()));
}

#[test]
fn an_expanded_graph_is_core_operations_on_numbers() {
    insta::assert_snapshot!(
        "plain_expanded",
        expand(&bind(&plain(&catalogue()), &DECODE), &DECODE, &|_| false)
    );
    insta::assert_snapshot!(
        "mixture_expanded",
        expand(&bind(&mixture(&catalogue()), &MIXED), &MIXED, &|_| false)
    );
}

#[test]
fn a_fused_graph_is_smaller() {
    let keep = ["layers.1.experts".to_owned()];
    insta::assert_snapshot!("plain_fused", fuse(&bind(&plain(&catalogue()), &DECODE), &keep));
    insta::assert_snapshot!("mixture_fused", fuse(&bind(&mixture(&catalogue()), &MIXED), &keep));
}
