//! What changes logits before a token is chosen: bias, penalties and mask.

use super::Penalties;
use super::dry::Repeats;
use crate::Row;

/// Bias, penalties and mask, in this order.
pub(super) fn adjust(logits: &mut [f32], row: &Row<'_>, repeats: &mut Repeats) {
    for &(id, bias) in row.bias {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit += bias;
        }
    }
    let penalties = &row.sampling.penalties;
    if penalties.counts() {
        penalise(logits, penalties, row);
    }
    if !penalties.dry.is_none() {
        repeats.penalise(logits, &penalties.dry, row.recent, row.breakers);
    }
    if let Some(mask) = row.mask {
        forbid(logits, mask);
    }
}

fn penalise(logits: &mut [f32], penalties: &Penalties, row: &Row<'_>) {
    for seen in row.seen {
        let Some(logit) = logits.get_mut(seen.id as usize) else { continue };
        *logit = if *logit > 0.0 { *logit / penalties.repetition } else { *logit * penalties.repetition };
        if seen.generated > 0 {
            *logit -= penalties.presence + penalties.frequency * seen.generated as f32;
        }
    }
}

/// Forbids what the mask does not allow. Most of its words are all or nothing.
fn forbid(logits: &mut [f32], mask: &[u32]) {
    let words = mask.iter().copied().chain(std::iter::repeat(0));
    for (logits, word) in logits.chunks_mut(32).zip(words) {
        match word {
            u32::MAX => {}
            0 => logits.fill(f32::NEG_INFINITY),
            _ => {
                for (bit, logit) in logits.iter_mut().enumerate() {
                    // Written whether it changes or not, which vectors can do.
                    *logit = if word & 1 << bit == 0 { f32::NEG_INFINITY } else { *logit };
                }
            }
        }
    }
}
