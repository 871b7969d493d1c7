//! Modules made into programs by `neuronx-cc`, or by whatever else is called as it is, and kept by what they were made
//! of: the module, the compiler's version and its flags.
//!
//! An entry of the cache is a folder with the program and with all that it was made of, which is compared byte for byte
//! before a program is taken: a sum only names the folder. Entries appear whole, by renaming.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tensor::Sum;

use crate::neff::{Neff, NeffError};
use crate::target::Target;

/// The compiler's name on the path.
pub const COMMAND: &str = "neuronx-cc";
/// How long it may take to say its version: it is a Python program that loads much.
const VERSION_LIMIT: Duration = Duration::from_secs(120);
/// How often a running compiler is looked after.
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes of the compiler's words that an error repeats: the last, where it says what was wrong.
const WORDS: u64 = 2048;

/// The files of an entry.
const MODULE: &str = "module.hlo.pb";
const PROGRAM: &str = "program.neff";
const MADE_BY: &str = "made_by.txt";
const LOG: &str = "compiler.log";

/// A compiler and the cache of what it made.
#[derive(Clone, Debug)]
pub struct Compiler {
    command: PathBuf,
    version: String,
    cache: PathBuf,
    limit: Duration,
}

/// What is to be compiled.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// What people call it.
    pub name: &'a str,
    /// A serialized `HloModuleProto`.
    pub module: &'a [u8],
    /// The chip it is for.
    pub target: &'a Target,
}

