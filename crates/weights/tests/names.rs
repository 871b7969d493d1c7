//! Canonical names over what files store.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{Memory, assert_rows_agree, noise, values};
use tensor::{DType, Shape, SourceError, WeightInfo, WeightSource};
use weights::{ForGguf, GgufLayout, Renamed};

/// Experts, hidden width of an expert, width of the model.
const X: usize = 3;
const F: usize = 64;
const E: usize = 96;

const EXPERTS: &str = "layers.0.mlp.experts";

fn hf(memory: Memory) -> Renamed {
    Renamed::hf(Arc::new(memory))
}

fn layout(arch: &str) -> GgufLayout {
    GgufLayout { arch: arch.to_owned(), heads: 4, kv_heads: 2 }
}

#[test]
fn hf_names_with_and_without_prefix() {
    let memory = Memory::default()
        .floats("model.norm.weight", &[2], &[1.0, 2.0])
        .floats("layers.0.self_attn.sinks", &[2], &[3.0, 4.0])
        .floats("lm_head.weight", &[1, 2], &[5.0, 6.0]);
    let model = hf(memory);
    assert_eq!(values(&model, "norm.weight"), [1.0, 2.0]);
    assert_eq!(values(&model, "layers.0.self_attn.sinks"), [3.0, 4.0]);
    assert_eq!(values(&model, "lm_head.weight"), [5.0, 6.0]);
    assert!(model.find("embed_tokens.weight").is_none());
    assert!(matches!(model.read("embed_tokens.weight"), Err(SourceError::Missing { .. })));
}

/// The nibble of stored row `row`, column `column`, as the packing defines it: neighbours share a byte.
fn nibble(blocks: &[u8], columns: usize, row: usize, column: usize) -> u8 {
    let byte = blocks[(row * columns + column) / 2];
    if column.is_multiple_of(2) { byte & 15 } else { byte >> 4 }
}

#[test]
fn packed_mxfp4_stays_what_it_was_bit_for_bit() {
    let stacks = [
        ("gate_proj", "gate_up_proj", 0, 2, F, E),
        ("up_proj", "gate_up_proj", 1, 2, F, E),
        ("down_proj", "down_proj", 0, 1, E, F),
    ];
    for (module, stored, start, step, rows, columns) in stacks {
        let stored_rows = rows * step;
        let blocks = noise(X * stored_rows * columns / 2);
        let scales: Vec<u8> = noise(X * stored_rows * columns / 32).iter().map(|b| 120 + b % 16).collect();
        let name = format!("model.{EXPERTS}.{stored}");
        let model = hf(Memory::default()
            .with(&format!("{name}_blocks"), DType::U8, &[X, stored_rows, columns / 32, 16], blocks.clone())
            .with(&format!("{name}_scales"), DType::U8, &[X, stored_rows, columns / 32], scales.clone()));
        let name = format!("{EXPERTS}.{module}.weight");
        let info = WeightInfo { dtype: DType::MXFP4, shape: Shape::from([X, rows, columns]) };
        assert_eq!(model.find(&name), Some(info));
        let made = model.read(&name).unwrap();
        for row in 0..X * rows {
            for column in 0..columns {
                let from = row * step + start;
                let block = &made[(row * columns + column) / 32 * 17..][..17];
                let (low, high) = (column % 32 % 16, column % 32 / 16);
                assert_eq!(block[1 + low] >> (4 * high) & 15, nibble(&blocks, columns, from, column));
                assert_eq!(block[0], scales[(from * columns + column) / 32]);
            }
        }
        // Every way to read the rows is tried on fewer of them.
        let few = hf(Memory::default()
            .with(&format!("{EXPERTS}.{stored}_blocks"), DType::U8, &[2, 3 * step, 2, 16], noise(192 * step))
            .with(&format!("{EXPERTS}.{stored}_scales"), DType::U8, &[2, 3 * step, 2], noise(12 * step)));
        assert_rows_agree(&few, &name);
    }
}

#[test]
fn packed_mxfp4_means_the_numbers_it_meant() {
    const FP4: [f32; 16] =
        [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];
    let (blocks, scales) = (noise(E * F / 2), vec![126; E * F / 32]);
    let model = hf(Memory::default()
        .with(&format!("{EXPERTS}.down_proj_blocks"), DType::U8, &[1, E, F / 32, 16], blocks.clone())
        .with(&format!("{EXPERTS}.down_proj_scales"), DType::U8, &[1, E, F / 32], scales));
    let values = values(&model, &format!("{EXPERTS}.down_proj.weight"));
    for (i, value) in values.iter().enumerate() {
        assert_eq!(*value, FP4[nibble(&blocks, F, i / F, i % F) as usize] * 0.5);
    }
}

