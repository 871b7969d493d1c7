//! A program: the graph lowered for one bucket, and the values it brings out or takes in.

use graph::{BackendError, Graph, Op, PlanReport, ProgramSpec};

use crate::lower;

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
        spec.check(graph)?;
        let graph = lower(graph, &spec.bucket);
        let report = PlanReport::of(&graph, &spec.bucket, &Op::to_string);
        Ok(Program { spec: spec.clone(), graph, report })
    }
}
