//! A device that counts the runs which begin on another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use graph::BackendError;
use hlo::{Module, Shape};
use neuron::Device;

/// How often programs were run.
#[derive(Clone, Default)]
pub struct Runs(Arc<AtomicUsize>);

impl Runs {
    /// So often since this was last asked.
    pub fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

/// The device.
pub struct Counted<D> {
    inner: D,
    runs: Runs,
}

impl<D: Device> Counted<D> {
    /// A device whose runs are counted.
    pub fn new(inner: D) -> (Counted<D>, Runs) {
        let runs = Runs::default();
        (Counted { inner, runs: runs.clone() }, runs)
    }
}

impl<D: Device> Device for Counted<D> {
    type Program = D::Program;
    type Tensor = D::Tensor;
    type Bound = D::Bound;
    type Run = D::Run;

    fn ranks(&self) -> u32 {
        self.inner.ranks()
    }

    fn load(&mut self, module: &Module) -> Result<D::Program, BackendError> {
        self.inner.load(module)
    }

    fn allocate(&mut self, name: &str, shape: &Shape) -> Result<D::Tensor, BackendError> {
        self.inner.allocate(name, shape)
    }

    fn write(
        &mut self,
        tensor: &mut D::Tensor,
        rank: Option<u32>,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        self.inner.write(tensor, rank, offset, bytes)
    }

    fn read(
        &mut self,
        tensor: &D::Tensor,
        rank: u32,
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), BackendError> {
        self.inner.read(tensor, rank, offset, bytes)
    }

    fn bind(
        &mut self,
        program: &D::Program,
        inputs: &[&D::Tensor],
        outputs: &[&D::Tensor],
    ) -> Result<D::Bound, BackendError> {
        self.inner.bind(program, inputs, outputs)
    }

    fn start(&mut self, bound: &D::Bound) -> Result<D::Run, BackendError> {
        self.runs.0.fetch_add(1, Ordering::SeqCst);
        self.inner.start(bound)
    }

    fn wait(&mut self, run: D::Run) -> Result<Option<u64>, BackendError> {
        self.inner.wait(run)
    }
}
