use half::f16;
use proptest::prelude::*;
use tensor::{DType, ErrorStats, blocks};

use super::*;

/// Types whose blocks hold fewer bits than the values had.
fn block_types() -> impl Iterator<Item = DType> {
    quantizable().filter(|t| t.is_block())
}

fn round_trip(dtype: DType, values: &[f32]) -> Vec<f32> {
    let mut bytes = vec![0xAA; dtype.bytes_of(values.len()).unwrap()];
    quantize(dtype, values, &mut bytes).unwrap();
    let mut back = vec![f32::NAN; values.len()];
    blocks::decode(dtype, &bytes, &mut back);
    back
}

/// Nearly normal values, the same on every machine: sums of twelve uniform ones.
fn normal(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

/// Values with outliers, as weights have them.
fn heavy_tailed(count: usize) -> Vec<f32> {
    normal(count).into_iter().map(|v| 0.02 * v * v.abs()).collect()
}

/// How far from a value its nearest code may be, as a share of the largest value of its block: half the gap between
/// codes, and a little for scales that are rounded or leave an outlier outside.
fn coarseness(dtype: DType) -> f32 {
    match dtype {
        DType::Q2_K => 0.45,
        DType::Q3_K => 0.3,
        _ => 0.26,
    }
}

/// Normalised squared errors on these values, with a few per cent to spare. llama.cpp's quantizers, given no importance
/// matrix, stay above all of them but those of Q8_0, which are the same.
#[test]
fn error_stays_within_what_the_bits_allow() {
    let bounds = [
        (DType::Q4_0, 6.5e-3, 1.2e-2),
        (DType::Q4_1, 4.9e-3, 8.0e-3),
        (DType::Q5_0, 1.6e-3, 3.1e-3),
        (DType::Q5_1, 1.2e-3, 1.9e-3),
        (DType::Q8_0, 2.8e-5, 5.8e-5),
        (DType::Q2_K, 7.2e-2, 8.7e-2),
        (DType::Q3_K, 2.1e-2, 2.8e-2),
        (DType::Q4_K, 4.8e-3, 8.1e-3),
        (DType::Q5_K, 1.2e-3, 2.1e-3),
        (DType::Q6_K, 2.9e-4, 5.3e-4),
        (DType::IQ4_NL, 5.4e-3, 7.9e-3),
        (DType::IQ4_XS, 5.5e-3, 8.1e-3),
        (DType::MXFP4, 1.3e-2, 1.7e-2),
        (DType::F8_E4M3, 7.0e-4, 7.0e-4),
    ];
    assert!(block_types().eq(bounds.iter().map(|b| b.0)), "every type has its bounds");
    let (normal, heavy) = (normal(256 * 64), heavy_tailed(256 * 64));
    for (dtype, normal_bound, heavy_bound) in bounds {
        for (values, bound) in [(&normal, normal_bound), (&heavy, heavy_bound)] {
            let stats = ErrorStats::new(&round_trip(dtype, values), values);
            assert!(stats.within(bound), "{dtype}: {stats}, more than {bound:.1e}");
        }
    }
}

#[test]
fn nothing_stays_nothing() {
    for dtype in quantizable() {
        assert!(round_trip(dtype, &[0.0; 512]).iter().all(|v| *v == 0.0), "{dtype}");
    }
}

#[test]
fn a_level_block_stays_level() {
    for dtype in block_types() {
        let bound = match dtype {
            // Half the gap between 4 and 6.
            DType::MXFP4 => 0.2,
            // Half a step of a group's scale, where the step is too small an f16 to be exact.
            DType::Q6_K => 1.0 / 256.0,
            DType::IQ4_XS => 1.0 / 64.0,
            // The rounding of an f16 scale.
            _ => 1.0 / 1024.0,
        };
        for level in [1.0, -1.0, 0.3, -7.7e-3, 1234.5, -5.0] {
            let back = round_trip(dtype, &[level; 256]);
            for value in back {
                assert!((value / level - 1.0).abs() <= bound, "{dtype}: {level} became {value}");
            }
        }
    }
}

#[test]
fn the_largest_values_are_reached_and_larger_ones_refused() {
    for dtype in quantizable() {
        let limit = largest(dtype).unwrap();
        for pattern in [[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [0.0, 1.0], [-1.0, 0.1]] {
            let values: Vec<f32> = (0..256).map(|i| limit * pattern[i % 2]).collect();
            let back = round_trip(dtype, &values);
            let error =
                values.iter().zip(&back).fold(0.0, |max: f32, (v, b)| max.max((v / 8.0 - b / 8.0).abs()));
            assert!(
                error <= limit / 8.0 * coarseness(dtype),
                "{dtype}: {pattern:?} of {limit:e} is off by 8 x {error:e}"
            );
        }
        let mut values = vec![0.0; 256];
        values[77] = -limit.next_up();
        let mut bytes = vec![0; dtype.bytes_of(256).unwrap()];
        let error = quantize(dtype, &values, &mut bytes).unwrap_err();
        match values[77].is_finite() {
            true => assert!(matches!(error, QuantizeError::TooLarge { index: 77, .. }), "{dtype}: {error}"),
            false => assert!(matches!(error, QuantizeError::NotFinite { index: 77, .. }), "{dtype}: {error}"),
        }
    }
}

#[test]
fn small_values_lose_no_more_than_small_scales_must() {
    let tiny = f16::MIN_POSITIVE_SUBNORMAL.to_f32();
    for dtype in block_types() {
        for exponent in -149..0 {
            let scale = 2.0f32.powi(exponent);
            let values: Vec<f32> = normal(256).into_iter().map(|v| v * scale).collect();
            let back = round_trip(dtype, &values);
            let largest = values.iter().fold(0.0, |max: f32, v| max.max(v.abs()));
            for (value, back) in values.iter().zip(back) {
                // As for any values, or what it costs that an f16 scale near zero is itself rounded.
                let codes = match dtype {
                    DType::Q8_0 | DType::IQ4_NL => 127.0,
                    _ => 16.0,
                };
                let bound = (coarseness(dtype) * largest).max(0.5 * codes * tiny);
                assert!((value - back).abs() <= bound, "{dtype} at 2^{exponent}: {value:e} became {back:e}");
            }
        }
    }
}

#[test]
fn k_quants_survive_scales_below_the_smallest_normal_f16() {
    for (dtype, bound) in [
        (DType::Q4_K, 0.02),
        (DType::Q5_K, 0.02),
        (DType::Q6_K, 0.02),
        (DType::Q3_K, 0.04),
        (DType::Q2_K, 0.12),
    ] {
        let values: Vec<f32> = normal(4096).into_iter().map(|v| 1e-5 * v).collect();
        let stats = ErrorStats::new(&round_trip(dtype, &values), &values);
        assert!(stats.within(bound), "{dtype}: {stats}");
    }
}

#[test]
fn what_cannot_be_quantized_is_named() {
    let refusal =
        |dtype, values: &[f32], bytes| quantize(dtype, values, &mut vec![0; bytes]).unwrap_err().to_string();
    let mut values = [1.0; 32];
    let integers = refusal(DType::U8, &[0.0], 1);
    assert!(integers.starts_with("there is no quantizer for u8") && integers.contains("q4_k"), "{integers}");
    assert!(refusal(DType::Q4_0, &values[..31], 18).starts_with("31 values do not fill 18 bytes of q4_0"));
    assert!(refusal(DType::Q4_0, &values, 36).starts_with("32 values do not fill 36 bytes"));
    values[9] = f32::NAN;
    assert!(refusal(DType::MXFP4, &values, 17).starts_with("value 9 is NaN"));
    values[9] = f32::NEG_INFINITY;
    assert!(refusal(DType::F32, &values, 128).starts_with("value 9 is -inf"));
    values[9] = 1e6;
    assert_eq!(
        refusal(DType::F16, &values, 64),
        "value 9 is 1000000, but f16 reaches 6.5504e4 at most; use bf16 or f32 instead"
    );
}

/// Blocks of values that span many powers of two, from a few per block to all of them.
fn blocks_of_values() -> impl Strategy<Value = Vec<f32>> {
    (-40..20i32, 0..30i32).prop_flat_map(|(from, span)| {
        let value = (-1.0..1.0f32, from..=from + span).prop_map(|(m, e)| m * 2.0f32.powi(e));
        prop::collection::vec(prop_oneof![4 => value, 1 => Just(0.0)], 256)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_value_comes_back_close(values in blocks_of_values()) {
        for dtype in block_types() {
            if values.iter().any(|v| v.abs() > largest(dtype).unwrap()) {
                continue;
            }
            let back = round_trip(dtype, &values);
            let len = dtype.block_len();
            for (values, back) in values.chunks(len).zip(back.chunks(len)) {
                let top = values.iter().fold(0.0, |max: f32, v| max.max(v.abs()));
                for (value, back) in values.iter().zip(back) {
                    let bound = (coarseness(dtype) * top).max(64.0 * f16::MIN_POSITIVE_SUBNORMAL.to_f32());
                    prop_assert!((value - back).abs() <= bound, "{dtype}: {value:e} became {back:e}, top {top:e}");
                }
            }
        }
    }

    #[test]
    fn what_lies_on_an_mxfp4_grid_stays(exponent in 0..=252u8, codes in any::<[u8; 16]>()) {
        let mut values = [0.0; 32];
        blocks::decode(DType::MXFP4, &[&[exponent][..], &codes].concat(), &mut values);
        prop_assert_eq!(round_trip(DType::MXFP4, &values), values);
    }

    #[test]
    fn what_lies_on_an_f8_e4m3_grid_stays(
        scale in (1.0..2.0f32, -100..100i32),
        mut codes in prop::collection::vec(any::<u8>().prop_filter("a number", |code| code & 0x7f != 0x7f), 128),
        at in 0..128usize,
    ) {
        codes[at] = 0x7e;
        let scale = scale.0 * 2f32.powi(scale.1);
        let mut values = [0.0; 128];
        blocks::decode(DType::F8_E4M3, &[&scale.to_le_bytes()[..], &codes].concat(), &mut values);
        let mut block = [0; 132];
        quantize(DType::F8_E4M3, &values, &mut block).unwrap();
        prop_assert_eq!(&block[4..], &codes);
    }

    #[test]
    fn what_lies_on_a_q8_0_grid_stays(
        scale in 1..0x7C00u16,
        mut codes in prop::collection::vec(-127..=127i8, 32),
        at in 0..32usize,
    ) {
        // A block tells its scale only where it uses the largest code, as every block this quantizer makes does.
        codes[at] = 127;
        let scale = f16::from_bits(scale).to_f32();
        let values: Vec<f32> = codes.iter().map(|c| scale * f32::from(*c)).collect();
        prop_assert_eq!(round_trip(DType::Q8_0, &values), values);
    }
}
