//! Weights in the order in which tensor cores are handed them: tiles of 16 rows and 64 columns, in planes. What is where
//! is said in `kernels/cuda/tiles.cuh`, which reads them.

use tensor::blocks::{MXFP4, Q4_0, Q4_K, Q5_K, Q6_K, unpack_scales};
use tensor::{DType, WeightInfo};

/// Rows of a tile.
pub(crate) const TILE_ROWS: usize = 16;
/// Columns of a tile.
pub(crate) const TILE_COLUMNS: usize = 64;
/// Tiles that share the scales of blocks of 256.
const SUPER: usize = 4;

/// Bytes of a tile in each plane; of the last, of four tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planes {
    codes: usize,
    highs: usize,
    scales: usize,
    supers: usize,
}

/// The planes of a type that has a packed form.
pub(crate) fn planes(dtype: DType) -> Option<Planes> {
    let planes = |codes, highs, scales, supers| Some(Planes { codes, highs, scales, supers });
    match dtype {
        DType::BF16 => planes(2048, 0, 0, 0),
        DType::Q8_0 => planes(1024, 0, 64, 0),
        DType::Q4_0 => planes(512, 0, 64, 0),
        DType::MXFP4 => planes(512, 0, 32, 0),
        DType::Q4_K => planes(512, 0, 64, 64),
        DType::Q5_K => planes(512, 128, 64, 64),
        DType::Q6_K => planes(512, 256, 64, 32),
        _ => None,
    }
}

impl Planes {
    /// Bytes of so many tiles.
    pub fn bytes(&self, tiles: usize) -> Option<usize> {
        let each = self.codes + self.highs + self.scales;
        tiles.checked_mul(each)?.checked_add(tiles.div_ceil(SUPER).checked_mul(self.supers)?)
    }
}

/// Tiles of a matrix, rows and columns; none where its rows are no whole tiles wide. Rows that are missing count.
pub(crate) fn tiles(info: &WeightInfo) -> Option<[usize; 2]> {
    let width = info.shape.row_len();
    let rows = info.shape.rows()?;
    // Experts one behind another are whole tiles each.
    let own = info.shape.get(info.shape.len().checked_sub(2)?)?;
    let whole = width.is_multiple_of(TILE_COLUMNS) && width > 0;
    let several = info.shape.len() > 2;
    (whole && (!several || own.is_multiple_of(TILE_ROWS)))
        .then(|| [rows.div_ceil(TILE_ROWS), width / TILE_COLUMNS])
}

/// A run of bytes of a packed weight.
pub(crate) struct Run {
    /// Where it goes.
    pub at: usize,
    /// What goes there.
    pub bytes: Vec<u8>,
}

/// Packs rows of a weight, as they were found, from a row on that begins a tile: one run a plane.
pub(crate) fn pack(dtype: DType, tiles: [usize; 2], first_row: usize, found: &[u8]) -> Vec<Run> {
    let sizes = planes(dtype).expect("only what has a packed form is packed");
    let Planes { codes, highs, scales, supers } = sizes;
    let [row_tiles, k_tiles] = tiles;
    let row_bytes =
        dtype.bytes_of(k_tiles * TILE_COLUMNS).expect("rows are whole tiles, and so whole blocks");
    let (all, first) = (row_tiles * k_tiles, first_row / TILE_ROWS * k_tiles);
    let strips = found.len().div_ceil(row_bytes * TILE_ROWS);
    // Where a plane begins, and the bytes that a row of tiles has there.
    let places = [
        (0, codes * k_tiles),
        (all * codes, highs * k_tiles),
        (all * (codes + highs), scales * k_tiles),
        (all * (codes + highs + scales), supers * k_tiles / SUPER),
    ];
    let before = first / k_tiles.max(1);
    let mut runs =
        places.map(|(start, each)| Run { at: start + before * each, bytes: vec![0; strips * each] });
    let mut rows = Rows::default();
    for (strip, found) in found.chunks(row_bytes * TILE_ROWS).enumerate() {
        let planes = runs.each_mut().map(|run| {
            let each = run.bytes.len() / strips;
            &mut run.bytes[strip * each..][..each]
        });
        rows.take_apart(dtype, found, row_bytes, k_tiles * TILE_COLUMNS);
        rows.put(dtype, sizes, planes);
    }
    runs.into_iter().filter(|run| !run.bytes.is_empty()).collect()
}

