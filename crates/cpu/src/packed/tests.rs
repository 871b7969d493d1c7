use tensor::DType;

use super::*;

/// Bytes of every value.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| byte()).collect()
}

#[test]
fn rows_come_back_bit_for_bit() {
    for dtype in DType::weights() {
        for cols in [32, 64, 96, 224, 256, 288, 512, 608, 768] {
            for rows in [1, 15, 16, 17, 40] {
                let Some(layout) = Layout::of(dtype, rows, cols) else { continue };
                let source = noise(rows * layout.row_bytes());
                let packed = Packed::of(layout, &source);
                let mut row = vec![0xAA; layout.row_bytes()];
                for (i, expected) in source.chunks(layout.row_bytes()).enumerate() {
                    packed.view().unpack_row(i, &mut row);
                    assert_eq!(row, expected, "{dtype} {rows}x{cols} row {i}");
                }
            }
        }
    }
}

#[test]
fn floats_of_any_width_are_padded_with_zeros() {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        for cols in [1, 2, 31, 33, 63] {
            let layout = Layout::of(dtype, 3, cols).unwrap();
            let source = vec![0xFF; 3 * layout.row_bytes()];
            let mut strip = vec![0xAA; layout.strip_bytes()];
            pack_strip(&layout, &source, &mut strip);
            assert_eq!(strip.iter().filter(|b| **b != 0).count(), source.len(), "{dtype} {cols}");
        }
    }
}

#[test]
fn planes_hold_four_neighbours_in_each_word() {
    let layout = Layout::of(DType::Q8_0, 16, 32).unwrap();
    let mut source = vec![0; 16 * 34];
    source[3 * 34 + 2..][..32].copy_from_slice(&std::array::from_fn::<u8, 32, _>(|i| i as u8));
    let packed = Packed::of(layout, &source);
    // Behind the scales, which fill a line.
    let codes = &packed.view().strip(0)[64..];
    for i in 0..8 {
        let word = [4 * i as u8, 4 * i as u8 + 1, 4 * i as u8 + 2, 4 * i as u8 + 3];
        assert_eq!(codes[64 * i + 12..][..4], word);
    }
}

#[test]
fn views_of_rows_are_weights() {
    let layout = Layout::of(DType::Q4_K, 80, 512).unwrap();
    let source = noise(80 * layout.row_bytes());
    let packed = Packed::of(layout, &source);
    let view = packed.view().rows(32..64);
    let (mut here, mut there) = (vec![0; layout.row_bytes()], vec![0; layout.row_bytes()]);
    view.unpack_row(5, &mut here);
    packed.view().unpack_row(37, &mut there);
    assert_eq!(here, there);
    assert_eq!(view.layout.strips(), 2);
}
