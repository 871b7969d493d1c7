//! Eight tiles: those of the machine, or arrays that mean the same.

#[cfg(test)]
use simd::tiles::dot_i8;

/// Tiles of bytes: 0 to 3 are sums, 4 and 5 hold rows of activations, 6 and 7 four values of sixteen features in each
/// of sixteen rows.
pub trait Tiles {
    /// Begins with all tiles zero, 0 to 5 of so many rows, which is at most 16.
    ///
    /// # Safety
    /// The machine has what this needs.
    unsafe fn begin(&mut self, rows: usize);
    /// Gives the tiles back.
    ///
    /// # Safety
    /// After [`Tiles::begin`], as all others.
    unsafe fn end(&mut self);
    /// Sets a tile to zero.
    /// # Safety
    /// As above.
    unsafe fn zero<const T: u8>(&mut self);
    /// Loads rows of 64 bytes, `stride` bytes apart.
    /// # Safety
    /// The tile's rows may be read.
    unsafe fn load<const T: u8>(&mut self, from: *const u8, stride: usize);
    /// Stores rows of 64 bytes, one behind the other.
    /// # Safety
    /// The tile's rows may be written.
    unsafe fn store<const T: u8>(&mut self, to: *mut i32);
    /// `C += A B`, signed bytes by signed bytes.
    /// # Safety
    /// As above.
    unsafe fn dot_signed<const C: u8, const A: u8, const B: u8>(&mut self);
    /// `C += A B`, signed bytes by unsigned bytes.
    /// # Safety
    /// As above.
    unsafe fn dot_unsigned<const C: u8, const A: u8, const B: u8>(&mut self);
}

/// The machine's.
#[cfg(target_arch = "x86_64")]
pub struct Hardware;

// Each method is the instruction.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "the callers promise what the instructions want")]
impl Tiles for Hardware {
    #[inline(always)]
    unsafe fn begin(&mut self, rows: usize) {
        let some = (rows as u8, 64);
        let all = (16, 64);
        let config = simd::amx::Config::new([some, some, some, some, some, some, all, all]);
        unsafe { simd::amx::configure(&config) }
    }
    #[inline(always)]
    unsafe fn end(&mut self) {
        unsafe { simd::amx::release() }
    }
    #[inline(always)]
    unsafe fn zero<const T: u8>(&mut self) {
        unsafe { simd::amx::zero::<T>() }
    }
    #[inline(always)]
    unsafe fn load<const T: u8>(&mut self, from: *const u8, stride: usize) {
        unsafe { simd::amx::load::<T>(from, stride) }
    }
    #[inline(always)]
    unsafe fn store<const T: u8>(&mut self, to: *mut i32) {
        unsafe { simd::amx::store::<T>(to.cast(), 64) }
    }
    #[inline(always)]
    unsafe fn dot_signed<const C: u8, const A: u8, const B: u8>(&mut self) {
        unsafe { simd::amx::dot_i8_i8::<C, A, B>() }
    }
    #[inline(always)]
    unsafe fn dot_unsigned<const C: u8, const A: u8, const B: u8>(&mut self) {
        unsafe { simd::amx::dot_i8_u8::<C, A, B>() }
    }
}

/// Arrays, for machines without tiles to test what is done with them.
#[cfg(test)]
pub struct Model {
    rows: usize,
    tiles: [[[i32; 16]; 16]; 8],
}

#[cfg(test)]
impl Model {
    /// Without tiles yet.
    pub const NONE: Model = Model { rows: 0, tiles: [[[0; 16]; 16]; 8] };

    fn height(&self, tile: u8) -> usize {
        if tile < 6 { self.rows } else { 16 }
    }

    fn dot(&mut self, c: u8, a: u8, b: u8, widen: impl Fn(u8) -> i32) {
        let a = self.tiles[usize::from(a)];
        let a = a
            .map(|row| row.map(i32::to_le_bytes).as_flattened().iter().map(|b| *b as i8).collect::<Vec<_>>());
        let a = a[..self.rows].iter().map(Vec::as_slice).collect::<Vec<_>>();
        let b = self.tiles[usize::from(b)].map(|row| row.map(|word| word.to_le_bytes().map(&widen)));
        dot_i8(&mut self.tiles[usize::from(c)][..self.rows], &a, &b);
    }
}

#[cfg(test)]
#[allow(clippy::undocumented_unsafe_blocks, reason = "the callers promise what may be read and written")]
impl Tiles for Model {
    unsafe fn begin(&mut self, rows: usize) {
        *self = Model { rows, ..Model::NONE };
    }
    unsafe fn end(&mut self) {
        *self = Model::NONE;
    }
    unsafe fn zero<const T: u8>(&mut self) {
        self.tiles[usize::from(T)] = [[0; 16]; 16];
    }
    unsafe fn load<const T: u8>(&mut self, from: *const u8, stride: usize) {
        for row in 0..self.height(T) {
            self.tiles[usize::from(T)][row] =
                unsafe { from.add(row * stride).cast::<[i32; 16]>().read_unaligned() };
        }
    }
    unsafe fn store<const T: u8>(&mut self, to: *mut i32) {
        for row in 0..self.height(T) {
            unsafe { to.add(16 * row).cast::<[i32; 16]>().write(self.tiles[usize::from(T)][row]) };
        }
    }
    unsafe fn dot_signed<const C: u8, const A: u8, const B: u8>(&mut self) {
        self.dot(C, A, B, |byte| i32::from(byte as i8));
    }
    unsafe fn dot_unsigned<const C: u8, const A: u8, const B: u8>(&mut self) {
        self.dot(C, A, B, i32::from);
    }
}
