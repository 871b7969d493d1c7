//! Words of sixteen rows beside each other, which is what a strip is made of. A word holds four neighbouring codes, a
//! byte or less of each, so that shifts and masks move four at a time, and a line moves those of all rows.

use simd::LANES;

use super::fields::{BLOCK, Bits, GROUP, plane};

/// Sixteen source rows of one length.
pub type Rows<'a> = [&'a [u8]; LANES];

/// The same word of sixteen rows.
pub type Line = [[u8; 4]; LANES];

/// Words of a block, where a code takes a byte.
const WORDS: usize = BLOCK / 4;

/// The lowest bits of each byte of a word.
const fn mask(width: usize) -> u32 {
    (0xff >> (8 - width)) * 0x0101_0101
}

/// Lays out the `N` bytes of each row that are at each of these places.
#[inline(always)]
pub fn transpose<const N: usize>(rows: &Rows, places: impl Iterator<Item = usize>, out: &mut [u8]) {
    for (out, at) in out.as_chunks_mut::<N>().0.as_chunks_mut::<LANES>().0.iter_mut().zip(places) {
        for (out, row) in out.iter_mut().zip(rows) {
            out.copy_from_slice(&row[at..at + N]);
        }
    }
}

/// Fills lines with the words of each row from byte `at` on, taking `N` lines at a time.
#[inline(always)]
pub fn interleave<const N: usize>(rows: &Rows, at: usize, lines: &mut [Line]) {
    for (lines, at) in lines.as_chunks_mut::<N>().0.iter_mut().zip((at..).step_by(4 * N)) {
        // Four rows at a time write whole quarters of lines.
        for (quarter, rows) in rows.as_chunks::<4>().0.iter().enumerate() {
            let rows = rows.map(|row| &row[at..at + 4 * N].as_chunks::<4>().0.as_chunks::<N>().0[0]);
            for (i, line) in lines.iter_mut().enumerate() {
                line.as_chunks_mut::<4>().0[quarter] = rows.map(|words| words[i]);
            }
        }
    }
}

/// The planes of some bits of the codes of one source block, which lies at byte `at` of its rows. Of every `stride`
/// lines, which are a block's, those from `low` on are its planes.
#[inline(always)]
pub fn pack(bits: Bits, rows: &Rows, at: usize, lines: &mut [Line], stride: usize, low: usize) {
    let planes = lines.chunks_exact_mut(stride).map(|lines| &mut lines[low..low + bits.width]);
    let at = at + bits.at;
    match (bits.width, bits.run) {
        (8, 32) => keep::<8>(rows, at, planes),
        (4, 16) => keep::<4>(rows, at, planes),
        (1, 1) => spread(rows, at, planes),
        (1, 32) => regroup::<1, 32>(rows, at, planes),
        (2, 32) => regroup::<2, 32>(rows, at, planes),
        (4, 32) => regroup::<4, 32>(rows, at, planes),
        (4, 64) => regroup::<4, 64>(rows, at, planes),
        _ => unreachable!("no format has {} bits in runs of {}", bits.width, bits.run),
    }
}

/// Planes of `N` words that the source has just so.
#[inline(always)]
fn keep<'a, const N: usize>(rows: &Rows, at: usize, planes: impl Iterator<Item = &'a mut [Line]>) {
    for (planes, at) in planes.zip((at..).step_by(4 * N)) {
        interleave::<N>(rows, at, planes);
    }
}

/// Planes of single bits from a source that has the bits of neighbouring codes beside each other.
#[inline(always)]
fn spread<'a>(rows: &Rows, at: usize, planes: impl Iterator<Item = &'a mut [Line]>) {
    for (planes, at) in planes.zip((at..).step_by(4)) {
        interleave::<1>(rows, at, planes);
        for word in planes.as_flattened_mut() {
            let bits = u32::from_le_bytes(*word);
            // Four copies of four bits, seven apart, put each where another byte begins.
            let four = |i: usize| (((bits >> (4 * i)) & 15) * 0x0020_4081) & mask(1);
            *word = (0..WORDS).fold(0, |plane, i| plane | four(i) << i).to_le_bytes();
        }
    }
}

/// Planes of a whole group from a source that has it in runs of `RUN` bytes: each word of a plane gathers its codes
/// from where the runs have them.
#[inline(always)]
fn regroup<'a, const WIDTH: usize, const RUN: usize>(
    rows: &Rows,
    at: usize,
    planes: impl Iterator<Item = &'a mut [Line]>,
) {
    let mut source = [[[0; 4]; LANES]; GROUP / 8];
    interleave::<WORDS>(rows, at, &mut source[..WORDS * WIDTH]);
    let (codes, from, to) = (8 / WIDTH, RUN / 4, plane(WIDTH).run / 4);
    for (block, planes) in planes.enumerate() {
        for (i, plane) in planes.iter_mut().enumerate() {
            let first = block * WORDS + i / to * to * codes + i % to;
            let mut words = [0; LANES];
            for code in 0..codes {
                let at = first + code * to;
                let line = &source[at / (from * codes) * from + at % from];
                let shift = WIDTH * (at / from % codes);
                for (word, bytes) in words.iter_mut().zip(line) {
                    *word |= (u32::from_le_bytes(*bytes) >> shift & mask(WIDTH)) << (WIDTH * code);
                }
            }
            *plane = words.map(u32::to_le_bytes);
        }
    }
}
