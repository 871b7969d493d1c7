//! What the benches share: a device with its threads, and graphs of single operations. Steps, their times and their
//! bounds are `polysilicon::bench`'s.
//!
//! Nothing here knows a particular device: everything goes through the facade and the two traits of a backend.

#![forbid(unsafe_code)]

mod kept;
mod machine;
mod operations;
mod served;

pub use kept::{Restored, Shared, restored, shared};
pub use machine::Machine;
pub use operations::{Layers, Made, attention, linear};
pub use served::{Served, served};
