//! How fast this machine multiplies.
//!
//! Each unit runs the innermost loop of a product whose memory is free, with as many sums at once as hide an
//! operation's latency.

use std::hint::black_box;
use std::time::Duration;

use simd::{Isa, Kernel, LANES, Simd};

use super::Unit;
use super::round::{self, Reading};
use crate::team::Team;

/// How long a round lasts: long enough for a clock that steps down when wide vectors come.
const ROUND: Duration = Duration::from_millis(20);
/// Passes over the operands between two looks at the clock.
const PASSES: usize = 64;
/// Steps of a pass, each of which reads operands of its own.
const STEPS: usize = 8;
/// Vectors of operands, well below a first-level cache.
const VECTORS: usize = 8 * STEPS;

/// Whether a unit is there at this level.
pub fn has(unit: Unit, isa: Isa) -> bool {
    match unit {
        Unit::F32 | Unit::Int8 => true,
        #[cfg(target_arch = "x86_64")]
        Unit::Bf16 => isa >= Isa::Avx512 && isa.is_present() && is_x86_feature_detected!("avx512bf16"),
        #[cfg(not(target_arch = "x86_64"))]
        Unit::Bf16 => false,
        Unit::Bf16Tiles | Unit::Int8Tiles => isa == Isa::Amx && isa.is_present(),
    }
}

/// Operations per second of a team in one round. The unit is there.
pub fn multiply(team: &mut Team, unit: Unit, isa: Isa) -> Reading {
    assert!(has(unit, isa), "this machine has no {unit} at {isa}");
    round::of_time(team, ROUND, &|| batch(unit, isa))
}

/// Some operations, and how many.
fn batch(unit: Unit, isa: Isa) -> f64 {
    // Sums at once: what the registers of a level hold.
    let few = isa <= Isa::Avx2;
    match unit {
        Unit::F32 if few => isa.run(Fma::<6>),
        Unit::F32 => isa.run(Fma::<12>),
        Unit::Int8 if few => isa.run(Dot::<2, 2>),
        Unit::Int8 => isa.run(Dot::<4, 3>),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `multiply` has asserted that the unit is there.
        Unit::Bf16 => unsafe { dot_bf16() },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Unit::Int8Tiles => unsafe { super::tiles::dot_i8() },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Unit::Bf16Tiles => unsafe { super::tiles::dot_bf16() },
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("only x86 has other units"),
    }
}

/// Small numbers as bytes, and no denormals as pairs of bf16.
static BYTES: Operands = Operands([0x3f; VECTORS * 64]);

#[repr(align(64))]
struct Operands([u8; VECTORS * 64]);

/// `sum[i] += a * b` in f32. The operands stay in registers: with loads beside them, some chips fall short of the
/// rate that their products reach.
struct Fma<const SUMS: usize>;

impl<const SUMS: usize> Kernel for Fma<SUMS> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let (a, b) = (s.splat(black_box(0.75)), s.splat(black_box(0.5)));
        // Sums that begin alike might be made one by the compiler.
        let mut sums = [a; SUMS];
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = s.splat(black_box(i as f32));
        }
        for _ in 0..PASSES * STEPS {
            for sum in &mut sums {
                *sum = s.fma(a, b, *sum);
            }
        }
        for sum in sums {
            black_box(s.sum(sum));
        }
        (2 * LANES * SUMS * PASSES * STEPS) as f64
    }
}

/// `sum[r][c] += a[r] . b[c]`, four products of bytes per lane.
struct Dot<const ROWS: usize, const COLUMNS: usize>;

impl<const ROWS: usize, const COLUMNS: usize> Kernel for Dot<ROWS, COLUMNS> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let mut sums = [[s.splat_i(0); COLUMNS]; ROWS];
        for _ in 0..PASSES {
            // Hidden from the compiler in each pass, or it would load all operands once and keep them.
            let operands = black_box(BYTES.0.as_ptr());
            for step in 0..STEPS {
                // SAFETY: the first are the vectors of one step, the second those of another; there are eight of each.
                let (a, b) = unsafe {
                    let (a, b) = (operands.add(step * 512), operands.add((STEPS - 1 - step) * 512));
                    (load::<S, ROWS>(s, a), load::<S, COLUMNS>(s, b))
                };
                for r in 0..ROWS {
                    for c in 0..COLUMNS {
                        sums[r][c] = s.dot_u7(sums[r][c], a[r], b[c]);
                    }
                }
            }
        }
        for sum in sums.as_flattened() {
            black_box(s.sum(s.to_f(*sum)));
        }
        (2 * 64 * ROWS * COLUMNS * PASSES * STEPS) as f64
    }
}

/// # Safety
/// `N` vectors from `p` on may be read.
#[inline(always)]
unsafe fn load<S: Simd, const N: usize>(s: S, p: *const u8) -> [S::I; N] {
    let mut vectors = [s.splat_i(0); N];
    for (i, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: as the caller says.
        *vector = unsafe { s.load_i(p.add(i * 64)) };
    }
    vectors
}

/// Pairs of bf16 into f32, twelve sums at once.
///
/// # Safety
/// The machine has the instruction.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn dot_bf16() -> f64 {
    use std::arch::x86_64::{__m512bh, _mm512_dpbf16_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    // Sums that begin alike might be made one by the compiler.
    let mut sums: [_; 12] = std::array::from_fn(|i| _mm512_set1_ps(i as f32));
    let operands = black_box(BYTES.0.as_ptr()).cast::<__m512bh>();
    // SAFETY: both are vectors of `BYTES`, which starts on a line's boundary.
    let (a, b) = unsafe { (operands.read(), operands.add(1).read()) };
    for _ in 0..PASSES * STEPS {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, a, b);
        }
    }
    for sum in sums {
        black_box(_mm512_reduce_add_ps(sum));
    }
    (2 * 2 * LANES * sums.len() * PASSES * STEPS) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_every_level_does_its_operations() {
        for isa in Isa::present() {
            for unit in Unit::ALL.into_iter().filter(|&unit| has(unit, isa)) {
                assert!(batch(unit, isa) >= 65536.0, "{unit} at {isa}");
            }
        }
    }

    #[test]
    fn tiles_are_of_their_level_alone() {
        for isa in [Isa::Portable, Isa::Avx2, Isa::Avx512] {
            assert!(!has(Unit::Int8Tiles, isa) && !has(Unit::Bf16Tiles, isa));
        }
    }
}
