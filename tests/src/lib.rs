//! What the tests of the whole share: goldens, steps of one sequence fed by hand to any backend, and the conformance
//! suite of operations.

#![forbid(unsafe_code)]

pub mod conformance;
pub mod golden;
pub mod prefill;
