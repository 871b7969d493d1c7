//! Block formats: codes into planes of words, words of sixteen rows into vectors, and back.

use simd::LANES;

use super::fields::{BLOCK, Bits, Fields, GROUP, plane};
use super::layout::Layout;
use super::words::{self, Rows};

/// A group of one row in its source, and its record in a strip.
struct Group {
    source: usize,
    record: usize,
    sources: usize,
    blocks: usize,
}

impl Group {
    /// Where a field is that begins at byte `at` of each source block.
    fn places(&self, at: usize, block_bytes: usize) -> impl Iterator<Item = usize> + use<> {
        (self.source + at..).step_by(block_bytes).take(self.sources)
    }
}

/// The groups of a strip, one after the other.
fn groups(layout: &Layout, fields: &Fields) -> impl Iterator<Item = Group> {
    let (cols, len, bytes) = (layout.cols, layout.dtype.block_len(), layout.dtype.block_bytes());
    let record_bytes = fields.record_bytes(GROUP / len, GROUP / BLOCK);
    (0..cols.div_ceil(GROUP)).map(move |group| {
        let values = GROUP.min(cols - group * GROUP);
        Group {
            source: group * GROUP / len * bytes,
            record: group * record_bytes,
            sources: values / len,
            blocks: values / BLOCK,
        }
    })
}

/// Packs sixteen rows into a strip.
pub fn pack_strip(layout: &Layout, fields: &Fields, rows: &Rows, strip: &mut [u8]) {
    let (len, bytes, vectors) = (layout.dtype.block_len(), layout.dtype.block_bytes(), fields.vectors());
    for group in groups(layout, fields) {
        let (others, codes) = strip[group.record..].split_at_mut(fields.field_bytes(group.sources));
        let codes = &mut codes[..64 * vectors * group.blocks];
        let places = (group.source..).step_by(bytes);
        let lines = codes.as_chunks_mut().0.as_chunks_mut().0;
        for (lines, at) in lines.chunks_exact_mut(vectors * len / BLOCK).zip(places) {
            let mut low = 0;
            for bits in fields.codes {
                words::pack(*bits, rows, at, lines, vectors, low);
                low += bits.width;
            }
        }
        let (floats, others) = others.split_at_mut(2 * LANES * fields.floats.len() * group.sources);
        words::transpose::<2>(rows, fields.floats.iter().flat_map(|at| group.places(*at, bytes)), floats);
        let (first, count) = fields.bytes;
        let places = (first..first + count).flat_map(|at| group.places(at, bytes));
        words::transpose::<1>(rows, places, others);
    }
}

/// The source bytes of a row, from its lane of a strip.
pub fn unpack_row(layout: &Layout, fields: &Fields, strip: &[u8], lane: usize, out: &mut [u8]) {
    let (len, bytes) = (layout.dtype.block_len(), layout.dtype.block_bytes());
    for group in groups(layout, fields) {
        let record = &strip[group.record..];
        let source = &mut out[group.source..][..group.sources * bytes];
        source.fill(0);
        let mut codes = [0; GROUP];
        for (block, codes) in codes.as_chunks_mut::<BLOCK>().0.iter_mut().take(group.blocks).enumerate() {
            let mut planes = [0; BLOCK];
            for (v, word) in planes.as_chunks_mut::<4>().0.iter_mut().take(fields.vectors()).enumerate() {
                let at = fields.field_bytes(group.sources) + word_at(fields, block, v, lane);
                word.copy_from_slice(&record[at..][..4]);
            }
            read_planes(fields.codes, &planes, codes);
        }
        for (block, codes) in source.chunks_exact_mut(bytes).zip(codes.chunks_exact(len)) {
            write_codes(fields.codes, codes, block);
        }
        for (to, from, count) in scales(fields, &group, bytes, lane) {
            source[to..][..count].copy_from_slice(&record[from..][..count]);
        }
    }
}

/// Where word `v` of a block is among the codes of a record.
fn word_at(fields: &Fields, block: usize, v: usize, lane: usize) -> usize {
    ((block * fields.vectors() + v) * LANES + lane) * 4
}

/// The fields beside the codes: place in the source, place in the record, bytes.
fn scales(
    fields: &Fields,
    group: &Group,
    block_bytes: usize,
    lane: usize,
) -> impl Iterator<Item = (usize, usize, usize)> {
    let sources = group.sources;
    let bytes_at = 2 * LANES * fields.floats.len() * sources;
    let floats = fields.floats.iter().enumerate().flat_map(move |(i, at)| {
        (0..sources).map(move |s| (s * block_bytes + at, 2 * ((i * sources + s) * LANES + lane), 2))
    });
    let (first, count) = fields.bytes;
    let bytes = (0..count).flat_map(move |i| {
        (0..sources)
            .map(move |s| (s * block_bytes + first + i, bytes_at + (i * sources + s) * LANES + lane, 1))
    });
    floats.chain(bytes)
}

/// Codes into the bytes of a source block, which are zero there.
fn write_codes(all: &[Bits], codes: &[u8], block: &mut [u8]) {
    let mut low = 0;
    for bits in all {
        write(*bits, low, codes, &mut block[bits.at..]);
        low += bits.width;
    }
}

/// The codes of a block from its planes.
fn read_planes(all: &[Bits], planes: &[u8; BLOCK], codes: &mut [u8; BLOCK]) {
    let mut low = 0;
    for bits in all {
        read(plane(bits.width), low, &planes[4 * low..], codes);
        low += bits.width;
    }
}

/// Adds bits to codes, from bit `low` on.
fn read(bits: Bits, low: usize, bytes: &[u8], codes: &mut [u8]) {
    let span = bits.run * 8 / bits.width;
    for (codes, bytes) in codes.chunks_exact_mut(span).zip(bytes.chunks_exact(bits.run)) {
        for (i, codes) in codes.chunks_exact_mut(bits.run).enumerate() {
            for (code, byte) in codes.iter_mut().zip(bytes) {
                *code |= (byte >> (bits.width * i) & (0xff >> (8 - bits.width))) << low;
            }
        }
    }
}

/// Adds bits of codes, from bit `low` on, to bytes.
fn write(bits: Bits, low: usize, codes: &[u8], bytes: &mut [u8]) {
    let span = bits.run * 8 / bits.width;
    for (codes, bytes) in codes.chunks_exact(span).zip(bytes.chunks_exact_mut(bits.run)) {
        for (i, codes) in codes.chunks_exact(bits.run).enumerate() {
            for (code, byte) in codes.iter().zip(bytes.iter_mut()) {
                *byte |= (code >> low & (0xff >> (8 - bits.width))) << (bits.width * i);
            }
        }
    }
}
