//! What runs modules: a chip through libnrt, or in tests something else that means the same.

use graph::BackendError;
use hlo::{Module, Shape};

/// Runs modules on tensors that it keeps. Where it has several ranks, a tensor is one of that shape on each of them,
/// and a program runs on all of them together.
pub trait Device: Send + 'static {
    /// A module made ready.
    type Program: Send;
    /// A tensor in the memory of every rank.
    type Tensor: Send + Sync;

    /// How many ranks there are.
    fn ranks(&self) -> u32 {
        1
    }

    /// Makes a module ready.
    fn load(&mut self, module: &Module) -> Result<Self::Program, BackendError>;

    /// Makes room for a tensor of zeros on every rank.
    fn allocate(&mut self, name: &str, shape: &Shape) -> Result<Self::Tensor, BackendError>;

    /// Replaces bytes of a tensor from `offset` on, on one rank, or on every rank where none is named.
    fn write(
        &mut self,
        tensor: &mut Self::Tensor,
        rank: Option<u32>,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), BackendError>;

    /// Reads bytes of a rank's tensor from `offset` on.
    fn read(
        &mut self,
        tensor: &Self::Tensor,
        rank: u32,
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), BackendError>;

    /// Runs a program on tensors in the order of the module's inputs and outputs, and waits. Where the module aliases,
    /// one tensor is both.
    fn run(
        &mut self,
        program: &Self::Program,
        inputs: &[&Self::Tensor],
        outputs: &[&Self::Tensor],
    ) -> Result<(), BackendError>;
}
