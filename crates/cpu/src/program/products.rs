//! Products within a step: which columns a worker makes, and what is done to them while they are in its cache.

use std::ops::Range;

use graph::Act;
use half::bf16;
use simd::{Isa, LANES};

use super::kernel::Operand;
use super::memory::Memory;
use super::shares::{Taken, least};
use super::{Program, Slot};
use crate::activation::{Activation, Int8, Int8Group, Rows, bf16_values, int8_groups};
use crate::packed::{BLOCK, Layout, View};
use crate::part::Part;
use crate::product::{Output, Rounding, product, scratch_bytes};
use crate::rows::{add_in_place, gated_act_in_place};

/// Strips that a kernel for many rows takes at once.
const BAND: usize = 4;
/// Bytes of results that stay in a core's cache until they are finished.
const SPAN_BYTES: usize = 256 << 10;
/// Strips whose results are finished at once where rows are few.
const SPAN_MAX: usize = 64;

/// Strips whose results for so many rows are finished at once.
pub fn span(rows: usize) -> usize {
    let strips = SPAN_BYTES / (rows.max(1) * LANES * 4);
    (strips / BAND * BAND).clamp(BAND, SPAN_MAX)
}

/// The most bytes of scratch that products by this weight want.
pub fn scratch_of(isa: Isa, layout: Layout, rounding: Rounding, rows: usize) -> usize {
    let stride = layout.cols.next_multiple_of(BLOCK);
    let x = match rounding {
        Rounding::None => Activation::F32(Rows { rows, stride, values: &[] }),
        Rounding::Bf16 => Activation::Bf16(Rows { rows, stride, values: &[] }),
        Rounding::Int8 => Activation::Int8(Int8::new(rows, &[])),
    };
    scratch_bytes(isa, &View { layout, bytes: &[] }, &x)
}

impl Operand {
    /// Rows of the product.
    pub fn rows(&self) -> usize {
        match self {
            Operand::Plain(slot) => slot.len() / slot.width().max(1),
            Operand::Prepared { rows, .. } => *rows,
        }
    }

    /// The rows as products take them.
    ///
    /// # Safety
    /// No worker writes to them before the workers meet.
    pub unsafe fn view<'m>(&self, memory: &'m Memory<'_>) -> Activation<'m> {
        // SAFETY: as the caller says.
        unsafe {
            match *self {
                Operand::Plain(slot) => Activation::F32(Rows {
                    rows: self.rows(),
                    stride: slot.width(),
                    values: memory.elements(&slot),
                }),
                Operand::Prepared { rounding, at, rows, width } => {
                    prepared(memory, rounding, at, rows, width)
                }
            }
        }
    }
}

/// Rows that were prepared for products.
///
/// # Safety
/// They were, as this rounding, and no worker writes to them before the workers meet.
pub unsafe fn prepared<'m>(
    memory: &'m Memory<'_>,
    rounding: Rounding,
    at: usize,
    rows: usize,
    width: usize,
) -> Activation<'m> {
    // SAFETY: as the caller says; a group is plain numbers, and lies on a line as the work space does.
    unsafe {
        match rounding {
            Rounding::None => {
                Activation::F32(Rows { rows, stride: width, values: memory.part(at, rows * width) })
            }
            Rounding::Bf16 => {
                let values = memory.part::<bf16>(at, bf16_values(rows, width));
                Activation::Bf16(Rows { rows, stride: width.next_multiple_of(BLOCK), values })
            }
            Rounding::Int8 => {
                let groups = int8_groups(rows, width);
                let start = memory.work(at, groups * size_of::<Int8Group>());
                Activation::Int8(Int8::new(rows, std::slice::from_raw_parts(start.cast(), groups)))
            }
        }
    }
}

/// What a product's results become before they are left.
pub struct Finish<'a> {
    /// Added to every row.
    pub bias: Option<&'a [f32]>,
    /// Added element by element; rows as wide as the results.
    pub add: Option<&'a [f32]>,
}

impl Finish<'_> {
    /// Finishes columns of all rows.
    ///
    /// # Safety
    /// `rows` rows of results `stride` apart may be read and written at these columns, and by nobody else.
    unsafe fn apply(&self, isa: Isa, out: *mut f32, stride: usize, rows: usize, columns: Range<usize>) {
        if self.bias.is_none() && self.add.is_none() {
            return;
        }
        for row in 0..rows {
            // SAFETY: as the caller says.
            let y = unsafe {
                std::slice::from_raw_parts_mut(out.add(row * stride + columns.start), columns.len())
            };
            if let Some(bias) = self.bias {
                add_in_place(isa, y, &bias[columns.clone()]);
            }
            if let Some(add) = self.add {
                add_in_place(isa, y, &add[row * stride + columns.start..][..columns.len()]);
            }
        }
    }
}

/// Some strips of a product, finished span by span.
///
/// # Safety
/// The results of these strips may be written, by nobody else.
pub unsafe fn finished(
    isa: Isa,
    weight: &View<'_>,
    x: &Activation<'_>,
    strips: Range<usize>,
    out: Output,
    finish: &Finish<'_>,
    scratch: &mut [u8],
) {
    let rows = x.rows();
    for strips in spans(strips, span(rows)) {
        let columns = columns(weight, &strips);
        // SAFETY: as the caller says.
        unsafe {
            product(isa, weight, x, strips, out, scratch);
            finish.apply(isa, out.start, out.stride, rows, columns);
        }
    }
}

