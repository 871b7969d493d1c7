//! Eight registers of sixteen rows of sixty-four bytes: the machine's, or a model of them.

/// What a kernel of bf16 tiles does with them.
pub trait Tiles {
    /// Sets tile `T` to zero.
    fn zero<const T: u8>(&mut self);

    /// Loads the rows of tile `T`, `stride` bytes apart.
    ///
    /// # Safety
    /// Sixteen rows of 64 bytes may be read.
    unsafe fn load<const T: u8>(&mut self, from: *const u8, stride: usize);

    /// Stores the rows of tile `T`, `stride` bytes apart.
    ///
    /// # Safety
    /// Sixteen rows of 64 bytes may be written.
    unsafe fn store<const T: u8>(&mut self, to: *mut u8, stride: usize);

    /// Adds the products of sixteen rows of 32 bf16 in tile `A`, and sixteen pairs of sixteen rows in `B`, to the f32
    /// of tile `C`.
    fn dot<const C: u8, const A: u8, const B: u8>(&mut self);

    /// Asks for the line at `p` to be brought near; any address will do.
    fn prefetch(&self, p: *const u8);
}

/// The tiles of this machine, configured while the value lives.
#[cfg(target_arch = "x86_64")]
pub struct Hardware(std::marker::PhantomData<*mut ()>);

#[cfg(target_arch = "x86_64")]
impl Hardware {
    /// Configures this thread's tiles.
    ///
    /// # Panics
    /// Where the machine has none.
    pub fn new() -> Hardware {
        const WHOLE: simd::amx::Config = simd::amx::Config::new([(16, 64); 8]);
        assert!(simd::amx::is_present(), "this machine has no tiles");
        // SAFETY: asserted just now; dropping the value, which cannot leave its thread, releases them.
        unsafe { simd::amx::configure(&WHOLE) };
        Hardware(std::marker::PhantomData)
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for Hardware {
    fn drop(&mut self) {
        // SAFETY: there are tiles where the value is.
        unsafe { simd::amx::release() }
    }
}

#[cfg(target_arch = "x86_64")]
impl Tiles for Hardware {
    #[inline(always)]
    fn zero<const T: u8>(&mut self) {
        // SAFETY: the tiles are configured while the value lives.
        unsafe { simd::amx::zero::<T>() }
    }

    #[inline(always)]
    unsafe fn load<const T: u8>(&mut self, from: *const u8, stride: usize) {
        // SAFETY: the tiles are configured, the rows as the caller says.
        unsafe { simd::amx::load::<T>(from, stride) }
    }

    #[inline(always)]
    unsafe fn store<const T: u8>(&mut self, to: *mut u8, stride: usize) {
        // SAFETY: the tiles are configured, the rows as the caller says.
        unsafe { simd::amx::store::<T>(to, stride) }
    }

    #[inline(always)]
    fn dot<const C: u8, const A: u8, const B: u8>(&mut self) {
        // SAFETY: the tiles are configured, all of the largest shape.
        unsafe { simd::amx::dot_bf16::<C, A, B>() }
    }

    #[inline(always)]
    fn prefetch(&self, p: *const u8) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing; every machine of the architecture has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
}

/// Tiles in plain memory, multiplied by plain loops.
#[cfg(test)]
pub struct Model([[[u8; 64]; 16]; 8]);

#[cfg(test)]
impl Model {
    /// All zero.
    pub fn new() -> Model {
        Model([[[0; 64]; 16]; 8])
    }

    fn floats(&self, tile: u8) -> [[f32; 16]; 16] {
        self.0[usize::from(tile)]
            .map(|row| std::array::from_fn(|i| f32::from_ne_bytes(std::array::from_fn(|j| row[4 * i + j]))))
    }

    fn pairs(&self, tile: u8) -> [[[f32; 2]; 16]; 16] {
        let value =
            |row: &[u8; 64], i: usize| half::bf16::from_ne_bytes([row[2 * i], row[2 * i + 1]]).to_f32();
        self.0[usize::from(tile)]
            .map(|row| std::array::from_fn(|i| [value(&row, 2 * i), value(&row, 2 * i + 1)]))
    }
}

#[cfg(test)]
impl Tiles for Model {
    fn zero<const T: u8>(&mut self) {
        self.0[usize::from(T)] = [[0; 64]; 16];
    }

    unsafe fn load<const T: u8>(&mut self, from: *const u8, stride: usize) {
        for (i, row) in self.0[usize::from(T)].iter_mut().enumerate() {
            // SAFETY: row `i` of the sixteen of the caller.
            *row = unsafe { from.add(i * stride).cast::<[u8; 64]>().read() };
        }
    }

    unsafe fn store<const T: u8>(&mut self, to: *mut u8, stride: usize) {
        for (i, row) in self.0[usize::from(T)].iter().enumerate() {
            // SAFETY: row `i` of the sixteen of the caller.
            unsafe { to.add(i * stride).cast::<[u8; 64]>().write(*row) };
        }
    }

    fn dot<const C: u8, const A: u8, const B: u8>(&mut self) {
        let mut sums = self.floats(C);
        let a = self.pairs(A);
        simd::tiles::dot_bf16(&mut sums, &a.each_ref().map(|row| row.as_slice()), &self.pairs(B));
        for (row, sums) in self.0[usize::from(C)].iter_mut().zip(sums) {
            for (bytes, sum) in row.as_chunks_mut().0.iter_mut().zip(sums) {
                *bytes = sum.to_ne_bytes();
            }
        }
    }
    fn prefetch(&self, _: *const u8) {}
}
