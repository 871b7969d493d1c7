//! Matrices of 8-bit floats with their scales beside them, as checkpoints keep them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{assert_rows_agree, claim, claims, noise, open_safetensors, values};
use half::bf16;
use tensor::blocks::e4m3;
use tensor::{DType, WeightSource};
use weights::SafeTensors;

const NAME: &str = "layers.0.self_attn.q_proj.weight";

/// A file of a matrix of codes and what lies beside it: name, type, shape and bytes of each.
fn model(shape: &str, codes: &[u8], others: &[(&str, &str, &str, Vec<u8>)]) -> SafeTensors {
    let mut data = codes.to_vec();
    let mut entries = vec![claim(NAME, "F8_E4M3", shape, 0, data.len() as u64)];
    for (name, dtype, shape, bytes) in others {
        let (begin, end) = (data.len() as u64, (data.len() + bytes.len()) as u64);
        entries.push(claim(name, dtype, shape, begin, end));
        data.extend(bytes);
    }
    open_safetensors(&claims(&entries, &data)).unwrap()
}

/// Codes of every kind that are numbers.
fn codes(count: usize) -> Vec<u8> {
    noise(count).into_iter().map(|code| if code & 0x7f == 0x7f { code ^ 1 } else { code }).collect()
}

/// So many scales, no two alike.
fn scales(count: usize) -> Vec<f32> {
    (0..count).map(|i| 0.013 * (1.0 + i as f32)).collect()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn scales_of_every_kind_go_to_their_values() {
    let (rows, cols) = (131, 384);
    let codes = codes(rows * cols);
    type Which = fn(usize, usize) -> usize;
    let kinds: [(&str, usize, Which); 8] = [
        ("[]", 1, |_, _| 0),
        ("[1]", 1, |_, _| 0),
        ("[1,1]", 1, |_, _| 0),
        ("[131]", 131, |row, _| row),
        ("[131,1]", 131, |row, _| row),
        ("[131,3]", 393, |row, col| row * 3 + col / 128),
        ("[2,3]", 6, |row, col| row / 128 * 3 + col / 128),
        ("[2,1,3,1]", 6, |row, col| row / 128 * 3 + col / 128),
    ];
    for (shape, count, which) in kinds {
        let scales = scales(count);
        for ending in ["_scale", "_scale_inv"] {
            let beside = (&*format!("{NAME}{ending}"), "F32", shape, floats(&scales));
            let model = model("[131,384]", &codes, &[beside]);
            assert_eq!(model.find(NAME).unwrap().dtype, DType::F8_E4M3);
            let wanted = (0..rows * cols).map(|i| scales[which(i / cols, i % cols)] * e4m3(codes[i]));
            assert!(values(&model, NAME).into_iter().eq(wanted), "{shape}");
        }
    }
}

#[test]
fn rows_are_the_same_however_they_are_asked_for() {
    for (shape, scales) in [("[5,256]", "[1,2]"), ("[5,256]", "[5,1]"), ("[5,96]", "[5]")] {
        let codes = codes(if shape == "[5,96]" { 480 } else { 1280 });
        let count = if scales == "[1,2]" { 2 } else { 5 };
        let beside = (&*format!("{NAME}_scale"), "F32", scales, floats(&self::scales(count)));
        assert_rows_agree(&model(shape, &codes, &[beside]), NAME);
    }
}

#[test]
fn scales_may_be_of_any_float_type() {
    let codes = codes(256);
    for (dtype, bytes) in [("BF16", bf16::from_f32(0.37).to_le_bytes()), ("F16", [0xec, 0x35])] {
        let model = model("[2,128]", &codes, &[(&*format!("{NAME}_scale"), dtype, "[1]", bytes.to_vec())]);
        let scale = if dtype == "BF16" { bf16::from_f32(0.37).to_f32() } else { 0.370_117_2 };
        assert!(values(&model, NAME).into_iter().eq(codes.iter().map(|&code| scale * e4m3(code))), "{dtype}");
    }
}

#[test]
fn rows_that_are_no_whole_blocks_are_read_as_f32() {
    let codes = codes(3 * 200);
    let scales = scales(6);
    let model = model("[3,200]", &codes, &[(&*format!("{NAME}_scale"), "F32", "[3,2]", floats(&scales))]);
    assert_eq!(model.find(NAME).unwrap().dtype, DType::F32);
    let wanted = (0..600).map(|i| scales[i / 200 * 2 + i % 200 / 128] * e4m3(codes[i]));
    assert!(values(&model, NAME).into_iter().eq(wanted));
}

/// Why a matrix of `[256, 256]` is refused that has this beside it.
fn refusal(codes: &[u8], others: &[(&str, &str, &str, Vec<u8>)]) -> String {
    let model = model("[256,256]", codes, others);
    assert_eq!(model.find(NAME).is_some(), !others.is_empty());
    model.read_rows(NAME, 0, &mut [0; 256 * 264]).unwrap_err().to_string()
}

#[test]
fn what_is_not_known_to_be_right_is_refused() {
    let codes = codes(256 * 256);
    let scale = format!("{NAME}_scale");
    let inverse = format!("{NAME}_scale_inv");
    let of = |name: &'static str, shape: &'static str, count: usize| {
        let name = if name == "inverse" { &*inverse } else { &*scale };
        (name, "F32", shape, floats(&scales(count)))
    };
    let says = |others: &[(&str, &str, &str, Vec<u8>)], parts: &[&str]| {
        let sentence = refusal(&codes, others);
        for part in [NAME].iter().chain(parts) {
            assert!(sentence.contains(part), "`{sentence}` does not say `{part}`");
        }
    };
    says(&[], &["_scale", "_scale_inv", "convert it to bf16"]);
    says(&[of("scale", "[]", 1), of("inverse", "[]", 1)], &["both", "keep the right one"]);
    for (shape, count) in
        [("[255]", 255), ("[2]", 2), ("[4,4]", 16), ("[2,1]", 2), ("[2,2,1]", 4), ("[0]", 0)]
    {
        says(&[of("scale", shape, count)], &["f32", "256", "convert it to bf16"]);
    }
    says(&[(&scale, "U8", "[256,8]", vec![127; 2048])], &["no f32, bf16 or f16"]);
    says(&[(&scale, "F8_E8M0", "[256,8]", vec![127; 2048])], &["no f32, bf16 or f16"]);
}

#[test]
fn damaged_values_are_refused() {
    let scale = format!("{NAME}_scale");
    let one = |value: f32| (&*scale, "F32", "[1]", floats(&[value]));
    let mut codes = codes(256 * 256);
    for value in [f32::NAN, f32::INFINITY] {
        let sentence = refusal(&codes, &[one(value)]);
        assert!(sentence.contains(&scale) && sentence.contains("damaged"), "{sentence}");
    }
    codes[256 * 200 + 3] = 0xff;
    let sentence = refusal(&codes, &[one(1.0)]);
    assert!(sentence.contains("value 51203 is not a number"), "{sentence}");
    let model = model("[256,256]", &codes, &[one(1.0)]);
    assert!(model.read_rows(NAME, 0, &mut [0; 200 * 264]).is_ok(), "rows before it are as they were");
}

#[test]
fn experts_in_one_tensor_have_one_scale_or_are_refused() {
    let codes = codes(2 * 4 * 128);
    let scale = format!("{NAME}_scale");
    let of = |shape, count| (&*scale, "F32", shape, floats(&scales(count)));
    let whole = model("[2,4,128]", &codes, &[of("[1]", 1)]);
    assert!(values(&whole, NAME).into_iter().eq(codes.iter().map(|&code| 0.013 * e4m3(code))));
    let each = model("[2,4,128]", &codes, &[of("[8,1]", 8)]);
    assert!(each.read(NAME).unwrap_err().to_string().contains("convert it to bf16"));
}
