//! Graphs broken by hand, each in one way that nothing else would notice before it runs.

mod common;

use common::{Made, mixture};
use graph::{Dim, FuncId, Graph, Op, Param, Ty, ValueId, verify};
use tensor::DType;

fn legal() -> Graph {
    mixture(&Made(|_| DType::F32))
}

/// The place of the first node of `func` that applies such an operation.
fn place(graph: &Graph, func: usize, is: impl Fn(&Op) -> bool) -> usize {
    graph.funcs[func].nodes.iter().position(|node| is(&node.op)).expect("the graph has such a node")
}

/// What is said of the legal graph once it is broken.
fn told(break_it: impl FnOnce(&mut Graph)) -> String {
    let mut graph = legal();
    break_it(&mut graph);
    verify(&graph).expect_err("the graph is broken").to_string()
}

#[test]
fn what_the_builder_makes_is_legal() {
    verify(&legal()).expect("legal");
}

#[test]
fn values_are_made_before_they_are_used() {
    let told = told(|graph| {
        let norm = place(graph, 0, |op| matches!(op, Op::RmsNorm { .. }));
        graph.funcs[0].nodes[norm].args[0] = ValueId(70);
    });
    assert!(told.contains("function layer_a, node made at") && told.contains("%70 is used before"), "{told}");
}

#[test]
fn results_are_made() {
    let told = told(|graph| graph.funcs[0].results[0] = ValueId(10_000));
    assert!(told.contains("%10000 is never made"), "{told}");
}

#[test]
fn types_follow_from_arguments() {
    let softmax = told(|graph| {
        let route = place(graph, 0, |op| matches!(op, Op::Route { .. }));
        graph.funcs[0].nodes[route].op = Op::Route { k: 5 };
    });
    assert!(softmax.contains("route 5 chooses at least one expert and at most all"), "{softmax}");

    let stated = told(|graph| {
        let values = graph.funcs[0].nodes_with_ids();
        let norm = values.filter(|(_, node)| matches!(node.op, Op::RmsNorm { .. })).map(|(value, _)| value);
        let norm = norm.collect::<Vec<_>>()[0];
        graph.funcs[0].types[norm.index()] = Ty::new(DType::F32, [Dim::Fixed(3)]);
    });
    assert!(stated.contains("gives [f32[T, 32]], not [f32[3]]"), "{stated}");

    let counts = told(|graph| graph.funcs[0].types.truncate(1));
    assert!(counts.contains("types for"), "{counts}");
}

#[test]
fn calls_fit_their_functions_and_come_after_them() {
    let later = told(|graph| {
        let (main, call) = (graph.main, place(graph, 2, |op| matches!(op, Op::Call(_))));
        graph.funcs[2].nodes[call].op = Op::Call(main);
    });
    assert!(later.contains("calls f2, which comes later"), "{later}");

    let swapped = told(|graph| {
        let call = place(graph, 2, |op| matches!(op, Op::Call(_)));
        graph.funcs[2].nodes[call].args.swap(0, 1);
    });
    assert!(swapped.contains("calls layer_a with"), "{swapped}");

    let other = told(|graph| {
        let call = place(graph, 2, |op| matches!(op, Op::Call(_)));
        graph.funcs[2].nodes[call].op = Op::Call(FuncId(1));
    });
    assert!(other.contains("calls layer_b with"), "{other}");
}

#[test]
fn names_are_unique() {
    let told = told(|graph| {
        for node in graph.funcs[0].nodes.iter_mut().filter(|node| matches!(node.op, Op::RmsNorm { .. })) {
            node.name = Some("norm".to_owned());
        }
    });
    assert!(told.contains("the name `norm` is taken"), "{told}");
}

#[test]
fn a_state_is_threaded_in_one_line() {
    let stale = told(|graph| {
        // Attention reads the keys as they were before this step's were written.
        let write = place(graph, 0, |op| *op == Op::StateWrite);
        let attention = place(graph, 0, |op| matches!(op, Op::Attention { .. }));
        let before = graph.funcs[0].nodes[write].args[0];
        graph.funcs[0].nodes[attention].args[1] = before;
    });
    assert!(stale.contains("is used after it was replaced"), "{stale}");

    let returned = told(|graph| {
        let write = place(graph, 0, |op| *op == Op::StateWrite);
        let before = graph.funcs[0].nodes[write].args[0];
        graph.funcs[0].results[1] = before;
    });
    assert!(returned.contains("a state that was replaced"), "{returned}");

    let twice = told(|graph| {
        // Two layers that write one state: the second is given what the first was given.
        let calls = graph.funcs[2].nodes.iter_mut().filter(|node| node.op == Op::Call(FuncId(0)));
        let mut calls = calls.collect::<Vec<_>>();
        let first = calls[0].args.clone();
        calls[1].args[1..].copy_from_slice(&first[1..]);
    });
    assert!(twice.contains("is used after it was replaced"), "{twice}");
}

#[test]
fn parameters_become_values_once() {
    let missing = told(|graph| {
        let param = place(graph, 0, |op| *op == Op::Param(0));
        graph.funcs[0].nodes[param].op = Op::Param(99);
    });
    assert!(missing.contains("parameter 99 does not exist"), "{missing}");
    let twice = told(|graph| {
        let param = place(graph, 0, |op| *op == Op::Param(1));
        graph.funcs[0].nodes[param].op = Op::Param(0);
    });
    assert!(twice.contains("parameter 0 becomes 2 values"), "{twice}");
    let unused = told(|graph| graph.funcs[0].params.push(Param::Value));
    assert!(unused.contains("becomes 0 values"), "{unused}");
}

#[test]
fn the_step_takes_and_gives_what_the_graph_lists() {
    let results = told(|graph| graph.funcs[2].results.truncate(1));
    assert!(results.contains("results for 8 states"), "{results}");
    let weights = told(|graph| graph.weights.truncate(1));
    assert!(weights.contains("weights and states, and the graph lists"), "{weights}");
    let main = told(|graph| graph.main = FuncId(7));
    assert!(main.contains("f7 is to be the step, of 3 functions"), "{main}");
}
