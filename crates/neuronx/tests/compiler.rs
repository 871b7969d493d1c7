//! The compiler driver, over scripts that are called as neuronx-cc is.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use neuronx::{CompileError, Compiler, Job, Target};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

/// A folder with a compiler that does `body` for every module; `$out` is the file it is to write. Each call leaves a
/// letter in `calls`.
struct Lab {
    folder: TempDir,
}

impl Lab {
    fn new(version: &str, body: &str) -> Lab {
        let lab = Lab { folder: TempDir::new().unwrap() };
        lab.write(version, body);
        fs::write(lab.path("neff"), neff(2)).unwrap();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, version: &str, body: &str) {
        let calls = self.path("calls");
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo {version}; exit 0; }}\nprintf x >> {}\nout=$8\nneff={}\n{body}\n",
            calls.display(),
            self.path("neff").display(),
        );
        // Written beside and renamed, so that nobody runs a file that is still open for writing.
        let new = self.path("new");
        fs::write(&new, script).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.path("cc")).unwrap();
    }

    fn open(&self, limit: Duration) -> Compiler {
        Compiler::open(&self.path("cc"), &self.path("cache"), limit).unwrap()
    }

    fn calls(&self) -> usize {
        fs::read(self.path("calls")).map_or(0, |calls| calls.len())
    }
}

/// A NEFF that is a header and four bytes.
fn neff(logical: u32) -> Vec<u8> {
    let mut file = vec![0; 1028];
    file[8..16].copy_from_slice(&1024u64.to_le_bytes());
    file[16..24].copy_from_slice(&4u64.to_le_bytes());
    file[552..556].copy_from_slice(&logical.to_le_bytes());
    file
}

fn job(module: &[u8]) -> Job<'_> {
    Job { name: "decode-1x128", module, target: Target::named("trn2").unwrap() }
}

const COPY: &str = "cp $neff $out";

#[test]
fn a_program_is_made_once() {
    let lab = Lab::new("one", COPY);
    let compiler = lab.open(LONG);
    assert_eq!(compiler.version(), "one");
    let first = compiler.compile(&job(b"module")).unwrap();
    assert!(!first.cached && fs::read(&first.path).unwrap() == neff(2));
    let again = compiler.compile(&job(b"module")).unwrap();
    assert!(again.cached && again.path == first.path);
    compiler.compile(&job(b"another")).unwrap();
    assert_eq!(lab.calls(), 2);
    // Another version of the compiler makes another program.
    lab.write("two", COPY);
    assert!(!lab.open(LONG).compile(&job(b"module")).unwrap().cached);
    assert_eq!(lab.calls(), 3);
}

