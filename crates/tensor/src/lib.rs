//! What every floor above shares: element types and block formats, shapes, aligned host buffers, files read by
//! position, error statistics, and the trait through which weights arrive.
//!
//! Unsafe code lives in `buffer` (views of aligned bytes as typed slices) and in `file` (the memory map).

pub mod blocks;
mod buffer;
mod dtype;
mod error_stats;
mod file;
mod shape;
mod source;
mod sum;
mod value;

pub use buffer::{Buffer, Element};
pub use dtype::{DType, UnknownDType};
pub use error_stats::ErrorStats;
pub use file::{Access, File};
pub use shape::{MAX_AXES, Shape};
pub use source::{SourceError, WeightInfo, WeightSource};
pub use sum::Sum;
pub use value::Value;
