//! Operations joined into larger ones, and what is said twice said once: named rewrites, applied to each function
//! until none fits.
//!
//! A rewrite looks at one node and what makes its arguments, and says what the node becomes. It deletes nothing: what
//! nobody reads any more falls to `unused`.

mod linear;
mod plain;
mod rope;
mod site;

use std::collections::HashSet;

use crate::func::below;
use crate::{Func, FuncId, Graph, Node, Op, ValueId};

use site::Site;

/// What a rewrite makes of a node.
enum Change {
    /// It applies this operation to these values, which are made before it, and keeps its name and type.
    Becomes(Op, Vec<ValueId>),
    /// Its result is a value made before it.
    Is(ValueId),
    /// Nobody misses it.
    Goes,
}

type Rewrite = fn(&Site<'_>, ValueId, &Node) -> Option<Change>;

/// Every rewrite; the first that fits is applied first.
const REWRITES: [(&str, Rewrite); 7] = [
    ("unused", plain::unused),
    ("identity", plain::identity),
    ("reshape_reshape", plain::reshape_reshape),
    ("same_constant", plain::same_constant),
    ("gated_linear", linear::gated_linear),
    ("linear_add", linear::linear_add),
    ("norm_rope", rope::norm_rope),
];

/// The graph with operations joined where that is sure to save work. Values named in `keep` (paths such as
/// `layers.0.attn`) are still made under their names; other names may vanish with their nodes. A function that several
/// layers share keeps what is to be seen of any of them.
pub fn fuse(graph: &Graph, keep: &[String]) -> Graph {
    fuse_counted(graph, keep).0
}

/// As [`fuse`], with how often each rewrite was applied. A function counts once however often it is called.
pub fn fuse_counted(graph: &Graph, keep: &[String]) -> (Graph, Vec<(&'static str, usize)>) {
    let kept = kept_names(graph, keep);
    let mut graph = graph.clone();
    let mut counts = REWRITES.map(|(name, _)| (name, 0)).to_vec();
    for (func, kept) in graph.funcs.iter_mut().zip(&kept) {
        while let Some(which) = rewrite(func, kept) {
            counts[which].1 += 1;
        }
    }
    (graph, counts)
}

/// Applies the first rewrite that fits anywhere, and tells which.
fn rewrite(func: &mut Func, kept: &HashSet<String>) -> Option<usize> {
    let site = Site::new(func, kept);
    let change_at = |rewrite: Rewrite| {
        let mut nodes = func.nodes_with_ids().enumerate();
        nodes.find_map(|(place, (first, node))| {
            let change = rewrite(&site, first, node)?;
            let loses_name = !matches!(change, Change::Becomes(..)) && site.is_kept(node);
            (!loses_name).then_some((place, change))
        })
    };
    let mut found = REWRITES.iter().enumerate();
    let (which, (place, change)) =
        found.find_map(|(which, (_, rewrite))| change_at(*rewrite).map(|found| (which, found)))?;
    match change {
        Change::Becomes(op, args) => {
            let node = &mut func.nodes[place];
            (node.op, node.args) = (op, args);
        }
        Change::Is(value) => remove(func, place, Some(value)),
        Change::Goes => remove(func, place, None),
    }
    Some(which)
}

/// Removes a node; who read its one result reads the value `instead`, which is made before it.
fn remove(func: &mut Func, place: usize, instead: Option<ValueId>) {
    let first = func.nodes[..place].iter().map(|node| node.results).sum::<u32>();
    let end = first + func.nodes[place].results;
    func.nodes.remove(place);
    func.types.drain(first as usize..end as usize);
    let args = func.nodes.iter_mut().flat_map(|node| &mut node.args);
    for value in args.chain(&mut func.results) {
        if value.0 >= end {
            value.0 -= end - first;
        } else if value.0 >= first {
            *value = instead.expect("what is read is replaced by something");
        }
    }
}

/// The names within each function that some call of it is to keep.
fn kept_names(graph: &Graph, keep: &[String]) -> Vec<HashSet<String>> {
    let mut kept = vec![HashSet::new(); graph.funcs.len()];
    if !keep.is_empty() {
        collect(graph, graph.main, "", &keep.iter().map(String::as_str).collect(), &mut kept);
    }
    kept
}

fn collect(graph: &Graph, id: FuncId, path: &str, keep: &HashSet<&str>, kept: &mut [HashSet<String>]) {
    for node in &graph.func(id).nodes {
        let here = below(path, node.name.as_deref());
        if let Op::Call(callee) = node.op {
            collect(graph, callee, &here, keep, kept);
        }
        if let Some(name) = node.name.as_ref().filter(|_| keep.contains(here.as_str())) {
            kept[id.index()].insert(name.clone());
        }
    }
}
