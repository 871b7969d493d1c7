//! Weights made up from a seed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{assert_rows_agree, values};
use tensor::{DType, Shape, WeightInfo, WeightSource};
use weights::Random;

fn one(name: &str, dtype: DType, shape: &[usize], seed: u64) -> Random {
    Random::new([(name.to_owned(), WeightInfo { dtype, shape: Shape::new(shape) })], seed)
}

fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

#[test]
fn every_type_has_mean_zero_and_the_spread_of_a_product() {
    let row = 1024;
    for dtype in DType::weights() {
        let name = "layers.0.mlp.up_proj.weight";
        let values = values(&one(name, dtype, &[512, row], 1), name);
        let (mean, std) = moments(&values);
        let wanted = 1.0 / (row as f64).sqrt();
        assert!((std / wanted - 1.0).abs() < 0.03, "{dtype}: {std} instead of {wanted}");
        // Block types share signs within a block, so their mean is known less well than that of as many free values.
        assert!(mean.abs() < 0.01 * wanted, "{dtype}: mean {mean}");
    }
}

#[test]
fn rows_do_not_depend_on_how_they_are_asked_for() {
    for dtype in DType::weights() {
        assert_rows_agree(&one("a", dtype, &[2, 3, 256], 5), "a");
    }
    // More than one thread's share.
    let large = one("a", DType::Q4_0, &[4096, 1024], 5);
    let (whole, row) = (large.read("a").unwrap(), DType::Q4_0.bytes_of(1024).unwrap());
    let mut last = vec![0; row];
    large.read_rows("a", 4095, &mut last).unwrap();
    assert_eq!(last, whole[whole.len() - row..]);
}

#[test]
fn seed_name_and_row_matter_and_nothing_else() {
    let bytes = |name: &str, seed| one(name, DType::F32, &[2, 64], seed).read(name).unwrap();
    let first = bytes("a", 1);
    assert_eq!(first, bytes("a", 1));
    assert_ne!(first, bytes("a", 2));
    assert_ne!(first, bytes("b", 1));
    assert_ne!(first[..256], first[256..]);
}

#[test]
fn bytes_are_the_same_on_every_machine() {
    let digest = |dtype| {
        let bytes = one("layers.3.mlp.up_proj.weight", dtype, &[4, 256], 42)
            .read("layers.3.mlp.up_proj.weight")
            .unwrap();
        bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    };
    let digests: Vec<String> =
        DType::weights().map(|dtype| format!("{dtype} {:016x}", digest(dtype))).collect();
    assert_eq!(digests, DIGESTS);
}

const DIGESTS: [&str; 17] = [
    "f32 752e86a6a2f1eb81",
    "f16 cfe08c41ff2d2d6c",
    "bf16 d831931790c4ea96",
    "q4_0 42838684d8c40119",
    "q4_1 c4b86dbd231753c4",
    "q5_0 015b7a4f9de0c2be",
    "q5_1 fa77801f2a340011",
    "q8_0 b3b3b5f7640a81e6",
    "q2_k a94069490d933f20",
    "q3_k d415145b53354980",
    "q4_k ceb090b132ebade2",
    "q5_k 201a0271349fe386",
    "q6_k 02af8ca177c00818",
    "iq4_nl 92acd8f783292c4d",
    "iq4_xs 5c7cc0217e1e9fef",
    "mxfp4 c4b48bb375c1da8b",
    "f8_e4m3 40002332e790a4ef",
];

#[test]
fn each_kind_of_weight_has_its_spread() {
    let specs = |list: &[(&str, &[usize])]| -> Vec<(String, WeightInfo)> {
        let info = |shape: &[usize]| WeightInfo { dtype: DType::F32, shape: Shape::new(shape) };
        list.iter().map(|(name, shape)| ((*name).to_owned(), info(shape))).collect()
    };
    let model = Random::new(
        specs(&[
            ("norm.weight", &[16384]),
            ("layers.7.self_attn.q_norm.weight", &[16384]),
            ("layers.7.self_attn.q_proj.bias", &[16384]),
            ("layers.7.self_attn.sinks", &[16384]),
            ("layers.7.self_attn.o_proj.weight", &[64, 1024]),
            ("embed_tokens.weight", &[64, 1024]),
        ]),
        3,
    );
    for (name, mean, std) in [
        ("norm.weight", 1.0, 0.1f64),
        ("layers.7.self_attn.q_norm.weight", 1.0, 0.1),
        ("layers.7.self_attn.q_proj.bias", 0.0, 0.05),
        ("layers.7.self_attn.sinks", 0.0, 1.0),
        ("layers.7.self_attn.o_proj.weight", 0.0, 1.0 / 32.0 / 4.0),
        ("embed_tokens.weight", 0.0, 2.0 / 32.0),
    ] {
        let (found_mean, found_std) = moments(&values(&model, name));
        assert!((found_mean - mean).abs() < 0.03 * std.max(0.1), "{name}: mean {found_mean}");
        assert!((found_std / std - 1.0).abs() < 0.03, "{name}: {found_std} instead of {std}");
    }
}

#[test]
fn integers_are_refused() {
    let error = one("a", DType::I32, &[2], 0).read("a").unwrap_err().to_string();
    assert!(error.contains("`a`") && error.contains("i32"), "{error}");
}
