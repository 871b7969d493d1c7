//! Products of int8 activations and block formats.

mod expand;
mod few;
pub mod format;
#[allow(non_camel_case_types, reason = "the names are the formats' own")]
pub mod formats;
mod many;
#[cfg(test)]
mod oracle;
mod task;
#[cfg(test)]
pub mod tests;
mod tiles;

use std::marker::PhantomData;
use std::ops::Range;

use simd::Isa;
use tensor::DType;

use self::few::Few;
use self::format::Format;
use self::many::Many;
use self::task::Task;
#[cfg(target_arch = "x86_64")]
use self::tiles::Hardware;
use super::Output;
use crate::activation::Int8;
use crate::packed::View;

/// Bytes of scratch that [`product`] wants.
pub fn scratch_bytes(isa: Isa, _: DType, rows: usize) -> usize {
    if isa == Isa::Amx { many::scratch_bytes(rows) } else { 0 }
}

/// # Safety
/// As [`super::product`].
pub unsafe fn product(
    isa: Isa,
    weight: &View<'_>,
    x: &Int8<'_>,
    strips: Range<usize>,
    out: Output,
    scratch: &mut [u8],
) {
    let task = Task { weight: *weight, x: *x, strips, out };
    task.check();
    if task.x.rows == 0 || task.strips.is_empty() {
        return;
    }
    match weight.layout.dtype {
        DType::Q4_0 => run::<formats::Q4_0>(isa, task, scratch),
        DType::Q4_1 => run::<formats::Q4_1>(isa, task, scratch),
        DType::Q5_0 => run::<formats::Q5_0>(isa, task, scratch),
        DType::Q5_1 => run::<formats::Q5_1>(isa, task, scratch),
        DType::Q8_0 => run::<formats::Q8_0>(isa, task, scratch),
        DType::Q2_K => run::<formats::Q2_K>(isa, task, scratch),
        DType::Q3_K => run::<formats::Q3_K>(isa, task, scratch),
        DType::Q4_K => run::<formats::Q4_K>(isa, task, scratch),
        DType::Q5_K => run::<formats::Q5_K>(isa, task, scratch),
        DType::Q6_K => run::<formats::Q6_K>(isa, task, scratch),
        DType::IQ4_NL => run::<formats::IQ4_NL>(isa, task, scratch),
        DType::IQ4_XS => run::<formats::IQ4_XS>(isa, task, scratch),
        DType::MXFP4 => run::<formats::MXFP4>(isa, task, scratch),
        other => panic!("{other} has no blocks"),
    }
}

/// Chooses the kernel.
fn run<F: Format>(isa: Isa, task: Task<'_>, scratch: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Amx && task.x.rows > 8 {
        return isa.run(Many::<F, Hardware> { task, tiles: Hardware, scratch, format: PhantomData });
    }
    let mut row = 0;
    while row < task.x.rows {
        let rows = (task.x.rows - row).min(8);
        let task = task.rows(row..row + rows);
        match rows {
            1 => isa.run(Few::<F, 1> { task, format: PhantomData }),
            2 => isa.run(Few::<F, 2> { task, format: PhantomData }),
            3..=4 => isa.run(Few::<F, 4> { task, format: PhantomData }),
            _ => isa.run(Few::<F, 8> { task, format: PhantomData }),
        }
        row += rows;
    }
}