/// A program that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The file, in the cache.
    pub path: PathBuf,
    /// What its header says.
    pub neff: Neff,
    /// Whether it was there already.
    pub cached: bool,
}

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// It does not run at all: the operator should install it or name it.
    #[error(
        "`{}` does not run: {reason}; install AWS's Neuron compiler (docs/neuron.md says how), name it (`compile --compiler`, or POLYSILICON_NEURONX_CC), or serve from a bundle that was compiled elsewhere (--bundle)",
        command.display()
    )]
    Absent {
        /// What was called.
        command: PathBuf,
        /// Why it does not run.
        reason: String,
    },
    /// It does not take the module: a mistake of ours, or a limit of its own.
    #[error("the compiler did not take module {name} ({status}); its last words: {words}")]
    Refused {
        /// The module.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        words: String,
    },
    /// It takes too long: the operator may allow more.
    #[error("module {name} was not compiled within {} s; allow more with --limit, or ask for fewer or smaller buckets", limit.as_secs())]
    Late {
        /// The module.
        name: String,
        /// What it was given.
        limit: Duration,
    },
    /// Another module failed, and this one was given up.
    #[error("module {name} was given up because another failed")]
    Stopped {
        /// The module.
        name: String,
    },
    /// It says that it is done, and what it wrote is no program.
    #[error("what the compiler made of module {name} is no program: {error}")]
    Neff {
        /// The module.
        name: String,
        /// What is wrong with it.
        error: NeffError,
    },
    /// The cache cannot be written: the operator should look at the folder.
    #[error("{}: {error}; programs are kept there, and another folder can be named with --cache", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl Compiler {
    /// Asks a command for its version. Programs are kept below `cache`; each may take `limit`.
    pub fn open(command: &Path, cache: &Path, limit: Duration) -> Result<Compiler, CompileError> {
        let absent = |reason: String| CompileError::Absent { command: command.to_owned(), reason };
        let folder = Scratch::within(cache)?;
        let log = folder.path.join(LOG);
        let child = start(command, &["--version".to_owned()], Path::new("."), &log);
        let mut child = child.map_err(|error| absent(error.to_string()))?;
        let ended = wait(&mut child, VERSION_LIMIT, &AtomicBool::new(false))
            .map_err(|error| absent(error.to_string()))?;
        let words = last_words(&log);
        match ended {
            Ended::With(status) if status.success() && !words.is_empty() => {
                Ok(Compiler { command: command.to_owned(), version: words, cache: cache.to_owned(), limit })
            }
            Ended::With(status) => {
                Err(absent(format!("asked for its version it ends with {status}: {words}")))
            }
            _ => Err(absent(format!("it says no version within {} s", VERSION_LIMIT.as_secs()))),
        }
    }

    /// The compiler on the path, where there is one.
    pub fn on_path() -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(COMMAND)).find(|file| file.is_file())
    }

    /// What it says of its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The program of a module, compiled where the cache has none.
    pub fn compile(&self, job: &Job<'_>) -> Result<Compiled, CompileError> {
        self.compile_until(job, &AtomicBool::new(false))
    }

    /// The programs of some modules, as many `at_once` as told, in the order of the modules. `tell` hears of each that
    /// is done, by its number. The first failure ends the rest.
    pub fn compile_all(
        &self,
        jobs: &[Job<'_>],
        at_once: usize,
        tell: &(dyn Fn(usize, &Compiled) + Sync),
    ) -> Result<Vec<Compiled>, CompileError> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let made: Mutex<Vec<Option<Compiled>>> = Mutex::new(vec![None; jobs.len()]);
        let failed: Mutex<Option<CompileError>> = Mutex::new(None);
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(place) else { return };
                match self.compile_until(job, &stop) {
                    Ok(compiled) => {
                        tell(place, &compiled);
                        made.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(compiled);
                    }
                    Err(error) => {
                        stop.store(true, Ordering::Relaxed);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..at_once.clamp(1, jobs.len().max(1)) {
                scope.spawn(work);
            }
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => {
                Ok(made.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect())
            }
        }
    }

    fn compile_until(&self, job: &Job<'_>, stop: &AtomicBool) -> Result<Compiled, CompileError> {
        let made_by = self.made_by(job.target);
        let entry = self.cache.join(key(&made_by, job.module));
        if let Some(neff) = kept(&entry, &made_by, job) {
            return Ok(Compiled { path: entry.join(PROGRAM), neff, cached: true });
        }
        let scratch = Scratch::within(&self.cache)?;
        let neff = self.run(job, &scratch.path, stop)?;
        let at = scratch.path.join(MADE_BY);
        fs::write(&at, &made_by).map_err(|error| CompileError::Cache { path: at, error })?;
        if fs::rename(&scratch.path, &entry).is_err() {
            // Another process may have made it meanwhile, and have given it to somebody who reads it.
            if let Some(neff) = kept(&entry, &made_by, job) {
                return Ok(Compiled { path: entry.join(PROGRAM), neff, cached: true });
            }
            let renamed = fs::remove_dir_all(&entry).and_then(|()| fs::rename(&scratch.path, &entry));
            renamed.map_err(|error| CompileError::Cache { path: entry.clone(), error })?;
        }
        Ok(Compiled { path: entry.join(PROGRAM), neff, cached: false })
    }

    /// What a program depends on beside its module: the compiler and how it is called.
    fn made_by(&self, target: &Target) -> String {
        format!("{}\n{}\n", self.version, target.flags(MODULE, PROGRAM).join(" "))
    }

    /// Runs the compiler in a folder of its own.
    fn run(&self, job: &Job<'_>, folder: &Path, stop: &AtomicBool) -> Result<Neff, CompileError> {
        let name = || job.name.to_owned();
        let at = folder.join(MODULE);
        fs::write(&at, job.module).map_err(|error| CompileError::Cache { path: at, error })?;
        let log = folder.join(LOG);
        let absent = |error: io::Error| CompileError::Absent {
            command: self.command.clone(),
            reason: error.to_string(),
        };
        // Commands that are found relative to here are not found from there.
        let command = if self.command.components().count() > 1 {
            fs::canonicalize(&self.command).map_err(absent)?
        } else {
            self.command.clone()
        };
        let flags = job.target.flags(MODULE, PROGRAM);
        let mut child = start(&command, &flags, folder, &log).map_err(absent)?;
        match wait(&mut child, self.limit, stop).map_err(absent)? {
            Ended::With(status) if status.success() => {}
            Ended::With(status) => {
                return Err(CompileError::Refused { name: name(), status, words: last_words(&log) });
            }
            Ended::Late => return Err(CompileError::Late { name: name(), limit: self.limit }),
            Ended::Stopped => return Err(CompileError::Stopped { name: name() }),
        }
        let neff = Neff::of_file(&folder.join(PROGRAM));
        neff.map_err(|error| CompileError::Neff { name: name(), error })
    }
}

