//! The level that every machine has: loops over arrays, and the definition of every operation.

use std::array::from_fn;

use half::{bf16, f16};

use crate::{Isa, Simd};

/// Arrays of sixteen.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

fn bytes(a: [i32; 16]) -> [i8; 64] {
    from_fn(|i| (a[i / 4] >> (8 * (i % 4))) as i8)
}

fn halves(a: [i32; 16], b: [i32; 16], f: impl Fn(i16, i16) -> i16) -> [i32; 16] {
    let low = |i: usize| i32::from(f(a[i] as i16, b[i] as i16) as u16);
    let high = |i: usize| i32::from(f((a[i] >> 16) as i16, (b[i] >> 16) as i16)) << 16;
    from_fn(|i| low(i) | high(i))
}

fn fold(mut a: [f32; 16], f: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            a[i] = f(a[i], a[i + half]);
        }
    }
    a[0]
}

// SAFETY: every method reads and writes exactly the elements its contract names.
unsafe impl Simd for Portable {
    const ISA: Isa = Isa::Portable;
    const I8_BIAS: i32 = 0;
    type F = [f32; 16];
    type I = [i32; 16];

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 16] {
        [x; 16]
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> [f32; 16] {
        // SAFETY: the caller says that sixteen values may be read.
        unsafe { p.cast::<[f32; 16]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> [f32; 16] {
        // SAFETY: the caller says that `n` values may be read.
        from_fn(|i| if i < n { unsafe { p.add(i).read_unaligned() } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, x: [f32; 16]) {
        // SAFETY: the caller says that sixteen values may be written.
        unsafe { p.cast::<[f32; 16]>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, x: [f32; 16], n: usize) {
        for (i, x) in x.into_iter().enumerate().take(n) {
            // SAFETY: the caller says that `n` values may be written.
            unsafe { p.add(i).write_unaligned(x) }
        }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> [f32; 16] {
        // SAFETY: the caller says that sixteen halves may be read.
        let x = unsafe { p.cast::<[u16; 16]>().read_unaligned() };
        from_fn(|i| f16::from_bits(x[i]).to_f32())
    }
    #[inline(always)]
    unsafe fn store_f16(self, p: *mut u16, x: [f32; 16]) {
        let x: [u16; 16] = from_fn(|i| f16::from_f32(x[i]).to_bits());
        // SAFETY: the caller says that sixteen halves may be written.
        unsafe { p.cast::<[u16; 16]>().write_unaligned(x) }
    }
    #[inline(always)]
    fn even_f16(self, a: [i32; 16]) -> [f32; 16] {
        from_fn(|i| f16::from_bits(a[i] as u16).to_f32())
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> [f32; 16] {
        // SAFETY: the caller says that sixteen halves may be read.
        let x = unsafe { p.cast::<[u16; 16]>().read_unaligned() };
        // Not by way of `half`, which makes signalling NaN quiet.
        from_fn(|i| f32::from_bits(u32::from(x[i]) << 16))
    }
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16, x: [f32; 16]) {
        let x: [u16; 16] = from_fn(|i| bf16::from_f32(x[i]).to_bits());
        // SAFETY: the caller says that sixteen halves may be written.
        unsafe { p.cast::<[u16; 16]>().write_unaligned(x) }
    }
    #[inline(always)]
    fn add(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn fma(self, a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn min(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn max(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn sqrt(self, a: [f32; 16]) -> [f32; 16] {
        a.map(f32::sqrt)
    }
    #[inline(always)]
    fn abs(self, a: [f32; 16]) -> [f32; 16] {
        a.map(f32::abs)
    }
    #[inline(always)]
    fn select_less(self, x: [f32; 16], y: [f32; 16], a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|i| if x[i] < y[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn sum(self, a: [f32; 16]) -> f32 {
        fold(a, |a, b| a + b)
    }
    #[inline(always)]
    fn largest(self, a: [f32; 16]) -> f32 {
        fold(a, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn round(self, a: [f32; 16]) -> [i32; 16] {
        let fits = |x: f32| (-2147483648.0..2147483648.0).contains(&x);
        from_fn(|i| if fits(a[i]) { a[i].round_ties_even() as i32 } else { i32::MIN })
    }
    #[inline(always)]
    fn to_f(self, a: [i32; 16]) -> [f32; 16] {
        from_fn(|i| a[i] as f32)
    }
    #[inline(always)]
    fn bits(self, a: [f32; 16]) -> [i32; 16] {
        from_fn(|i| a[i].to_bits() as i32)
    }
    #[inline(always)]
    fn from_bits(self, a: [i32; 16]) -> [f32; 16] {
        from_fn(|i| f32::from_bits(a[i] as u32))
    }
    #[inline(always)]
    fn splat_i(self, x: i32) -> [i32; 16] {
        [x; 16]
    }
    #[inline(always)]
    unsafe fn load_i(self, p: *const u8) -> [i32; 16] {
        // SAFETY: the caller says that 64 bytes may be read.
        unsafe { p.cast::<[i32; 16]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_i(self, p: *mut u8, x: [i32; 16]) {
        // SAFETY: the caller says that 64 bytes may be written.
        unsafe { p.cast::<[i32; 16]>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> [i32; 16] {
        // SAFETY: the caller says that 16 bytes may be read.
        let x = unsafe { p.cast::<[u8; 16]>().read() };
        from_fn(|i| i32::from(x[i]))
    }
    #[inline(always)]
    unsafe fn load_i8(self, p: *const i8) -> [i32; 16] {
        // SAFETY: the caller says that 16 bytes may be read.
        let x = unsafe { p.cast::<[i8; 16]>().read() };
        from_fn(|i| i32::from(x[i]))
    }
    #[inline(always)]
    unsafe fn store_low_bytes(self, p: *mut u8, x: [i32; 16]) {
        // SAFETY: the caller says that 16 bytes may be written.
        unsafe { p.cast::<[u8; 16]>().write(from_fn(|i| x[i] as u8)) }
    }
    #[inline(always)]
    fn add_i(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn sub_i(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        from_fn(|i| a[i].wrapping_sub(b[i]))
    }
    #[inline(always)]
    fn mul_i(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        from_fn(|i| a[i].wrapping_mul(b[i]))
    }
    #[inline(always)]
    fn max_i(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        from_fn(|i| a[i].max(b[i]))
    }
    #[inline(always)]
    fn and(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    fn or(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    fn xor(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        from_fn(|i| a[i] ^ b[i])
    }
    #[inline(always)]
    fn shl(self, a: [i32; 16], n: u32) -> [i32; 16] {
        from_fn(|i| a[i] << n)
    }
    #[inline(always)]
    fn shr(self, a: [i32; 16], n: u32) -> [i32; 16] {
        from_fn(|i| ((a[i] as u32) >> n) as i32)
    }
    #[inline(always)]
    fn sar(self, a: [i32; 16], n: u32) -> [i32; 16] {
        from_fn(|i| a[i] >> n)
    }
    #[inline(always)]
    fn dot_u7(self, acc: [i32; 16], w: [i32; 16], x: [i32; 16]) -> [i32; 16] {
        self.dot_i8(acc, w, x)
    }
    #[inline(always)]
    fn dot_i8(self, acc: [i32; 16], w: [i32; 16], x: [i32; 16]) -> [i32; 16] {
        let (w, x) = (bytes(w), bytes(x));
        let product = |i: usize| i32::from(w[i]) * i32::from(x[i]);
        from_fn(|i| (0..4).fold(acc[i], |acc, j| acc.wrapping_add(product(4 * i + j))))
    }
    #[inline(always)]
    fn dot_i16(self, acc: [i32; 16], a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        let low = |i: usize| i32::from(a[i] as i16).wrapping_mul(i32::from(b[i] as i16));
        let high = |i: usize| (a[i] >> 16).wrapping_mul(b[i] >> 16);
        from_fn(|i| acc[i].wrapping_add(low(i).wrapping_add(high(i))))
    }
    #[inline(always)]
    fn mul_i16(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        halves(a, b, i16::wrapping_mul)
    }
    #[inline(always)]
    fn sub_i16(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        halves(a, b, i16::wrapping_sub)
    }
    #[inline(always)]
    fn shr_i16(self, a: [i32; 16], n: u32) -> [i32; 16] {
        halves(a, a, |a, _| (a as u16 >> n) as i16)
    }
    #[inline(always)]
    fn lookup(self, table: [i32; 16], index: [i32; 16]) -> [i32; 16] {
        let (table, index) = (bytes(table), bytes(index));
        let found = |i: usize| i32::from(table[i / 16 * 16 + (index[i] & 15) as usize] as u8);
        from_fn(|i| (0..4).fold(0, |lane, j| lane | (found(4 * i + j) << (8 * j))))
    }
    #[inline(always)]
    fn high_halves(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        let half = |i: usize| if i < 16 { a[i] } else { b[i - 16] } as u32 >> 16;
        from_fn(|i| (half(2 * i) | half(2 * i + 1) << 16) as i32)
    }
    #[inline(always)]
    fn prefetch(self, _: *const u8) {}
    #[inline(always)]
    fn prefetch_near(self, _: *const u8) {}
}
