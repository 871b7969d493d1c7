//! A program: the graph lowered for one bucket, and the values it brings out or takes in.

use graph::{BackendError, Graph, Op, PlanLine, PlanReport, ProgramSpec, StepCounts};

use crate::{lower, run::join};

/// A graph lowered to what the interpreter runs.
pub struct Program {
    /// What it was made for.
    pub spec: ProgramSpec,
    /// The lowered graph.
    pub graph: Graph,
    /// Node by node.
    pub report: PlanReport,
}

impl Program {
    /// Lowers the graph; names that are no values of it are errors.
    pub fn new(graph: &Graph, spec: &ProgramSpec) -> Result<Program, BackendError> {
        let names = graph.names();
        for name in spec.taps.iter().chain(&spec.patches) {
            if !names.contains(name) {
                return Err(BackendError::NoValue { name: name.clone() });
            }
        }
        let graph = lower(graph, &spec.bucket);
        let report = report(&graph, spec);
        Ok(Program { spec: spec.clone(), graph, report })
    }
}

fn report(graph: &Graph, spec: &ProgramSpec) -> PlanReport {
    let counts = StepCounts {
        tokens: spec.bucket.tokens,
        seqs: spec.bucket.seqs,
        rows: spec.bucket.rows,
        ..StepCounts::default()
    };
    let mut report = PlanReport::default();
    lines(graph, graph.main(), "", &counts, &mut report.lines);
    report
}

fn lines(graph: &Graph, func: &graph::Func, path: &str, counts: &StepCounts, out: &mut Vec<PlanLine>) {
    for (first, node) in func.nodes_with_ids() {
        let here = node.name.as_ref().map_or_else(|| path.to_owned(), |name| join(path, name));
        match &node.op {
            Op::Param(_) => {}
            Op::Call(callee) => lines(graph, graph.func(*callee), &here, counts, out),
            op => {
                let results = &func.types[first.index()..first.index() + node.results as usize];
                let work = op.work(&func.tys(&node.args), results, counts);
                out.push(PlanLine { path: here, kernel: op.to_string(), work });
            }
        }
    }
}
