//! The emulator of Neuron chips as a device: a library of its own for every test, so that none is another's.

use std::path::PathBuf;
use std::sync::Mutex;

use neuron::{Chip, ChipOptions, Dialect, Neuron, Options, Precision};
use nrt::{Counts, Runtime};
use nrt_emulator::Control;
use tempfile::TempDir;

/// Products in f32, as the reference computes them.
pub const OPTIONS: Options = Options::new(Precision::F32, Dialect::Neuron);

/// An emulator with a cache of programs.
pub struct Emulated {
    folder: TempDir,
}

impl Emulated {
    /// One with these settings, which `nrt_emulator::Settings` lists.
    pub fn with(settings: &[(&str, &str)]) -> Emulated {
        let folder = TempDir::new().expect("there is room for files");
        let emulated = Emulated { folder };
        std::fs::copy(nrt_emulator::library_path(), emulated.library()).expect("cargo built the library");
        settings.iter().for_each(|(name, value)| emulated.control().set(name, value));
        emulated
    }

    /// The path of its library.
    pub fn library(&self) -> PathBuf {
        self.folder.path().join("libnrt.so.1")
    }

    /// What makes it fail.
    pub fn control(&self) -> Control {
        Control::open(&self.library())
    }

    /// How its cores are opened.
    pub fn options(&self) -> ChipOptions {
        let compiler = nrt_emulator::compiler_path();
        let compiler =
            compiler.expect("`cargo build --release -p polysilicon-nrt-emulator` builds neuronx-cc");
        let cache = self.folder.path().join("programs");
        ChipOptions { library: Some(self.library()), compiler, ..ChipOptions::new(cache) }
    }

    /// A backend on its first core, and the runtime beneath, which counts.
    pub fn backend(&self) -> (Neuron<Chip>, Runtime) {
        let chip = Chip::open(&self.options()).expect("the emulator starts");
        let runtime = chip.runtime().clone();
        (Neuron::of_chip(chip, OPTIONS).expect("it has memory"), runtime)
    }
}

impl Default for Emulated {
    fn default() -> Emulated {
        Emulated::with(&[])
    }
}

/// The emulator that all single operations share.
static SHARED: Mutex<Option<(Chip, Emulated)>> = Mutex::new(None);

/// Does something on the shared emulator.
pub fn with<T>(what: impl FnOnce(&mut Chip) -> T) -> T {
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let start = || {
        let emulated = Emulated::default();
        (Chip::open(&emulated.options()).expect("the emulator starts"), emulated)
    };
    what(&mut shared.get_or_insert_with(start).0)
}

/// What a runtime counted.
pub fn counts(runtime: &Runtime) -> Counts {
    runtime.emulated().expect("it is the emulator")
}
