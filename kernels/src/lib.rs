//! Sources of kernels, as text, that chips' own compilers turn into code. One folder a language.

#![forbid(unsafe_code)]

pub mod cuda;
pub mod neuron;
