//! Bytes on a device, and sets of them by the names that a program knows.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::ops::Range;
use std::sync::Arc;

use super::core::{Core, Seat};
use crate::error::Error;
use crate::result::Handle;
use crate::sys::{self, Functions};

/// Bytes on a core's device. Clones name the same bytes; they are freed with the last clone and set.
///
/// While a program runs that uses a tensor, reading and writing it gives whatever the runtime makes of it.
#[derive(Clone)]
pub struct Tensor {
    held: Arc<HeldTensor>,
}

struct HeldTensor {
    handle: Handle<sys::Tensor>,
    name: String,
    bytes: usize,
    seat: Arc<Seat>,
}

impl Core {
    /// New bytes on this core's device; what they hold is not said.
    pub fn allocate(&self, name: &str, bytes: usize) -> Result<Tensor, Error> {
        let (text, seat, core) = (c_name(name)?, Arc::clone(&self.seat), self.index() as i32);
        let handle = seat.io(|calls| {
            let (place, text) = (sys::ON_DEVICE, text.as_ptr());
            // SAFETY: the runtime is started, and the name lives until the call returns.
            Handle::made(|made| unsafe { calls.nrt_tensor_allocate(place, core, bytes, text, made) })
        })?;
        let name = name.to_owned();
        Ok(Tensor { held: Arc::new(HeldTensor { handle, name, bytes, seat }) })
    }
}

impl Tensor {
    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.held.bytes
    }

    /// Copies bytes of the host to the device.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<(), Error> {
        self.within(&(offset..offset.saturating_add(from.len())))?;
        self.held.seat.io(|calls| {
            let (tensor, start) = (self.held.handle.as_ptr(), from.as_ptr().cast());
            // SAFETY: the tensor lives as long as `self`, and the bytes until the call returns.
            unsafe { calls.nrt_tensor_write(tensor, start, offset, from.len()) }
        })
    }

    /// Copies bytes of the device to the host.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), Error> {
        self.within(&(offset..offset.saturating_add(to.len())))?;
        self.held.seat.io(|calls| {
            let (tensor, start) = (self.held.handle.as_ptr(), to.as_mut_ptr().cast());
            // SAFETY: as in `write`.
            unsafe { calls.nrt_tensor_read(tensor, start, offset, to.len()) }
        })
    }

    /// Gives every byte this value.
    pub fn fill(&self, value: u8) -> Result<(), Error> {
        let (tensor, bytes) = (self.held.handle, self.held.bytes);
        // SAFETY: the tensor lives as long as `self`.
        self.held.seat.io(|calls| unsafe { calls.nrt_tensor_memset(tensor.as_ptr(), 0, value.into(), bytes) })
    }

    fn within(&self, range: &Range<usize>) -> Result<(), Error> {
        if range.start <= range.end && range.end <= self.held.bytes {
            return Ok(());
        }
        let (tensor, range) = (self.held.name.clone(), range.clone());
        Err(Error::Bounds { tensor, range, bytes: self.held.bytes })
    }
}

impl Drop for HeldTensor {
    fn drop(&mut self) {
        let tensor = self.handle;
        // SAFETY: sets hold the tensor, so none is left.
        self.seat.release(|calls| unsafe { calls.nrt_tensor_free(&mut tensor.as_ptr()) });
    }
}

/// Tensors by name: what a program reads, or what it writes. A set may be used for any number of runs.
pub struct TensorSet {
    pub(crate) held: Arc<HeldSet>,
}

pub(crate) struct HeldSet {
    pub handle: Handle<sys::TensorSet>,
    pub seat: Arc<Seat>,
    tensors: BTreeMap<String, Tensor>,
}

impl TensorSet {
    /// A set without tensors, for programs on a core.
    pub fn new(core: &Core) -> Result<TensorSet, Error> {
        let seat = Arc::clone(&core.seat);
        // SAFETY: the runtime is started as long as the seat lives.
        let make = |calls: &Functions| Handle::made(|made| unsafe { calls.nrt_allocate_tensor_set(made) });
        let handle = seat.io(make)?;
        Ok(TensorSet { held: Arc::new(HeldSet { handle, seat, tensors: BTreeMap::new() }) })
    }

    /// Adds a tensor, or replaces the one of that name.
    ///
    /// # Panics
    /// While a run uses the set.
    pub fn insert(&mut self, name: &str, tensor: &Tensor) -> Result<(), Error> {
        let c_name = c_name(name)?;
        let held = Arc::get_mut(&mut self.held).expect("a set is changed only while no run uses it");
        held.seat.assert_same_runtime(&tensor.held.seat);
        let (set, added) = (held.handle, tensor.held.handle);
        // SAFETY: both are alive, and the set holds the tensor from here on.
        held.seat.io(|calls| unsafe {
            calls.nrt_add_tensor_to_tensor_set(set.as_ptr(), c_name.as_ptr(), added.as_ptr())
        })?;
        held.tensors.insert(name.to_owned(), tensor.clone());
        Ok(())
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.held.tensors.get(name)
    }
}

impl Drop for HeldSet {
    fn drop(&mut self) {
        let set = self.handle;
        // SAFETY: runs hold the set, so none uses it any more. The tensors are dropped after this.
        self.seat.release(|calls| unsafe { calls.nrt_destroy_tensor_set(&mut set.as_ptr()) });
    }
}

/// A name as C takes it.
pub(crate) fn c_name(name: &str) -> Result<CString, Error> {
    CString::new(name).map_err(|_| Error::Name(name.to_owned()))
}
