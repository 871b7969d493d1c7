//! Weights in the order in which tensor cores are handed them: tiles of 16 rows and 64 columns, in planes. What is where
//! is said in `kernels/cuda/tiles.cuh`, which reads them.

use rayon::prelude::*;
use tensor::blocks::{F8_E4M3, MXFP4, Q4_0, Q4_K, Q5_K, Q6_K, Q8_0, unpack_scales};
use tensor::{DType, WeightInfo};

/// Rows of a tile.
pub(crate) const TILE_ROWS: usize = 16;
/// Columns of a tile.
pub(crate) const TILE_COLUMNS: usize = 64;

/// Bytes of a tile in each plane; of the last, of so many tiles as share the scales of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planes {
    codes: usize,
    highs: usize,
    scales: usize,
    supers: usize,
    sharing: usize,
}

/// The planes of a type that has a packed form.
pub(crate) fn planes(dtype: DType) -> Option<Planes> {
    let sharing = (dtype.block_len() / TILE_COLUMNS).max(1);
    let planes = |codes, highs, scales, supers| Some(Planes { codes, highs, scales, supers, sharing });
    match dtype {
        DType::BF16 => planes(2048, 0, 0, 0),
        DType::Q8_0 => planes(1024, 0, 64, 0),
        DType::Q4_0 => planes(512, 0, 64, 0),
        DType::MXFP4 => planes(512, 0, 32, 0),
        DType::Q4_K => planes(512, 0, 64, 64),
        DType::Q5_K => planes(512, 128, 64, 64),
        DType::Q6_K => planes(512, 256, 64, 32),
        DType::F8_E4M3 => planes(1024, 0, 0, 64),
        _ => None,
    }
}

impl Planes {
    /// Bytes of so many tiles.
    pub fn bytes(&self, tiles: usize) -> Option<usize> {
        let each = self.codes + self.highs + self.scales;
        tiles.checked_mul(each)?.checked_add(tiles.div_ceil(self.sharing).checked_mul(self.supers)?)
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
    let planes = planes(dtype).expect("only what has a packed form is packed");
    let [row_tiles, k_tiles] = tiles;
    let row_bytes =
        dtype.bytes_of(k_tiles * TILE_COLUMNS).expect("rows are whole tiles, and so whole blocks");
    let row_of_tiles = |found: &[u8]| {
        let mut strip = Strip::new(planes, k_tiles);
        let rows = found.chunks_exact(row_bytes).map(|row| Row::of(dtype, row)).collect::<Vec<_>>();
        strip.fill(dtype, &rows);
        strip
    };
    let strips = found.par_chunks(row_bytes * TILE_ROWS).map(row_of_tiles).collect::<Vec<_>>();
    let (all, first) = (row_tiles * k_tiles, first_row / TILE_ROWS * k_tiles);
    let starts = [
        0,
        all * planes.codes,
        all * (planes.codes + planes.highs),
        all * (planes.codes + planes.highs + planes.scales),
    ];
    let sizes = [planes.codes, planes.highs, planes.scales, planes.supers];
    let run = |plane: usize| {
        let tiles = if plane == 3 { first / planes.sharing } else { first };
        let bytes = strips.iter().flat_map(|strip| &strip.planes[plane]).copied().collect::<Vec<_>>();
        Run { at: starts[plane] + tiles * sizes[plane], bytes }
    };
    (0..4).map(run).filter(|run| !run.bytes.is_empty()).collect()
}

/// A row of tiles: its bytes in each plane.
struct Strip {
    planes: [Vec<u8>; 4],
    k_tiles: usize,
}

impl Strip {
    fn new(planes: Planes, k_tiles: usize) -> Strip {
        let zeros = |bytes: usize| vec![0; bytes];
        let of_tiles = |bytes| zeros(bytes * k_tiles);
        let supers = zeros(planes.supers * k_tiles / planes.sharing);
        Strip {
            planes: [of_tiles(planes.codes), of_tiles(planes.highs), of_tiles(planes.scales), supers],
            k_tiles,
        }
    }

