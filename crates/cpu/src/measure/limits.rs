//! How fast work can be done at best: bytes that must be read over the bandwidth, operations over the peak of what
//! multiplies them. Reading and multiplying overlap, so the longer time counts.

use std::ops::AddAssign;

use graph::Work;
use simd::Isa;
use tensor::DType;

use super::{Measured, Unit, cached};
use crate::product::Rounding;

/// What so many threads of a machine reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes read per second.
    pub bandwidth: f64,
    /// Operations per second of each unit there is.
    pub(crate) peaks: Vec<(Unit, f64)>,
}

/// The least that work takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bound {
    /// Bytes of weights, keys and values.
    pub bytes: f64,
    /// Multiplications plus additions.
    pub operations: f64,
    /// Seconds to read the bytes.
    pub memory_s: f64,
    /// Seconds to do the operations.
    pub compute_s: f64,
}

impl Limits {
    /// The limits of so many threads.
    pub fn new(measured: &Measured, threads: usize) -> Limits {
        let peaks = measured.peaks.iter().map(|(unit, rates)| (*unit, rates.at(threads)));
        Limits { bandwidth: measured.bandwidth.at(threads), peaks: peaks.collect() }
    }

    /// What was measured here before, where it was measured at this level.
    pub(crate) fn known(isa: Isa, threads: usize) -> Option<Limits> {
        let measured = cached().filter(|measured| measured.isa == isa)?;
        Some(Limits::new(&measured, threads))
    }

    /// The bound of work whose activations are multiplied by values of type `factor`.
    pub fn bound(&self, work: &Work, factor: Option<DType>) -> Bound {
        let (bytes, operations) = (work.memory_bytes(), work.operations);
        let (memory_s, compute_s) = (bytes / self.bandwidth, operations / self.operations_per_s(factor));
        Bound { bytes, operations, memory_s, compute_s }
    }

    /// The fastest that this machine multiplies by a type.
    fn operations_per_s(&self, factor: Option<DType>) -> f64 {
        let units: &[Unit] = match factor {
            Some(dtype) if Rounding::of(dtype) == Rounding::Int8 => &[Unit::Int8Tiles, Unit::Int8, Unit::F32],
            Some(DType::BF16) => &[Unit::Bf16Tiles, Unit::Bf16, Unit::F32],
            _ => &[Unit::F32],
        };
        let peaks = self.peaks.iter().filter(|(unit, _)| units.contains(unit));
        peaks.fold(1.0, |fastest, &(_, peak)| peak.max(fastest))
    }
}

impl Bound {
    /// The least seconds.
    pub fn seconds(&self) -> f64 {
        self.memory_s.max(self.compute_s)
    }
}

impl AddAssign for Bound {
    fn add_assign(&mut self, other: Bound) {
        self.bytes += other.bytes;
        self.operations += other.operations;
        self.memory_s += other.memory_s;
        self.compute_s += other.compute_s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let peaks =
            vec![(Unit::F32, 100.0), (Unit::Bf16, 80.0), (Unit::Int8, 400.0), (Unit::Int8Tiles, 900.0)];
        Limits { bandwidth: 10.0, peaks }
    }

    #[test]
    fn the_longer_of_reading_and_multiplying_counts() {
        let work = |operations| Work {
            operations,
            weight_bytes: 3.0,
            state_bytes: 2.0,
            value_bytes: 1e9,
            link_bytes: 0.0,
        };
        let bound = limits().bound(&work(10.0), None);
        assert_eq!(bound, Bound { bytes: 5.0, operations: 10.0, memory_s: 0.5, compute_s: 0.1 });
        assert_eq!(bound.seconds(), 0.5, "values between operations are in caches");
        assert_eq!(limits().bound(&work(200.0), None).seconds(), 2.0);
    }

    #[test]
    fn the_fastest_unit_for_the_type_multiplies() {
        let work = Work { operations: 3600.0, ..Work::default() };
        let seconds = |factor| limits().bound(&work, factor).seconds();
        assert_eq!(
            [Some(DType::Q4_K), Some(DType::BF16), Some(DType::F16), None].map(seconds),
            [4.0, 36.0, 36.0, 36.0]
        );
    }

    #[test]
    fn bounds_add_up() {
        let one = Bound { bytes: 1.0, operations: 2.0, memory_s: 3.0, compute_s: 4.0 };
        let mut sum = one;
        sum += one;
        assert_eq!(sum, Bound { bytes: 2.0, operations: 4.0, memory_s: 6.0, compute_s: 8.0 });
    }
}
