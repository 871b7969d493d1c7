//! When each worker did what: a timeline that browsers show.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Mutex;
use std::time::Instant;

/// The environment variable that names the file, `POLYSILICON_TRACE=trace.json`.
pub const TRACE: &str = "POLYSILICON_TRACE";

/// What a worker did for how long.
#[derive(Clone, Copy)]
pub struct Span {
    /// The program's node.
    pub node: usize,
    start_ns: u64,
    end_ns: u64,
}

/// The spans of one step, worker by worker.
pub struct Trace {
    epoch: Instant,
    spans: Vec<Mutex<Vec<Span>>>,
}

impl Trace {
    /// Room for the spans of so many workers.
    pub fn new(workers: usize) -> Trace {
        Trace { epoch: Instant::now(), spans: (0..workers).map(|_| Mutex::default()).collect() }
    }

    /// The time since the trace began.
    pub fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Notes that a worker was busy with a node from `start` until now.
    pub fn note(&self, worker: usize, node: usize, start: u64) {
        if let Ok(mut spans) = self.spans[worker].lock() {
            spans.push(Span { node, start_ns: start, end_ns: self.now() });
        }
    }

    /// Takes the spans, worker by worker.
    pub fn take(&self) -> Vec<Vec<Span>> {
        let mut taken = vec![];
        for spans in &self.spans {
            taken.push(spans.lock().map_or_else(|_| vec![], |mut spans| std::mem::take(&mut *spans)));
        }
        taken
    }
}

/// Nanoseconds of each node: from when all workers were done with the one before it until all are done with it, so that
/// they add up to the step, and who waits for another waits at the other's node.
pub fn node_times(spans: &[Vec<Span>]) -> Vec<f64> {
    let nodes = spans.iter().map(Vec::len).min().unwrap_or(0);
    let mut done = spans.iter().flat_map(|of| of.first()).map(|span| span.start_ns).min().unwrap_or(0);
    let time = |node: usize| {
        let end = spans.iter().map(|of| of[node].end_ns).max().unwrap_or(done).max(done);
        (end - std::mem::replace(&mut done, end)) as f64
    };
    (0..nodes).map(time).collect()
}

/// A file of events in Chrome's trace format, which ends where the process does: readers of the format take a list
/// that is not closed.
pub struct TraceFile(BufWriter<File>);

impl TraceFile {
    /// The file that [`TRACE`] names, or `None` where it names none. A file that cannot be made is an error.
    pub fn from_environment() -> std::io::Result<Option<TraceFile>> {
        let Some(path) = std::env::var_os(TRACE) else { return Ok(None) };
        let mut out = BufWriter::new(File::create(path)?);
        writeln!(out, "[")?;
        Ok(Some(TraceFile(out)))
    }

    /// Writes the spans of a step; `name` gives a node's name and kernel.
    pub fn write(
        &mut self,
        spans: &[Vec<Span>],
        name: impl Fn(usize) -> (String, String),
    ) -> std::io::Result<()> {
        for (worker, spans) in spans.iter().enumerate() {
            for &Span { node, start_ns, end_ns } in spans {
                let (path, kernel) = name(node);
                let (start, length) = (start_ns as f64 / 1e3, (end_ns - start_ns) as f64 / 1e3);
                writeln!(
                    self.0,
                    r#"{{"name":"{path}","cat":"{kernel}","ph":"X","pid":1,"tid":{worker},"ts":{start:.3},"dur":{length:.3}}},"#
                )?;
            }
        }
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_nodes_add_up_to_the_step() {
        let spans = |times: &[(u64, u64)]| {
            let spans = times.iter().enumerate();
            spans.map(|(node, &(start_ns, end_ns))| Span { node, start_ns, end_ns }).collect::<Vec<_>>()
        };
        // The second worker is late at the first node, and alone at the last.
        let step = [spans(&[(10, 20), (31, 40), (40, 41)]), spans(&[(12, 30), (31, 42), (42, 50)])];
        assert_eq!(node_times(&step), [20.0, 12.0, 8.0]);
        assert_eq!(node_times(&[vec![], vec![]]), []);
    }
}
