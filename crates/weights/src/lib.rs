//! Where weights come from: safetensors and GGUF files, read as the untrusted input they are; the names a model knows
//! them by; other types made of them on the way in; and weights made up from a seed.
//!
//! Every length in a file is checked against the bytes that remain before anything is allocated, and every byte is
//! fetched by a bounded read, so a damaged, hostile or shrinking file is an error that names the place.

#![forbid(unsafe_code)]

pub mod entry;
mod error;
pub mod gguf;
mod limits;
mod magic;
pub mod names;
pub mod quantize;
mod random;
mod requantize;
pub mod safetensors;
mod stored;

pub use error::FileError;
pub use gguf::Gguf;
pub use magic::Foreign;
pub use names::{ForGguf, GgufLayout, Renamed};
pub use random::Random;
pub use requantize::{Mix, Requantized, Target, UnknownTarget};
pub use safetensors::SafeTensors;
pub use stored::StoredTensor;
