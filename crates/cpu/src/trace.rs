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
    /// Takes the spans of each worker.
    fn take(&self) -> Vec<Vec<Span>> {
        let mut taken = vec![];
        for spans in &self.spans {
            taken.push(spans.lock().map_or_else(|_| vec![], |mut spans| std::mem::take(&mut *spans)));
        }
        taken
    }
}

/// A file of events in Chrome's trace format, which ends where the process does: readers of the format take a list
/// that is not closed.
pub struct TraceFile {
    out: BufWriter<File>,
    trace: Trace,
}

impl TraceFile {
    /// The file that [`TRACE`] names, or `None` where it names none. A file that cannot be made is an error.
    pub fn from_environment(workers: usize) -> std::io::Result<Option<TraceFile>> {
        let Some(path) = std::env::var_os(TRACE) else { return Ok(None) };
        let mut out = BufWriter::new(File::create(path)?);
        writeln!(out, "[")?;
        Ok(Some(TraceFile { out, trace: Trace::new(workers) }))
    }

    /// What workers note their spans in.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Writes the spans of a step; `name` gives a node's name and kernel.
    pub fn write(&mut self, name: impl Fn(usize) -> (String, String)) -> std::io::Result<()> {
        for (worker, spans) in self.trace.take().into_iter().enumerate() {
            for Span { node, start_ns, end_ns } in spans {
                let (path, kernel) = name(node);
                let (start, length) = (start_ns as f64 / 1e3, (end_ns - start_ns) as f64 / 1e3);
                writeln!(
                    self.out,
                    r#"{{"name":"{path}","cat":"{kernel}","ph":"X","pid":1,"tid":{worker},"ts":{start:.3},"dur":{length:.3}}},"#
                )?;
            }
        }
        self.out.flush()
    }
}
