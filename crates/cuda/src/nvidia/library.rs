//! NVIDIA's libraries, where they are and where they were looked for.

use std::ffi::{CStr, CString, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

/// Names a folder with NVRTC.
const NVRTC: &str = "POLYSILICON_NVRTC";
/// Names a folder with NCCL.
const NCCL: &str = "POLYSILICON_NCCL";

/// Whether the driver's library can be opened; why not, with where it was looked for.
pub(super) fn driver() -> Result<(), String> {
    // SAFETY: opening the driver's library runs its start-up code and nothing of ours; it stays open.
    if unsafe { cudarc::driver::sys::is_culib_present() } {
        return Ok(());
    }
    Err("NVIDIA's driver was looked for as libcuda.so and libcuda.so.1 where the system's loader looks \
         (LD_LIBRARY_PATH, the linker's cache, /usr/lib) and is not there; install the driver, or give the container \
         its GPUs (`--gpus all`)"
        .to_owned())
}

/// Makes NVRTC ready to be opened by its name: from the folder that `POLYSILICON_NVRTC` names, from where this program
/// is, or where the system's loader looks.
pub(super) fn nvrtc() -> Result<(), String> {
    let folders = folders(NVRTC);
    if folders.iter().any(|folder| open_all(folder)) {
        return Ok(());
    }
    // SAFETY: as for the driver.
    if unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Ok(());
    }
    Err(format!(
        "NVRTC, which compiles kernels, was looked for as libnvrtc.so.13 and libnvrtc.so.12 in {} and where the system's \
         loader looks, and is not there; install it (`pip install nvidia-cuda-nvrtc-cu12`) and let {NVRTC} name the \
         folder that holds it",
        names(&folders),
    ))
}

/// Opens NCCL: from the folder that `POLYSILICON_NCCL` names, from where this program is, or where the system's loader looks.
pub(super) fn nccl() -> Result<NonNull<c_void>, String> {
    let folders = folders(NCCL);
    let known = [c"libnccl.so.2", c"libnccl.so"];
    let inside = |folder: &PathBuf| {
        known.iter().find_map(|name| open(&folder.join(name.to_str().ok()?), libc::RTLD_LOCAL))
    };
    let found = folders
        .iter()
        .find_map(inside)
        .or_else(|| known.into_iter().find_map(|name| open_by(name, libc::RTLD_LOCAL)));
    found.ok_or_else(|| {
        format!(
            "NCCL, by which GPUs compute together, was looked for as libnccl.so.2 in {} and where the system's loader looks, \
             and is not there; install it (`pip install nvidia-nccl-cu12`) and let {NCCL} name the folder that holds it, or \
             run on one GPU",
            names(&folders),
        )
    })
}

/// Where a library is looked for before the system's loader is asked: the folder that a variable names, and where this program
/// is.
fn folders(variable: &str) -> Vec<PathBuf> {
    let own = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
    let named = std::env::var_os(variable).map(PathBuf::from);
    let mut folders = named.into_iter().chain(own).collect::<Vec<_>>();
    folders.retain(|folder| folder.is_dir());
    folders
}

fn names(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Opens NVRTC in a folder, and before it the library that it opens by name. Who opens them by name later gets these.
fn open_all(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let mut files = entries.filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>();
    files.sort();
    let begins = |path: &Path, word: &str| {
        path.file_name().is_some_and(|name| name.as_bytes().starts_with(word.as_bytes()))
    };
    for builtins in files.iter().filter(|path| begins(path, "libnvrtc-builtins.so")) {
        open(builtins, libc::RTLD_GLOBAL);
    }
    let mut libraries = files.iter().rev().filter(|path| begins(path, "libnvrtc.so"));
    libraries.any(|path| open(path, libc::RTLD_GLOBAL).is_some())
}

fn open(path: &Path, scope: c_int) -> Option<NonNull<c_void>> {
    open_by(&CString::new(path.as_os_str().as_bytes()).ok()?, scope)
}

/// By a path, or by a name that the system's loader looks for.
fn open_by(name: &CStr, scope: c_int) -> Option<NonNull<c_void>> {
    // SAFETY: opening one of NVIDIA's libraries runs its start-up code and nothing of ours; it stays open for good.
    NonNull::new(unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | scope) })
}
