//! The largest logit of each stretch of a row: one quick pass that tells which stretches need not be looked at again.

/// Logits to a stretch.
pub(super) const STRETCH: usize = 64;

/// The largest of each stretch; what is not a number counts as -∞.
#[derive(Debug, Default)]
pub(super) struct Peaks {
    values: Vec<f32>,
    ranked: Vec<f32>,
}

impl Peaks {
    /// Looks at a row.
    pub(super) fn survey(&mut self, logits: &[f32]) {
        self.values.clear();
        self.values.extend(logits.chunks(STRETCH).map(largest));
    }

    /// The largest of all.
    pub(super) fn largest(&self) -> f32 {
        largest(&self.values)
    }

    /// A logit that at least `count` logits reach, and few more: the `count`th largest peak.
    pub(super) fn reached_by(&mut self, count: usize) -> f32 {
        if count == 0 || count > self.values.len() {
            return f32::NEG_INFINITY;
        }
        self.ranked.clone_from(&self.values);
        *self.ranked.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a)).1
    }

    /// Each stretch with its first id and its peak.
    pub(super) fn stretches<'a>(
        &'a self,
        logits: &'a [f32],
    ) -> impl Iterator<Item = (u32, f32, &'a [f32])> + 'a {
        let ids = (0..).step_by(STRETCH);
        ids.zip(&self.values).zip(logits.chunks(STRETCH)).map(|((id, &peak), logits)| (id, peak, logits))
    }
}

/// The largest; -∞ where there is none. Eight lanes, since a single chain of comparisons cannot become vectors.
pub(super) fn largest(logits: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (eights, rest) = logits.as_chunks::<8>();
    let mut lanes = [f32::NEG_INFINITY; 8];
    for eight in eights {
        for (lane, &logit) in lanes.iter_mut().zip(eight) {
            *lane = larger(*lane, logit);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

/// The place of the largest; the first among equals, of which what is not a number is one where all are -∞.
pub(super) fn argmax(logits: &[f32]) -> u32 {
    let largest = largest(logits);
    if largest == f32::NEG_INFINITY {
        return 0;
    }
    let stretch = logits.chunks(STRETCH).position(|stretch| stretch.contains(&largest)).unwrap_or(0);
    let from = stretch * STRETCH;
    let place = logits.iter().skip(from).position(|&logit| logit == largest).unwrap_or(0);
    (from + place) as u32
}
