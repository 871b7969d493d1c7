//! Tokens chosen on the device.

use tensor::DType;

use super::Lowering;
use crate::launch::Arg;
use crate::source::Source;

/// Logits that a block looks at.
const CHUNK: usize = 4096;
/// Bytes of how a row is to be chosen: see `Wish` in likelihood.cuh.
pub(crate) const WISH_BYTES: usize = 16;
/// Bytes of what is told of a row: see `Chosen` in likelihood.cuh.
pub(crate) const CHOSEN_BYTES: usize = 24;

/// Where the choice of tokens reads and writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampling {
    /// Byte of the work space at which the logits begin.
    pub logits: usize,
    /// Tokens there are.
    pub vocab: usize,
    /// Rows at most.
    pub rows: usize,
    /// Byte among what is fed at which the wishes begin.
    pub wishes: usize,
    /// Byte of the work space at which what was chosen begins.
    pub chosen: usize,
}

impl Lowering<'_> {
    /// The launches that choose a token for each row of logits, where the first result is that.
    pub(super) fn sampling(&mut self) -> Option<Sampling> {
        let logits = *self.plan.results.first()?;
        let (Arg::Work(at), DType::F32) = (self.arg(logits), self.dtype(logits)) else { return None };
        let [rows, vocab] = self.shape(logits)[..] else { return None };
        if rows == 0 || vocab == 0 {
            return None;
        }
        let chunks = vocab.div_ceil(CHUNK);
        let peaks = Arg::Work(self.region(rows * chunks * 8));
        let masses = Arg::Work(self.region(rows * chunks * 16));
        let chosen = self.region(rows * CHOSEN_BYTES);
        let wishes = self.fed(rows * WISH_BYTES);
        self.planned = self.plan.nodes.len();
        let of = |kernel| Source::new(kernel).with("VOCAB", vocab).with("CHUNK", CHUNK);
        let (logits, wished) = (Arg::Work(at), Arg::Input(wishes));
        self.push(of("peaks"), [chunks, rows, 1], 256, vec![peaks, logits]);
        self.push(of("masses"), [chunks, rows, 1], 256, vec![masses, logits, peaks, wished]);
        let source = of("choose").with("CHUNKS", chunks);
        let args = vec![Arg::Work(chosen), Arg::Previous, logits, peaks, masses, wished];
        self.push(source, [rows, 1, 1], 256, args);
        Some(Sampling { logits: at, vocab, rows, wishes, chosen })
    }
}
