//! The CUDA backend with its kernels compiled for the CPU.

use std::sync::{Arc, LazyLock};

use cuda::{Cuda, Driver, Nvidia, Options, Precision};
use cuda_host::{Host, Order};
use graph::BackendError;
use tensor::Value;

use crate::conformance::{Case, PAGE_LEN};
use crate::skip;

static FORWARDS: LazyLock<Arc<dyn Driver>> = LazyLock::new(|| Arc::new(Host::new(Order::Forwards)));
static BACKWARDS: LazyLock<Arc<dyn Driver>> = LazyLock::new(|| Arc::new(Host::new(Order::Backwards)));

/// Whether there is a C++ compiler for its kernels. Where there is none, the test that asks is skipped, and that is said.
pub fn is_present() -> bool {
    let is_present = cuda_host::is_present();
    if !is_present {
        skip::say(
            "runs no kernel of CUDA: there is no C++ compiler; install g++ or clang++, or name one in CXX",
        );
    }
    is_present
}

/// The device that all tests share.
pub fn forwards() -> &'static Arc<dyn Driver> {
    &FORWARDS
}

/// The same with threads and blocks in the reverse order.
pub fn backwards() -> &'static Arc<dyn Driver> {
    &BACKWARDS
}

/// A GPU of this machine, where there is one.
pub fn gpu() -> Option<&'static Arc<dyn Driver>> {
    static GPU: LazyLock<Option<Arc<dyn Driver>>> = LazyLock::new(|| {
        let found = cuda::find().ok()?.first()?.number;
        Some(Arc::new(Nvidia::open(found).expect("a GPU that is found can be used")))
    });
    GPU.as_ref()
}

/// Options under which activations are not rounded.
pub const EXACTLY: Options =
    Options { precision: Precision::F32, early: false, library: false, invariant: false, shared_bytes: 0 };

/// A backend on the shared device.
pub fn backend(options: Options) -> Cuda {
    Cuda::new(Arc::clone(forwards()), options)
}

/// One case of conformance.
pub fn eval(case: &Case, driver: &Arc<dyn Driver>) -> Result<Vec<Value>, BackendError> {
    cuda::eval(driver, &EXACTLY, &case.op, &case.args, PAGE_LEN, &case.bucket)
}
