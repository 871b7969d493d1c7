//! What the tests of the whole share: goldens, the embedded model, steps fed by hand to any backend, and the conformance
//! suite of operations.

#![forbid(unsafe_code)]

pub mod bringup;
pub mod conformance;
pub mod counted;
pub mod cuda_host;
pub mod divergence;
pub mod embedded;
pub mod emulated;
pub mod golden;
pub mod lockstep;
pub mod prefill;
pub mod skip;
pub mod xla;
