//! NVIDIA's libraries, where they are and where they were looked for.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Names a folder with NVRTC.
const NVRTC: &str = "POLYSILICON_NVRTC";

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
    let own = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
    let named = std::env::var_os(NVRTC).map(PathBuf::from);
    let mut folders = named.into_iter().chain(own).collect::<Vec<_>>();
    folders.retain(|folder| folder.is_dir());
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
        folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", "),
    ))
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
        open(builtins);
    }
    files.iter().rev().filter(|path| begins(path, "libnvrtc.so")).any(|path| open(path))
}

fn open(path: &Path) -> bool {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: opening one of NVIDIA's libraries runs its start-up code and nothing of ours; it stays open for good.
    !unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) }.is_null()
}
