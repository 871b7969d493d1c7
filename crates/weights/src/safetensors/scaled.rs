//! Matrices stored as 8-bit floats, whose scales lie in a tensor of their own: put together as they are read.
//!
//! Beside `NAME`, stored as F8_E4M3, there is `NAME_scale` or `NAME_scale_inv`, which despite its name is multiplied too.
//! It has one scale for the matrix, one for each row, one for each 128 columns of a row, or one for each square of 128 rows
//! and columns. Each of these is a weight of type [`DType::F8_E4M3`] with the same values to the bit, or of f32 where its rows
//! are no whole blocks of that.

use std::ops::Range;

use tensor::blocks::{e4m3, e4m3_is_nan};
use tensor::{DType, Shape, SourceError, WeightInfo, blocks};

use crate::stored::{Entry, Kind, RowRange, Table};

/// What files call the type of the codes.
const STORED_AS: &str = "F8_E4M3";

/// What is put behind a weight's name to name its scales.
const ENDINGS: [&str; 2] = ["_scale", "_scale_inv"];

/// Values of a block, and rows of a square of them.
const LEN: usize = DType::F8_E4M3.block_len();
const BYTES: usize = DType::F8_E4M3.block_bytes();

/// Bytes of codes read at a time, unless a single row is longer.
const STEP_BYTES: usize = 1 << 20;

/// The shape of a tensor of codes; `None` where it is no such tensor.
pub(super) fn shape(entry: &Entry) -> Option<Shape> {
    matches!(&entry.kind, Kind::Other(stored_as) if &**stored_as == STORED_AS).then_some(entry.shape)
}

/// What a tensor of codes is together with its scales; `None` where there are none.
pub(super) fn find(table: &Table, name: &str) -> Option<WeightInfo> {
    let shape = shape(table.entry(name)?)?;
    let is_scaled = ENDINGS.iter().any(|ending| table.entry(&format!("{name}{ending}")).is_some());
    is_scaled.then(|| info(shape))
}

fn info(shape: Shape) -> WeightInfo {
    let dtype = if shape.row_len().is_multiple_of(LEN) { DType::F8_E4M3 } else { DType::F32 };
    WeightInfo { dtype, shape }
}

/// Reads rows of codes and puts their scales to them.
pub(super) fn read_rows(
    table: &Table,
    name: &str,
    shape: Shape,
    first: usize,
    out: &mut [u8],
) -> Result<(), SourceError> {
    let (scales, grid) = scales_of(table, name, &shape)?;
    let info = info(shape);
    let rows = RowRange::of(name, &info, first, out.len())?;
    let width = info.shape.row_len();
    if rows.count == 0 || width == 0 {
        return Ok(());
    }
    let step = (STEP_BYTES / width).max(1).min(rows.count);
    let mut codes = vec![];
    codes.try_reserve_exact(step * width).map_err(|_| SourceError::TooLarge { name: name.to_owned() })?;
    codes.resize(step * width, 0);
    for (out, first) in out.chunks_mut(step * rows.row_bytes).zip((first..).step_by(step)) {
        let count = out.len() / rows.row_bytes;
        let codes = &mut codes[..count * width];
        table.read_at(name, first * width, codes)?;
        check(name, codes, first * width)?;
        let factors = Factors::read(table, &scales, grid, first..first + count)?;
        for (row, (out, codes)) in
            out.chunks_exact_mut(rows.row_bytes).zip(codes.chunks_exact(width)).enumerate()
        {
            join(info.dtype, codes, |block| factors.of(first + row, block), out);
        }
    }
    Ok(())
}

/// One row, block by block.
fn join(dtype: DType, codes: &[u8], scale: impl Fn(usize) -> f32, out: &mut [u8]) {
    if dtype == DType::F8_E4M3 {
        for (block, (out, codes)) in out.chunks_exact_mut(BYTES).zip(codes.chunks_exact(LEN)).enumerate() {
            out[..4].copy_from_slice(&scale(block).to_le_bytes());
            out[4..].copy_from_slice(codes);
        }
        return;
    }
    for (at, (out, &code)) in out.as_chunks_mut::<4>().0.iter_mut().zip(codes).enumerate() {
        *out = (scale(at / LEN) * e4m3(code)).to_le_bytes();
    }
}

