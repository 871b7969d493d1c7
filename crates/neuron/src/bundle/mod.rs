//! Bundles: a folder with a model's modules, the programs that a compiler made of them, and a manifest. One machine makes
//! it, another serves from it, and the second needs no compiler.

mod buckets;
mod packed;
mod predict;
mod write;

pub use buckets::{BucketError, bucket_named};
pub use packed::{BundleError, Packed};
pub use write::{Bundle, Step};

/// The file that says what a bundle holds; it is written last.
pub(crate) const MANIFEST: &str = "manifest.json";
/// What it says of its own form.
pub(crate) const FORMAT: u64 = 1;
