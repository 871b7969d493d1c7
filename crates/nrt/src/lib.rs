//! libnrt, the runtime of AWS Neuron chips, opened at run time, so that the same program starts where there is none.
//!
//! Three layers: [`sys`] declares the C interface as AWS documents it, [`result`] turns its statuses into errors, and
//! the handles of the third own what they name: a [`Runtime`] has [`Core`]s, a core has [`Tensor`]s and [`Model`]s, a
//! [`TensorSet`] keeps its tensors alive, and a [`Run`] keeps all of them until the device is done. So nothing is used
//! after it was freed, and nothing after libnrt was closed.
//!
//! Calls are made on threads of their own, whose stacks are large enough for libnrt ([`STACK_BYTES`]): handles may be
//! used from any thread. A status that leaves the chip in doubt poisons the runtime: later calls are refused with the
//! advice to restart the process.

mod error;
mod lane;
mod library;
pub mod result;
mod safe;
mod status;
pub mod sys;

pub use error::Error;
pub use lane::STACK_BYTES;
pub use library::{Library, PLACES};
pub use safe::core::{Core, Rank};
pub use safe::model::{Direction, Model, TensorInfo};
pub use safe::options::{LogicalCore, Options};
pub use safe::run::Run;
pub use safe::runtime::{Runtime, Seen};
pub use safe::tensor::{Tensor, TensorSet};
pub use status::{Remedy, Status};
pub use sys::{Counts, MemoryStats};
