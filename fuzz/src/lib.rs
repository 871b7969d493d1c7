//! What the fuzz targets share.

/// Calls `open` with bytes that it may take for part of the program, and takes them back when it returns.
///
/// `open` must keep nothing that refers to them: the entry functions open a model, read from it and drop it.
pub fn lend(bytes: &[u8], open: fn(&'static [u8])) {
    let lent: *mut [u8] = Box::into_raw(bytes.into());
    // SAFETY: the pointer comes from a box, and nothing writes through it while `open` reads.
    open(unsafe { &*lent });
    // SAFETY: the pointer comes from a box and is freed once; by the promise above, nothing refers to it any more.
    drop(unsafe { Box::from_raw(lent) });
}
