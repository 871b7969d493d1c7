//! Memory of cores and tensors in it.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tensor::Buffer;

use crate::abi::{Code, INVALID, RESOURCE};

/// The memory of a core, as a number of bytes that is used up.
pub struct Bank {
    pub limit: usize,
    used: AtomicUsize,
}

impl Bank {
    pub fn new(limit: usize) -> Bank {
        Bank { limit, used: AtomicUsize::new(0) }
    }

    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes bytes that are given back when the share is dropped; `NRT_RESOURCE` where they are not there.
    pub fn take(self: &Arc<Bank>, bytes: usize) -> Result<Share, Code> {
        let fits = |used: usize| used.checked_add(bytes).filter(|&used| used <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| RESOURCE)?;
        Ok(Share { bank: Arc::clone(self), bytes })
    }
}

/// A part of a core's memory.
pub struct Share {
    bank: Arc<Bank>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.bank.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes that tensors are made of. Programs hold them while they run, and the host waits for them as on a chip, where
/// the runtime tracks which tensors are in use.
pub struct Storage {
    start: NonNull<u8>,
    len: usize,
    lock: RwLock<()>,
    _owned: Option<(Buffer, Option<Share>)>,
}

// SAFETY: the bytes are read and written only with the lock held, and belong to this storage, or to the caller of
// `nrt_tensor_attach_buffer`, who promised them for its life.
unsafe impl Send for Storage {}
// SAFETY: as above.
unsafe impl Sync for Storage {}

impl Storage {
    /// Zeros, in a share of a core's memory or in the host's.
    pub fn zeroed(len: usize, share: Option<Share>) -> Result<Storage, Code> {
        let mut buffer = Buffer::try_zeroed(len).ok_or(RESOURCE)?;
        let start = NonNull::from(buffer.as_mut_slice::<u8>()).cast();
        Ok(Storage { start, len, lock: RwLock::new(()), _owned: Some((buffer, share)) })
    }

    /// Bytes of the caller.
    ///
    /// # Safety
    /// They must live as long as every tensor that uses them, and be used through those only.
    pub unsafe fn attached(start: NonNull<u8>, len: usize) -> Storage {
        Storage { start, len, lock: RwLock::new(()), _owned: None }
    }

    /// Held by programs that read.
    pub fn read(&self) -> RwLockReadGuard<'_, ()> {
        self.lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held by programs that write.
    pub fn write(&self) -> RwLockWriteGuard<'_, ()> {
        self.lock.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tensor: some bytes of a storage.
#[derive(Clone)]
pub struct Tensor {
    /// The core whose memory it is in; none for the host's.
    pub core: Option<u32>,
    /// None until a buffer is attached.
    storage: Option<Arc<Storage>>,
    offset: usize,
    pub bytes: usize,
    /// How often a program has written it.
    pub completions: Arc<AtomicU64>,
}

impl Tensor {
    /// All of a storage, or nothing yet.
    pub fn new(core: Option<u32>, storage: Option<Storage>) -> Tensor {
        let bytes = storage.as_ref().map_or(0, |storage| storage.len);
        let (storage, completions) = (storage.map(Arc::new), Arc::default());
        Tensor { core, storage, offset: 0, bytes, completions }
    }

    /// Some of these bytes.
    pub fn slice(&self, offset: usize, bytes: usize) -> Result<Tensor, Code> {
        self.within(offset, bytes)?;
        let completions = Arc::default();
        Ok(Tensor { offset: self.offset + offset, bytes, completions, ..self.clone() })
    }

    /// What it lies in, if it lies anywhere.
    pub fn storage(&self) -> Option<&Arc<Storage>> {
        self.storage.as_ref()
    }

    /// The address of its first byte.
    pub fn start(&self) -> Option<NonNull<u8>> {
        // SAFETY: the offset lies within the storage, as `slice` checked.
        self.storage.as_ref().map(|storage| unsafe { storage.start.add(self.offset) })
    }

    /// Whether the bytes of two tensors overlap.
    pub fn overlaps(&self, other: &Tensor) -> bool {
        let (Some(a), Some(b)) = (self.start(), other.start()) else { return false };
        let (a, b) = (a.addr().get(), b.addr().get());
        a < b + other.bytes && b < a + self.bytes
    }

    /// Copies bytes from here; `NRT_INVALID` where they are not there.
    pub fn copy_out(&self, offset: usize, to: &mut [u8]) -> Result<(), Code> {
        let (storage, at) = self.place(offset, to.len())?;
        let _guard = storage.read();
        // SAFETY: the bytes lie within the storage, which the guard keeps writers away from, and `to` is elsewhere.
        unsafe { to.as_mut_ptr().copy_from_nonoverlapping(at.as_ptr(), to.len()) };
        Ok(())
    }

    /// Changes bytes here.
    pub fn change(&self, offset: usize, len: usize, change: impl FnOnce(&mut [u8])) -> Result<(), Code> {
        let (storage, at) = self.place(offset, len)?;
        let _guard = storage.write();
        // SAFETY: the bytes lie within the storage, are initialized, and the guard keeps everybody else away.
        change(unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), len) });
        Ok(())
    }

    fn place(&self, offset: usize, len: usize) -> Result<(&Storage, NonNull<u8>), Code> {
        self.within(offset, len)?;
        let (storage, start) = self.storage.as_deref().zip(self.start()).ok_or(INVALID)?;
        // SAFETY: the offset lies within the tensor, which lies within the storage.
        Ok((storage, unsafe { start.add(offset) }))
    }

    fn within(&self, offset: usize, len: usize) -> Result<(), Code> {
        offset.checked_add(len).filter(|&end| end <= self.bytes).map(|_| ()).ok_or(INVALID)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bank_gives_what_it_has_and_takes_it_back() {
        let bank = Arc::new(Bank::new(100));
        let share = bank.take(60).unwrap();
        assert_eq!(bank.take(41).err(), Some(RESOURCE));
        assert_eq!(bank.take(usize::MAX).err(), Some(RESOURCE));
        drop(share);
        assert_eq!((bank.used(), bank.take(100).is_ok()), (0, true));
    }

    #[test]
    fn slices_share_bytes_and_stay_within() {
        let tensor = Tensor::new(Some(0), Some(Storage::zeroed(8, None).unwrap()));
        let slice = tensor.slice(4, 4).unwrap();
        slice.change(1, 2, |bytes| bytes.fill(7)).unwrap();
        let mut bytes = [1; 8];
        tensor.copy_out(0, &mut bytes).unwrap();
        assert_eq!(bytes, [0, 0, 0, 0, 0, 7, 7, 0]);
        assert!(slice.overlaps(&tensor) && !slice.overlaps(&tensor.slice(0, 4).unwrap()));
        assert_eq!(tensor.slice(5, 4).err(), Some(INVALID));
        assert_eq!(slice.change(3, 2, |_| ()).err(), Some(INVALID));
        assert_eq!(slice.copy_out(usize::MAX, &mut bytes).err(), Some(INVALID));
    }
}
