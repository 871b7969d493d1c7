//! Every operation gives the same bits at every level of this machine as at the portable one.

mod common;

use common::{Bits, FLOATS, Random, WHOLE, f, i, of_f, of_i, others, same_floats, triples};
use simd::{Isa, Kernel, Simd};

type Case = (&'static str, fn(Isa, &[Bits; 3]) -> Bits);

/// Operations that give floats.
const TO_FLOATS: &[Case] = &[
    ("splat", kernel!(|s, a, _b, _c| of_f(s, s.splat(f32::from_bits(a[0]))))),
    ("add", kernel!(|s, a, b, _c| of_f(s, s.add(f(s, a), f(s, b))))),
    ("sub", kernel!(|s, a, b, _c| of_f(s, s.sub(f(s, a), f(s, b))))),
    ("mul", kernel!(|s, a, b, _c| of_f(s, s.mul(f(s, a), f(s, b))))),
    ("div", kernel!(|s, a, b, _c| of_f(s, s.div(f(s, a), f(s, b))))),
    ("fma", kernel!(|s, a, b, c| of_f(s, s.fma(f(s, a), f(s, b), f(s, c))))),
    ("sqrt", kernel!(|s, a, _b, _c| of_f(s, s.sqrt(f(s, a))))),
    ("sum", kernel!(|s, a, _b, _c| [s.sum(f(s, a)).to_bits(); 16])),
    ("largest", kernel!(|s, a, _b, _c| [s.largest(f(s, a)).to_bits(); 16])),
    ("to_f", kernel!(|s, a, _b, _c| of_f(s, s.to_f(i(s, a))))),
];

/// Operations that give whole numbers, or choose among floats without computing; these are the same in what is no
/// number, too.
const TO_BITS: &[Case] = &[
    ("min", kernel!(|s, a, b, _c| of_f(s, s.min(f(s, a), f(s, b))))),
    ("max", kernel!(|s, a, b, _c| of_f(s, s.max(f(s, a), f(s, b))))),
    ("abs", kernel!(|s, a, _b, _c| of_f(s, s.abs(f(s, a))))),
    ("select_less", kernel!(|s, a, b, c| of_f(s, s.select_less(f(s, a), f(s, b), f(s, c), f(s, a))))),
    ("round", kernel!(|s, a, _b, _c| of_i(s, s.round(f(s, a))))),
    ("bits", kernel!(|s, a, _b, _c| of_i(s, s.bits(f(s, a))))),
    ("from_bits", kernel!(|s, a, _b, _c| of_f(s, s.from_bits(i(s, a))))),
    ("even_bf16", kernel!(|s, a, _b, _c| of_f(s, s.even_bf16(i(s, a))))),
    ("odd_bf16", kernel!(|s, a, _b, _c| of_f(s, s.odd_bf16(i(s, a))))),
    ("splat_i", kernel!(|s, a, _b, _c| of_i(s, s.splat_i(a[0] as i32)))),
    ("add_i", kernel!(|s, a, b, _c| of_i(s, s.add_i(i(s, a), i(s, b))))),
    ("sub_i", kernel!(|s, a, b, _c| of_i(s, s.sub_i(i(s, a), i(s, b))))),
    ("mul_i", kernel!(|s, a, b, _c| of_i(s, s.mul_i(i(s, a), i(s, b))))),
    ("max_i", kernel!(|s, a, b, _c| of_i(s, s.max_i(i(s, a), i(s, b))))),
    ("and", kernel!(|s, a, b, _c| of_i(s, s.and(i(s, a), i(s, b))))),
    ("or", kernel!(|s, a, b, _c| of_i(s, s.or(i(s, a), i(s, b))))),
    ("xor", kernel!(|s, a, b, _c| of_i(s, s.xor(i(s, a), i(s, b))))),
    ("shl", kernel!(|s, a, b, _c| of_i(s, s.shl(i(s, a), b[0] % 32)))),
    ("shr", kernel!(|s, a, b, _c| of_i(s, s.shr(i(s, a), b[0] % 32)))),
    ("sar", kernel!(|s, a, b, _c| of_i(s, s.sar(i(s, a), b[0] % 32)))),
    ("mul_i16", kernel!(|s, a, b, c| of_i(s, s.mul_i16(i(s, a), s.xor(i(s, b), i(s, c)))))),
    ("sub_i16", kernel!(|s, a, b, c| of_i(s, s.sub_i16(i(s, a), s.xor(i(s, b), i(s, c)))))),
    ("shr_i16", kernel!(|s, a, _b, _c| of_i(s, s.shr_i16(i(s, a), 5)))),
    ("dot_i16", kernel!(|s, a, b, c| of_i(s, s.dot_i16(i(s, c), i(s, a), i(s, b))))),
    ("high_halves", kernel!(|s, a, b, _c| of_i(s, s.high_halves(i(s, a), i(s, b))))),
    ("lookup", kernel!(|s, a, b, _c| of_i(s, s.lookup(i(s, a), s.and(i(s, b), s.splat_i(0x0f0f_0f0f)))))),
];

fn operands() -> Vec<[Bits; 3]> {
    [triples(&FLOATS, Random::near), triples(&FLOATS, Random::bits), triples(&WHOLE, Random::bits)].concat()
}

fn compare(cases: &[Case], is_same: fn(&[u32], &[u32]) -> bool) {
    let operands = operands();
    for (name, run) in cases {
        for isa in others() {
            for args in &operands {
                let (found, wanted) = (run(isa, args), run(Isa::Portable, args));
                assert!(is_same(&found, &wanted), "{name} {isa}: {found:x?}, not {wanted:x?}, of {args:x?}");
            }
        }
    }
}

#[test]
fn operations_give_the_same_bits() {
    compare(TO_FLOATS, same_floats);
    compare(TO_BITS, |a, b| a == b);
}

/// As the workers of a backend run.
#[test]
#[cfg(target_arch = "x86_64")]
fn operations_give_the_same_bits_without_denormals() {
    common::without_denormals(|| compare(TO_FLOATS, same_floats));
    common::without_denormals(|| compare(TO_BITS, same_floats));
}

/// Bytes in their allowed ranges, edges among them; the bias of `dot_i8` taken off.
#[test]
fn products_of_bytes_are_exact() {
    let dot_u7 = kernel!(|s, w, x, acc| of_i(s, s.dot_u7(i(s, acc), i(s, w), i(s, x))));
    let dot_i8 = kernel!(|s, w, x, acc| {
        let bias = std::array::from_fn(|lane| {
            let sum = x[lane].to_le_bytes().iter().map(|&x| i32::from(x as i8)).sum::<i32>();
            (sum * S::I8_BIAS) as u32
        });
        of_i(s, s.sub_i(s.dot_i8(i(s, acc), i(s, w), i(s, x)), i(s, &bias)))
    });
    let mut random = Random(3);
    let mut bytes = |low: i32, high: i32| -> Bits {
        let edge = random.bits().is_multiple_of(4);
        let mut byte = || match random.byte(low, high) {
            byte if edge => (if byte % 2 == 0 { low } else { high }) as u8,
            byte => byte as u8,
        };
        std::array::from_fn(|_| u32::from_le_bytes(std::array::from_fn(|_| byte())))
    };
    for round in 0..2000 {
        let x = bytes(-127, 127);
        let acc: Bits = [if round % 2 == 0 { 7 } else { 0x7fff_ffff }; 16];
        for (run, w) in [(dot_u7 as fn(Isa, &[Bits; 3]) -> Bits, bytes(0, 127)), (dot_i8, bytes(-128, 127))] {
            let product = |w: u32, x: u32| {
                let pairs = w.to_le_bytes().into_iter().zip(x.to_le_bytes());
                pairs.map(|(w, x)| i32::from(w as i8) * i32::from(x as i8)).sum::<i32>()
            };
            let wanted: Bits =
                std::array::from_fn(|lane| acc[lane].wrapping_add(product(w[lane], x[lane]) as u32));
            for isa in Isa::present() {
                assert_eq!(run(isa, &[w, x, acc]), wanted, "{isa}: {w:x?} by {x:x?}");
            }
        }
    }
}

/// Each level's way, the machine's instruction among them, is two fused products, the odd one first.
#[test]
fn products_of_pairs_are_fused_one_after_the_other() {
    struct Dot([Bits; 3]);
    impl Kernel for Dot {
        type Output = Bits;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Bits {
            let [acc, a, b] = self.0;
            of_f(s, s.dot_bf16(f(s, &acc), i(s, &a), i(s, &b)))
        }
    }
    common::without_denormals(|| {
        let mut random = Random(9);
        let number = |bits: u32| f32::from_bits(bits);
        for round in 0..4000 {
            // Exponents near each other, so that roundings show, and any.
            let mask = if round % 2 == 0 { 0x83ff_83ff } else { 0xbfff_bfff };
            let mut pair = || (random.bits() & mask) | if mask == 0x83ff_83ff { 0x3c00_3c00 } else { 0 };
            let (a, b): (Bits, Bits) = (std::array::from_fn(|_| pair()), std::array::from_fn(|_| pair()));
            let acc: Bits = std::array::from_fn(|_| pair());
            let wanted: Bits = std::array::from_fn(|lane| {
                let half = |x: u32, odd: bool| number(if odd { x & 0xffff_0000 } else { x << 16 });
                let sum = half(a[lane], true).mul_add(half(b[lane], true), number(acc[lane]));
                half(a[lane], false).mul_add(half(b[lane], false), sum).to_bits()
            });
            for isa in Isa::present() {
                assert_eq!(isa.run_bf16(Dot([acc, a, b])), wanted, "{isa}: {acc:x?} {a:x?} {b:x?}");
            }
        }
    });
}

/// All 65536 halves through each of these, and special and random floats back.
struct Halves {
    first: u16,
    is_bf16: bool,
}

impl Kernel for Halves {
    type Output = Bits;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Bits {
        let halves: [u16; 16] = std::array::from_fn(|lane| self.first + lane as u16);
        // SAFETY: sixteen halves.
        let x =
            unsafe { if self.is_bf16 { s.load_bf16(halves.as_ptr()) } else { s.load_f16(halves.as_ptr()) } };
        of_f(s, x)
    }
}

#[test]
fn halves_are_read_alike() {
    for first in (0..=u16::MAX - 15).step_by(16) {
        for isa in Isa::present() {
            let found = isa.run(Halves { first, is_bf16: true });
            let wanted: Bits = std::array::from_fn(|lane| u32::from(first + lane as u16) << 16);
            assert_eq!(found, wanted, "{isa} bf16");
            let found = isa.run(Halves { first, is_bf16: false });
            let wanted: Bits =
                std::array::from_fn(|lane| half::f16::from_bits(first + lane as u16).to_f32().to_bits());
            assert_eq!(found, wanted, "{isa} f16");
        }
    }
}

/// Stores floats as f16 and as bf16, in turns.
struct Rounded(Bits);

impl Kernel for Rounded {
    type Output = [[u16; 16]; 2];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [[u16; 16]; 2] {
        let mut out = [[0; 16]; 2];
        // SAFETY: sixteen halves each.
        unsafe {
            s.store_f16(out[0].as_mut_ptr(), f(s, &self.0));
            s.store_bf16(out[1].as_mut_ptr(), f(s, &self.0));
        }
        out
    }
}

#[test]
fn halves_are_rounded_alike() {
    let mut random = Random(4);
    let ties = (0..4096).map(|n| n << 12 | 0x3f80_0000).collect::<Vec<_>>();
    let mut floats = [&FLOATS[..], &ties].concat();
    // Around the range of f16, and anywhere.
    floats.extend((0..100_000).map(|_| (0x3280_0000 + random.bits() % 0x1600_0000) | (random.bits() << 31)));
    floats.extend((0..100_000).map(|_| random.bits()));
    floats.resize(floats.len().next_multiple_of(16), 0);
    for floats in floats.as_chunks::<16>().0 {
        let f16 = floats.map(|x| half::f16::from_f32(f32::from_bits(x)).to_bits());
        let bf16 = floats.map(|x| half::bf16::from_f32(f32::from_bits(x)).to_bits());
        for isa in Isa::present() {
            assert_eq!(isa.run(Rounded(*floats)), [f16, bf16], "{isa}: {floats:x?}");
        }
    }
}

/// Bytes to lanes, signed and unsigned, and lanes to bytes.
struct Widened([u8; 16]);

impl Kernel for Widened {
    type Output = (Bits, Bits, [u8; 16]);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (Bits, Bits, [u8; 16]) {
        let mut low = [0; 16];
        // SAFETY: sixteen bytes each.
        unsafe {
            let (unsigned, signed) = (s.load_u8(self.0.as_ptr()), s.load_i8(self.0.as_ptr().cast()));
            s.store_low_bytes(low.as_mut_ptr(), s.add_i(s.shl(unsigned, 8), signed));
            s.prefetch(self.0.as_ptr());
            s.prefetch_near(self.0.as_ptr());
            (of_i(s, unsigned), of_i(s, signed), low)
        }
    }
}

#[test]
fn bytes_are_widened_and_cut() {
    for first in (0..=255).step_by(16) {
        let bytes: [u8; 16] = std::array::from_fn(|lane| first + lane as u8);
        let wanted = (bytes.map(u32::from), bytes.map(|x| x as i8 as u32), bytes);
        for isa in Isa::present() {
            assert_eq!(isa.run(Widened(bytes)), wanted, "{isa}");
        }
    }
}

/// Loads the first `n` and stores them, all lanes and the first `n`.
struct First<'a> {
    from: &'a [f32],
    n: usize,
}

impl Kernel for First<'_> {
    type Output = [[f32; 18]; 2];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [[f32; 18]; 2] {
        assert!(self.n <= self.from.len().min(16));
        let (mut all, mut first) = ([-1.0; 18], [-1.0; 18]);
        // SAFETY: asserted for what is read; both arrays have seventeen values from the second on.
        unsafe {
            let x = s.load_first(self.from.as_ptr(), self.n);
            s.store(all.as_mut_ptr().add(1), x);
            s.store_first(first.as_mut_ptr().add(1), x, self.n);
        }
        [all, first]
    }
}

#[test]
fn the_first_lanes_are_read_and_written_and_no_more() {
    for n in 0..=16 {
        // As long as what is read, so that a tool that watches memory sees one byte too many.
        let from = (1..=n).map(|x| x as f32).collect::<Vec<_>>();
        for isa in Isa::present() {
            let [all, first] = isa.run(First { from: &from, n });
            let with = |behind: f32| {
                let lane = |place: usize| if place <= n { place as f32 } else { behind };
                std::array::from_fn(|place| if (1..17).contains(&place) { lane(place) } else { -1.0 })
            };
            assert_eq!((all, first), (with(0.0), with(-1.0)), "{isa} {n}");
        }
    }
}
