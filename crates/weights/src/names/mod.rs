//! The names by which models know their weights, over the names by which files store them.
//!
//! Models use Hugging Face's names without the leading `model.`: `layers.0.self_attn.q_proj.weight`. Experts are
//! stacked: `mlp.experts.{gate,up}_proj.weight` is `[X, F, E]` and `mlp.experts.down_proj.weight` is `[X, E, F]`.
//! Where a file stores the same values in another order, they are put in order as they are read.

mod for_gguf;
mod gguf;
mod heads;
mod hf;
mod packed;
mod transposed;

use std::sync::{Arc, Mutex};

use tensor::{SourceError, WeightInfo, WeightSource};

use crate::stored::RowRange;
use heads::Order;
use transposed::Expert;

pub use for_gguf::ForGguf;
pub use gguf::GgufLayout;

/// A source under the names that models use.
///
/// Reading in order is cheap. Experts that a file stores transposed are turned over one at a time, and the last one
/// stays in memory.
pub struct Renamed {
    source: Arc<dyn WeightSource>,
    naming: Naming,
    expert: Mutex<Option<Expert>>,
}

enum Naming {
    Hf,
    Gguf(GgufLayout),
}

/// What a weight is, and how it is made of what is stored.
struct Recipe {
    info: WeightInfo,
    make: Make,
}

/// How a weight is made of stored tensors.
enum Make {
    /// As stored.
    Same { stored: String },
    /// Rows that are stored as interleaved pairs within each head.
    Heads { stored: String, heads: usize },
    /// MXFP4 blocks and their scales in tensors of their own.
    Packed { blocks: String, scales: String, every: Every },
    /// Experts stored with rows and columns exchanged; a weight's row is a stored column.
    Transposed { stored: String, every: Every },
    /// Some of the columns of each row.
    Columns { stored: String, every: Every },
}

/// Every `step`-th stored row (or column) from `start` on: gate and up alternate in gpt-oss's files.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Every {
    start: usize,
    step: usize,
}

impl Renamed {
    /// Over a source with Hugging Face's names, with or without the leading `model.`.
    pub fn hf(source: Arc<dyn WeightSource>) -> Renamed {
        Renamed { source, naming: Naming::Hf, expert: Mutex::new(None) }
    }

    /// Over a source with GGUF's names.
    pub fn gguf(source: Arc<dyn WeightSource>, layout: GgufLayout) -> Renamed {
        Renamed { source, naming: Naming::Gguf(layout), expert: Mutex::new(None) }
    }

    fn recipe(&self, name: &str) -> Option<Recipe> {
        match &self.naming {
            Naming::Hf => hf::recipe(&*self.source, name),
            Naming::Gguf(layout) => gguf::recipe(&*self.source, layout, name),
        }
    }
}

impl WeightSource for Renamed {
    fn find(&self, name: &str) -> Option<WeightInfo> {
        self.recipe(name).map(|recipe| recipe.info)
    }

    fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError> {
        let recipe = self.recipe(name).ok_or_else(|| SourceError::Missing { name: name.to_owned() })?;
        let source = &*self.source;
        let rows = RowRange::of(name, &recipe.info, first, out.len())?;
        match &recipe.make {
            Make::Same { stored } => source.read_rows(stored, first, out),
            _ if rows.count == 0 => Ok(()),
            Make::Heads { stored, heads } => {
                heads::read(source, stored, &recipe.info, (*heads, Order::Canonical), rows, out)
            }
            Make::Packed { blocks, scales, every } => packed::read(source, blocks, scales, *every, rows, out),
            Make::Transposed { stored, every } => {
                transposed::read(source, &self.expert, stored, &recipe.info, *every, rows, out)
            }
            Make::Columns { stored, every } => {
                transposed::columns(source, stored, &recipe.info, *every, rows, out)
            }
        }
    }
}

/// A zeroed buffer for a part of a weight, or an error where memory does not hold it.
fn buffer(name: &str, bytes: usize) -> Result<Vec<u8>, SourceError> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).map_err(|_| SourceError::TooLarge { name: name.to_owned() })?;
    buffer.resize(bytes, 0);
    Ok(buffer)
}
