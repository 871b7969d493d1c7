//! Weights changed to another type on their way in.

mod mix;

use std::sync::Arc;

use rayon::prelude::*;
use tensor::{DType, SourceError, WeightInfo, WeightSource, blocks};

use crate::quantize::quantize;
use crate::stored::RowRange;

use mix::Facts;
pub use mix::{Mix, Target, UnknownTarget};

/// Values converted at a time by one thread, unless a single row is longer.
const STEP_VALUES: usize = 1 << 16;

/// A source whose matrices have another type. Norms, biases, sinks and routers keep theirs, and so do MXFP4 experts
/// unless they are asked for: their training was made for those bits.
pub struct Requantized {
    source: Arc<dyn WeightSource>,
    target: Target,
    facts: Facts,
    mxfp4: bool,
    f32_vectors: bool,
}

impl Requantized {
    /// The weights of `source`, which has canonical names, in the type or mix asked for. A mix depends on the number
    /// of layers.
    pub fn new(source: Arc<dyn WeightSource>, target: Target, layers: usize) -> Requantized {
        let rows = |module: &str| source.find(&format!("layers.0.{module}.weight"))?.shape.rows();
        let queries = rows("self_attn.q_proj").unwrap_or(1);
        let sharing = rows("self_attn.k_proj").and_then(|keys| queries.checked_div(keys)).unwrap_or(1);
        let experts = rows("mlp.experts.gate_proj").is_some();
        Requantized {
            source,
            target,
            facts: Facts { layers, sharing, experts },
            mxfp4: false,
            f32_vectors: false,
        }
    }

    /// Changes weights that are stored in MXFP4 as well.
    #[must_use]
    pub fn with_mxfp4(self) -> Requantized {
        Requantized { mxfp4: true, ..self }
    }

    /// Gives everything that is no matrix in f32, as GGUF files keep it.
    #[must_use]
    pub fn with_f32_vectors(self) -> Requantized {
        Requantized { f32_vectors: true, ..self }
    }

    /// Whether the weight is one of those that are changed.
    fn changes(&self, name: &str, stored: &WeightInfo) -> bool {
        is_matrix(name, stored) && (stored.dtype != DType::MXFP4 || self.mxfp4)
    }

    /// The type that a weight should have; it gets another where its rows are no whole blocks of this one.
    pub fn wanted(&self, name: &str) -> Option<DType> {
        let stored = self.source.find(name)?;
        if !self.changes(name, &stored) {
            let vector = self.f32_vectors && stored.dtype.is_float() && !is_matrix(name, &stored);
            return Some(if vector { DType::F32 } else { stored.dtype });
        }
        let head = match name {
            "lm_head.weight" => true,
            "embed_tokens.weight" => self.source.find("lm_head.weight").is_none(),
            _ => false,
        };
        Some(self.target.dtype(name, head, self.facts))
    }

    /// The type that a weight will have.
    fn dtype(&self, name: &str, stored: &WeightInfo) -> DType {
        let wanted = self.wanted(name).unwrap_or(stored.dtype);
        let fits = |dtype: &DType| stored.shape.row_len().is_multiple_of(dtype.block_len());
        let choices = [Some(wanted), mix::in_smaller_blocks(wanted)];
        choices.into_iter().flatten().find(fits).unwrap_or(DType::F16)
    }
}

/// Whether a weight is a matrix that may be stored in few bits: norms, biases, sinks and routers may not.
fn is_matrix(name: &str, stored: &WeightInfo) -> bool {
    stored.shape.len() >= 2
        && name.ends_with(".weight")
        && !name.contains("norm")
        && !name.contains(".router.")
        && (stored.dtype.is_float() || stored.dtype.is_block())
}

impl WeightSource for Requantized {
    fn find(&self, name: &str) -> Option<WeightInfo> {
        let stored = self.source.find(name)?;
        Some(WeightInfo { dtype: self.dtype(name, &stored), shape: stored.shape })
    }

    fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError> {
        let stored = self.source.find(name).ok_or_else(|| SourceError::Missing { name: name.to_owned() })?;
        let made = WeightInfo { dtype: self.dtype(name, &stored), shape: stored.shape };
        if made.dtype == stored.dtype {
            return self.source.read_rows(name, first, out);
        }
        let rows = RowRange::of(name, &made, first, out.len())?;
        let too_large = || SourceError::TooLarge { name: name.to_owned() };
        let stored_row = stored.row_bytes().ok_or_else(too_large)?;
        if rows.count == 0 {
            return Ok(());
        }
        let row_len = made.shape.row_len();
        let step = (STEP_VALUES / row_len).max(1);
        out.par_chunks_mut(step * rows.row_bytes).enumerate().try_for_each_init(
            || (Vec::new(), Vec::new()),
            |(bytes, values), (part, out)| {
                let count = out.len() / rows.row_bytes;
                bytes.resize(count * stored_row, 0);
                values.resize(count * row_len, 0.0);
                self.source.read_rows(name, first + part * step, bytes)?;
                blocks::decode(stored.dtype, bytes, values);
                quantize(made.dtype, values, out).map_err(|error| SourceError::Convert {
                    name: name.to_owned(),
                    reason: error.to_string(),
                })
            },
        )
    }
}
