//! Stock XLA as a device: what an emitted module means, said by somebody else. It runs in Python, in a process of its
//! own that `tests/xla/run.py` describes.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use graph::BackendError;
use hlo::{Module, Shape};
use neuron::Device;
use serde_json::{Value, json};

use crate::skip;

/// The variable that names a Python with jaxlib and numpy; without it, nothing is run on XLA.
const PYTHON: &str = "POLYSILICON_XLA_PYTHON";

/// A running XLA.
pub struct Xla {
    child: Child,
    requests: BufWriter<ChildStdin>,
    replies: BufReader<ChildStdout>,
    ranks: u32,
    count: u64,
    dropped: Dropped,
}

/// Numbers of tensors that nobody needs any more.
type Dropped = Arc<Mutex<Vec<u64>>>;

/// A tensor there.
pub struct Tensor {
    number: u64,
    dropped: Dropped,
}

impl Drop for Tensor {
    fn drop(&mut self) {
        unpoisoned(&self.dropped).push(self.number);
    }
}

/// The process that all single operations share.
static SHARED: Mutex<Option<Xla>> = Mutex::new(None);

/// Does something on the shared XLA.
pub fn with<T>(what: impl FnOnce(&mut Xla) -> Result<T, BackendError>) -> Result<T, BackendError> {
    what(unpoisoned(&SHARED).get_or_insert_with(Xla::start))
}

impl Xla {
    /// Whether there is a Python that has it. Where there is none, the test that asks is skipped, and that is said.
    pub fn is_present() -> bool {
        let is_present = std::env::var_os(PYTHON).is_some();
        if !is_present {
            skip::say(&format!(
                "is not proven on stock XLA: {PYTHON} names no Python with scripts/requirements-xla.txt"
            ));
        }
        is_present
    }

    /// A Python that has it, and numpy.
    pub fn python() -> Option<OsString> {
        std::env::var_os(PYTHON)
    }

    /// Starts it.
    ///
    /// # Panics
    /// Where it does not start: who names a Python promises that it does.
    pub fn start() -> Xla {
        Xla::start_on(1)
    }

    /// Starts it with so many devices, on which every program runs together.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_on(ranks: u32) -> Xla {
        let python =
            std::env::var_os(PYTHON).unwrap_or_else(|| panic!("{PYTHON} names no Python with jaxlib"));
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("xla/run.py");
        let mut child = Command::new(&python)
            .arg(script)
            .arg(ranks.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{PYTHON} is {python:?}, which does not start: {error}"));
        let requests = BufWriter::new(child.stdin.take().expect("piped"));
        let replies = BufReader::new(child.stdout.take().expect("piped"));
        Xla { child, requests, replies, ranks, count: 0, dropped: Dropped::default() }
    }

    /// Whether XLA takes a serialized module, which may be far too large to be run here.
    pub fn verify(&mut self, module: &[u8]) -> Result<(), BackendError> {
        self.ask(json!({ "do": "verify" }), module).map(|_| ())
    }

    fn ask(&mut self, mut request: Value, payload: &[u8]) -> Result<(Value, Vec<u8>), BackendError> {
        request["bytes"] = payload.len().into();
        request["dropped"] = std::mem::take(&mut *unpoisoned(&self.dropped)).into();
        let mut line = String::new();
        let mut exchange = || {
            writeln!(self.requests, "{request}")?;
            self.requests.write_all(payload)?;
            self.requests.flush()?;
            self.replies.read_line(&mut line)
        };
        exchange().map_err(|error| failed(error.to_string()))?;
        let reply: Value =
            serde_json::from_str(&line).map_err(|error| failed(format!("{error}: {line:?}")))?;
        if let Some(error) = reply["error"].as_str() {
            return Err(failed(error.to_owned()));
        }
        let mut answer = vec![0; reply["bytes"].as_u64().unwrap_or(0) as usize];
        self.replies.read_exact(&mut answer).map_err(|error| failed(error.to_string()))?;
        Ok((reply, answer))
    }
}

impl Drop for Xla {
    fn drop(&mut self) {
        // It ends by itself when nobody asks any more; where it hangs, it is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Device for Xla {
    type Program = u64;
    type Tensor = Tensor;
    /// Numbers of a program, its inputs and its outputs.
    type Bound = (u64, Vec<u64>, Vec<u64>);
    /// XLA has run it when it is begun.
    type Run = ();

    fn ranks(&self) -> u32 {
        self.ranks
    }

    fn load(&mut self, module: &Module) -> Result<u64, BackendError> {
        let (reply, _) = self.ask(json!({ "do": "load" }), &module.encode())?;
        reply["program"].as_u64().ok_or_else(|| failed("it names no program".to_owned()))
    }

    fn allocate(&mut self, _: &str, shape: &Shape) -> Result<Tensor, BackendError> {
        self.count += 1;
        let (number, Shape { element, dims }) = (self.count, shape);
        self.ask(
            json!({ "do": "allocate", "tensor": number, "element": element.name(), "dims": dims }),
            &[],
        )?;
        Ok(Tensor { number, dropped: Arc::clone(&self.dropped) })
    }

    fn write(
        &mut self,
        tensor: &mut Tensor,
        rank: Option<u32>,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        let request = json!({ "do": "write", "tensor": tensor.number, "rank": rank, "offset": offset });
        self.ask(request, bytes).map(|_| ())
    }

    fn read(
        &mut self,
        tensor: &Tensor,
        rank: u32,
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), BackendError> {
        let (number, count) = (tensor.number, bytes.len());
        let request =
            json!({ "do": "read", "tensor": number, "rank": rank, "offset": offset, "count": count });
        let (_, answer) = self.ask(request, &[])?;
        if answer.len() != count {
            return Err(failed(format!("it gives {} bytes, not {count}", answer.len())));
        }
        bytes.copy_from_slice(&answer);
        Ok(())
    }

    fn bind(
        &mut self,
        program: &u64,
        inputs: &[&Tensor],
        outputs: &[&Tensor],
    ) -> Result<Self::Bound, BackendError> {
        let numbers = |tensors: &[&Tensor]| tensors.iter().map(|tensor| tensor.number).collect::<Vec<_>>();
        Ok((*program, numbers(inputs), numbers(outputs)))
    }

    fn start(&mut self, (program, inputs, outputs): &Self::Bound) -> Result<(), BackendError> {
        let request = json!({ "do": "run", "program": program, "inputs": inputs, "outputs": outputs });
        self.ask(request, &[]).map(|_| ())
    }

    fn wait(&mut self, (): ()) -> Result<Option<u64>, BackendError> {
        Ok(None)
    }
}

/// What is behind a lock, whatever happened to who held it before.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn failed(reason: String) -> BackendError {
    BackendError::Device { device: "xla", reason }
}
