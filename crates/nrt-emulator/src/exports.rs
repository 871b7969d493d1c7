//! The functions of libnrt, by their names in C.
//!
//! Their unsafe blocks are all alike: pointers that C gave are handed on to the functions below. That they are null or
//! point to what AWS's documentation says, for as long as it says, is the caller's duty; null is looked for here.
//! Handles are no pointers to follow, so a wrong one is a status.

mod control;
mod later;
mod links;
mod models;
mod ranks;
mod start;
mod tensors;

use std::ffi::{CStr, c_char, c_void};

use crate::abi::{Code, INVALID, SUCCESS};

/// The status of an outcome.
fn code(outcome: Result<(), Code>) -> Code {
    outcome.err().unwrap_or(SUCCESS)
}

/// Writes a result where the caller wants it; a null pointer is `NRT_INVALID`.
///
/// # Safety
/// The pointer is null or points to a place for the value.
unsafe fn put<T>(place: *mut T, value: T) -> Result<(), Code> {
    if place.is_null() {
        return Err(INVALID);
    }
    // SAFETY: the caller promises the place.
    unsafe { place.write(value) };
    Ok(())
}

/// The text of a name; a null pointer, or text that is not UTF-8, is `NRT_INVALID`.
///
/// # Safety
/// The pointer is null or points to text that ends in a zero.
unsafe fn name(text: *const c_char) -> Result<String, Code> {
    if text.is_null() {
        return Err(INVALID);
    }
    // SAFETY: the caller promises the text.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(str::to_owned).map_err(|_| INVALID)
}

/// The caller's bytes; a null pointer is `NRT_INVALID`.
///
/// # Safety
/// The pointer is null or points to so many bytes, which nobody writes meanwhile.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Result<&'a [u8], Code> {
    if start.is_null() {
        return Err(INVALID);
    }
    // SAFETY: the caller promises the bytes.
    Ok(unsafe { std::slice::from_raw_parts(start.cast(), len) })
}

/// The caller's bytes to be written.
///
/// # Safety
/// The pointer is null or points to so many bytes, which nobody else uses meanwhile.
unsafe fn bytes_mut<'a>(start: *mut c_void, len: usize) -> Result<&'a mut [u8], Code> {
    if start.is_null() {
        return Err(INVALID);
    }
    // SAFETY: the caller promises the bytes.
    Ok(unsafe { std::slice::from_raw_parts_mut(start.cast(), len) })
}
