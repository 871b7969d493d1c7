//! Weights changed to another type on their way in.

mod mix;

use std::sync::Arc;

use rayon::prelude::*;
use tensor::{DType, SourceError, WeightInfo, WeightSource, blocks};

use crate::quantize::quantize;
use crate::stored::RowRange;

pub use mix::{Mix, Target, UnknownTarget};

/// Values converted at a time by one thread, unless a single row is longer.
const STEP_VALUES: usize = 1 << 16;

/// A source whose matrices have another type. Norms, biases, sinks and routers keep theirs, and so do MXFP4 experts
/// unless they are asked for: their training was made for those bits.
pub struct Requantized {
    source: Arc<dyn WeightSource>,
    target: Target,
    layers: usize,
    mxfp4: bool,
}

impl Requantized {
    /// The weights of `source`, which has canonical names, in the type or mix asked for. A mix depends on the number
    /// of layers.
    pub fn new(source: Arc<dyn WeightSource>, target: Target, layers: usize) -> Requantized {
        Requantized { source, target, layers, mxfp4: false }
    }

    /// Changes weights that are stored in MXFP4 as well.
    #[must_use]
    pub fn with_mxfp4(self) -> Requantized {
        Requantized { mxfp4: true, ..self }
    }

    /// The type that a weight will have.
    fn dtype(&self, name: &str, stored: &WeightInfo) -> DType {
        let matrix = stored.shape.len() >= 2
            && name.ends_with(".weight")
            && !name.contains("norm")
            && !name.contains(".router.")
            && (stored.dtype.is_float() || stored.dtype.is_block());
        if !matrix || (stored.dtype == DType::MXFP4 && !self.mxfp4) {
            return stored.dtype;
        }
        let head = match name {
            "lm_head.weight" => true,
            "embed_tokens.weight" => self.source.find("lm_head.weight").is_none(),
            _ => false,
        };
        let wanted = self.target.dtype(name, head, self.layers);
        let fits = |dtype: &DType| stored.shape.row_len().is_multiple_of(dtype.block_len());
        [wanted, DType::Q8_0].into_iter().find(fits).unwrap_or(DType::F16)
    }
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
