//! The decisions of the scheduler, one file each. They look at numbers and decide; `schedule.rs` does what they say.

pub(crate) mod admission;
pub(crate) mod beams;
pub(crate) mod order;
pub(crate) mod preemption;
pub(crate) mod sharing;
pub(crate) mod speculation;
