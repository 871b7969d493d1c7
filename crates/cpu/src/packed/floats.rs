//! Float formats: column by column, or for halves of a word in pairs of columns.

use simd::LANES;

use super::words::{self, Rows};

/// Packs sixteen rows into a strip.
pub fn pack_strip(rows: &Rows, strip: &mut [u8]) {
    let whole = rows[0].len() / 64 * 64;
    let (lines, rest) = strip.as_chunks_mut().0.as_chunks_mut().0.split_at_mut(whole / 4);
    words::interleave::<16>(rows, 0, lines);
    rest.fill([[0; 4]; LANES]);
    for (lane, row) in rows.iter().enumerate() {
        for (word, line) in row[whole..].chunks(4).zip(&mut *rest) {
            line[lane][..word.len()].copy_from_slice(word);
        }
    }
}

/// The source bytes of a row, from its lane of a strip.
pub fn unpack_row(strip: &[u8], lane: usize, out: &mut [u8]) {
    for (word, from) in out.chunks_mut(4).zip(strip.as_chunks::<{ 4 * LANES }>().0) {
        word.copy_from_slice(&from[4 * lane..][..word.len()]);
    }
}
