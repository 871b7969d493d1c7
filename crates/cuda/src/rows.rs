//! What is asked of a row, and what the device tells of it.

use graph::{Choice, KeptRow, Row, RowStats, Sampled, normaliser};

use crate::lower::{CHOSEN_BYTES, WISH_BYTES};

/// How a row's token is chosen.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// On the device.
    Device(Choice, f64),
    /// On the host, from its logits.
    Host(Box<KeptRow>),
}

impl Asked {
    /// Of a row.
    pub fn of(row: &Row<'_>) -> Asked {
        let told_more = row.top > 0 || row.logits;
        match row.choice() {
            Some(choice) if !told_more => Asked::Device(choice, row.uniform),
            _ => Asked::Host(Box::new(KeptRow::of(row))),
        }
    }

    /// Whether the device chooses.
    pub fn is_on_device(&self) -> bool {
        matches!(self, Asked::Device(..))
    }

    /// The row as the device reads it: see `Wish` in likelihood.cuh.
    pub fn wish(&self) -> [u8; WISH_BYTES] {
        let mut bytes = [0; WISH_BYTES];
        if let Asked::Device(Choice::Drawn { steepness }, uniform) = self {
            bytes[..4].copy_from_slice(&steepness.to_le_bytes());
            bytes[4..8].copy_from_slice(&1i32.to_le_bytes());
            bytes[8..].copy_from_slice(&uniform.to_le_bytes());
        }
        bytes
    }
}

/// What the device tells of a row: see `Chosen` in likelihood.cuh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Told {
    id: u32,
    logit: f32,
    largest: f32,
    mass: u64,
}

impl Told {
    /// From the device's bytes.
    pub fn of(bytes: &[u8]) -> Told {
        let bytes = bytes.first_chunk::<CHOSEN_BYTES>().expect("rows are cut to this size");
        let word = |at: usize| *bytes[at..].first_chunk::<4>().expect("it lies within");
        let mass = *bytes[16..].first_chunk::<8>().expect("it lies within");
        Told {
            id: u32::from_le_bytes(word(0)),
            logit: f32::from_le_bytes(word(4)),
            largest: f32::from_le_bytes(word(8)),
            mass: u64::from_le_bytes(mass),
        }
    }

    /// The logarithm of the sum of the exponentials of the row.
    pub fn normaliser(&self) -> f32 {
        normaliser(self.largest, self.mass)
    }

    /// What the host's sampler may know, where the device was not asked to draw.
    pub fn stats(&self) -> RowStats {
        RowStats { largest: self.id, normaliser: self.normaliser() }
    }

    /// The token, as it is fetched.
    pub fn sampled(&self) -> Sampled {
        Sampled { id: self.id, logprob: self.logit - self.normaliser() }
    }
}
