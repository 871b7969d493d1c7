//! What a step was asked of its rows, kept until it is done.

use graph::{KeptRow, Row};

/// A row with all that is needed to draw its token.
pub(crate) enum Wanted {
    /// The likeliest token, which the device finds.
    Greedy,
    /// Anything else.
    Drawn(Box<KeptRow>),
}

impl Wanted {
    pub(crate) fn of(row: &Row<'_>) -> Wanted {
        if row.is_greedy() { Wanted::Greedy } else { Wanted::Drawn(Box::new(KeptRow::of(row))) }
    }
}
