//! A kernel's text as a library of this machine.

use std::ffi::{CStr, CString, c_int, c_void};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use cuda::Source;

/// What every text is compiled behind and before.
const SHIM: &str = include_str!("shim.h");
const ENTRY: &str = include_str!("entry.h");
/// Compilers that are looked for, where `CXX` names none.
const COMPILERS: [&str; 3] = ["g++", "clang++", "c++"];
/// Products and sums stay two roundings, as the text says. What is static in an inline function would otherwise be one for
/// all libraries, though kernels of other macros give it other sizes. A read beside its type's boundary, at which a GPU
/// stops, stops here too.
const FLAGS: &str = "-x c++ -std=c++17 -fPIC -shared -w -ffp-contract=off -fno-strict-aliasing -fno-exceptions \
                     -fno-rtti -fno-stack-protector -fvisibility=hidden -fsanitize=alignment \
                     -fsanitize-undefined-trap-on-error";

/// Kernels that run for so long that making them quick pays; of others, compiling is most of it.
const LONG: [&str; 4] = ["few", "many", "attend", "attend_many"];

/// A C++ compiler.
pub struct Compiler {
    command: String,
    /// The first line that it says of itself.
    pub version: String,
}

/// The compiler of this machine, where there is one.
pub fn compiler() -> Option<&'static Compiler> {
    static FOUND: OnceLock<Option<Compiler>> = OnceLock::new();
    let look = || {
        let named = std::env::var("CXX").ok();
        let mut commands = named.into_iter().chain(COMPILERS.map(str::to_owned));
        commands.find_map(|command| {
            let said = Command::new(&command).arg("--version").output().ok()?;
            let version = String::from_utf8_lossy(&said.stdout).lines().next()?.to_owned();
            said.status.success().then_some(Compiler { command, version })
        })
    };
    FOUND.get_or_init(look).as_ref()
}

/// What an entry is given: see entry.h.
#[repr(C)]
pub struct HostLaunch {
    pub grid: [u32; 3],
    pub threads: u32,
    pub shared_bytes: u32,
    pub backwards: u32,
    pub stacks: *mut u8,
    pub stack_bytes: i64,
    pub shared: *mut u8,
}

type Entry = unsafe extern "C" fn(*const HostLaunch, *const u64) -> c_int;

/// A kernel that can be run.
pub struct Compiled {
    /// Its name in reports.
    pub label: String,
    entry: Entry,
}

impl Compiled {
    /// Runs it; not 0 where its threads wait for ever.
    ///
    /// # Safety
    /// The launch says how much room there is; the arguments are the kernel's.
    pub unsafe fn launch(&self, launch: &HostLaunch, args: &[u64]) -> c_int {
        // SAFETY: the caller promises what the entry asks for.
        unsafe { (self.entry)(std::ptr::from_ref(launch), args.as_ptr()) }
    }
}

/// Compiles a kernel into a folder, unless the same was compiled there before.
pub fn compile(folder: &Path, source: &Source) -> Result<Compiled, String> {
    let compiler = compiler().ok_or("there is no C++ compiler")?;
    let text = text(source);
    let level = if LONG.contains(&source.kernel) { "-O1" } else { "-O0" };
    let key = [&compiler.version, FLAGS, level, &text].iter().flat_map(|part| part.bytes()).fold(OFFSET, fnv);
    let path = folder.join(format!("{}-{key:016x}.so", source.kernel));
    if !path.is_file() {
        build(compiler, level, &path, &text).map_err(|reason| format!("{}: {reason}", source.label()))?;
    }
    Ok(Compiled { label: source.label(), entry: open(&path)? })
}

/// The whole text: the shim, the kernel, and the entry, which knows none of the kernel's macros.
fn text(source: &Source) -> String {
    let kernel = source.text();
    let mut text = format!("{SHIM}\n{kernel}\n");
    for line in kernel.lines() {
        let name = line.trim_start().strip_prefix("#define ").and_then(|rest| rest.split([' ', '(']).next());
        if let Some(name) = name {
            writeln!(text, "#undef {name}").expect("a string takes any text");
        }
    }
    text + "#define POLYSILICON_ENTRY " + source.kernel + "\n" + ENTRY
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

/// Builds of this process, so that each has files of its own.
static BUILDS: AtomicU32 = AtomicU32::new(0);

/// Who opens the library finds it whole or not at all.
fn build(compiler: &Compiler, level: &str, path: &Path, text: &str) -> Result<(), String> {
    let io = |error: std::io::Error| error.to_string();
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io)?;
    let number = BUILDS.fetch_add(1, Ordering::Relaxed);
    let beside = |ending: &str| path.with_extension(format!("{}-{number}.{ending}", std::process::id()));
    let (input, output): (PathBuf, PathBuf) = (beside("cpp"), beside("new"));
    fs::write(&input, text).map_err(io)?;
    let command = Command::new(&compiler.command)
        .args(FLAGS.split_whitespace())
        .arg(level)
        .arg(&input)
        .arg("-o")
        .arg(&output)
        .args(["-x", "none", "-lm"])
        .output()
        .map_err(io);
    let _ = fs::remove_file(&input);
    let command = command?;
    if !command.status.success() {
        return Err(String::from_utf8_lossy(&command.stderr).into_owned());
    }
    fs::rename(&output, path).map_err(io)
}

fn open(path: &Path) -> Result<Entry, String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| "a path holds a zero".to_owned())?;
    // SAFETY: the library was compiled from our own texts and has no start-up code; it is never closed.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    // SAFETY: the name is a string, and so is what the loader says.
    let entry = unsafe { symbol(library, c"polysilicon_launch") };
    entry.ok_or_else(|| format!("{} does not open", path.display()))
}

/// # Safety
/// The library is open, or null.
unsafe fn symbol(library: *mut c_void, name: &CStr) -> Option<Entry> {
    if library.is_null() {
        return None;
    }
    // SAFETY: the caller promises an open library.
    let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
    // SAFETY: entry.h gives this symbol this type.
    (!symbol.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, Entry>(symbol) })
}
