//! Products of many rows by cuBLASLt. It wants matrices row by row, where weights are kept as tiles for steps of few rows: a
//! weight is unpacked into work space before each, which costs its bytes twice, and what is done with the sums comes after.

use tensor::DType;

use super::products::Product;
use super::{ALIGN, Lowering};
use crate::driver::Matmul;
use crate::launch::{Arg, Launch, What};
use crate::source::Source;

/// Rows from which on a weight is unpacked sooner than `many.cu` loses by its slower tensor instructions. Reckoned, for an H200,
/// and not measured: a weight of bf16 is unpacked in about 1 ps, and `many.cu` takes about 1 fs more a row for it.
const ROWS: usize = 1024;

/// Bytes that the library may use meanwhile, as many as its documents recommend for Hopper.
const ROOM: usize = 32 << 20;

/// Tiles that a block unpacks at a time.
const WARPS: usize = 4;

impl Lowering<'_> {
    /// Whether a product is one that the library does.
    pub(super) fn is_for_library(&self, product: &Product) -> bool {
        self.options.library
            && !self.options.invariant
            && self.rows(product.x).0 >= ROWS
            && self.dtype(product.w) == DType::BF16
    }

    /// A product of rows that were rounded, with bytes of what nodes share from `at` on.
    pub(super) fn by_library(&mut self, product: &Product, x: Arg, at: usize) {
        let Product { w, up, biases, add, out, .. } = *product;
        let ((rows, width), features) = (self.rows(product.x), self.rows(out).1);
        let room_at = (at + features * width * 2).next_multiple_of(ALIGN);
        let sums_at = room_at + ROOM;
        self.scratch(sums_at);
        let is_whole = up.is_none() && add.is_none() && biases[0].is_none();
        let what = Matmul { rows, features, width, room: ROOM };
        for (set, w) in [Some(w), up].into_iter().flatten().enumerate() {
            let source = Source::new("untile").with("WIDTH", width).with("FEATURES", features);
            let tiles = features.div_ceil(16) * (width / 64);
            let blocks = tiles.div_ceil(WARPS).min(super::BLOCKS_MAX);
            self.push(source, [blocks, 1, 1], 32 * WARPS, vec![Arg::Scratch(at), self.arg(w)]);
            let sums = Arg::Scratch(sums_at + set * rows * features * size_of::<f32>());
            let to = if is_whole { self.arg(out) } else { sums };
            let args = vec![to, x, Arg::Scratch(at), Arg::Scratch(room_at)];
            self.launches.push(Launch { what: What::Matmul(what), args, planned: self.planned });
        }
        if !is_whole {
            self.sum_parts(product, 1, sums_at);
        }
    }
}
