//! A program: the graph lowered for one bucket, and the values it brings out or takes in.

use graph::{BackendError, Feed, Graph, Op, PlanReport, ProgramSpec};

use crate::{NAME, lower};

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
        let report = PlanReport::of(&graph, &spec.bucket, &Op::to_string);
        Ok(Program { spec: spec.clone(), graph, report })
    }
    /// Whether each patch has as many elements as the value it replaces.
    pub fn check_patches(&self, feed: &Feed<'_>) -> Result<(), BackendError> {
        for (name, patch) in self.spec.patches.iter().zip(feed.patches) {
            let wanted = self.graph.ty_of(name).and_then(|ty| ty.dims.shape()?.elements());
            if wanted != Some(patch.len()) {
                let reason =
                    format!("it has {} elements, and the value has {}", patch.len(), wanted.unwrap_or(0));
                return Err(BackendError::Unsupported {
                    device: NAME,
                    what: format!("the patch of `{name}`"),
                    reason,
                });
            }
        }
        Ok(())
    }
}
