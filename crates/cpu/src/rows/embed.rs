//! Rows of a table by token.

use tensor::{DType, blocks};

/// A table whose rows can be had as they were before it was packed.
pub trait Table {
    /// Type of the rows.
    fn dtype(&self) -> DType;
    /// How many there are.
    fn rows(&self) -> usize;
    /// The bytes of one.
    fn unpack_row(&self, row: usize, bytes: &mut [u8]);
}

/// The rows of these tokens as f32; `bytes` is room for one packed row.
///
/// # Panics
/// Where a token is none of the table: inputs are checked before a step is launched. Where the lengths do not belong
/// together.
pub fn embed(table: &impl Table, tokens: &[i32], bytes: &mut [u8], out: &mut [f32]) {
    let Some(width) = out.len().checked_div(tokens.len()) else { return };
    assert_eq!(out.len(), tokens.len() * width, "a row per token");
    for (&token, out) in tokens.iter().zip(out.chunks_exact_mut(width)) {
        let row = usize::try_from(token).ok().filter(|&row| row < table.rows());
        let row = row.unwrap_or_else(|| panic!("token {token} is none of {}", table.rows()));
        table.unpack_row(row, bytes);
        blocks::decode(table.dtype(), bytes, out);
    }
}
