//! Host memory that a device reads and writes by itself, and what steps and writes hold of it.

use std::ffi::c_void;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

/// Bytes that stay where they are. Whoever lets a device at them keeps them, untouched, until it is done.
pub(super) struct Pinned {
    at: *mut c_void,
    bytes: usize,
}

impl Pinned {
    /// None yet.
    pub fn none() -> Pinned {
        Pinned { at: std::ptr::null_mut(), bytes: 0 }
    }

    /// Makes it large enough, in the current context; what it held is lost.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), DriverError> {
        if bytes <= self.bytes {
            return Ok(());
        }
        self.release();
        let bytes = bytes.next_power_of_two().max(4096);
        // SAFETY: the flags ask for nothing special.
        let at = unsafe { result::malloc_host(bytes, 0) }?;
        // SAFETY: so many bytes were just given to us. They are read as bytes, so they begin as zeros.
        unsafe { at.cast::<u8>().write_bytes(0, bytes) };
        *self = Pinned { at, bytes };
        Ok(())
    }

    /// Puts bytes at the beginning.
    pub fn fill(&mut self, bytes: &[u8]) {
        self.part(0, bytes.len()).copy_from_slice(bytes);
    }

    /// The first so many.
    pub fn first(&self, bytes: usize) -> &[u8] {
        assert!(bytes <= self.bytes, "no more is read than was reserved");
        if bytes == 0 {
            return &[];
        }
        // SAFETY: there are as many, which were written.
        unsafe { std::slice::from_raw_parts(self.at.cast(), bytes) }
    }

    /// So many from a place on.
    pub fn part(&mut self, from: usize, bytes: usize) -> &mut [u8] {
        let fits = from.checked_add(bytes).is_some_and(|end| end <= self.bytes);
        assert!(fits, "no more is written than was reserved");
        if bytes == 0 {
            return &mut [];
        }
        // SAFETY: there are as many, which were written.
        unsafe { std::slice::from_raw_parts_mut(self.at.cast::<u8>().add(from), bytes) }
    }

    /// Gives them back.
    pub fn release(&mut self) {
        if !self.at.is_null() {
            // SAFETY: `malloc_host` gave it, and who owns this has nothing on its way through it.
            let _ = unsafe { result::free_host(self.at) };
        }
        *self = Pinned::none();
    }
}

/// Host memory through which bytes are written, and what says that the device has read it.
pub(super) struct Stage {
    pub bytes: Pinned,
    pub read: sys::CUevent,
}

impl Stage {
    pub fn new() -> Result<Stage, DriverError> {
        let read = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)?;
        Ok(Stage { bytes: Pinned::none(), read })
    }

    /// Gives back what it holds; nothing is written through it any more.
    pub fn release(&mut self) {
        self.bytes.release();
        // SAFETY: the event is this stage's, and nothing waits for it any more.
        let _ = unsafe { result::event::destroy(self.read) };
    }
}

/// What one step on its way holds.
pub(super) struct Slot {
    pub sent: Pinned,
    pub brought: Pinned,
    pub bytes: usize,
    pub begun: sys::CUevent,
    pub ended: sys::CUevent,
}

impl Slot {
    /// Gives back what it holds; its step is over.
    pub fn release(&mut self) {
        self.sent.release();
        self.brought.release();
        // SAFETY: the events are this slot's, and nothing waits for them any more.
        unsafe {
            let _ = result::event::destroy(self.begun);
            let _ = result::event::destroy(self.ended);
        }
    }
}