#[test]
fn packed_tensors_that_do_not_belong_together_are_no_weight() {
    for (blocks, scales) in [
        ([1, 4, 2, 16], [1, 4, 1]),
        ([1, 4, 2, 16], [1, 2, 2]),
        ([1, 3, 2, 16], [1, 3, 2]),
        ([1, 4, 2, 8], [1, 4, 2]),
    ] {
        let bytes = |shape: &[usize]| noise(shape.iter().product());
        let model = hf(Memory::default()
            .with(&format!("{EXPERTS}.gate_up_proj_blocks"), DType::U8, &blocks, bytes(&blocks))
            .with(&format!("{EXPERTS}.gate_up_proj_scales"), DType::U8, &scales, bytes(&scales)));
        assert!(model.find(&format!("{EXPERTS}.gate_proj.weight")).is_none(), "{blocks:?} {scales:?}");
    }
}

#[test]
fn dense_experts_are_turned_over() {
    // More rows than are turned over at a time.
    let (experts, inner, outer) = (2, 37, 3);
    let gate_up: Vec<f32> = (0..experts * inner * 2 * outer).map(|i| i as f32).collect();
    let down: Vec<f32> = (0..experts * outer * inner).map(|i| i as f32).collect();
    let model = hf(Memory::default()
        .floats(&format!("model.{EXPERTS}.gate_up_proj"), &[experts, inner, 2 * outer], &gate_up)
        .floats(&format!("model.{EXPERTS}.down_proj"), &[experts, outer, inner], &down));
    for (module, start) in [("gate_proj", 0), ("up_proj", 1)] {
        let name = format!("{EXPERTS}.{module}.weight");
        assert_eq!(*model.find(&name).unwrap().shape, [experts, outer, inner]);
        let made = values(&model, &name);
        for (x, f, e) in
            (0..experts).flat_map(|x| (0..outer).flat_map(move |f| (0..inner).map(move |e| (x, f, e))))
        {
            assert_eq!(
                made[(x * outer + f) * inner + e],
                gate_up[(x * inner + e) * 2 * outer + 2 * f + start]
            );
        }
        assert_rows_agree(&model, &name);
    }
    let name = format!("{EXPERTS}.down_proj.weight");
    assert_eq!(*model.find(&name).unwrap().shape, [experts, inner, outer]);
    let made = values(&model, &name);
    for (x, e, f) in
        (0..experts).flat_map(|x| (0..inner).flat_map(move |e| (0..outer).map(move |f| (x, e, f))))
    {
        assert_eq!(made[(x * inner + e) * outer + f], down[(x * outer + f) * inner + e]);
    }
}

