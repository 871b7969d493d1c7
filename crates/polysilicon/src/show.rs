//! A model's graph as text, at the stages between its description and what a device runs.

use std::fmt::Write;

use graph::{Backend, Bucket, Graph, PlanLine, PlanReport, ProgramSpec, Work};

use crate::open::PAGE_LEN;
use crate::{Builder, Error};

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

    fn plan(self) -> Result<String, Error> {
        let backend = self.backend()?;
        let bucket = decode(&*backend, self.context_asked()?);
        let mut executor = self.ids_only().ready(&*backend)?.executor;
        let program = executor.compile(&ProgramSpec { bucket, ..ProgramSpec::default() })?;
        Ok(table(executor.report(program)))
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

/// One line per kernel: where it stands, its name, the bytes it moves, the operations it does, and how long that is
/// expected to take where the device knows; and then all of them together.
fn table(report: &PlanReport) -> String {
    let lines = &report.lines;
    let predicted = if lines.iter().any(|line| line.predicted_ns.is_some()) { "predicted" } else { "" };
    let mut rows = vec![["path", "kernel", "bytes", "operations", predicted].map(str::to_owned)];
    rows.extend(lines.iter().map(|line| row(&line.path, &line.kernel, &line.work, line.predicted_ns)));
    rows.push(total(report));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let [path, kernel, bytes, operations, predicted] = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    for [a, b, c, d, e] in &rows {
        let line = format!("{a:path$}  {b:kernel$}  {c:>bytes$}  {d:>operations$}  {e:>predicted$}");
        writeln!(text, "{}", line.trim_end()).expect("a string takes any text");
    }
    text
}

fn row(path: &str, kernel: &str, work: &Work, predicted_ns: Option<f64>) -> [String; 5] {
    let time = predicted_ns.map_or(String::new(), |ns| scaled(ns, 1000.0, &["ns", "us", "ms", "s"]));
    let bytes = scaled(work.bytes(), 1024.0, &["bytes", "KiB", "MiB", "GiB", "TiB"]);
    let operations = scaled(work.operations, 1000.0, &["", "k", "M", "G", "T"]);
    [path.to_owned(), kernel.to_owned(), bytes, operations, time]
}

/// The sum of all lines; of times only where each is known.
fn total(report: &PlanReport) -> [String; 5] {
    let mut work = Work::default();
    report.lines.iter().for_each(|line| work += line.work);
    let predicted = report.lines.iter().map(|line: &PlanLine| line.predicted_ns).sum::<Option<f64>>();
    let arena = match report.arena_bytes {
        0 => String::new(),
        bytes => format!(", values in {}", scaled(bytes as f64, 1024.0, &["bytes", "KiB", "MiB", "GiB"])),
    };
    row("total", &format!("{} kernels{arena}", report.lines.len()), &work, predicted)
}

/// A number in the largest unit that leaves 1 or more of it.
fn scaled(number: f64, step: f64, units: &[&str]) -> String {
    let (mut scaled, mut unit) = (number, 0);
    while scaled >= step && unit + 1 < units.len() {
        (scaled, unit) = (scaled / step, unit + 1);
    }
    let places = if unit == 0 { 0 } else { 2 };
    format!("{scaled:.places$} {}", units[unit]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_tells_what_each_kernel_costs_and_what_all_do() {
        let line = |path: &str, kernel: &str, weight_bytes, operations, predicted_ns| PlanLine {
            path: path.to_owned(),
            kernel: kernel.to_owned(),
            work: Work { weight_bytes, operations, ..Work::default() },
            predicted_ns,
        };
        let mut lines = vec![
            line("layers.0.self_attn.q_proj", "linear[q4_0, avx2]", 1_572_864.0, 4_200_000.0, Some(64_000.0)),
            line("layers.0", "state_write", 512.0, 0.0, Some(250.0)),
        ];
        let report = PlanReport { lines: lines.clone(), arena_bytes: 65_536 };
        let wanted = "\
path                       kernel                           bytes  operations  predicted
layers.0.self_attn.q_proj  linear[q4_0, avx2]            1.50 MiB      4.20 M   64.00 us
layers.0                   state_write                  512 bytes           0     250 ns
total                      2 kernels, values in 64.00 KiB  1.50 MiB      4.20 M   64.25 us
";
        assert_eq!(squeezed(&table(&report)), squeezed(wanted));
        lines[1].predicted_ns = None;
        let unknown = table(&PlanReport { lines, arena_bytes: 0 });
        assert!(unknown.ends_with("4.20 M\n") && unknown.contains("2 kernels "), "{unknown}");
    }

    /// The text with as many spaces as one: how wide columns are is not the point.
    fn squeezed(text: &str) -> String {
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    }
}
