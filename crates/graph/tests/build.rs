//! Writing graphs: the first mistake is told with its line, and layers that are alike are one function.

mod common;

use common::{Made, PAGE_LEN, VOCAB, WIDTH, decoder, mixture, plain};
use graph::{Bucket, BuildError, Catalogue, Dim, GraphBuilder, Input, Op, Var, bind, verify};
use tensor::{DType, Shape, WeightInfo};

const F32: Made = Made(|_| DType::F32);

#[test]
fn the_first_mistake_is_told_with_its_line() {
    let mut g = GraphBuilder::new("wrong", VOCAB, PAGE_LEN, &F32);
    let tokens = g.input(Input::Tokens);
    let line = line!() + 1;
    let x = g.op(Op::Softmax, &[tokens]);
    // What follows may look at the axes of a value that could not be typed, and make mistakes of its own.
    let axes = g.dims(x);
    let y = g.reshape(x, &[axes[0], Dim::Fixed(7)]);
    let logits = g.matmul(y, tokens);
    let error = g.finish(logits).expect_err("tokens have no softmax");
    assert!(matches!(error, BuildError::Type { .. }));
    let told = error.to_string();
    assert!(told.contains(&format!("build.rs:{line}:")), "{told}");
    assert!(told.contains("softmax takes f32") && told.contains("i32[T]"), "{told}");
}

#[test]
fn a_mistake_within_a_layer_is_told_with_its_line() {
    let mut line = 0;
    let result = decoder("wrong", &F32, &[None], |f, x| {
        line = line!() + 1;
        f.transpose(x, &[0, 0])
    });
    let told = result.expect_err("no axis stands twice").to_string();
    assert!(told.contains(&format!("build.rs:{line}:")), "{told}");
}

/// A catalogue with one fault.
struct Faulty(Option<WeightInfo>);

impl Catalogue for Faulty {
    fn find(&self, _: &str, _: &[u32]) -> Option<WeightInfo> {
        self.0
    }
}

#[test]
fn weights_that_do_not_fit_are_told_by_name() {
    let info = |dtype, shape: [usize; 2]| Some(WeightInfo { dtype, shape: Shape::from(shape) });
    for (fault, wanted) in [
        (None, "no weight `head`"),
        (info(DType::F32, [3, 4]), "`head` is [3, 4] in the file, but the configuration makes it [40, 32]"),
        (info(DType::I32, [40, 32]), "`head` holds i32"),
    ] {
        let catalogue = Faulty(fault);
        let mut g = GraphBuilder::new("wrong", VOCAB, PAGE_LEN, &catalogue);
        let head = g.weight("head", &[VOCAB, WIDTH]);
        let told = g.finish(head).expect_err("the weight does not fit").to_string();
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn layers_alike_are_one_function() {
    let graph = plain(&F32);
    assert_eq!(graph.funcs.len(), 2, "one layer and main");
    assert_eq!(graph.states.len(), 4);
    assert_eq!(graph.weights.iter().filter(|weight| weight.name.starts_with("layers.")).count(), 18);

    let graph = mixture(&F32);
    assert_eq!(graph.funcs.len(), 3, "with and without a window, and main");
    assert_eq!(graph.groups.len(), 2);
}

#[test]
fn layers_of_other_types_are_other_functions() {
    let graph = plain(&Made(|name| if name == "layers.1.down" { DType::Q8_0 } else { DType::F32 }));
    assert_eq!(graph.funcs.len(), 3);
    verify(&graph).expect("legal");
}

#[test]
fn names_come_in_the_order_in_which_values_are_made() {
    let names = plain(&F32).names();
    let wanted = [
        "embed",
        "layers.0.attention",
        "layers.0.out",
        "layers.0",
        "layers.1.attention",
        "layers.1.out",
        "layers.1",
        "logits",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn binding_leaves_no_variable() {
    let bucket = Bucket { tokens: 6, seqs: 2, queries: 3, pages: 5, rows: 4 };
    for graph in [plain(&F32), mixture(&F32)] {
        let bound = bind(&graph, &bucket);
        verify(&bound).expect("bound dimensions follow from bound arguments");
        let free = |dim: &Dim| matches!(dim, Dim::Var(_) | Dim::Times(..));
        for func in &bound.funcs {
            assert!(!func.types.iter().any(|ty| ty.dims.iter().any(free)), "{bound}");
            for node in &func.nodes {
                if let Op::Reshape(dims) | Op::Broadcast(dims) | Op::Iota { dims, .. } = &node.op {
                    assert!(!dims.iter().any(free), "{}", node.op);
                }
            }
        }
        assert_eq!(bound.names(), graph.names());
        let logits = bound.main().ty(bound.main().results[0]);
        assert_eq!(logits.to_string(), "f32[4, 40]");
    }
    assert!(plain(&F32).main().types.iter().any(|ty| ty.dims.contains(&Dim::Var(Var::Tokens))));
}
