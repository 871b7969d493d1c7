//! Handles that own what they name, and keep alive what that needs.

pub mod core;
mod event;
pub mod model;
pub mod options;
pub mod run;
pub mod runtime;
pub mod tensor;
