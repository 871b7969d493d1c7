//! What runs modules: a chip through libnrt, or in tests something else that means the same.

use graph::BackendError;
use hlo::{Module, Shape};

use crate::bundle::Packed;

/// Runs modules on tensors that it keeps. Where it has several ranks, a tensor is one of that shape on each of them,
/// and a program runs on all of them together.
pub trait Device: Send + 'static {
    /// A module made ready.
    type Program: Send;
    /// A tensor in the memory of every rank.
    type Tensor: Send + Sync;
    /// A program with the tensors that it runs on.
    type Bound: Send;
    /// A run that began.
    type Run: Send;

    /// How many ranks there are.
    fn ranks(&self) -> u32 {
        1
    }

    /// The bundle that its programs come from, where they do: it has those for some steps, and no others.
    fn packed(&self) -> Option<&Packed> {
        None
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

    /// Binds tensors to a program, in the order of the module's inputs and outputs. Where the module aliases, one tensor
    /// is both. What is bound lives as long as the binding.
    fn bind(
        &mut self,
        program: &Self::Program,
        inputs: &[&Self::Tensor],
        outputs: &[&Self::Tensor],
    ) -> Result<Self::Bound, BackendError>;

    /// Begins to run a program on what is bound to it. Runs are executed in the order in which they began. Until one is
    /// waited for, nobody reads or writes what is bound to it.
    fn start(&mut self, bound: &Self::Bound) -> Result<Self::Run, BackendError>;

    /// Waits for the end of a run; how long the device says that it worked on it, in nanoseconds, where it says so.
    fn wait(&mut self, run: Self::Run) -> Result<Option<u64>, BackendError>;
}