    /// Puts every code where its lane finds it, and every scale where its row's lanes do.
    fn fill(&mut self, dtype: DType, rows: &[Row]) {
        for k_tile in 0..self.k_tiles {
            for lane in 0..32 {
                let (g, t) = (lane / 4, lane % 4);
                for m in 0..4 {
                    for r in 0..4 {
                        let Some(row) = rows.get(g + 8 * (r % 2)) else { continue };
                        let column = k_tile * TILE_COLUMNS + 16 * m + 2 * t + 8 * (r / 2);
                        let pair = [row.codes[column], row.codes[column + 1]];
                        self.put(dtype, k_tile, lane, [m, r], pair);
                    }
                }
            }
        }
        for (place, row) in rows.iter().enumerate() {
            let (g, half) = (place % 8, place / 8);
            let [_, _, scales, supers] = &mut self.planes;
            spread(scales, &row.scales, g, half);
            spread(supers, &row.supers, g, half);
        }
    }

    fn put(&mut self, dtype: DType, k_tile: usize, lane: usize, [m, r]: [usize; 2], pair: [u16; 2]) {
        let [codes, highs, ..] = &mut self.planes;
        match dtype {
            DType::BF16 => {
                let at = k_tile * 2048 + m * 512 + lane * 16 + r * 4;
                or(codes, at, u32::from(pair[0]) | u32::from(pair[1]) << 16);
            }
            DType::Q8_0 | DType::F8_E4M3 => {
                let at = k_tile * 1024 + m / 2 * 512 + lane * 16 + (m % 2 * 2 + r / 2) * 4;
                or(codes, at, spaced(pair.map(|code| code & 0xFF)) << (8 * (r % 2)));
            }
            _ => {
                or(codes, k_tile * 512 + lane * 16 + m * 4, spaced(pair.map(|code| code & 15)) << (4 * r));
                let high = spaced(pair.map(|code| code >> 4));
                match dtype {
                    DType::Q5_K => or(highs, k_tile * 128 + lane * 4, high << (4 * m + r)),
                    DType::Q6_K => {
                        or(highs, k_tile * 256 + lane * 8 + m / 2 * 4, high << (2 * (m % 2 * 4 + r)));
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Two numbers, 16 bits apart.
fn spaced([low, high]: [u16; 2]) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

fn or(plane: &mut [u8], at: usize, word: u32) {
    for (to, byte) in plane[at..at + 4].iter_mut().zip(word.to_le_bytes()) {
        *to |= byte;
    }
}

/// A row's scales, so many bytes a tile, to where the lanes of its row find them: those of rows g and g + 8 together.
fn spread(plane: &mut [u8], of_row: &[Vec<u8>], g: usize, half: usize) {
    let Some(each) = of_row.first().map(Vec::len) else { return };
    for (tile, bytes) in plane.chunks_exact_mut(each * TILE_ROWS).zip(of_row) {
        tile[(g * 2 + half) * each..][..each].copy_from_slice(bytes);
    }
}

/// A row taken apart.
struct Row {
    /// A code a column: bits of a bf16 or of an 8-bit float, a signed byte, or the number that is scaled.
    codes: Vec<u16>,
    /// For each tile the bytes of its scales.
    scales: Vec<Vec<u8>>,
    /// For all tiles of a block together the bytes of theirs.
    supers: Vec<Vec<u8>>,
}

impl Row {
    fn of(dtype: DType, bytes: &[u8]) -> Row {
        let mut row = Row { codes: vec![], scales: vec![], supers: vec![] };
        match dtype {
            DType::BF16 => row.codes.extend(bytes.as_chunks().0.iter().map(|bits| u16::from_le_bytes(*bits))),
            DType::Q8_0 => each::<34>(bytes, &mut row, |block, row| {
                row.codes.extend(Q8_0::of(block).codes.map(u16::from));
                block[..2].to_vec()
            }),
            DType::Q4_0 => each::<18>(bytes, &mut row, |block, row| {
                halves(&mut row.codes, Q4_0::of(block).codes);
                block[..2].to_vec()
            }),
            DType::MXFP4 => each::<17>(bytes, &mut row, |block, row| {
                halves(&mut row.codes, MXFP4::of(block).codes);
                vec![block[0]]
            }),
            DType::F8_E4M3 => bytes.as_chunks().0.iter().for_each(|block: &[u8; 132]| {
                row.codes.extend(F8_E4M3::of(block).codes.map(u16::from));
                row.supers.push(block[..4].to_vec());
            }),
            DType::Q4_K => bytes.as_chunks().0.iter().for_each(|block: &[u8; 144]| row.q4_k(block)),
            DType::Q5_K => bytes.as_chunks().0.iter().for_each(|block: &[u8; 176]| row.q5_k(block)),
            DType::Q6_K => bytes.as_chunks().0.iter().for_each(|block: &[u8; 210]| row.q6_k(block)),
            _ => unreachable!("only what has a packed form is packed"),
        }
        row
    }

    fn q4_k(&mut self, block: &[u8; 144]) {
        let Q4_K { scales, codes, .. } = Q4_K::of(block);
        for codes in codes.as_chunks::<32>().0 {
            self.codes.extend(codes.map(|byte| u16::from(byte & 15)));
            self.codes.extend(codes.map(|byte| u16::from(byte >> 4)));
        }
        self.scales_and_mins(scales, &block[..4]);
    }

    fn q5_k(&mut self, block: &[u8; 176]) {
        let Q5_K { scales, codes, high_bits, .. } = Q5_K::of(block);
        for g in 0..8 {
            let code = |i: usize| {
                let low = codes[g / 2 * 32 + i] >> (g % 2 * 4) & 15;
                u16::from(low | (high_bits[i] >> g & 1) << 4)
            };
            self.codes.extend((0..32).map(code));
        }
        self.scales_and_mins(scales, &block[..4]);
    }

    fn scales_and_mins(&mut self, packed: &[u8; 12], supers: &[u8]) {
        let (scales, mins) = unpack_scales(packed);
        for pair in [0, 2, 4, 6] {
            self.scales.push(vec![scales[pair], mins[pair], scales[pair + 1], mins[pair + 1]]);
        }
        self.supers.push(supers.to_vec());
    }

    fn q6_k(&mut self, block: &[u8; 210]) {
        let Q6_K { codes, high_bits, scales, .. } = Q6_K::of(block);
        for i in 0..256 {
            let (half, quarter, at) = (i / 128, i % 128 / 32, i % 32);
            let low = codes[half * 64 + quarter % 2 * 32 + at] >> (quarter / 2 * 4) & 15;
            let high = high_bits[half * 32 + at] >> (quarter * 2) & 3;
            self.codes.push(u16::from(low | high << 4));
        }
        self.scales.extend(scales.as_chunks::<4>().0.iter().map(|four| four.to_vec()));
        self.supers.push(block[208..].to_vec());
    }
}

/// Blocks of 32 columns, whose scales come two to a tile.
fn each<const BYTES: usize>(
    bytes: &[u8],
    row: &mut Row,
    mut scale: impl FnMut(&[u8; BYTES], &mut Row) -> Vec<u8>,
) {
    for pair in bytes.as_chunks::<BYTES>().0.chunks_exact(2) {
        let scales = pair.iter().flat_map(|block| scale(block, row)).collect();
        row.scales.push(scales);
    }
}

/// Codes of 4 bits, those of columns i and i + 16 in byte i.
fn halves(codes: &mut Vec<u16>, bytes: &[u8; 16]) {
    codes.extend(bytes.map(|byte| u16::from(byte & 15)));
    codes.extend(bytes.map(|byte| u16::from(byte >> 4)));
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
