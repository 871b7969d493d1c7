//! Which instructions there are.

use std::fmt;
use std::str::FromStr;

use crate::{Portable, Simd};

/// The environment variable that forces a level, `POLYSILICON_ISA=avx2`.
pub const FORCED: &str = "POLYSILICON_ISA";

/// An instruction set level: everything that a level needs is there where its value is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Isa {
    /// What every machine has.
    Portable,
    /// AVX2 with FMA and F16C: 32 bytes at once.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL) with VNNI: 64 bytes at once, four products of bytes per lane.
    Avx512,
    /// `Avx512`, and AMX tiles of int8 and bf16 that the kernel has permitted.
    Amx,
}

/// A computation over vectors of any level.
pub trait Kernel {
    /// What it gives.
    type Output;

    /// Runs it. Implementations are `#[inline(always)]`, and so is everything they call that takes vectors: code that
    /// is not inlined into the entry of its level is compiled without the level's instructions.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

impl Isa {
    /// Every level, the least first.
    pub const ALL: [Isa; 4] = [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Amx];

    /// Whether this machine has the level, in this process.
    pub fn is_present(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => crate::avx2::is_present(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => crate::avx512::is_present(),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => crate::avx512::is_present() && crate::amx::is_present(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The levels of this machine, the least first.
    pub fn present() -> Vec<Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_present()).collect()
    }

    /// The best level of this machine, or the one that [`FORCED`] names.
    pub fn detect() -> Result<Isa, IsaError> {
        let best = || Isa::present().pop().unwrap_or(Isa::Portable);
        let Ok(word) = std::env::var(FORCED) else { return Ok(best()) };
        let isa = word.parse::<Isa>()?;
        if isa.is_present() { Ok(isa) } else { Err(IsaError::Absent { asked: isa, best: best() }) }
    }

    /// As [`Isa::run`], for kernels that live by [`Simd::dot_bf16`]: they take the machine's instruction for it where
    /// that is the faster way. Others would only be compiled once more.
    ///
    /// # Panics
    /// Where this machine does not have the level.
    #[inline]
    pub fn run_bf16<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        if self >= Isa::Avx512 {
            assert!(crate::avx512::is_present(), "this machine has no AVX-512");
            if crate::avx512::has_fast_bf16() {
                // SAFETY: asserted just now, and only what is there is fast.
                return unsafe { crate::avx512::enter_bf16(kernel) };
            }
        }
        self.run(kernel)
    }

    /// Enters a kernel with the level's instructions enabled.
    ///
    /// # Panics
    /// Where this machine does not have the level.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        debug_assert!(self.is_present(), "{self} is not a level of this machine");
        match self {
            Isa::Portable => kernel.run(Portable),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                assert!(crate::avx2::is_present(), "this machine has no AVX2");
                // SAFETY: asserted just now.
                unsafe { crate::avx2::enter(kernel) }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Amx => {
                assert!(crate::avx512::is_present(), "this machine has no AVX-512");
                // SAFETY: asserted just now.
                unsafe { crate::avx512::enter(kernel) }
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("no other level is present on this architecture"),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Amx => "amx",
        })
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(word: &str) -> Result<Isa, IsaError> {
        let found = Isa::ALL.into_iter().find(|isa| isa.to_string() == word);
        found.ok_or_else(|| IsaError::Unknown { word: word.to_owned() })
    }
}

/// Why a level cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IsaError {
    /// The word names no level.
    Unknown {
        /// The word.
        word: String,
    },
    /// The machine does not have it.
    Absent {
        /// The level asked for.
        asked: Isa,
        /// The best level there is.
        best: Isa,
    },
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IsaError::Unknown { word } => write!(
                f,
                "{FORCED}={word} names no instruction set level; the levels are portable, avx2, avx512 and amx"
            ),
            IsaError::Absent { asked, best } => {
                write!(f, "this machine has no {asked}, which {FORCED} asks for; its best level is {best}")
            }
        }
    }
}

impl std::error::Error for IsaError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_named_as_they_are_printed() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        assert!("sse9".parse::<Isa>().is_err_and(|error| error.to_string().contains("sse9")));
    }

    #[test]
    fn a_machine_has_every_level_below_one_it_has() {
        let present = Isa::present();
        assert_eq!(present, Isa::ALL[..present.len()]);
    }
}
