//! The operations that kernels are written in.

use crate::Isa;

/// Lanes of a vector, at every level.
pub const LANES: usize = 16;

/// Vectors of sixteen f32 (`F`) and of sixteen i32 or sixty-four bytes (`I`), lane by lane unless a method says more.
///
/// A value of the implementing type is the proof that the machine has the level's instructions, so only methods that
/// take addresses are unsafe. Every method is exactly defined, rounding included, and so gives the same bits at every
/// level; only which NaN an operation on NaN gives is left open. Shifts are on lanes of 32 bits.
///
/// # Safety
/// Implementations do exactly what each method says and read and write no byte more: kernels rely on it.
pub unsafe trait Simd: Copy + Send + Sync + 'static {
    /// The level.
    const ISA: Isa;
    /// What `dot_i8` adds to every lane beside the products: this, times the sum of the four `x`.
    const I8_BIAS: i32;
    /// Sixteen f32.
    type F: Copy;
    /// Sixteen i32, or sixty-four bytes.
    type I: Copy;

    // ---- f32

    /// The same in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// Sixteen values from `p`, of any alignment.
    /// # Safety
    /// They may be read.
    unsafe fn load(self, p: *const f32) -> Self::F;
    /// The first `n` values from `p`, zeros behind them.
    /// # Safety
    /// `n` values may be read; `n` is at most 16.
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::F;
    /// Writes sixteen values to `p`.
    /// # Safety
    /// They may be written.
    unsafe fn store(self, p: *mut f32, x: Self::F);
    /// Writes the first `n` values.
    /// # Safety
    /// They may be written; `n` is at most 16.
    unsafe fn store_first(self, p: *mut f32, x: Self::F, n: usize);
    /// Sixteen f16 as f32.
    /// # Safety
    /// 32 bytes may be read.
    unsafe fn load_f16(self, p: *const u16) -> Self::F;
    /// Writes sixteen f16, rounded to nearest, ties to even.
    /// # Safety
    /// 32 bytes may be written.
    unsafe fn store_f16(self, p: *mut u16, x: Self::F);
    /// The even of 32 f16 (the low half of each lane) as f32.
    fn even_f16(self, a: Self::I) -> Self::F;
    /// Sixteen bf16 as f32.
    /// # Safety
    /// 32 bytes may be read.
    unsafe fn load_bf16(self, p: *const u16) -> Self::F;
    /// Writes sixteen bf16, rounded to nearest, ties to even; what is no number stays none.
    /// # Safety
    /// 32 bytes may be written.
    unsafe fn store_bf16(self, p: *mut u16, x: Self::F);
    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The smaller; `b` where one is no number.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger; `b` where one is no number.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// Square root.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// Without its sign.
    fn abs(self, a: Self::F) -> Self::F;
    /// `a` where `x < y`, else `b`.
    fn select_less(self, x: Self::F, y: Self::F, a: Self::F, b: Self::F) -> Self::F;
    /// The sum of the lanes: halves folded onto each other, `(i, i + 8)`, then `(i, i + 4)`, and so on.
    fn sum(self, a: Self::F) -> f32;
    /// The largest lane.
    fn largest(self, a: Self::F) -> f32;

    // ---- between

    /// To the nearest whole number, ties to even; `i32::MIN` where it does not fit.
    fn round(self, a: Self::F) -> Self::I;
    /// As f32, rounded to nearest.
    fn to_f(self, a: Self::I) -> Self::F;
    /// The same bits.
    fn bits(self, a: Self::F) -> Self::I;
    /// The same bits.
    #[allow(clippy::wrong_self_convention, reason = "`self` is the level, not what is converted")]
    fn from_bits(self, a: Self::I) -> Self::F;

    // ---- i32 and bytes

    /// The same in every lane.
    fn splat_i(self, x: i32) -> Self::I;
    /// Sixty-four bytes from `p`, of any alignment.
    /// # Safety
    /// They may be read.
    unsafe fn load_i(self, p: *const u8) -> Self::I;
    /// Writes sixty-four bytes.
    /// # Safety
    /// They may be written.
    unsafe fn store_i(self, p: *mut u8, x: Self::I);
    /// Sixteen unsigned bytes, one per lane.
    /// # Safety
    /// 16 bytes may be read.
    unsafe fn load_u8(self, p: *const u8) -> Self::I;
    /// Sixteen signed bytes, one per lane.
    /// # Safety
    /// 16 bytes may be read.
    unsafe fn load_i8(self, p: *const i8) -> Self::I;
    /// Writes the lowest byte of each lane.
    /// # Safety
    /// 16 bytes may be written.
    unsafe fn store_low_bytes(self, p: *mut u8, x: Self::I);
    /// `a + b`, wrapping.
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`, wrapping.
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// The low half of `a * b`.
    fn mul_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// The larger.
    fn max_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bit by bit.
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bit by bit.
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bit by bit.
    fn xor(self, a: Self::I, b: Self::I) -> Self::I;
    /// Every lane to the left; `n` is below 32.
    fn shl(self, a: Self::I, n: u32) -> Self::I;
    /// Every lane to the right, zeros behind; `n` is below 32.
    fn shr(self, a: Self::I, n: u32) -> Self::I;
    /// Every lane to the right, its sign behind; `n` is below 32.
    fn sar(self, a: Self::I, n: u32) -> Self::I;
    /// `acc + the sum of four products`: bytes `w` from 0 to 127, by the signed bytes `x` from -127 to 127.
    fn dot_u7(self, acc: Self::I, w: Self::I, x: Self::I) -> Self::I;
    /// `acc + the sum of four products + I8_BIAS * the sum of the four x`: signed bytes `w`, by signed bytes `x` from
    /// -127 to 127.
    fn dot_i8(self, acc: Self::I, w: Self::I, x: Self::I) -> Self::I;
    /// `acc + the sum of two products` of signed halves of 16 bits, wrapping.
    fn dot_i16(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I;
    /// The low half of `a * b`, of halves of 16 bits.
    fn mul_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`, of halves of 16 bits, wrapping.
    fn sub_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// Every half of 16 bits to the right, zeros behind; `n` is below 16.
    fn shr_i16(self, a: Self::I, n: u32) -> Self::I;
    /// Per byte of `index` (0 to 15) the byte of `table` at that place within its 16 bytes.
    fn lookup(self, table: Self::I, index: Self::I) -> Self::I;
    /// The high halves of the lanes of `a`, then those of `b`.
    fn high_halves(self, a: Self::I, b: Self::I) -> Self::I;
    /// Asks for the line at `p` to be brought into the first cache; any address will do.
    fn prefetch(self, p: *const u8);
    /// Asks for the line at `p` to be brought into the second cache, which has room for more; any address will do.
    fn prefetch_near(self, p: *const u8);

    // ---- composed

    /// `acc + the sum of two products` of bf16: first the odd ones (the high halves of lanes) are added, rounded once,
    /// then the even ones. Where denormals are read and written as zero, as workers have it, that is what the
    /// instruction for it does.
    #[inline(always)]
    fn dot_bf16(self, acc: Self::F, a: Self::I, b: Self::I) -> Self::F {
        let acc = self.fma(self.odd_bf16(a), self.odd_bf16(b), acc);
        self.fma(self.even_bf16(a), self.even_bf16(b), acc)
    }

    /// The even of 32 bf16 (the low half of each lane) as f32.
    #[inline(always)]
    fn even_bf16(self, a: Self::I) -> Self::F {
        self.from_bits(self.shl(a, 16))
    }

    /// The odd of 32 bf16 (the high half of each lane) as f32.
    #[inline(always)]
    fn odd_bf16(self, a: Self::I) -> Self::F {
        self.from_bits(self.and(a, self.splat_i(0xffff_0000_u32 as i32)))
    }

    /// The odd of 32 f16 (the high half of each lane) as f32.
    #[inline(always)]
    fn odd_f16(self, a: Self::I) -> Self::F {
        self.even_f16(self.shr(a, 16))
    }
}
