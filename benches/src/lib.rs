//! What the benches share: steps driven directly on a device, graphs of single operations, and the bounds that a
//! measured time is held against.
//!
//! Nothing here knows a particular device: everything goes through the facade and the two traits of a backend.

#![forbid(unsafe_code)]

mod bound;
mod machine;
mod operations;
mod runner;
mod samples;
mod schedule;
mod served;

pub use bound::{Bound, Limits};
pub use machine::Machine;
pub use operations::{Layers, Made, attention, linear};
pub use runner::{Room, Runner};
pub use samples::{Samples, median};
pub use schedule::{CHUNK, Part, Step, decode, prefill};
pub use served::{Served, served};