/// The rows of a row of tiles taken apart, one behind another.
#[derive(Default)]
struct Rows {
    /// What is put into lanes' registers: two bytes of a bf16, a signed byte, or the number that is scaled. Rows that are missing
    /// are zeros.
    codes: Vec<u8>,
    /// For each tile the bytes of a row's scales.
    scales: Vec<u8>,
    /// For each four tiles the bytes of theirs.
    supers: Vec<u8>,
    /// How many there are.
    count: usize,
}

impl Rows {
    fn take_apart(&mut self, dtype: DType, found: &[u8], row_bytes: usize, width: usize) {
        self.codes.clear();
        self.scales.clear();
        self.supers.clear();
        self.count = found.len() / row_bytes;
        // Rows are whole blocks, and so are all of them together.
        match dtype {
            DType::BF16 => self.codes.extend_from_slice(found),
            DType::Q8_0 => found.as_chunks().0.iter().for_each(|block: &[u8; 34]| {
                self.scales.extend_from_slice(&block[..2]);
                self.codes.extend_from_slice(&block[2..]);
            }),
            DType::Q4_0 => found.as_chunks().0.iter().for_each(|block: &[u8; 18]| {
                self.scales.extend_from_slice(&block[..2]);
                halves(&mut self.codes, Q4_0::of(block).codes);
            }),
            DType::MXFP4 => found.as_chunks().0.iter().for_each(|block: &[u8; 17]| {
                self.scales.push(block[0]);
                halves(&mut self.codes, MXFP4::of(block).codes);
            }),
            DType::Q4_K => found.as_chunks().0.iter().for_each(|block: &[u8; 144]| self.q4_k(block)),
            DType::Q5_K => found.as_chunks().0.iter().for_each(|block: &[u8; 176]| self.q5_k(block)),
            DType::Q6_K => found.as_chunks().0.iter().for_each(|block: &[u8; 210]| self.q6_k(block)),
            _ => unreachable!("only what has a packed form is packed"),
        }
        let each = if dtype == DType::BF16 { 2 } else { 1 };
        self.codes.resize(TILE_ROWS * width * each, 0);
    }

    fn q4_k(&mut self, block: &[u8; 144]) {
        let Q4_K { scales, codes, .. } = Q4_K::of(block);
        for codes in codes.as_chunks::<32>().0 {
            self.codes.extend(codes.map(|byte| byte & 15));
            self.codes.extend(codes.map(|byte| byte >> 4));
        }
        self.scales_and_mins(scales, &block[..4]);
    }

    fn q5_k(&mut self, block: &[u8; 176]) {
        let Q5_K { scales, codes, high_bits, .. } = Q5_K::of(block);
        for g in 0..8 {
            let code = |i: usize| {
                let low = codes[g / 2 * 32 + i] >> (g % 2 * 4) & 15;
                low | (high_bits[i] >> g & 1) << 4
            };
            self.codes.extend(std::array::from_fn::<u8, 32, _>(code));
        }
        self.scales_and_mins(scales, &block[..4]);
    }

    fn scales_and_mins(&mut self, packed: &[u8; 12], supers: &[u8]) {
        let (scales, mins) = unpack_scales(packed);
        for pair in [0, 2, 4, 6] {
            self.scales.extend([scales[pair], mins[pair], scales[pair + 1], mins[pair + 1]]);
        }
        self.supers.extend_from_slice(supers);
    }

    fn q6_k(&mut self, block: &[u8; 210]) {
        let Q6_K { codes, high_bits, scales, .. } = Q6_K::of(block);
        for part in 0..8 {
            let (half, quarter) = (part / 4, part % 4);
            let code = |at: usize| {
                let low = codes[half * 64 + quarter % 2 * 32 + at] >> (quarter / 2 * 4) & 15;
                low | (high_bits[half * 32 + at] >> (quarter * 2) & 3) << 4
            };
            self.codes.extend(std::array::from_fn::<u8, 32, _>(code));
        }
        self.scales.extend(scales);
        self.supers.extend_from_slice(&block[208..]);
    }

