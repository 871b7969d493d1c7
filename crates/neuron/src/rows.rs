//! What a step was asked of its rows, kept until it is done: its feed is gone by then.

use graph::{Row, Sampling, Seen};

/// A row with all that is needed to draw its token.
pub(crate) enum Wanted {
    /// The likeliest token, which the device finds.
    Greedy,
    /// Anything else.
    Drawn(Box<Kept>),
}

/// A row that owns what it is made of.
pub(crate) struct Kept {
    token: u32,
    sampling: Sampling,
    uniform: f64,
    seen: Vec<Seen>,
    recent: Vec<u32>,
    breakers: Vec<u32>,
    bias: Vec<(u32, f32)>,
    mask: Option<Vec<u32>>,
    top: u32,
    logits: bool,
}

impl Wanted {
    pub(crate) fn of(row: &Row<'_>) -> Wanted {
        if row.is_greedy() {
            return Wanted::Greedy;
        }
        // Without penalties nobody looks at the past, which may be long.
        let past = !row.sampling.penalties.is_none();
        let of_past = |ids: &[u32]| if past { ids.to_vec() } else { vec![] };
        Wanted::Drawn(Box::new(Kept {
            token: row.token,
            sampling: *row.sampling,
            uniform: row.uniform,
            seen: if past { row.seen.to_vec() } else { vec![] },
            recent: of_past(row.recent),
            breakers: of_past(row.breakers),
            bias: row.bias.to_vec(),
            mask: row.mask.map(<[u32]>::to_vec),
            top: row.top,
            logits: row.logits,
        }))
    }
}

impl Kept {
    pub(crate) fn row(&self) -> Row<'_> {
        Row {
            token: self.token,
            sampling: &self.sampling,
            uniform: self.uniform,
            seen: &self.seen,
            recent: &self.recent,
            breakers: &self.breakers,
            bias: &self.bias,
            mask: self.mask.as_deref(),
            top: self.top,
            logits: self.logits,
        }
    }
}
