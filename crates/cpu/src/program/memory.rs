//! What the kernels of a step share, and how one worker gets at its part of it.

use std::ops::Range;
use std::slice;

use graph::{Input, Place};
use tensor::{Buffer, DType, Element, Value};

use super::Slot;
use crate::states::States;
use crate::weights::{Loaded, Weight};

/// Everything that kernels read and write. The plan says who may touch which bytes when, so that all workers may hold
/// this at once.
pub struct Memory<'a> {
    work: *mut u8,
    work_bytes: usize,
    inputs: &'a [(Input, Vec<i32>)],
    weights: &'a Loaded,
    constants: &'a [Value],
    /// Pages; written through `&self` by workers whose slots differ.
    pub states: &'a States,
    /// The feed's values in place of the program's own.
    pub patches: &'a [&'a [f32]],
}

// SAFETY: the work space is shared by raw address; who touches which bytes between two meetings is decided by the
// program, which lets no two workers touch the same bytes where one of them writes. All else is shared for reading.
unsafe impl Sync for Memory<'_> {}

impl<'a> Memory<'a> {
    /// The memory of a step. The work space is this step's alone for as long as the memory lives.
    pub fn new(
        work: &'a mut Buffer,
        inputs: &'a [(Input, Vec<i32>)],
        weights: &'a Loaded,
        constants: &'a [Value],
        states: &'a States,
        patches: &'a [&'a [f32]],
    ) -> Memory<'a> {
        let work = work.as_mut_slice::<u8>();
        Memory {
            work: work.as_mut_ptr(),
            work_bytes: work.len(),
            inputs,
            weights,
            constants,
            states,
            patches,
        }
    }

    /// A weight as it was packed.
    pub fn weight(&self, index: usize) -> &'a Weight {
        &self.weights.weights[index]
    }

    /// An address in the work space.
    ///
    /// # Panics
    /// Where the bytes do not lie in it.
    pub fn work(&self, at: usize, bytes: usize) -> *mut u8 {
        let end = at.checked_add(bytes);
        assert!(end.is_some_and(|end| end <= self.work_bytes), "a kernel stays within its work space");
        // SAFETY: within the buffer, as asserted.
        unsafe { self.work.add(at) }
    }

    /// `len` elements of the work space to be read.
    ///
    /// # Safety
    /// No worker writes to them before the workers meet.
    pub unsafe fn part<T: Element>(&self, at: usize, len: usize) -> &[T] {
        // SAFETY: they lie in the buffer, which starts on a line as every offset does, and any bytes are values of T.
        unsafe { slice::from_raw_parts(self.work(at, len * size_of::<T>()).cast(), len) }
    }

    /// `len` elements of the work space to be written.
    ///
    /// # Safety
    /// No other worker touches them before the workers meet, and this worker has no other view of them.
    #[allow(clippy::mut_from_ref, reason = "the caller promises what the borrow would")]
    pub unsafe fn part_mut<T: Element>(&self, at: usize, len: usize) -> &mut [T] {
        // SAFETY: as in `part`.
        unsafe { slice::from_raw_parts_mut(self.work(at, len * size_of::<T>()).cast(), len) }
    }

    /// Rows of a value of f32.
    ///
    /// # Safety
    /// No worker writes to them before the workers meet.
    pub unsafe fn rows(&self, slot: &Slot, rows: Range<usize>) -> &[f32] {
        let range = rows.start * slot.row()..rows.end * slot.row();
        // SAFETY: as the caller says.
        unsafe { &self.elements::<f32>(slot)[range] }
    }

    /// Rows of a value of f32 in the work space, to be written.
    ///
    /// # Safety
    /// No other worker touches them before the workers meet, and this worker has no other view of them.
    #[allow(clippy::mut_from_ref, reason = "the caller promises what the borrow would")]
    pub unsafe fn rows_mut(&self, slot: &Slot, rows: Range<usize>) -> &mut [f32] {
        let Place::Arena { offset } = slot.place else { unreachable!("only the arena is written") };
        assert!(rows.end <= slot.rows(), "rows lie in their value");
        // SAFETY: as the caller says.
        unsafe { self.part_mut(offset + rows.start * slot.row() * 4, rows.len() * slot.row()) }
    }

    /// As [`Memory::rows_mut`], of i32.
    ///
    /// # Safety
    /// As there.
    #[allow(clippy::mut_from_ref, reason = "the caller promises what the borrow would")]
    pub unsafe fn rows_mut_i32(&self, slot: &Slot, rows: Range<usize>) -> &mut [i32] {
        // SAFETY: as the caller says; an i32 takes as many bytes as an f32.
        let rows = unsafe { self.rows_mut(slot, rows) };
        // SAFETY: any bytes are values of i32, and it is aligned as f32 is.
        unsafe { slice::from_raw_parts_mut(rows.as_mut_ptr().cast(), rows.len()) }
    }

    /// Where a value of f32 in the arena starts.
    pub fn start(&self, slot: &Slot) -> *mut f32 {
        let Place::Arena { offset } = slot.place else { unreachable!("only the arena is written") };
        self.work(offset, slot.len() * 4).cast()
    }

    /// A whole value's bytes in the arena, to be written.
    ///
    /// # Safety
    /// As for [`Memory::rows_mut`].
    #[allow(clippy::mut_from_ref, reason = "the caller promises what the borrow would")]
    pub unsafe fn bytes_mut(&self, slot: &Slot) -> &mut [u8] {
        let Place::Arena { offset } = slot.place else { unreachable!("only the arena is written") };
        // SAFETY: as the caller says.
        unsafe { self.part_mut(offset, slot.dtype.bytes_of(slot.len()).unwrap_or(0)) }
    }

    /// A whole value.
    ///
    /// # Safety
    /// No worker writes to it before the workers meet.
    pub unsafe fn elements<T: Element>(&self, slot: &Slot) -> &[T] {
        let len = slot.len();
        match slot.place {
            // SAFETY: as the caller says.
            Place::Arena { offset } => unsafe { self.part(offset, len) },
            place => {
                let bytes = self.fixed(place, slot.dtype);
                assert!(bytes.len() >= len * size_of::<T>(), "a value is as long as its type says");
                // SAFETY: as many bytes are there, at the start of a buffer or vector aligned for T.
                unsafe { slice::from_raw_parts(bytes.as_ptr().cast(), len) }
            }
        }
    }

    /// A whole value's bytes, of whatever type.
    ///
    /// # Safety
    /// No worker writes to it before the workers meet.
    pub unsafe fn bytes(&self, slot: &Slot) -> &[u8] {
        match slot.place {
            Place::Arena { offset } => {
                let bytes = slot.dtype.bytes_of(slot.len()).unwrap_or(0);
                // SAFETY: as the caller says.
                unsafe { self.part(offset, bytes) }
            }
            place => self.fixed(place, slot.dtype),
        }
    }

    /// A value that no step changes. Starts are aligned for i32 and f32.
    fn fixed(&self, place: Place, dtype: DType) -> &[u8] {
        match place {
            Place::Input(input) => {
                let found = self.inputs.iter().find(|(known, _)| *known == input);
                let (_, values) = found.expect("a program lists the inputs that it reads");
                // SAFETY: any i32 is four bytes.
                unsafe { slice::from_raw_parts(values.as_ptr().cast(), values.len() * 4) }
            }
            Place::Weight(index) => self.weights.weights[index].plain(dtype),
            Place::Constant(index) => self.constants[index].data.as_slice(),
            Place::Arena { .. } | Place::State(_) | Place::Argument(_) => {
                unreachable!(
                    "the arena changes, states are read by their own kernels, arguments become weights"
                )
            }
        }
    }
}