    /// Puts every code where its lane finds it, and every scale where its row's lanes do.
    fn put(&self, dtype: DType, sizes: Planes, [codes, highs, scales, supers]: [&mut [u8]; 4]) {
        let row_len = self.codes.len() / TILE_ROWS;
        // Rows g and g + 8 share lanes.
        for g in 0..TILE_ROWS / 2 {
            let pair = [g, g + TILE_ROWS / 2].map(|row| &self.codes[row * row_len..][..row_len]);
            match dtype {
                DType::BF16 => bf16(codes, pair, g),
                DType::Q8_0 => bytes(codes, pair, g),
                _ => {
                    nibbles(codes, pair, g);
                    match dtype {
                        DType::Q5_K => fifths(highs, pair, g),
                        DType::Q6_K => sixths(highs, pair, g),
                        _ => {}
                    }
                }
            }
        }
        let of_scales = [(scales, &self.scales, sizes.scales), (supers, &self.supers, sizes.supers)];
        for (plane, of_rows, bytes) in of_scales.into_iter().filter(|(.., bytes)| *bytes > 0) {
            for (place, row) in of_rows.chunks_exact(of_rows.len() / self.count).enumerate() {
                spread(plane, row, bytes / TILE_ROWS, place % 8 * 2 + place / 8);
            }
        }
    }
}

/// Codes of 4 bits, those of columns i and i + 16 in byte i.
fn halves(codes: &mut Vec<u8>, bytes: &[u8; 16]) {
    codes.extend(bytes.map(|byte| byte & 15));
    codes.extend(bytes.map(|byte| byte >> 4));
}

/// The bytes of a plane that the lanes of rows g and g + 8 read, in pieces of so many, with the columns of both rows that they
/// are made of: for each tile, for each piece of its plane that a warp reads at once, for each of four lanes.
fn lanes<const BYTES: usize>(plane: &mut [u8], g: usize) -> impl Iterator<Item = &mut [[u8; BYTES]]> {
    let of_warp = plane.as_chunks_mut::<BYTES>().0.chunks_exact_mut(32);
    of_warp.map(move |warp| &mut warp[g * 4..][..4])
}

fn bf16(plane: &mut [u8], pair: [&[u8]; 2], g: usize) {
    // A piece is a product: 16 columns.
    let [low, high] = pair.map(|row| row.as_chunks::<4>().0.as_chunks::<8>().0);
    for (place, lanes) in lanes::<16>(plane, g).enumerate() {
        let (low, high) = (&low[place], &high[place]);
        for (t, lane) in lanes.iter_mut().enumerate() {
            for (to, word) in
                lane.as_chunks_mut().0.iter_mut().zip([low[t], high[t], low[t + 4], high[t + 4]])
            {
                *to = word;
            }
        }
    }
}

fn bytes(plane: &mut [u8], pair: [&[u8]; 2], g: usize) {
    // A piece is two products: 32 columns.
    let [low, high] = pair.map(|row| row.as_chunks::<32>().0);
    for (place, lanes) in lanes::<16>(plane, g).enumerate() {
        let (low, high) = (&low[place], &high[place]);
        for (t, lane) in lanes.iter_mut().enumerate() {
            for (part, to) in lane.as_chunks_mut().0.iter_mut().enumerate() {
                let column = 8 * part + 2 * t;
                *to = [low[column], high[column], low[column + 1], high[column + 1]];
            }
        }
    }
}

/// Bits of both rows' codes of product m, from the lowest on, `width` of them at a time: the first of two columns in the lower half
/// of a word, the second in the upper.
fn word(pair: [&[u8; TILE_COLUMNS]; 2], m: usize, t: usize, bits: impl Fn(u8) -> u8, width: usize) -> u32 {
    let column = 16 * m + 2 * t;
    let part = |r: usize| {
        let two = &pair[r % 2][column + 8 * (r / 2)..][..2];
        (u32::from(bits(two[0])) | u32::from(bits(two[1])) << 16) << (width * r)
    };
    part(0) | part(1) | part(2) | part(3)
}