/// Gate and up of a gated product with its activation, span by span; `up` goes no further than the scratch.
pub struct Gated<'a> {
    pub gate: View<'a>,
    pub up: View<'a>,
    pub x: [Activation<'a>; 2],
    pub biases: Option<[&'a [f32]; 2]>,
    pub act: Act,
}

impl Gated<'_> {
    /// Some strips of it.
    ///
    /// # Safety
    /// The results of these strips may be written, by nobody else.
    pub unsafe fn run(&self, isa: Isa, strips: Range<usize>, out: Output, scratch: &mut [u8]) {
        let [gate_bias, up_bias] = self.biases.map_or([None; 2], |biases| biases.map(Some));
        let rows = self.x[0].rows();
        let span = span(rows);
        let (temporary, scratch) = scratch.split_at_mut((span * LANES * rows * 4).next_multiple_of(64));
        for strips in spans(strips, span) {
            let columns = columns(&self.gate, &strips);
            let stride = span * LANES;
            // Strips write to the column that is theirs, so the span begins that much earlier.
            let start = temporary.as_mut_ptr().cast::<f32>().wrapping_sub(columns.start);
            let ups = Output { start, stride };
            // SAFETY: the temporary has a span of columns for every row; the rest is as the caller says.
            unsafe {
                product(isa, &self.gate, &self.x[0], strips.clone(), out, scratch);
                product(isa, &self.up, &self.x[1], strips, ups, scratch);
                let no_sum = |bias| Finish { bias, add: None };
                no_sum(gate_bias).apply(isa, out.start, out.stride, rows, columns.clone());
                no_sum(up_bias).apply(isa, start, stride, rows, columns.clone());
                for row in 0..rows {
                    let at =
                        |start: *mut f32, stride: usize| start.wrapping_add(row * stride + columns.start);
                    let gate = std::slice::from_raw_parts_mut(at(out.start, out.stride), columns.len());
                    let up = std::slice::from_raw_parts(at(start, stride), columns.len());
                    gated_act_in_place(isa, self.act, gate, up);
                }
            }
        }
    }
}

fn spans(strips: Range<usize>, span: usize) -> impl Iterator<Item = Range<usize>> {
    let end = strips.end;
    strips.step_by(span).map(move |start| start..(start + span).min(end))
}

fn columns(weight: &View<'_>, strips: &Range<usize>) -> Range<usize> {
    strips.start * LANES..(strips.end * LANES).min(weight.layout.rows)
}

impl Program {
    /// Columns of a product, until none is left.
    ///
    /// # Safety
    /// The workers have met since its rows were written, and nobody else touches its results.
    #[allow(clippy::too_many_arguments, reason = "the values of one node")]
    pub(super) unsafe fn product(
        &self,
        memory: &Memory<'_>,
        part: Part,
        taken: &Taken,
        x: &Operand,
        w: usize,
        bias: Option<&Slot>,
        add: Option<&Slot>,
        out: &Slot,
    ) {
        let weight = memory.weight(w).matrix().view();
        // SAFETY: as the caller says; results are written by strips, which workers share out.
        unsafe {
            let output = Output { start: memory.start(out), stride: out.width() };
            let finish = Finish {
                bias: bias.map(|bias| memory.elements(bias)),
                add: add.map(|add| memory.elements(add)),
            };
            let x = x.view(memory);
            let least = least(weight.layout.strip_bytes(), x.rows());
            taken.deal(part, weight.layout.strips(), least, |strips| {
                finished(self.ways.isa, &weight, &x, strips, output, &finish, self.own(memory, part));
            });
        }
    }

    /// Columns of a gated product, until none is left.
    ///
    /// # Safety
    /// As for [`Program::product`].
    #[allow(clippy::too_many_arguments, reason = "the values of one node")]
    pub(super) unsafe fn gated(
        &self,
        memory: &Memory<'_>,
        part: Part,
        taken: &Taken,
        x: &[Operand; 2],
        [gate, up]: [usize; 2],
        biases: Option<&[Slot; 2]>,
        act: Act,
        out: &Slot,
    ) {
        // SAFETY: as the caller says; results are written by strips, which workers share out.
        unsafe {
            let [gate, up] = [gate, up].map(|w| memory.weight(w).matrix().view());
            let gated = Gated {
                gate,
                up,
                x: [x[0].view(memory), x[1].view(memory)],
                biases: biases.map(|[a, b]| [memory.elements(a), memory.elements(b)]),
                act,
            };
            let output = Output { start: memory.start(out), stride: out.width() };
            let least = least(gate.layout.strip_bytes() + up.layout.strip_bytes(), gated.x[0].rows());
            taken.deal(part, gate.layout.strips(), least, |strips| {
                gated.run(self.ways.isa, strips, output, self.own(memory, part));
            });
        }
    }
}
