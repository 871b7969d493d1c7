//! AWS's Neuron chips, where libnrt opens; what libnrt is, and what compiles for it, the environment may say.

use std::env;
use std::path::PathBuf;

use ::neuron::{Chip, ChipOptions, Dialect, Neuron, Options, Seen};
use cpu::Precision;
use graph::Backend;

use crate::Error;
use crate::device::Choices;

/// Names libnrt, where it is not where AWS's package or the loader has it; the emulator is given so.
const LIBRARY: &str = "POLYSILICON_LIBNRT";

/// Names neuronx-cc, where it is not on the path.
const COMPILER: &str = "POLYSILICON_NEURONX_CC";

/// Names the folder of compiled programs; `polysilicon/neuron` below the user's cache unless said.
const CACHE: &str = "POLYSILICON_NEURON_CACHE";

/// In what matrices are stored in a chip's memory, where it is not the type of products: a name of [`::neuron::Narrow`].
const WEIGHTS: &str = "POLYSILICON_NEURON_WEIGHTS";

/// What libnrt says of itself, without being started; where there is none, what was looked for and where.
pub(crate) fn look() -> Result<Seen, String> {
    Chip::look(library().as_deref()).map_err(|error| format!("{error}, and name it with {LIBRARY}"))
}

/// The chips of this machine in words.
pub(crate) fn description(seen: &Seen) -> String {
    let plural = if seen.cores == 1 { "" } else { "s" };
    ::neuron::describe(&format!("{} logical core{plural}", seen.cores), &seen.version, seen.emulated)
}

/// One core, or as many as are to work together.
pub(crate) fn open(core: u32, choices: &Choices) -> Result<Box<dyn Backend>, Error> {
    let mut chip = ChipOptions::new(cache());
    chip.library = library();
    chip.core = core;
    chip.alone = true;
    chip.ranks = choices.ranks.unwrap_or(1).max(1);
    chip.bundle.clone_from(&choices.bundle);
    if let Some(command) = compiler() {
        chip.compiler = command;
    }
    let precision = match choices.precision {
        Precision::F32 => ::neuron::Precision::F32,
        _ => ::neuron::Precision::Bf16,
    };
    let mut options = Options::new(precision, Dialect::Neuron);
    let named = env::var(WEIGHTS).ok().filter(|name| !name.is_empty());
    options.narrow = named.map(|name| name.parse()).transpose()?;
    Ok(Box::new(Neuron::of_chip(Chip::open(&chip)?, options)?))
}

fn library() -> Option<PathBuf> {
    path(LIBRARY)
}

/// The compiler that the environment names.
pub(crate) fn compiler() -> Option<PathBuf> {
    path(COMPILER)
}

/// Where programs are kept.
pub(crate) fn cache() -> PathBuf {
    let user = || path("HOME").map(|home| home.join(".cache"));
    let below = || path("XDG_CACHE_HOME").or_else(user).unwrap_or_else(env::temp_dir);
    path(CACHE).unwrap_or_else(|| below().join("polysilicon/neuron"))
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
