//! Operands for kernels, and the levels that are compared.

#![allow(dead_code, reason = "each test file uses its part")]

use simd::{Isa, Simd};

/// Sixteen lanes, whatever they mean.
pub type Bits = [u32; 16];

/// Floats at which something changes: signs, infinities, what is no number (quiet, signalling, of either sign),
/// denormals, ties, and the edges of i32, of f16 and of the exponential.
pub const FLOATS: [u32; 36] = [
    0x0000_0000,
    0x8000_0000,
    0x3f80_0000,
    0xbf80_0000,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xffc0_1234,
    0x7f80_0001,
    0xff81_0000,
    0x0000_0001,
    0x8000_0001,
    0x007f_ffff,
    0x807f_ffff,
    0x0080_0000,
    0x8080_0000,
    0x7f7f_ffff,
    0xff7f_ffff,
    0x3f00_0000,
    0x3fc0_0000,
    0x4020_0000,
    0xbf00_0000,
    0xc020_0000,
    0x4eff_ffff,
    0x4f00_0000,
    0xcf00_0000,
    0xcf00_0001,
    0x477f_efff,
    0x477f_f000,
    0x3300_0000,
    0x3300_0001,
    0x3f80_8000,
    0x3f81_8000,
    0x42b1_7218,
    0xc2ae_ac50,
    0xc2ae_ac4f,
];

/// Whole numbers at which something changes.
pub const WHOLE: [u32; 14] = [
    0,
    1,
    0xffff_ffff,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0x0000_8000,
    0xffff_8000,
    0x8000_8000,
    0x7fff_7fff,
    0x0100_0001,
    0x00ff_ff00,
    0x8080_8080,
    0x7f7f_7f7f,
];

/// A stream of 32 random bits.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// A byte of `low..=high`.
    pub fn byte(&mut self, low: i32, high: i32) -> i8 {
        (low + (self.bits() >> 8) as i32 % (high - low + 1)) as i8
    }

    /// A float in [-8, 8), where sums and products stay near their terms.
    pub fn near(&mut self) -> u32 {
        ((self.bits() >> 8) as f32 / (1 << 20) as f32 - 8.0).to_bits()
    }
}

/// Every triple of the special operands, and as many random ones, in vectors.
pub fn triples(special: &[u32], random: impl Fn(&mut Random) -> u32) -> Vec<[Bits; 3]> {
    let n = special.len();
    let mut stream = Random(1);
    let triple = |i: usize| [special[i % n], special[i / n % n], special[i / n / n % n]];
    let all = (0..n * n * n).map(triple).collect::<Vec<_>>();
    let random = (0..n * n * n).map(|_| [(); 3].map(|()| random(&mut stream))).collect::<Vec<_>>();
    let vectors = |triples: &[[u32; 3]]| [0, 1, 2].map(|arg| std::array::from_fn(|lane| triples[lane][arg]));
    [all, random].iter().flat_map(|triples| triples.chunks_exact(16)).map(vectors).collect()
}

/// The levels that are held against the portable one.
pub fn others() -> Vec<Isa> {
    Isa::present().into_iter().filter(|isa| *isa != Isa::Portable).collect()
}

/// Whether two results are the same where they are floats: what is no number has many forms, of which any will do.
pub fn same_floats(a: &[u32], b: &[u32]) -> bool {
    let same = |(&a, &b): (&u32, &u32)| a == b || (f32::from_bits(a).is_nan() && f32::from_bits(b).is_nan());
    a.len() == b.len() && a.iter().zip(b).all(same)
}

#[inline(always)]
pub fn f<S: Simd>(s: S, x: &Bits) -> S::F {
    // SAFETY: sixteen values.
    unsafe { s.load(x.as_ptr().cast()) }
}

#[inline(always)]
pub fn i<S: Simd>(s: S, x: &Bits) -> S::I {
    // SAFETY: sixty-four bytes.
    unsafe { s.load_i(x.as_ptr().cast()) }
}

#[inline(always)]
pub fn of_f<S: Simd>(s: S, x: S::F) -> Bits {
    let mut out = [0; 16];
    // SAFETY: sixteen values.
    unsafe { s.store(out.as_mut_ptr().cast(), x) };
    out
}

#[inline(always)]
pub fn of_i<S: Simd>(s: S, x: S::I) -> Bits {
    let mut out = [0; 16];
    // SAFETY: sixty-four bytes.
    unsafe { s.store_i(out.as_mut_ptr().cast(), x) };
    out
}

/// A kernel from three vectors to one, at any level.
#[macro_export]
macro_rules! kernel {
    (|$s:ident, $a:ident, $b:ident, $c:ident| $body:expr) => {{
        struct Case([$crate::common::Bits; 3]);
        impl simd::Kernel for Case {
            type Output = $crate::common::Bits;
            #[inline(always)]
            fn run<S: simd::Simd>(self, $s: S) -> $crate::common::Bits {
                let [$a, $b, $c] = &self.0;
                $body
            }
        }
        |isa: simd::Isa, args: &[$crate::common::Bits; 3]| isa.run(Case(*args))
    }};
}

/// Calls `f` with denormals taken and given as zeros, as the workers of a backend are set, and then set back.
#[cfg(target_arch = "x86_64")]
pub fn without_denormals<T>(f: impl FnOnce() -> T) -> T {
    use std::arch::asm;
    let mut before = 0u32;
    // SAFETY: stores the word.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut before, options(nostack)) };
    let set = |word: u32| {
        // SAFETY: the word differs in the treatment of denormals at most, and is put back below.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack)) }
    };
    set(before | 1 << 6 | 1 << 15);
    let out = f();
    set(before);
    out
}
