//! Interpreting a function: one node after another, each value dropped after its last use.
//!
//! A value that nobody else holds may be written in place; that is how a state that is threaded through a step as a
//! value is nevertheless never copied.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use graph::{Func, Graph, Node, Op, ValueId};
use tensor::Value;

use crate::ops;

/// A value and what it is called along the calls that lead to it.
pub struct Watch<'a> {
    /// Values to bring out, by path.
    pub taps: &'a HashMap<&'a str, Vec<usize>>,
    /// What was brought out.
    pub tapped: Vec<Option<Arc<Value>>>,
    /// Values to put in, by path.
    pub patches: HashMap<&'a str, &'a [f32]>,
    /// Experts that were chosen, of all mixtures together.
    pub experts_touched: Option<u32>,
}

/// Runs a function on its arguments.
pub fn run(
    graph: &Graph,
    func: &Func,
    args: Vec<Arc<Value>>,
    path: &str,
    watch: &mut Watch<'_>,
) -> Vec<Arc<Value>> {
    let last = last_uses(func);
    let mut args = args.into_iter().map(Some).collect::<Vec<_>>();
    let mut values: Vec<Option<Arc<Value>>> = vec![None; func.types.len()];
    for (place, (first, node)) in func.nodes_with_ids().enumerate() {
        let mut take = |arg: &ValueId| {
            let slot = &mut values[arg.index()];
            let value =
                if last[arg.index()] == place && is_once(node, *arg) { slot.take() } else { slot.clone() };
            value.expect("verified: made before it is used, and not dropped before its last use")
        };
        let given = node.args.iter().map(&mut take).collect::<Vec<_>>();
        let here = node.name.as_ref().map(|name| join(path, name));
        let mut results = match &node.op {
            Op::Param(param) => {
                vec![args[*param as usize].take().expect("each parameter becomes a value once")]
            }
            Op::Call(callee) => {
                run(graph, graph.func(*callee), given, here.as_deref().unwrap_or(path), watch)
            }
            op => {
                if let Op::ExpertFfn { .. } = op {
                    *watch.experts_touched.get_or_insert(0) += distinct(given[2].as_i32s());
                }
                let types = &func.types[first.index()..first.index() + node.results as usize];
                ops::apply(op, given, types, graph.page_len)
            }
        };
        if let Some(here) = here {
            watch_value(watch, &here, &mut results[0]);
        }
        for (slot, result) in values[first.index()..].iter_mut().zip(results) {
            *slot = Some(result);
        }
    }
    let mut results = Vec::with_capacity(func.results.len());
    for value in &func.results {
        results.push(values[value.index()].clone().expect("verified: every result is made"));
    }
    results
}

fn distinct(chosen: &[i32]) -> u32 {
    chosen.iter().collect::<BTreeSet<_>>().len() as u32
}

fn watch_value(watch: &mut Watch<'_>, path: &str, value: &mut Arc<Value>) {
    if let Some(patch) = watch.patches.get(path) {
        *value = Arc::new(Value::f32s(value.shape, patch));
    }
    for &place in watch.taps.get(path).into_iter().flatten() {
        watch.tapped[place] = Some(value.clone());
    }
}

/// The path of a name below another.
pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// For each value the node that uses it last; results are used after all nodes.
fn last_uses(func: &Func) -> Vec<usize> {
    let mut last = vec![0; func.types.len()];
    for (place, node) in func.nodes.iter().enumerate() {
        node.args.iter().for_each(|arg| last[arg.index()] = place);
    }
    func.results.iter().for_each(|value| last[value.index()] = usize::MAX);
    last
}

fn is_once(node: &Node, arg: ValueId) -> bool {
    node.args.iter().filter(|&&other| other == arg).count() == 1
}
