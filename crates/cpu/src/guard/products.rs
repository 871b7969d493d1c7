//! Products and the rounding of what goes into them.

use half::bf16;
use simd::{Isa, Kernel, Simd};
use tensor::DType;

use super::{COUNTS, Guarded, SIDES, Side, assert_written, numbers};
use crate::activation::{
    Activation, Int8, Int8Group, Rows, bf16_values, int8_groups, quantize_row, round_row,
};
use crate::packed::{BLOCK, Layout, View, pack_strip};
use crate::product::{Output, Rounding, product, scratch_bytes};

/// Rows and columns: whole strips and not, one and several, depths of blocks and groups and of neither.
const SHAPES: [(usize, usize); 7] =
    [(16, 32), (5, 64), (17, 31), (33, 256), (40, 288), (80, 544), (100, 512)];

/// A packed weight of small numbers, and where its bytes are.
struct Weight {
    layout: Layout,
    bytes: Guarded<u8>,
}

impl Weight {
    fn new(side: Side, layout: Layout) -> Weight {
        // Any bytes below 32 are small codes under a small scale, or small floats.
        let rows = (0..16 * layout.row_bytes()).map(|i| (i * 31 % 32) as u8).collect::<Vec<_>>();
        let mut bytes = Guarded::line(side, layout.bytes());
        for (strip, out) in bytes.chunks_exact_mut(layout.strip_bytes()).enumerate() {
            let left = (layout.rows - strip * 16).min(16);
            pack_strip(&layout, &rows[..left * layout.row_bytes()], out);
        }
        Weight { layout, bytes }
    }

    fn view(&self) -> View<'_> {
        View::new(self.layout, &self.bytes)
    }
}

/// Rows of activations, prepared in every way that a weight may be multiplied by.
struct Prepared {
    rows: usize,
    cols: usize,
    plain: Guarded<f32>,
    halves: Guarded<bf16>,
    groups: Guarded<Int8Group>,
}

/// Fills what is prepared, at a level.
struct Prepare<'a>(&'a mut Prepared);

impl Kernel for Prepare<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Prepared { rows, cols, plain, halves, groups } = self.0;
        for row in 0..*rows {
            let x = plain[row * *cols..].as_ptr();
            // SAFETY: a row's values, and its room.
            unsafe {
                round_row(s, x, *cols, halves[row * bf16_values(1, *cols)..].as_mut_ptr());
                quantize_row(s, x, *cols, groups[row..].as_mut_ptr(), *rows);
            }
        }
    }
}

impl Prepared {
    fn new(side: Side, isa: Isa, rows: usize, cols: usize) -> Prepared {
        let mut prepared = Prepared {
            rows,
            cols,
            plain: numbers(side, rows * cols),
            halves: Guarded::unwritten(side, bf16_values(rows, cols)),
            groups: Guarded::unwritten(side, int8_groups(rows, cols)),
        };
        isa.run(Prepare(&mut prepared));
        assert!(prepared.halves.iter().all(|x| x.is_finite()), "all rows are written");
        assert!(prepared.groups.iter().all(|group| group.scale.is_finite()), "all groups are written");
        prepared
    }

    /// The forms that products by a weight of this type take.
    fn forms(&self, dtype: DType) -> Vec<Activation<'_>> {
        let Prepared { rows, cols, .. } = *self;
        let mut forms = vec![Activation::F32(Rows { rows, stride: cols, values: &self.plain })];
        if dtype == DType::BF16 {
            let stride = cols.next_multiple_of(BLOCK);
            forms.push(Activation::Bf16(Rows { rows, stride, values: &self.halves }));
        }
        if Rounding::of(dtype) == Rounding::Int8 {
            forms.push(Activation::Int8(Int8::new(rows, &self.groups)));
        }
        forms
    }
}

fn check(side: Side, isa: Isa, weight: &Weight, x: &Activation<'_>) {
    let (view, features) = (weight.view(), weight.layout.rows);
    let strips = weight.layout.strips();
    let mut scratch = Guarded::<u8>::line(side, scratch_bytes(isa, &view, x));
    let mut out = Guarded::<f32>::unwritten(side, x.rows() * features);
    let output = Output { start: out.as_mut_ptr(), stride: features };
    for strips in [0..strips / 2, strips / 2..strips] {
        // SAFETY: the outputs of all features and rows are there, and nobody else knows them.
        unsafe { product(isa, &view, x, strips, output, &mut scratch) };
    }
    let form = match x {
        Activation::F32(_) => "f32",
        Activation::Bf16(_) => "bf16",
        Activation::Int8(_) => "int8",
    };
    assert_written(&out, &(side, isa, weight.layout, form, x.rows()));
    assert!(scratch.is_intact(), "nothing is written beside the scratch");
}

#[test]
fn products_stay_within_their_operands() {
    for side in SIDES {
        for dtype in DType::weights() {
            for (rows, cols) in SHAPES {
                let Some(layout) = Layout::of(dtype, rows, cols) else { continue };
                let weight = Weight::new(side, layout);
                for isa in Isa::present() {
                    for m in COUNTS {
                        let prepared = Prepared::new(side, isa, m, cols);
                        for x in prepared.forms(dtype) {
                            check(side, isa, &weight, &x);
                        }
                    }
                }
            }
        }
    }
}
