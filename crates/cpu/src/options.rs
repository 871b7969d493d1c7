//! What a user may choose about the CPU.

use simd::Isa;
use tensor::DType;

use crate::product::Rounding;

/// How the CPU is used.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Workers, the caller's thread among them; one per core where `None`.
    pub threads: Option<usize>,
    /// How activations are rounded for products.
    pub precision: Precision,
    /// The instruction set level; the best present where `None`.
    pub isa: Option<Isa>,
}

impl Default for Options {
    fn default() -> Options {
        Options { threads: None, precision: Precision::Auto, isa: None }
    }
}

/// How activations are rounded for products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// To the type that the weight multiplies fastest with: int8 for blocks of integers, bf16 for bf16.
    #[default]
    Auto,
    /// Not at all.
    F32,
}

impl Precision {
    /// What a weight of this type is multiplied with.
    pub fn rounding(self, weight: DType) -> Rounding {
        match self {
            Precision::Auto => Rounding::of(weight),
            Precision::F32 => Rounding::None,
        }
    }
}
