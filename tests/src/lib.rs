//! What the tests of the whole share: goldens, and steps of one sequence fed by hand to any backend.

#![forbid(unsafe_code)]

pub mod golden;
pub mod prefill;
