//! One suite of operations as data, for every backend there is: a case is an operation on concrete values, a runner is
//! a backend. Adding a backend is one row in [`RUNNERS`]; adding an operation does not compile until [`coverage`] knows
//! it, and does not pass until a case applies it.

pub mod cases;
pub mod coverage;
mod data;
mod runner;

use graph::{Bucket, Op};
use tensor::Value;

pub use data::Data;
pub use runner::{Fault, RUNNERS, Runner, faults};

/// Slots per page in all cases.
pub const PAGE_LEN: u32 = 4;

/// Normalised squared error allowed where elements are moved, chosen or rounded by rule: none.
pub const EXACT: f64 = 0.0;

/// Normalised squared error allowed of f32 arithmetic: differences of a few units in the seventh digit, however the
/// terms of a sum are ordered.
pub const CLOSE: f64 = 1e-12;

/// An operation on concrete values.
pub struct Case {
    /// Where it stands in a report: `operation/what is special`.
    pub name: String,
    /// What is done.
    pub op: Op,
    /// To which values.
    pub args: Vec<Value>,
    /// What its shapes are bound to; an expansion may choose by it.
    pub bucket: Bucket,
    /// The largest normalised squared error of a result of floats. Other results are equal.
    pub tolerance: f64,
    /// The results, where somebody worked them out; else they are what the reference says.
    pub wanted: Option<Vec<Value>>,
}

impl Case {
    /// A case that may differ by rounding, of values drawn for its name alone.
    pub fn new(name: impl Into<String>, op: Op, args: impl FnOnce(&mut Data) -> Vec<Value>) -> Case {
        let name = name.into();
        let args = args(&mut Data::of(&name));
        Case { name, op, args, bucket: Bucket::default(), tolerance: CLOSE, wanted: None }
    }

    /// The case with nothing to round.
    pub fn exact(self) -> Case {
        Case { tolerance: EXACT, ..self }
    }

    /// The case in a bucket.
    pub fn in_bucket(self, bucket: Bucket) -> Case {
        Case { bucket, ..self }
    }

    /// The case with results that do not come from the reference.
    pub fn wants(self, wanted: Vec<Value>) -> Case {
        Case { wanted: Some(wanted), ..self }
    }
}
