//! How modules are written.

use graph::BackendError;

use crate::{Narrow, Target};

/// How modules are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// In what products are computed.
    pub precision: Precision,
    /// Who reads the modules.
    pub dialect: Dialect,
    /// In what matrices are stored that products read; where it is not said, in the type that products take.
    pub narrow: Option<Narrow>,
    /// Whether modules for `neuronx-cc` may hold kernels in AWS's kernel language, none of which has ever been run.
    pub kernels: bool,
}

/// In what products are computed. Sums, norms, softmaxes and rotations are in f32 either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Factors in bf16, summed in f32: what the tensor engine is made for. Weights lie in memory as bf16.
    Bf16,
    /// Factors in f32, at a quarter of the speed. Weights lie in memory as f32.
    F32,
}

/// Who reads the modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `neuronx-cc`: with the custom calls that it knows by name.
    Neuron,
    /// Any XLA: each of those calls is replaced by its twin in plain HLO.
    Stock,
}

impl Options {
    /// Weights as products take them, and no kernels.
    pub const fn new(precision: Precision, dialect: Dialect) -> Options {
        Options { precision, dialect, narrow: None, kernels: false }
    }

    /// Refuses what a chip has not.
    pub fn check(&self, target: &Target) -> Result<(), BackendError> {
        self.narrow.map_or(Ok(()), |narrow| narrow.check(target))
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new(Precision::Bf16, Dialect::Neuron)
    }
}
