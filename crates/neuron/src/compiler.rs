//! `neuronx-cc`, run on modules, and the programs that it made before.
//!
//! A program is kept under a hash of its module and of the compiler's flags, and under the compiler's version. Where
//! there is no compiler, a program that any version made is taken: a machine that only serves needs none.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use graph::BackendError;

use crate::{NAME, Target};

/// The command, where nobody says another.
pub const COMMAND: &str = "neuronx-cc";

/// Longest that the compiler may take to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(120);

/// What the compiler finds in its folder, and what it leaves there.
const MODULE: &str = "module.hlo.pb";
const PROGRAM: &str = "program.neff";
const LOG: &str = "compiler.log";

/// Bytes at the end of a log that an error repeats.
const LOG_BYTES: usize = 2000;

/// The compiler, and a folder of programs.
#[derive(Clone, Debug)]
pub struct Compiler {
    command: PathBuf,
    /// None where there is no compiler.
    version: Option<String>,
    /// Why there is none.
    absent: String,
    folder: PathBuf,
    limit: Duration,
}

impl Compiler {
    /// Asks a compiler for its version. Programs are kept in `folder`; none may take longer than `limit` to make.
    pub fn find(command: &Path, folder: &Path, limit: Duration) -> Compiler {
        let (version, absent) = match version(command) {
            Ok(version) => (Some(version), String::new()),
            Err(reason) => (None, reason),
        };
        Compiler { command: command.to_owned(), version, absent, folder: folder.to_owned(), limit }
    }

    /// What it says of itself, where there is one.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The program of a serialized module, made unless it was before; where its file lies.
    pub fn program(&self, module: &[u8], target: &Target) -> Result<PathBuf, BackendError> {
        let key = key(module, target);
        match (self.kept(&key), &self.version) {
            (Some(program), _) => Ok(program),
            (None, Some(version)) => self.make(&key, version, module, target),
            (None, None) => Err(failed(format!(
                "a module must be compiled, and there is no compiler: {}; install aws-neuronx's neuronx-cc or name it \
                 with POLYSILICON_NEURONX_CC, or copy programs that were compiled elsewhere to {}",
                self.absent,
                self.folder.display()
            ))),
        }
    }

    /// A program that was made before: by this version, or by any where there is no compiler.
    fn kept(&self, key: &str) -> Option<PathBuf> {
        let path = match &self.version {
            Some(version) => self.folder.join(file_name(key, version)),
            None => {
                let named = |path: &PathBuf| {
                    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
                    name.starts_with(key) && name.ends_with(".neff")
                };
                let entries = fs::read_dir(&self.folder).ok()?.flatten().map(|entry| entry.path());
                entries.filter(named).max()?
            }
        };
        is_whole(&path).then_some(path)
    }

    /// Runs the compiler in a folder of its own, which stays where it fails.
    fn make(
        &self,
        key: &str,
        version: &str,
        module: &[u8],
        target: &Target,
    ) -> Result<PathBuf, BackendError> {
        let work = self.folder.join(format!("{key}.{}", std::process::id()));
        fs::create_dir_all(&work)?;
        fs::write(work.join(MODULE), module)?;
        let words = target.command(MODULE, PROGRAM);
        let log = File::create(work.join(LOG))?;
        let mut command = Command::new(&self.command);
        command.args(&words[1..]).current_dir(&work).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let told = |what: String| {
            failed(format!("{what}; the module and the log are in {}{}", work.display(), end_of_log(&work)))
        };
        let name = self.command.display();
        match run(&mut command, self.limit) {
            Err(reason) => return Err(told(format!("{name} could not be run: {reason}"))),
            Ok(None) => {
                return Err(told(format!("{name} took longer than {:?} and was ended", self.limit)));
            }
            Ok(Some(status)) if !status.success() => {
                return Err(told(format!("{name} ended with {status}")));
            }
            Ok(Some(_)) => {}
        }
        let (made, kept) = (work.join(PROGRAM), self.folder.join(file_name(key, version)));
        if !is_whole(&made) {
            return Err(told(format!("{name} left no program, or a part of one")));
        }
        fs::rename(&made, &kept)?;
        fs::remove_dir_all(&work)?;
        Ok(kept)
    }
}

/// A hash of a module and of what the compiler is called with for it, as text.
pub fn key(module: &[u8], target: &Target) -> String {
    let words = target.command(MODULE, PROGRAM).join(" ");
    // FNV-1a with 128 bits: who writes to this folder could write programs as well, so nobody is to be kept out.
    let step = |sum: u128, &byte: &u8| {
        (sum ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    };
    let start = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    format!("{:032x}", words.as_bytes().iter().chain(module).fold(start, step))
}

fn file_name(key: &str, version: &str) -> String {
    let version = version.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' });
    format!("{key}-{}.neff", version.take(64).collect::<String>())
}

/// Whether a program's file is as long as its header says: the header, and the bytes behind it.
fn is_whole(path: &Path) -> bool {
    let read = || {
        let (mut file, mut fields) = (File::open(path)?, [[0; 8]; 3]);
        for field in &mut fields {
            file.read_exact(field)?;
        }
        let [_, header, data] = fields.map(u64::from_le_bytes);
        Ok::<_, std::io::Error>(header.saturating_add(data) <= file.metadata()?.len())
    };
    read().unwrap_or(false)
}

/// What the compiler says of itself.
fn version(command: &Path) -> Result<String, String> {
    let mut asked = Command::new(command);
    asked.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
    let name = command.display();
    let mut child = asked.spawn().map_err(|error| format!("{name}: {error}"))?;
    let status = wait(&mut child, VERSION_LIMIT).map_err(|error| format!("{name}: {error}"))?;
    let told = child.wait_with_output().map_err(|error| format!("{name}: {error}"))?.stdout;
    let text = String::from_utf8_lossy(&told);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    match (status, line) {
        (Some(status), Some(line)) if status.success() => Ok(line.to_owned()),
        _ => Err(format!("`{name} --version` tells no version")),
    }
}

/// Runs a command to its end; none where it took longer than the limit, and was ended.
fn run(command: &mut Command, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    wait(&mut command.spawn()?, limit)
}

fn wait(child: &mut std::process::Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let (end, mut pause) = (Instant::now() + limit, Duration::from_millis(1));
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// The last lines that the compiler wrote.
fn end_of_log(work: &Path) -> String {
    let log = fs::read(work.join(LOG)).unwrap_or_default();
    let end = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_BYTES)..]).trim().to_owned();
    if end.is_empty() { end } else { format!(", which ends with:\n{end}") }
}

fn failed(reason: String) -> BackendError {
    BackendError::Device { device: NAME, reason }
}
