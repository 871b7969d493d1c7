//! What a step was asked of its rows: as the device is told, and kept until the step is done.

use graph::{KeptRow, Row};

use crate::emit::TOP_MAX;

/// A row with all that is needed to draw its token.
pub(crate) enum Wanted {
    /// The likeliest token, which the device finds.
    Greedy,
    /// A token that the device chooses first, and the host once more.
    Guessed(Box<KeptRow>),
    /// Anything else, which the host alone draws.
    Drawn(Box<KeptRow>),
}

impl Wanted {
    pub(crate) fn of(row: &Row<'_>) -> Wanted {
        let kept = || Box::new(KeptRow::of(row));
        match Wish::of(row) {
            _ if row.is_greedy() => Wanted::Greedy,
            Some(_) => Wanted::Guessed(kept()),
            None => Wanted::Drawn(kept()),
        }
    }

    /// Whether the device knows its token before the host does.
    pub(crate) fn is_chosen_there(&self) -> bool {
        !matches!(self, Wanted::Drawn(_))
    }
}

/// Numbers that tell the device how a row chooses.
pub(crate) const WISH: usize = 5;

/// How a row chooses its token: from its logits as they came, by those cuts that the device knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wish {
    /// What distances of logits are multiplied by: one over the temperature.
    sharpness: f32,
    /// Of how many of the largest; more than the device looks at where they are not counted.
    count: f32,
    /// Until they have this share of the weight; more than all where no share is cut off.
    share: f32,
    /// At least this many times as heavy as the heaviest.
    least: f32,
    /// The uniform number; below zero where the likeliest is wanted.
    uniform: f32,
}

impl Wish {
    /// The likeliest token.
    pub(crate) const LIKELIEST: Wish =
        Wish { sharpness: 1.0, count: UNCOUNTED, share: UNCUT, least: 0.0, uniform: -1.0 };

    /// A row's; `None` where it asks for what the device does not do.
    pub(crate) fn of(row: &Row<'_>) -> Option<Wish> {
        let sampling = row.sampling;
        if !row.is_plain() {
            return None;
        }
        if sampling.temperature <= 0.0 {
            return Some(Wish::LIKELIEST);
        }
        if sampling.typical < 1.0 || sampling.top_k as usize > TOP_MAX {
            return None;
        }
        Some(Wish {
            // However small the temperature, nothing times this must be nothing.
            sharpness: (1.0 / sampling.temperature).min(f32::MAX),
            count: if sampling.top_k == 0 { UNCOUNTED } else { sampling.top_k as f32 },
            share: if sampling.top_p < 1.0 { sampling.top_p } else { UNCUT },
            least: sampling.min_p,
            uniform: row.uniform as f32,
        })
    }

    /// In the order in which a module takes them.
    pub(crate) fn numbers(&self) -> [f32; WISH] {
        [self.sharpness, self.count, self.share, self.least, self.uniform]
    }
}

/// A count beyond what the device looks at.
const UNCOUNTED: f32 = TOP_MAX as f32 + 1.0;

/// A share that nothing is cut off by, however sums are rounded.
const UNCUT: f32 = 2.0;
