//! Rows that outlive the feed they came in: a device that runs ahead draws them when its step is done.

use crate::sampling::Sampling;
use crate::step::{Row, Seen};

/// A row that owns what it is made of.
#[derive(Clone, Debug)]
pub struct KeptRow {
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

impl KeptRow {
    /// Of a row.
    pub fn of(row: &Row<'_>) -> KeptRow {
        // Without penalties nobody looks at the past, which may be long.
        let past = !row.sampling.penalties.is_none();
        let of_past = |ids: &[u32]| if past { ids.to_vec() } else { vec![] };
        KeptRow {
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
        }
    }

    /// The row again.
    pub fn row(&self) -> Row<'_> {
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
