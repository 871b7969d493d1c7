//! The Neuron chip of this machine, or what `POLYSILICON_LIBNRT` names in its place, as a device for the conformance
//! suite: how `scripts/neuron_bringup.sh` learns what a chip makes of every operation.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use neuron::{Chip, ChipOptions};

/// As the command reads them.
const LIBRARY: &str = "POLYSILICON_LIBNRT";
const COMPILER: &str = "POLYSILICON_NEURONX_CC";
const CACHE: &str = "POLYSILICON_NEURON_CACHE";

static SHARED: Mutex<Option<Chip>> = Mutex::new(None);

/// Whether there is one.
pub fn is_present() -> bool {
    path(LIBRARY).is_some() || Path::new("/dev/neuron0").exists()
}

/// Does something on its first core.
///
/// # Panics
/// Where it does not start: who has one wants to know.
pub fn with<T>(what: impl FnOnce(&mut Chip) -> T) -> T {
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let start = || {
        let cache = path(CACHE).unwrap_or_else(|| std::env::temp_dir().join("polysilicon-bringup"));
        let mut options = ChipOptions { library: path(LIBRARY), alone: true, ..ChipOptions::new(cache) };
        if let Some(compiler) = path(COMPILER) {
            options.compiler = compiler;
        }
        Chip::open(&options).unwrap_or_else(|error| panic!("{error}"))
    };
    what(shared.get_or_insert_with(start))
}

fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