/// The program of a module that a compiler of any version made: for machines that have none.
pub fn kept_by_any(cache: &Path, job: &Job<'_>) -> Option<PathBuf> {
    let flags = format!("\n{}\n", job.target.flags(MODULE, PROGRAM).join(" "));
    let made = |entry: &PathBuf| {
        let made_by = fs::read_to_string(entry.join(MADE_BY)).unwrap_or_default();
        made_by.ends_with(&flags) && kept(entry, &made_by, job).is_some()
    };
    let entry = fs::read_dir(cache).ok()?.flatten().map(|entry| entry.path()).find(made)?;
    Some(entry.join(PROGRAM))
}

/// The program of an entry, where it was made of the same and is whole.
fn kept(entry: &Path, made_by: &str, job: &Job<'_>) -> Option<Neff> {
    let same = |file: &str, wanted: &[u8]| {
        let path = entry.join(file);
        let whole = fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() == wanted.len() as u64);
        whole && fs::read(path).is_ok_and(|found| found == wanted)
    };
    if !same(MADE_BY, made_by.as_bytes()) || !same(MODULE, job.module) {
        return None;
    }
    Neff::of_file(&entry.join(PROGRAM)).ok().filter(|neff| neff.logical == job.target.physical)
}

/// The name of an entry.
fn key(made_by: &str, module: &[u8]) -> String {
    let mut sum = Sum::default();
    sum.add(made_by.as_bytes());
    sum.add(module);
    format!("{:016x}", sum.value())
}

/// A folder that is gone when it is dropped, unless it was renamed.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn within(cache: &Path) -> Result<Scratch, CompileError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let failed = |path: &Path, error| CompileError::Cache { path: path.to_owned(), error };
        fs::create_dir_all(cache).map_err(|error| failed(cache, error))?;
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = cache.join(format!(".{}.{count}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Scratch { path }),
                // One of a process of this number, which was ended, or works on another machine.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&path, error)),
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Runs a command in a group of processes with a guard, which ends them all when our end of a pipe is closed: by us, or
/// by the system when this process is no more, however it ended. A compiler that works for hours is nobody's then.
const GUARDED: &str = r#"exec 3<&0 </dev/null
{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 &
exec 3<&-
exec "$0" "$@""#;

/// Starts a command in a folder, that says everything to a file.
fn start(command: &Path, words: &[String], folder: &Path, log: &Path) -> io::Result<Child> {
    let log = fs::File::create(log)?;
    let (out, err) = (log.try_clone()?, log);
    let mut guarded = Command::new("sh");
    guarded.arg("-c").arg(GUARDED).arg(command).args(words).current_dir(folder).process_group(0);
    guarded.stdin(Stdio::piped()).stdout(out).stderr(err).spawn()
}

/// How a command ended.
enum Ended {
    With(ExitStatus),
    Late,
    Stopped,
}

/// Waits for a command, and ends it where it is late or nobody waits any more.
fn wait(child: &mut Child, limit: Duration, stop: &AtomicBool) -> io::Result<Ended> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::With(status));
        }
        let stopped = stop.load(Ordering::Relaxed);
        if stopped || start.elapsed() >= limit {
            end(child);
            return Ok(if stopped { Ended::Stopped } else { Ended::Late });
        }
        std::thread::sleep(PAUSE);
    }
}

/// Ends a command and all that it started.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    let _ = child.wait();
}

/// The end of what a command said, in one line.
fn last_words(log: &Path) -> String {
    let read = || {
        let mut file = fs::File::open(log)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(WORDS)))?;
        let mut words = vec![];
        file.take(WORDS).read_to_end(&mut words).map(|_| words)
    };
    let words = read().unwrap_or_default();
    String::from_utf8_lossy(&words).split_whitespace().collect::<Vec<_>>().join(" ")
}