/// For each tile its columns of both rows, with what four lanes read of it.
fn tiles_of<'a, const BYTES: usize>(
    plane: &'a mut [u8],
    pair: [&'a [u8]; 2],
    g: usize,
) -> impl Iterator<Item = ([&'a [u8; TILE_COLUMNS]; 2], &'a mut [[u8; BYTES]])> {
    let [low, high] = pair.map(|row| row.as_chunks::<TILE_COLUMNS>().0);
    low.iter().zip(high).map(|(low, high)| [low, high]).zip(lanes(plane, g))
}

fn nibbles(plane: &mut [u8], pair: [&[u8]; 2], g: usize) {
    for (columns, lanes) in tiles_of::<16>(plane, pair, g) {
        for (t, lane) in lanes.iter_mut().enumerate() {
            for (m, to) in lane.as_chunks_mut().0.iter_mut().enumerate() {
                *to = word(columns, m, t, |code| code & 15, 4).to_le_bytes();
            }
        }
    }
}

fn fifths(plane: &mut [u8], pair: [&[u8]; 2], g: usize) {
    for (columns, lanes) in tiles_of::<4>(plane, pair, g) {
        for (t, lane) in lanes.iter_mut().enumerate() {
            let of = |m| word(columns, m, t, |code| code >> 4, 1) << (4 * m);
            *lane = (of(0) | of(1) | of(2) | of(3)).to_le_bytes();
        }
    }
}

fn sixths(plane: &mut [u8], pair: [&[u8]; 2], g: usize) {
    for (columns, lanes) in tiles_of::<8>(plane, pair, g) {
        for (t, lane) in lanes.iter_mut().enumerate() {
            for (half, to) in lane.as_chunks_mut().0.iter_mut().enumerate() {
                let of = |m| word(columns, 2 * half + m, t, |code| code >> 4, 2) << (8 * m);
                *to = (of(0) | of(1)).to_le_bytes();
            }
        }
    }
}

/// A row's scales, so many bytes a tile or four, to where the lanes of its row find them: in place `place` of sixteen.
fn spread(plane: &mut [u8], of_row: &[u8], each: usize, place: usize) {
    for (to, bytes) in plane.chunks_exact_mut(each * TILE_ROWS).zip(of_row.chunks_exact(each)) {
        to[place * each..][..each].copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use tensor::Shape;

    use super::*;

    #[test]
    fn a_packed_weight_is_as_large_as_it_says() {
        for dtype in DType::weights() {
            let Some(planes) = planes(dtype) else { continue };
            let info = WeightInfo { dtype, shape: Shape::new(&[35, 512]) };
            let tiles = tiles(&info).expect("rows are whole tiles wide");
            assert_eq!(tiles, [3, 8]);
            let found = vec![1; info.bytes().expect("it is counted")];
            let mut covered = vec![0; planes.bytes(24).expect("it is counted")];
            // In two pieces, as a file is read.
            let cut = 32 * info.row_bytes().expect("whole blocks");
            for (row, piece) in [(0, &found[..cut]), (32, &found[cut..])] {
                for run in pack(dtype, tiles, row, piece) {
                    covered[run.at..run.at + run.bytes.len()].iter_mut().for_each(|n| *n += 1);
                }
            }
            assert!(covered.iter().all(|&n| n == 1), "{dtype}");
        }
    }

    #[test]
    fn what_is_no_whole_tiles_is_not_packed() {
        let of = |shape: &[usize]| tiles(&WeightInfo { dtype: DType::BF16, shape: Shape::new(shape) });
        assert_eq!(of(&[16, 48]), None);
        assert_eq!(of(&[64]), None);
        assert_eq!(of(&[4, 24, 64]), None);
        assert_eq!(of(&[4, 32, 64]), Some([8, 1]));
    }
}