#[test]
fn what_was_damaged_is_made_again() {
    let lab = Lab::new("one", COPY);
    let compiler = lab.open(LONG);
    let first = compiler.compile(&job(b"module")).unwrap();
    for file in ["program.neff", "module.hlo.pb", "made_by.txt"] {
        let path = first.path.with_file_name(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes.push(0);
        fs::write(path, bytes).unwrap();
        assert!(!compiler.compile(&job(b"module")).unwrap().cached, "{file}");
        assert!(compiler.compile(&job(b"module")).unwrap().cached, "{file}");
    }
    assert_eq!(leftovers(&lab.path("cache")), Vec::<String>::new());
}

#[test]
fn what_the_compiler_says_is_repeated() {
    let lab = Lab::new("one", "echo [NCC_EVRF064] malformed; exit 70");
    let error = lab.open(LONG).compile(&job(b"module")).unwrap_err();
    assert!(error.to_string().contains("decode-1x128"), "{error}");
    assert!(error.to_string().ends_with("[NCC_EVRF064] malformed"), "{error}");
    assert_eq!(leftovers(&lab.path("cache")), Vec::<String>::new());
}

#[test]
fn a_compiler_that_lies_is_found_out() {
    let lab = Lab::new("one", "echo done > $out");
    let error = lab.open(LONG).compile(&job(b"module")).unwrap_err();
    assert!(matches!(error, CompileError::Neff { .. }), "{error}");
}

#[test]
fn a_late_compiler_is_ended_with_all_that_it_started() {
    let lab = Lab::new("one", "sleep 600 & echo $! > $neff; wait");
    let start = Instant::now();
    let error = lab.open(Duration::from_millis(300)).compile(&job(b"module")).unwrap_err();
    assert!(matches!(error, CompileError::Late { .. }), "{error}");
    assert!(start.elapsed() < LONG);
    let sleeper = fs::read_to_string(lab.path("neff")).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", sleeper.trim())).unwrap_or_default();
    assert!(!status.lines().any(|line| line.starts_with("State:") && line.contains("sleeping")), "{status}");
}

/// What a compiler that outlives who called it would say, a minute later.
const SURVIVES: &str = "exec 9> $neff.pipe; echo started >&9; sleep 60; echo survived >&9";

#[test]
fn a_compiler_ends_with_whoever_called_it() {
    const CALLER: &str = "POLYSILICON_TEST_COMPILES_IN";
    if let Some(folder) = std::env::var_os(CALLER) {
        // This is the process that is ended below.
        let at = |name: &str| Path::new(&folder).join(name);
        let compiler = Compiler::open(&at("cc"), &at("cache"), LONG * 60).unwrap();
        compiler.compile(&job(b"module")).unwrap();
        return;
    }
    let lab = Lab::new("one", SURVIVES);
    let pipe = lab.path("neff.pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut caller = Command::new(std::env::current_exe().unwrap());
    caller.args(["--exact", "a_compiler_ends_with_whoever_called_it"]).env(CALLER, lab.folder.path());
    let mut caller = caller.stdout(Stdio::null()).spawn().unwrap();
    let mut pipe = BufReader::new(fs::File::open(pipe).unwrap());
    let mut said = String::new();
    pipe.read_line(&mut said).unwrap();
    assert_eq!(said, "started\n");
    caller.kill().unwrap();
    caller.wait().unwrap();
    // It ends when nobody is left who could say more.
    pipe.read_to_string(&mut said).unwrap();
    assert_eq!(said, "started\n");
}

#[test]
fn what_another_process_made_meanwhile_is_left_where_it_is() {
    let lab = Lab::new("one", "mkdir $neff.first && read -r _ < $neff.pipe; cp $neff $out");
    let pipe = lab.path("neff.pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| lab.open(LONG).compile(&job(b"module")).unwrap());
        while !lab.path("neff.first").exists() {
            std::thread::yield_now();
        }
        let quick = lab.open(LONG).compile(&job(b"module")).unwrap();
        let made = fs::metadata(&quick.path).unwrap().ino();
        fs::write(&pipe, "go\n").unwrap();
        let slow = slow.join().unwrap();
        assert_eq!((lab.calls(), quick.cached, slow.cached), (2, false, true));
        assert_eq!(fs::metadata(&slow.path).unwrap().ino(), made);
    });
    assert_eq!(leftovers(&lab.path("cache")), Vec::<String>::new());
}

#[test]
fn folders_of_other_processes_are_left_alone() {
    let lab = Lab::new("one", COPY);
    // A machine that shares the folder may have a process of this number.
    let theirs = (0..50).map(|count| lab.path("cache").join(format!(".{}.{count}", std::process::id())));
    let theirs = theirs.collect::<Vec<_>>();
    theirs.iter().for_each(|folder| fs::create_dir_all(folder.join("work")).unwrap());
    lab.open(LONG).compile(&job(b"module")).unwrap();
    assert!(theirs.iter().all(|folder| folder.join("work").exists()));
}

#[test]
fn many_are_made_together_and_end_together() {
    let lab = Lab::new("one", COPY);
    let compiler = lab.open(LONG);
    let modules = (0..5u8).map(|n| [n]).collect::<Vec<_>>();
    let jobs = modules.iter().map(|module| job(module)).collect::<Vec<_>>();
    let told = std::sync::Mutex::new(vec![]);
    let made = compiler.compile_all(&jobs, 3, &|place, _| told.lock().unwrap().push(place)).unwrap();
    let mut told = told.into_inner().unwrap();
    told.sort_unstable();
    assert_eq!(told, [0, 1, 2, 3, 4]);
    for (module, made) in modules.iter().zip(&made) {
        assert_eq!(fs::read(made.path.with_file_name("module.hlo.pb")).unwrap(), module);
    }
    lab.write("two", "grep -q a module.hlo.pb && exit 1; sleep 600");
    let modules = [b"b", b"a"];
    let jobs = modules.iter().map(|module| job(&module[..])).collect::<Vec<_>>();
    let error = lab.open(LONG).compile_all(&jobs, 2, &|_, _| ()).unwrap_err();
    assert!(matches!(error, CompileError::Refused { .. }), "{error}");
}

#[test]
fn what_does_not_run_is_told_apart() {
    let lab = Lab::new("one", COPY);
    let cache = lab.path("cache");
    let error = Compiler::open(Path::new("/nowhere/neuronx-cc"), &cache, LONG).unwrap_err();
    assert!(error.to_string().contains("--compiler"), "{error}");
    let error = Compiler::open(Path::new("/bin/false"), &cache, LONG).unwrap_err();
    assert!(matches!(error, CompileError::Absent { .. }), "{error}");
}

/// Folders that were to be renamed or removed.
fn leftovers(cache: &Path) -> Vec<String> {
    let names = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}
