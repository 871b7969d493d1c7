//! Products of int8 activations and block formats.

mod expand;
pub mod format;
#[allow(non_camel_case_types, reason = "the names are the formats' own")]
pub mod formats;
mod many;
mod on_vectors;
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

use self::format::Format;
use self::many::Many;
use self::on_vectors::OnVectors;
use self::task::Task;
#[cfg(target_arch = "x86_64")]
use self::tiles::Hardware;
use super::Output;
use crate::activation::Int8;
use crate::packed::{GROUP, View};

/// Rows from which on tiles are faster than vectors.
const TILES: usize = 13;

/// Bytes of scratch that [`product`] wants for so many rows of so many columns, or fewer rows.
pub fn scratch_bytes(isa: Isa, rows: usize, cols: usize) -> usize {
    let vectors = on_vectors::scratch_bytes(rows, cols.div_ceil(GROUP));
    match isa {
        Isa::Amx if rows >= TILES => vectors.max(many::scratch_bytes(rows)),
        _ => vectors,
    }
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
    if task.x.rows > 0 && !task.strips.is_empty() {
        with_format(weight.layout.dtype, Best { isa, task, scratch });
    }
}

/// Something to do with a format.
trait Use {
    fn with<F: Format>(self);
}

fn with_format(dtype: DType, what: impl Use) {
    match dtype {
        DType::Q4_0 => what.with::<formats::Q4_0>(),
        DType::Q4_1 => what.with::<formats::Q4_1>(),
        DType::Q5_0 => what.with::<formats::Q5_0>(),
        DType::Q5_1 => what.with::<formats::Q5_1>(),
        DType::Q8_0 => what.with::<formats::Q8_0>(),
        DType::Q2_K => what.with::<formats::Q2_K>(),
        DType::Q3_K => what.with::<formats::Q3_K>(),
        DType::Q4_K => what.with::<formats::Q4_K>(),
        DType::Q5_K => what.with::<formats::Q5_K>(),
        DType::Q6_K => what.with::<formats::Q6_K>(),
        DType::IQ4_NL => what.with::<formats::IQ4_NL>(),
        DType::IQ4_XS => what.with::<formats::IQ4_XS>(),
        DType::MXFP4 => what.with::<formats::MXFP4>(),
        other => panic!("{other} has no blocks"),
    }
}

/// The kernel that is best for so many rows.
struct Best<'a> {
    isa: Isa,
    task: Task<'a>,
    scratch: &'a mut [u8],
}

impl Use for Best<'_> {
    fn with<F: Format>(self) {
        let Best { isa, task, scratch } = self;
        let format = PhantomData::<F>;
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx if task.x.rows >= TILES => isa.run(Many { task, tiles: Hardware, scratch, format }),
            _ => isa.run(OnVectors { task, scratch, format }),
        }
    }
}
