//! Tensors and sets of them.
#![allow(clippy::undocumented_unsafe_blocks, reason = "pointers of C, as `exports` says of all of them")]
#![allow(clippy::missing_safety_doc, missing_docs, reason = "as in AWS's headers")]

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_void};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{bytes, bytes_mut, code, name, put};
use crate::abi::{Batch, Code, DeviceAllocation, Handle, INVALID, ON_DEVICE, ON_HOST, TIMEOUT};
use crate::machine::with;
use crate::memory::{Storage, Tensor};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_allocate(
    placement: c_int,
    core: c_int,
    size: usize,
    _: *const c_char,
    tensor: *mut Handle,
) -> Code {
    code(with(|machine| {
        machine.enter("nrt_tensor_allocate")?;
        if size == 0 {
            return Err(INVALID);
        }
        let made = match placement {
            ON_DEVICE => {
                let share = machine.core(core.into())?.bank.take(size)?;
                Tensor::new(Some(core as u32), Some(Storage::zeroed(size, Some(share))?))
            }
            ON_HOST => Tensor::new(None, Some(Storage::zeroed(size, None)?)),
            _ => return Err(INVALID),
        };
        unsafe { put(tensor, machine.tensors.insert(made)) }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_allocate_empty(_: *const c_char, tensor: *mut Handle) -> Code {
    code(with(|machine| {
        machine.enter("nrt_tensor_allocate_empty")?;
        unsafe { put(tensor, machine.tensors.insert(Tensor::new(None, None))) }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_attach_buffer(tensor: Handle, buffer: *mut c_void, size: usize) -> Code {
    code(with(|machine| {
        machine.enter("nrt_tensor_attach_buffer")?;
        let start = NonNull::new(buffer.cast()).ok_or(INVALID)?;
        let storage = unsafe { Storage::attached(start, size) };
        *machine.tensors.find_mut(tensor)? = Tensor::new(None, Some(storage));
        Ok(())
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_allocate_slice(
    source: Handle,
    offset: usize,
    size: usize,
    _: *const c_char,
    slice: *mut Handle,
) -> Code {
    code(with(|machine| {
        machine.enter("nrt_tensor_allocate_slice")?;
        let made = machine.tensors.find(source)?.slice(offset, size)?;
        unsafe { put(slice, machine.tensors.insert(made)) }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_free(tensor: *mut Handle) {
    if !tensor.is_null() {
        let handle = unsafe { tensor.replace(null_mut()) };
        drop(with(|machine| machine.tensors.remove(handle)));
    }
}

/// The tensor of a handle, and the time to count it: the bytes are moved when the machine is free for others again.
fn tensor(function: &str, handle: Handle) -> Result<Tensor, Code> {
    with(|machine| {
        machine.enter(function)?;
        machine.tensors.find(handle).cloned()
    })
}

pub fn read(tensor: &Tensor, to: *mut c_void, offset: usize, size: usize) -> Result<(), Code> {
    tensor.copy_out(offset, unsafe { bytes_mut(to, size)? })?;
    with(|machine| {
        machine.counters.read_bytes.fetch_add(size as u64, Ordering::Relaxed);
        Ok(())
    })
}

pub fn write(tensor: &Tensor, from: *const c_void, offset: usize, size: usize) -> Result<(), Code> {
    let from = unsafe { bytes(from, size)? };
    tensor.change(offset, size, |to| to.copy_from_slice(from))?;
    with(|machine| {
        machine.counters.written_bytes.fetch_add(size as u64, Ordering::Relaxed);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_read(
    handle: Handle,
    to: *mut c_void,
    offset: usize,
    size: usize,
) -> Code {
    code(tensor("nrt_tensor_read", handle).and_then(|tensor| read(&tensor, to, offset, size)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_write(
    handle: Handle,
    from: *const c_void,
    offset: usize,
    size: usize,
) -> Code {
    code(tensor("nrt_tensor_write", handle).and_then(|tensor| write(&tensor, from, offset, size)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_read_batch(batches: *const Batch, count: u64, _: bool) -> Code {
    code(unsafe {
        batch("nrt_tensor_read_batch", batches, count, |tensor, buffer, at, size| {
            read(tensor, buffer, at, size)
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_write_batch(batches: *const Batch, count: u64, _: bool) -> Code {
    code(unsafe {
        batch("nrt_tensor_write_batch", batches, count, |tensor, buffer, at, size| {
            write(tensor, buffer, at, size)
        })
    })
}

/// # Safety
/// There are so many batches, each with as many operations as it says.
unsafe fn batch(
    function: &str,
    batches: *const Batch,
    count: u64,
    each: impl Fn(&Tensor, *mut c_void, usize, usize) -> Result<(), Code>,
) -> Result<(), Code> {
    if batches.is_null() {
        return Err(INVALID);
    }
    for batch in unsafe { std::slice::from_raw_parts(batches, count as usize) } {
        let tensor = tensor(function, batch.tensor)?;
        if batch.ops.is_null() {
            return Err(INVALID);
        }
        for op in unsafe { std::slice::from_raw_parts(batch.ops, batch.num_ops as usize) } {
            each(&tensor, op.buffer, op.offset as usize, op.size as usize)?;
        }
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_copy(
    from: Handle,
    from_offset: usize,
    to: Handle,
    to_offset: usize,
    size: usize,
) -> Code {
    let copy = || {
        let (from, to) = with(|machine| {
            machine.enter("nrt_tensor_copy")?;
            Ok((machine.tensors.find(from)?.clone(), machine.tensors.find(to)?.clone()))
        })?;
        self::copy(&from, from_offset, &to, to_offset, size)
    };
    code(copy())
}

/// Copies within a core's memory, or between it and the host's.
pub fn copy(
    from: &Tensor,
    from_offset: usize,
    to: &Tensor,
    to_offset: usize,
    size: usize,
) -> Result<(), Code> {
    if from.core.is_some() && to.core.is_some() && from.core != to.core {
        return Err(INVALID);
    }
    let from = from.slice(from_offset, size)?;
    let mut bytes = vec![0; size];
    from.copy_out(0, &mut bytes)?;
    to.change(to_offset, size, |to| to.copy_from_slice(&bytes))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_memset(handle: Handle, offset: u64, value: c_int, size: usize) -> Code {
    let filled = tensor("nrt_tensor_memset", handle);
    code(filled.and_then(|tensor| tensor.change(offset as usize, size, |bytes| bytes.fill(value as u8))))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_get_size(handle: Handle) -> usize {
    tensor("nrt_tensor_get_size", handle).map_or(0, |tensor| tensor.bytes)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_get_va(handle: Handle) -> *mut c_void {
    let start = tensor("nrt_tensor_get_va", handle).ok().and_then(|tensor| tensor.start());
    start.map_or(null_mut(), |start| start.as_ptr().cast())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_get_device_allocation_info(
    handle: Handle,
    info: *mut DeviceAllocation,
) -> Code {
    code(tensor("nrt_tensor_get_device_allocation_info", handle).and_then(|tensor| {
        let (core, start) = (tensor.core.ok_or(INVALID)?, tensor.start().ok_or(INVALID)?);
        let physical_address = start.addr().get() as u64;
        unsafe {
            put(info, DeviceAllocation { physical_address, size: tensor.bytes, hbm_index: core as c_int })
        }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_check_output_completion(
    handle: Handle,
    timeout_us: i64,
    expected: u64,
) -> Code {
    let wait = || {
        let tensor = tensor("nrt_tensor_check_output_completion", handle)?;
        let end = u64::try_from(timeout_us).ok().map(|us| Instant::now() + Duration::from_micros(us));
        while tensor.completions.load(Ordering::Acquire) < expected {
            if end.is_some_and(|end| Instant::now() >= end) {
                return Err(TIMEOUT);
            }
            std::thread::yield_now();
        }
        Ok(())
    };
    code(wait())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_tensor_reset_output_completion(handle: Handle) -> Code {
    let reset = tensor("nrt_tensor_reset_output_completion", handle);
    code(reset.map(|tensor| tensor.completions.store(0, Ordering::Release)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_allocate_tensor_set(set: *mut Handle) -> Code {
    code(with(|machine| {
        machine.enter("nrt_allocate_tensor_set")?;
        unsafe { put(set, machine.sets.insert(BTreeMap::new())) }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_destroy_tensor_set(set: *mut Handle) {
    if !set.is_null() {
        let handle = unsafe { set.replace(null_mut()) };
        drop(with(|machine| machine.sets.remove(handle)));
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_add_tensor_to_tensor_set(
    set: Handle,
    text: *const c_char,
    tensor: Handle,
) -> Code {
    code(with(|machine| {
        machine.enter("nrt_add_tensor_to_tensor_set")?;
        let name = unsafe { name(text)? };
        machine.tensors.find(tensor)?;
        machine.sets.find_mut(set)?.insert(name, tensor.addr());
        Ok(())
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_get_tensor_from_tensor_set(
    set: Handle,
    text: *const c_char,
    tensor: *mut Handle,
) -> Code {
    code(with(|machine| {
        machine.enter("nrt_get_tensor_from_tensor_set")?;
        let number = *machine.sets.find(set)?.get(&unsafe { name(text)? }).ok_or(INVALID)?;
        machine.tensors.by_number(number)?;
        unsafe { put(tensor, std::ptr::without_provenance_mut(number)) }
    }))
}
