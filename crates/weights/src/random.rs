//! Weights made up from a seed, for models whose shape is known and whose file is not at hand.
//!
//! A row depends on the seed, the weight's name and the row's number only, so it is the same on every machine and
//! however the rows are asked for. Values are spread so that a deep model's activations stay finite and its logits
//! differ by a few.

mod bits;
mod blocks;
mod dense;

use std::collections::BTreeMap;

use rayon::prelude::*;
use tensor::{SourceError, WeightInfo, WeightSource};

use crate::stored::RowRange;
use bits::Bits;

/// Bytes made at a time by one thread, unless a single row is longer.
const STEP_BYTES: usize = 1 << 18;

/// Random weights under canonical names.
pub struct Random {
    weights: BTreeMap<String, Weight>,
}

struct Weight {
    info: WeightInfo,
    spread: Spread,
    key: u64,
}

/// The distribution of a weight's values.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    mean: f32,
    std: f32,
}

impl Random {
    /// Weights of these names, types and shapes.
    pub fn new(specs: impl IntoIterator<Item = (String, WeightInfo)>, seed: u64) -> Random {
        let specs: Vec<_> = specs.into_iter().collect();
        let layers =
            specs.iter().filter_map(|(name, _)| layer(name)).max().map_or(1, |last| last.saturating_add(1));
        let weights = specs.into_iter().map(|(name, info)| {
            let weight =
                Weight { info, spread: Spread::of(&name, &info, layers), key: bits::key(seed, &name) };
            (name, weight)
        });
        Random { weights: weights.collect() }
    }

    /// Every weight, by name.
    pub fn weights(&self) -> impl Iterator<Item = (&str, WeightInfo)> {
        self.weights.iter().map(|(name, weight)| (name.as_str(), weight.info))
    }
}

impl WeightSource for Random {
    fn find(&self, name: &str) -> Option<WeightInfo> {
        self.weights.get(name).map(|weight| weight.info)
    }

    fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError> {
        let weight = self.weights.get(name).ok_or_else(|| SourceError::Missing { name: name.to_owned() })?;
        let dtype = weight.info.dtype;
        if !dtype.is_float() && !dtype.is_block() {
            let reason = format!("there are no random weights of type {dtype}");
            return Err(SourceError::Convert { name: name.to_owned(), reason });
        }
        let rows = RowRange::of(name, &weight.info, first, out.len())?;
        if rows.count == 0 {
            return Ok(());
        }
        let step = (STEP_BYTES / rows.row_bytes).max(1);
        out.par_chunks_mut(step * rows.row_bytes).enumerate().for_each(|(part, out)| {
            for (row, out) in (first + part * step..).zip(out.chunks_exact_mut(rows.row_bytes)) {
                let mut bits = Bits::of_row(weight.key, row);
                match dtype.is_block() {
                    true => blocks::fill(dtype, weight.spread.std, &mut bits, out),
                    false => dense::fill(dtype, weight.spread, &mut bits, out),
                }
            }
        });
        Ok(())
    }
}

impl Spread {
    /// Products keep the size of what they multiply; what is added to the residual stream is made smaller by how
    /// often something is added; the head gives logits a spread of about two.
    fn of(name: &str, info: &WeightInfo, layers: usize) -> Spread {
        let row = info.shape.row_len().max(1) as f32;
        let (mean, std) = if name.ends_with("bias") {
            (0.0, 0.05)
        } else if name.contains("norm") {
            (1.0, 0.1)
        } else if name.ends_with("sinks") {
            (0.0, 1.0)
        } else if name == "embed_tokens.weight" || name == "lm_head.weight" {
            (0.0, 2.0 / row.sqrt())
        } else if name.contains("o_proj") || name.contains("down_proj") {
            (0.0, 1.0 / (row * 2.0 * layers as f32).sqrt())
        } else {
            (0.0, 1.0 / row.sqrt())
        };
        Spread { mean, std }
    }
}

/// The number of the layer that a weight belongs to.
fn layer(name: &str) -> Option<usize> {
    name.strip_prefix("layers.")?.split('.').next()?.parse().ok()
}
