//! A graph made ready for steps of one size: bound, expanded, its probes found, its values' last uses known.

use std::collections::HashSet;

use graph::{
    BackendError, Bucket, Func, FuncId, Graph, Node, PlanReport, ProgramSpec, ValueId, bind, expand,
};

/// What a program runs.
pub(crate) struct Program {
    pub(crate) spec: ProgramSpec,
    pub(crate) graph: Graph,
    pub(crate) report: PlanReport,
    last_uses: Vec<Vec<Vec<ValueId>>>,
}

impl Program {
    /// A program for the steps that the bucket holds.
    pub(crate) fn compile(graph: &Graph, spec: &ProgramSpec) -> Result<Program, BackendError> {
        spec.check(graph)?;
        let graph = expanded(graph, &spec.bucket);
        let report = PlanReport::of(&graph, &spec.bucket, &|op| format!("candle::{}", op.name()));
        let last_uses = graph.funcs.iter().map(last_uses).collect();
        Ok(Program { spec: spec.clone(), graph, report, last_uses })
    }

    /// The values that nobody reads after a node, by the node's place.
    pub(crate) fn dies_after(&self, func: FuncId, node: usize) -> &[ValueId] {
        &self.last_uses[func.index()][node]
    }
}

/// The graph in core operations only.
fn expanded(graph: &Graph, bucket: &Bucket) -> Graph {
    expand(&bind(graph, bucket), bucket, &|_| false)
}

/// For each node, the arguments that it is the last to read.
fn last_uses(func: &Func) -> Vec<Vec<ValueId>> {
    let mut seen = func.results.iter().copied().collect::<HashSet<_>>();
    let dying = |node: &Node| node.args.iter().copied().filter(|&arg| seen.insert(arg)).collect::<Vec<_>>();
    let mut last_uses = func.nodes.iter().rev().map(dying).collect::<Vec<_>>();
    last_uses.reverse();
    last_uses
}

/// Where a node stands: its name, or the number of its first value, below the calls that lead to it.
pub(crate) fn path(prefix: &str, first: ValueId, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{prefix}{name}"),
        None => format!("{prefix}%{}", first.0),
    }
}
