//! AWS's Neuron compiler, which is a command: the chips it compiles for, the programs it makes, and a cache of them.
//!
//! It was called here through a stand-in only; its flags and what it writes are as its documentation says.

#![forbid(unsafe_code)]

mod compiler;
mod neff;
mod target;

pub use compiler::{COMMAND, CompileError, Compiled, Compiler, Job, kept_by_any};
pub use neff::{Neff, NeffError};
pub use target::{TARGETS, Target};