#[test]
fn expert_biases() {
    let model = hf(Memory::default()
        .floats(
            &format!("model.{EXPERTS}.gate_up_proj_bias"),
            &[2, 4],
            &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        )
        .floats(&format!("model.{EXPERTS}.down_proj_bias"), &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
    assert_eq!(values(&model, &format!("{EXPERTS}.gate_proj.bias")), [0.0, 2.0, 4.0, 6.0]);
    assert_eq!(values(&model, &format!("{EXPERTS}.up_proj.bias")), [1.0, 3.0, 5.0, 7.0]);
    assert_eq!(values(&model, &format!("{EXPERTS}.down_proj.bias")), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_rows_agree(&model, &format!("{EXPERTS}.up_proj.bias"));
}

/// The converter's order of `rows` rows: `[heads, 2, width / 2]` becomes `[heads, width / 2, 2]`.
fn paired(rows: &[Vec<f32>], heads: usize) -> Vec<f32> {
    let half = rows.len() / heads / 2;
    let order =
        (0..heads).flat_map(|h| (0..half).flat_map(move |j| (0..2).map(move |s| (h * 2 + s) * half + j)));
    order.flat_map(|row| rows[row].clone()).collect()
}

#[test]
fn llama_rows_in_gguf_are_put_back_in_order() {
    let width = 6;
    for (module, stored, heads) in [("q_proj", "attn_q", 4), ("k_proj", "attn_k", 2)] {
        let rows: Vec<Vec<f32>> = (0..heads * width).map(|r| vec![r as f32, -(r as f32)]).collect();
        let bias: Vec<Vec<f32>> = (0..heads * width).map(|r| vec![r as f32]).collect();
        let memory = || {
            Memory::default()
                .floats(&format!("blk.1.{stored}.weight"), &[heads * width, 2], &paired(&rows, heads))
                .floats(&format!("blk.1.{stored}.bias"), &[heads * width], &paired(&bias, heads))
        };
        let model = Renamed::gguf(Arc::new(memory()), layout("llama"));
        let (weight, bias_name) =
            (format!("layers.1.self_attn.{module}.weight"), format!("layers.1.self_attn.{module}.bias"));
        assert_eq!(values(&model, &weight), rows.concat());
        assert_eq!(values(&model, &bias_name), bias.concat());
        assert_rows_agree(&model, &weight);
        assert_rows_agree(&model, &bias_name);
        let other = Renamed::gguf(Arc::new(memory()), layout("qwen2"));
        assert_eq!(values(&other, &weight), paired(&rows, heads));
    }
}

#[test]
fn quantized_rows_are_put_back_whole() {
    let rows: Vec<Vec<u8>> = (0..8).map(|r| vec![r; 34]).collect();
    let stored: Vec<u8> = [0, 2, 1, 3, 4, 6, 5, 7].into_iter().flat_map(|r: usize| rows[r].clone()).collect();
    let memory = Memory::default().with("blk.0.attn_k.weight", DType::Q8_0, &[8, 32], stored);
    let model = Renamed::gguf(Arc::new(memory), layout("llama"));
    assert_eq!(model.read("layers.0.self_attn.k_proj.weight").unwrap(), rows.concat());
}

#[test]
fn heads_that_do_not_divide_the_rows_are_an_error_that_names_the_tensor() {
    for (rows, heads) in [(10, 4), (12, 4), (8, 0)] {
        let memory = Memory::default().floats("blk.0.attn_q.weight", &[rows, 1], &vec![0.0; rows]);
        let layout = GgufLayout { heads, ..layout("llama") };
        let model = Renamed::gguf(Arc::new(memory), layout);
        let error = model.read("layers.0.self_attn.q_proj.weight").unwrap_err();
        assert!(
            matches!(error, SourceError::Convert { .. }) && error.to_string().contains("blk.0.attn_q.weight")
        );
    }
}

#[test]
fn gguf_names() {
    let memory = Memory::default()
        .floats("token_embd.weight", &[1, 1], &[1.0])
        .floats("output_norm.weight", &[1], &[2.0])
        .floats("blk.0.post_attention_norm.weight", &[1], &[3.0])
        .floats("blk.0.attn_sinks.weight", &[1], &[4.0])
        .floats("blk.0.ffn_gate_inp.bias", &[1], &[5.0])
        .floats("blk.0.ffn_down_exps.weight", &[1, 1, 1], &[6.0])
        .floats("rope_freqs.weight", &[1], &[7.0]);
    let model = Renamed::gguf(Arc::new(memory), layout("gpt-oss"));
    for (name, value) in [
        ("embed_tokens.weight", 1.0),
        ("norm.weight", 2.0),
        ("layers.0.post_attention_layernorm.weight", 3.0),
        ("layers.0.self_attn.sinks", 4.0),
        ("layers.0.mlp.router.bias", 5.0),
        ("layers.0.mlp.experts.down_proj.weight", 6.0),
        ("rope_freqs.weight", 7.0),
    ] {
        assert_eq!(values(&model, name), [value], "{name}");
    }
    assert!(model.find("lm_head.weight").is_none());
}

#[test]
fn what_is_renamed_for_gguf_is_renamed_back() {
    let (heads, kv_heads, width) = (4, 2, 8);
    let modules =
        [("self_attn.q_proj", heads * width), ("self_attn.k_proj", kv_heads * width), ("mlp.up_proj", 5)];
    let mut memory = Memory::default().floats("norm.weight", &[3], &[1.0, 2.0, 3.0]);
    let mut names = vec!["norm.weight".to_owned(), "layers.0.unheard_of.weight".to_owned()];
    for (module, rows) in modules {
        for (leaf, shape) in [("weight", vec![rows, 4]), ("bias", vec![rows])] {
            let len = shape.iter().product();
            let floats: Vec<f32> = (0..len).map(|i| i as f32).collect();
            names.push(format!("layers.0.{module}.{leaf}"));
            memory = memory.floats(names.last().unwrap(), &shape, &floats);
        }
    }
    let memory = Arc::new(memory);
    for arch in ["llama", "qwen3", "gpt-oss"] {
        let stored = ForGguf::new(memory.clone(), layout(arch), names.iter().map(String::as_str));
        assert!(stored.find("blk.0.unheard_of.weight").is_none());
        if arch == "llama" {
            assert_rows_agree(&stored, "blk.0.attn_q.weight");
        }
        let moved = values(&stored, "blk.0.attn_k.bias");
        let want = [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0, 8.0];
        assert_eq!(moved[..9] == want, arch == "llama", "{arch}: {moved:?}");
        let back = Renamed::gguf(Arc::new(stored), layout(arch));
        for name in names.iter().filter(|name| !name.contains("unheard_of")) {
            assert_eq!(values(&back, name), values(&*memory, name), "{arch}: {name}");
        }
    }
}
