//! What needs hardware that is not emulated: memory of the chip as other devices see it, and collective operations
//! that the host prepares, which AWS says will change. Each is there and fails.
#![allow(clippy::undocumented_unsafe_blocks, reason = "pointers of C, as `exports` says of all of them")]
#![allow(clippy::missing_safety_doc, missing_docs, reason = "as in AWS's headers")]

use std::ffi::{c_char, c_int, c_void};

use super::code;
use crate::abi::{Code, FAILURE, Handle};
use crate::machine::with;

fn lacking(function: &str) -> Code {
    code(with(|machine| {
        machine.enter(function)?;
        Err(FAILURE)
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_get_dmabuf_fd(_: u64, _: u64, _: *mut c_int) -> Code {
    lacking("nrt_get_dmabuf_fd")
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_get_hbm_mmap_va(_: c_int, _: c_int, _: *mut *mut c_void, _: *mut usize) -> Code {
    lacking("nrt_get_hbm_mmap_va")
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_get_attached_efa_bdf(_: *const c_void, _: *mut c_char, _: *mut usize) -> Code {
    lacking("nrt_get_attached_efa_bdf")
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrta_cc_prepare(
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: c_int,
    _: c_int,
    _: c_int,
    _: *mut Handle,
) -> Code {
    lacking("nrta_cc_prepare")
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrta_cc_schedule(_: *mut Handle, _: c_int, _: *mut Code, _: *mut u64) -> Code {
    lacking("nrta_cc_schedule")
}