/// Refuses codes that are no numbers: products of nothing that a model is made of.
fn check(name: &str, codes: &[u8], first: usize) -> Result<(), SourceError> {
    // A sum over all, which is done many at a time.
    if codes.iter().fold(false, |found, &code| found | e4m3_is_nan(code)) {
        let at = codes.iter().position(|&code| e4m3_is_nan(code)).unwrap_or(0);
        let reason = format!(
            "value {} is not a number; the file is damaged, fetch it again",
            first.saturating_add(at)
        );
        return Err(SourceError::Convert { name: name.to_owned(), reason });
    }
    Ok(())
}

/// Where the scales of a matrix lie among those of their tensor.
#[derive(Clone, Copy)]
struct Grid {
    /// Rows of the matrix under one row of scales.
    rows: usize,
    /// Scales in a row of them: one, or one for each block of a row of the matrix.
    columns: usize,
}

impl Grid {
    /// The grid of scales of one shape over a weight of another; `None` where nothing is known of such scales.
    fn of(weight: &Shape, scales: &Shape) -> Option<Grid> {
        let (all, blocks) = (weight.rows()?, weight.row_len().div_ceil(LEN));
        let (rows, columns) = match **scales {
            [] => (1, 1),
            [rows] => (rows, 1),
            [rows, columns] | [rows, 1, columns, 1] => (rows, columns),
            _ => return None,
        };
        if (rows, columns) == (1, 1) {
            return Some(Grid { rows: all.max(1), columns });
        }
        let is_matrix = weight.len() == 2;
        let per_row = rows == all && (columns == 1 || columns == blocks);
        let squares = rows == all.div_ceil(LEN) && columns == blocks;
        (is_matrix && (per_row || squares)).then_some(Grid { rows: if per_row { 1 } else { LEN }, columns })
    }
}

/// The name of the scales of a weight, and how they lie.
fn scales_of(table: &Table, name: &str, weight: &Shape) -> Result<(String, Grid), SourceError> {
    let fault = |reason: String| SourceError::Convert { name: name.to_owned(), reason };
    let named = ENDINGS.map(|ending| format!("{name}{ending}"));
    let mut found = named.iter().filter(|scales| table.entry(scales).is_some());
    let (scales, None) = (found.next(), found.next()) else {
        return Err(fault(format!("both `{}` and `{}` are there; keep the right one", named[0], named[1])));
    };
    let Some(scales) = scales else {
        return Err(fault(format!(
            "it is stored as {STORED_AS}, and neither `{}` nor `{}` says by what it is scaled; convert it to bf16",
            named[0], named[1]
        )));
    };
    let Some(WeightInfo { dtype, shape }) = table.find(scales).filter(|scales| scales.dtype.is_float())
    else {
        return Err(fault(format!("its scales `{scales}` are no f32, bf16 or f16; convert it to bf16")));
    };
    let grid = Grid::of(weight, &shape).ok_or_else(|| {
        fault(format!(
            "its scales `{scales}` are {dtype}{shape}, which is not one for all, for each row, or for each 128 columns \
             or squares of 128 of {weight}; convert it to bf16"
        ))
    })?;
    Ok((scales.clone(), grid))
}

/// The scales of some rows.
struct Factors {
    grid: Grid,
    /// The first row of scales that is here.
    first: usize,
    values: Vec<f32>,
}

impl Factors {
    fn read(table: &Table, scales: &str, grid: Grid, rows: Range<usize>) -> Result<Factors, SourceError> {
        let too_large = || SourceError::TooLarge { name: scales.to_owned() };
        let dtype = table.find(scales).map(|info| info.dtype).ok_or_else(too_large)?;
        let first = rows.start / grid.rows;
        let count = ((rows.end - 1) / grid.rows + 1 - first) * grid.columns;
        let mut bytes = vec![0; dtype.bytes_of(count).ok_or_else(too_large)?];
        let offset = dtype.bytes_of(first * grid.columns).ok_or_else(too_large)?;
        table.read_at(scales, offset, &mut bytes)?;
        let mut values = vec![0.0; count];
        blocks::decode(dtype, &bytes, &mut values);
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            let reason = format!("a scale is {value}; the file is damaged, fetch it again");
            return Err(SourceError::Convert { name: scales.to_owned(), reason });
        }
        Ok(Factors { grid, first, values })
    }

    /// The scale of a block of a row.
    fn of(&self, row: usize, block: usize) -> f32 {
        let block = if self.grid.columns == 1 { 0 } else { block };
        self.values[(row / self.grid.rows - self.first) * self.grid.columns + block]
    }
}
