//! How the kernels compute.

/// How activations are rounded for products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// As the tensor cores take them, bf16, where there are many rows; in steps of few rows they stay f32, since weights
    /// bound those.
    #[default]
    Bf16,
    /// Not at all.
    F32,
}

/// What may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// How activations are rounded.
    pub precision: Precision,
    /// Whether launches begin before the one before them has ended (programmatic dependent launch), products of few rows to
    /// ask for their weights meanwhile: from Hopper on. Off until it has been measured.
    pub early: bool,
    /// Whether products of many rows by weights of bf16 are left to cuBLASLt, where it is. Off until it has been measured.
    pub library: bool,
    /// Whether a row's bits depend on the row alone, and not on how many rows its step has: products in one way whatever
    /// their rows, attention in parts of a fixed length. Steps of few rows pay for it.
    pub invariant: bool,
    /// Bytes that a block may share: the device's, once it is known; else as many as on every GPU.
    pub shared_bytes: u32,
}
