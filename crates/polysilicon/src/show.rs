//! A model's graph as text, at the stages between its description and what a device runs.

use graph::{Backend, Bucket, Graph, PlanLine, PlanReport, ProgramSpec, Work};
use tensor::DType;

use crate::numbers;
use crate::open::PAGE_LEN;
use crate::{Builder, Device, Error};
use cost::table;

/// How far a graph has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// As the model describes it.
    Build,
    /// Bound to one token of one sequence at the end of the context, operations joined where that saves work.
    Fuse,
    /// Bound as for [`Stage::Fuse`], every composite written out in core operations.
    Expand,
    /// What the device runs for that token, kernel by kernel, and what it moves and computes.
    Plan,
    /// The module that is compiled for a Neuron chip for that token, as HLO.
    Hlo,
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
        if stage == Stage::Hlo {
            return self.hlo();
        }
        let backend = self.backend()?;
        let graph = self.graph(&*backend)?;
        if stage == Stage::Build {
            return Ok(graph.to_string());
        }
        let bucket = decode(&*backend, self.context_asked()?);
        let bound = graph::bind(&graph, &bucket);
        Ok(match stage {
            Stage::Fuse => fused(&bound),
            _ => graph::expand(&bound, &bucket, &|_| false).to_string(),
        })
    }

    /// Needs no chip and nothing of its software.
    fn hlo(self) -> Result<String, Error> {
        if !matches!(self.device, Device::Neuron(_)) {
            return Err(Error::Word("only Neuron chips run HLO; add --device neuron".to_owned()));
        }
        let graph = self.opened.graph(self.kv.unwrap_or(DType::BF16))?;
        let pages = self.context_asked()?.div_ceil(PAGE_LEN).next_power_of_two();
        let bucket = Bucket { tokens: 1, seqs: 1, queries: 1, pages, rows: 1 };
        let spec = ProgramSpec { bucket, ..ProgramSpec::default() };
        let ranks = self.choices.ranks.unwrap_or(1);
        let graph = graph::shard(&graph, ranks).map_err(|error| Error::Word(error.to_string()))?;
        let pools = vec![pages + 1; graph.groups.len()];
        Ok(neuron::emit(&graph, &spec, &pools, &neuron::Options::default())?.module.to_string())
    }

    fn plan(self) -> Result<String, Error> {
        let backend = self.backend()?;
        let bucket = decode(&*backend, self.context_asked()?);
        let mut executor = self.ids_only().ready(&*backend)?.executor;
        let program = executor.compile(&ProgramSpec { bucket, ..ProgramSpec::default() })?;
        Ok(plan(&executor.report(program)))
    }
}

/// The bucket in which a device runs the last token of a context.
fn decode(backend: &dyn Backend, context: u32) -> Bucket {
    let step = Bucket { tokens: 1, seqs: 1, queries: 1, pages: context.div_ceil(PAGE_LEN), rows: 1 };
    backend.caps().buckets.round(step)
}

/// The fused graph, below how often each rewrite applied to its functions.
fn fused(graph: &Graph) -> String {
    let (fused, counts) = graph::fuse_counted(graph, &[]);
    let applied = counts.iter().filter(|(_, count)| *count > 0);
    let applied = applied.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>();
    let applied = if applied.is_empty() { "none".to_owned() } else { applied.join(", ") };
    format!("rewrites: {applied}\n\n{fused}")
}

/// One line per kernel: where it stands, its name, the bytes it moves from and to memory, within caches and over links, the
/// operations it does, and how long that takes at best where the device knows; and then all of them together.
fn plan(report: &PlanReport) -> String {
    let known = report.lines.iter().any(|line| line.predicted_ns.is_some());
    let predicted = if known { "predicted" } else { "" };
    // One device has no links to others.
    let links = if report.lines.iter().any(|line| line.work.link_bytes > 0.0) { "links" } else { "" };
    let head = ["path", "kernel", "memory", "caches", links, "operations", predicted];
    let mut rows = vec![head.map(str::to_owned)];
    let (mut work, mut all_ns) = (Work::default(), Some(0.0));
    for PlanLine { path, kernel, work: line, predicted_ns, .. } in &report.lines {
        rows.push(row(path, kernel, line, *predicted_ns));
        work += *line;
        // Of times there is a sum only where each is known.
        all_ns = all_ns.zip(*predicted_ns).map(|(sum, ns)| sum + ns);
    }
    let arena = match report.arena_bytes {
        0 => String::new(),
        bytes => format!(", values in {}", numbers::bytes(bytes as f64)),
    };
    rows.push(row("total", &format!("{} kernels{arena}", report.lines.len()), &work, all_ns));
    let mut text = table(&rows, 2);
    if let Some(advice) = report.advice {
        text += &format!("\nNo times are predicted: {advice}.\n");
    }
    text
}

fn row(path: &str, kernel: &str, work: &Work, predicted_ns: Option<f64>) -> [String; 7] {
    let [memory, caches, links] = [work.memory_bytes(), work.value_bytes, work.link_bytes].map(|n| match n {
        0.0 => String::new(),
        n => numbers::bytes(n),
    });
    let time = predicted_ns.map_or(String::new(), |ns| numbers::seconds(ns / 1e9));
    [path.to_owned(), kernel.to_owned(), memory, caches, links, numbers::operations(work.operations), time]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_tells_what_each_kernel_costs_and_what_all_do() {
        let line = |path: &str, kernel: &str, work, ns| PlanLine {
            path: path.to_owned(),
            kernel: kernel.to_owned(),
            work,
            factor: None,
            predicted_ns: Some(ns),
            measured_ns: None,
        };
        let product = Work { weight_bytes: 1_572_864.0, operations: 4_200_000.0, ..Work::default() };
        let write = Work { state_bytes: 512.0, value_bytes: 1024.0, ..Work::default() };
        let lines = vec![
            line("layers.0.self_attn.q_proj", "linear[q4_0, avx2]", product, 64_000.0),
            line("layers.0", "state_write", write, 250.0),
        ];
        let mut report = PlanReport { lines, arena_bytes: 65_536, advice: None };
        let wanted = "\
path                       kernel                           memory    caches  operations  predicted
layers.0.self_attn.q_proj  linear[q4_0, avx2]             1.50 MiB                4.20 M   64.00 us
layers.0                   state_write                   512 bytes  1.00 KiB           0     250 ns
total                      2 kernels, values in 64.00 KiB  1.50 MiB  1.00 KiB      4.20 M   64.25 us
";
        assert_eq!(squeezed(&plan(&report)), squeezed(wanted));
        report.lines[1].work.link_bytes = 2048.0;
        let linked = plan(&report);
        assert!(linked.contains("links") && linked.contains("1.00 KiB  2.00 KiB"), "{linked}");
        report.lines[1].work.link_bytes = 0.0;
        report.lines[1].predicted_ns = None;
        report.advice = Some("nobody measured; measure");
        let unknown = plan(&report);
        assert!(
            unknown.ends_with("4.20 M\n\nNo times are predicted: nobody measured; measure.\n"),
            "{unknown}"
        );
    }

    /// The text with as many spaces as one: how wide columns are is not the point.
    fn squeezed(text: &str) -> String {
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    }
}
