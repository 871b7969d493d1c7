//! A model's graph as text, at the stages between its description and what a device runs.

use std::fmt::Write;

use graph::{Backend, Bucket, PlanReport, ProgramSpec};

use crate::open::PAGE_LEN;
use crate::{Builder, Error};

/// How far a graph has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// As the model describes it.
    Build,
    /// Bound to one token of one sequence at the end of the context, every composite written out in core operations.
    Expand,
    /// What the device runs for that token, kernel by kernel.
    Plan,
}

impl Builder {
    /// The graph as text. Only [`Stage::Plan`] reads the weights.
    ///
    /// ```
    /// let text = polysilicon::Model::open("embedded")?.show(polysilicon::Stage::Build)?;
    /// assert!(text.starts_with("graph embedded"));
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    pub fn show(self, stage: Stage) -> Result<String, Error> {
        if stage == Stage::Plan {
            return self.plan();
        }
        let backend = self.device.backend()?;
        let graph = self.graph(&*backend)?;
        if stage == Stage::Build {
            return Ok(graph.to_string());
        }
        let bucket = decode(&*backend, self.context_asked()?);
        Ok(graph::expand(&graph::bind(&graph, &bucket), &bucket, &|_| false).to_string())
    }

    fn plan(self) -> Result<String, Error> {
        let backend = self.device.backend()?;
        let bucket = decode(&*backend, self.context_asked()?);
        let mut executor = self.ready(&*backend)?.executor;
        let program = executor.compile(&ProgramSpec { bucket, ..ProgramSpec::default() })?;
        Ok(table(executor.report(program)))
    }
}

/// The bucket in which a device runs the last token of a context.
fn decode(backend: &dyn Backend, context: u32) -> Bucket {
    let step = Bucket { tokens: 1, seqs: 1, queries: 1, pages: context.div_ceil(PAGE_LEN), rows: 1 };
    backend.caps().buckets.round(step)
}

/// One line per kernel: where it stands, its name, and the bytes of weights that it reads.
fn table(report: &PlanReport) -> String {
    let width = report.lines.iter().map(|line| line.path.len()).max().unwrap_or(0);
    let mut text = String::new();
    for line in &report.lines {
        let weights = match line.work.weight_bytes {
            0.0 => String::new(),
            bytes => format!("  # {bytes:.0} bytes of weights"),
        };
        let path = &line.path;
        writeln!(text, "{path:width$}  {}{weights}", line.kernel).expect("a string takes any text");
    }
    text
}
