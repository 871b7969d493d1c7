//! Kernels as text, for devices whose compilers are asked at run time. One folder a language.

#![forbid(unsafe_code)]

pub mod cuda;
