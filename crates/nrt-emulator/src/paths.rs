//! Where cargo puts the library and the command, for tests.

use std::path::PathBuf;

/// The emulator's library beside the running test: a dependency's library lies where the test's program does.
pub fn library_path() -> PathBuf {
    let name = format!("{}nrt_emulator{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let here = std::env::current_exe().unwrap_or_default();
    let beside = here
        .ancestors()
        .skip(1)
        .take(3)
        .flat_map(|folder| [folder.join(&name), folder.join("deps").join(&name)]);
    beside.into_iter().find(|path| path.is_file()).unwrap_or(PathBuf::from(name))
}

/// The stand-in for neuronx-cc, which is built with the tests of this crate or by `cargo build`.
pub fn compiler_path() -> Option<PathBuf> {
    let name = format!("neuronx-cc{}", std::env::consts::EXE_SUFFIX);
    let here = std::env::current_exe().ok()?;
    here.ancestors().skip(1).take(3).map(|folder| folder.join(&name)).find(|path| path.is_file())
}
