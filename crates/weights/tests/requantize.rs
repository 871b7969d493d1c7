//! Weights changed to another type on their way in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{Memory, assert_rows_agree, noise, values};
use tensor::{DType, SourceError, WeightSource};
use weights::quantize::quantize;
use weights::{Requantized, Target};

const Q: &str = "layers.0.self_attn.q_proj.weight";

fn wave(len: usize) -> Vec<f32> {
    noise(len).iter().map(|&byte| (f32::from(byte) - 127.5) / 64.0).collect()
}

fn target(name: &str) -> Target {
    name.parse().unwrap()
}

#[test]
fn a_row_is_what_the_quantizer_makes_of_it() {
    let floats = wave(5 * 256);
    for dtype in DType::weights().filter(|dtype| *dtype != DType::F32) {
        let memory = Memory::default().floats(Q, &[5, 256], &floats);
        let model = Requantized::new(Arc::new(memory), Target::One(dtype), 1);
        let mut expected = vec![0; dtype.bytes_of(floats.len()).unwrap()];
        quantize(dtype, &floats, &mut expected).unwrap();
        assert_eq!(model.find(Q).unwrap().dtype, dtype);
        assert_eq!(model.read(Q).unwrap(), expected, "{dtype}");
        assert_rows_agree(&model, Q);
    }
}

#[test]
fn many_rows_are_the_same_whatever_thread_makes_them() {
    let floats = wave(1000 * 256);
    let model =
        Requantized::new(Arc::new(Memory::default().floats(Q, &[1000, 256], &floats)), target("q8_0"), 1);
    let whole = model.read(Q).unwrap();
    let row = DType::Q8_0.bytes_of(256).unwrap();
    for first in [0, 1, 255, 256, 257, 700, 999] {
        let mut one = vec![0; row];
        model.read_rows(Q, first, &mut one).unwrap();
        assert_eq!(one, whole[first * row..][..row], "row {first}");
    }
}

#[test]
fn blocks_are_decoded_first() {
    let floats = wave(512);
    let mut blocks = vec![0; DType::Q8_0.bytes_of(512).unwrap()];
    quantize(DType::Q8_0, &floats, &mut blocks).unwrap();
    let memory = Arc::new(Memory::default().with(Q, DType::Q8_0, &[2, 256], blocks.clone()));
    let model = Requantized::new(memory.clone(), target("f32"), 1);
    assert_eq!(values(&model, Q), values(&*memory, Q));
    let same = Requantized::new(memory, target("q8_0"), 1);
    assert_eq!(same.read(Q).unwrap(), blocks);
}

#[test]
fn what_is_no_matrix_keeps_its_type() {
    let ones = vec![1.0; 2 * 256];
    let mut memory = Memory::default();
    let kept = [
        ("norm.weight", &[512][..]),
        ("layers.0.self_attn.q_norm.weight", &[2, 256]),
        ("layers.0.self_attn.q_proj.bias", &[512]),
        ("layers.0.mlp.experts.up_proj.bias", &[2, 256]),
        ("layers.0.self_attn.sinks", &[512]),
        ("layers.0.mlp.router.weight", &[2, 256]),
    ];
    for (name, shape) in kept {
        memory = memory.floats(name, shape, &ones);
    }
    memory = memory.with("ids.weight", DType::I32, &[2, 4], vec![0; 32]);
    let model = Requantized::new(Arc::new(memory), target("q4_0"), 1);
    for (name, _) in kept {
        assert_eq!(model.find(name).unwrap().dtype, DType::F32, "{name}");
        assert_eq!(values(&model, name), ones);
    }
    let half = Memory::default().with("norm.weight", DType::BF16, &[4], [0x80, 0x3f].repeat(4));
    let model_of = |half: Memory| Requantized::new(Arc::new(half), target("q4_0"), 1);
    let widened = model_of(half).with_f32_vectors();
    assert_eq!(widened.find("norm.weight").unwrap().dtype, DType::F32);
    assert_eq!(values(&widened, "norm.weight"), [1.0; 4]);
    assert_eq!(model.find("ids.weight").unwrap().dtype, DType::I32);
}

#[test]
fn mxfp4_is_left_unless_asked_for() {
    let name = "layers.0.mlp.experts.up_proj.weight";
    let memory = Arc::new(Memory::default().with(name, DType::MXFP4, &[1, 2, 32], vec![127; 34]));
    let dtype = |model: Requantized| model.find(name).unwrap().dtype;
    assert_eq!(dtype(Requantized::new(memory.clone(), target("q8_0"), 1)), DType::MXFP4);
    let all = Requantized::new(memory.clone(), target("f16"), 1).with_mxfp4();
    assert_eq!(values(&all, name), values(&*memory, name));
    assert_eq!(dtype(all), DType::F16);
}

#[test]
fn rows_too_odd_for_a_type_fall_back() {
    let memory = Memory::default().floats("layers.0.mlp.up_proj.weight", &[1, 96], &wave(96)).floats(
        "layers.0.mlp.gate_proj.weight",
        &[1, 33],
        &wave(33),
    );
    let memory = Arc::new(memory);
    for (wanted, got) in [
        ("q4_k", "q5_0"),
        ("q5_k", "q5_1"),
        ("q6_k", "q8_0"),
        ("f8_e4m3", "q8_0"),
        ("q3_k", "iq4_nl"),
        ("iq4_xs", "iq4_nl"),
    ] {
        let model = Requantized::new(memory.clone(), target(wanted), 1);
        let dtype = |module: &str| model.find(&format!("layers.0.mlp.{module}.weight")).unwrap().dtype;
        assert_eq!((dtype("up_proj").name(), dtype("gate_proj")), (got, DType::F16));
        assert_eq!(model.wanted("layers.0.mlp.up_proj.weight").unwrap().name(), wanted);
        assert_eq!(model.read("layers.0.mlp.gate_proj.weight").unwrap().len(), 66);
    }
}

#[test]
fn a_mix_gives_the_head_more_tied_or_not() {
    let tied = || Memory::default().floats("embed_tokens.weight", &[1, 256], &wave(256));
    let dtype = |memory: Memory, name: &str| {
        Requantized::new(Arc::new(memory), target("q4_k_m"), 8).find(name).unwrap().dtype
    };
    assert_eq!(dtype(tied(), "embed_tokens.weight"), DType::Q6_K);
    let untied = || tied().floats("lm_head.weight", &[1, 256], &wave(256));
    assert_eq!(dtype(untied(), "embed_tokens.weight"), DType::Q4_K);
    assert_eq!(dtype(untied(), "lm_head.weight"), DType::Q6_K);
}

#[test]
fn what_cannot_be_quantized_is_an_error_that_names_the_weight() {
    let damaged = Memory::default().floats(Q, &[1, 256], &[f32::NAN; 256]);
    let error = Requantized::new(Arc::new(damaged), target("q8_0"), 1).read(Q).unwrap_err();
    assert!(matches!(error, SourceError::Convert { .. }) && error.to_string().contains(Q), "{error}");
}
