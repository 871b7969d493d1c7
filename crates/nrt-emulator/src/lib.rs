//! An emulator of AWS's Neuron runtime: a library with libnrt's C interface whose programs are HLO modules, executed
//! on the CPU. Nothing here is AWS's code, and nothing here runs what neuronx-cc makes: a "NEFF" of the emulator holds
//! a module, and the command `neuronx-cc` of this crate writes it.
//!
//! It is written from the documentation alone, and is stricter than a chip where the documentation allows: handles are
//! never reused, so that whatever is used after it was freed is found; names, sizes and places of tensors are checked
//! before a program starts; an index out of bounds is an error and not a guess; memory ends where a core's share ends.
//! Every status can be had on demand (`faults.rs`). What it says of time is simulated (`time.rs`), never measured.
//!
//! Settings, each read from the environment as `POLYSILICON_EMULATOR_NAME`, or set before `nrt_init` by
//! `polysilicon_emulator_set`, are listed in `settings.rs`.

mod abi;
mod compiler;
mod control;
mod core;
mod exports;
mod faults;
mod interpret;
mod machine;
mod memory;
mod model;
mod neff;
mod paths;
mod ranks;
mod settings;
mod time;
mod unit;

pub use compiler::compile;
pub use control::Control;
pub use paths::{compiler_path, library_path};
