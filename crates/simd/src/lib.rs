//! Instruction set levels as values, and one vocabulary of vectors over them.
//!
//! A kernel is written once, generic over [`Simd`]: sixteen lanes at every level, the same operations in the same
//! order, fused multiplications and reductions included, so that a kernel gives the same bits at every level. What a
//! level adds is speed. [`Isa::run`] enters a kernel with the level's instructions enabled.
//!
//! A level more (NEON with i8mm is the next) is a file like `avx2.rs`, a variant of [`Isa`] and an arm in
//! [`Isa::run`].

#![allow(
    clippy::needless_range_loop,
    reason = "iterators take vectors through closures, which are compiled without a level's instructions"
)]

mod isa;
mod math;
mod portable;
mod vector;

#[cfg(target_arch = "x86_64")]
pub mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod tiles;

pub use isa::{FORCED, Isa, IsaError, Kernel};
pub use math::{decay, erf, exp, sigmoid, tanh};
pub use portable::Portable;
pub use vector::{LANES, Simd};
#[cfg(target_arch = "x86_64")]
pub use {avx2::Avx2, avx512::Avx512};
