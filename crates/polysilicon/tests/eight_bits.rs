//! Checkpoints whose matrices are 8-bit floats with scales beside them, in each of the ways that are published, against
//! checkpoints of the values that they stand for.

use std::path::Path;

use polysilicon::{DType, Device, Error, Model, Precision, Quantize};
use serde_json::{Map, Value, json};
use tensor::blocks::e4m3;

/// A tensor of a checkpoint: its name, type, shape and bytes.
struct Stored(String, &'static str, Vec<usize>, Vec<u8>);

/// Bytes that look random and are the same every time.
struct Noise(u32);

impl Noise {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 24) as u8
    }
}

fn f32s(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// A matrix of 8-bit floats with its scales, and the same in f32.
fn matrix(name: &str, [rows, cols]: [usize; 2], noise: &mut Noise) -> (Vec<Stored>, Stored) {
    // Up to 30: of a sign and of exponents that make a model whose logits differ.
    let codes = (0..rows * cols).map(|_| noise.byte() & 0xdf).collect::<Vec<_>>();
    let (ending, per_row, per_block) = match name.rsplit('.').nth(1) {
        Some("q_proj" | "gate_proj" | "down_proj") => ("_scale_inv", false, true),
        Some("k_proj" | "v_proj") => ("_scale", true, false),
        _ => ("_scale", false, false),
    };
    let scale = |row: usize, col: usize| {
        let row = if per_row { row } else { row / 128 * usize::from(per_block) };
        0.003 * (1.0 + 0.1 * row as f32 + 0.2 * (col / 128 * usize::from(per_block)) as f32)
    };
    let (down, across) = match (per_row, per_block) {
        (true, _) => (rows, 1),
        (_, true) => (rows.div_ceil(128), cols.div_ceil(128)),
        _ => (1, 1),
    };
    let row_of = |place: usize| if per_row { place } else { place * 128 };
    let scales = (0..down).flat_map(|i| (0..across).map(move |j| (row_of(i), j * 128)));
    let scales = f32s(scales.map(|(row, col)| scale(row, col)));
    let values = f32s((0..rows * cols).map(|i| scale(i / cols, i % cols) * e4m3(codes[i])));
    let shape = if per_row || per_block { vec![down, across] } else { vec![] };
    let narrow = vec![
        Stored(name.to_owned(), "F8_E4M3", vec![rows, cols], codes),
        Stored(format!("{name}{ending}"), "F32", shape, scales),
        // Of activations, which are not rounded here.
        Stored(name.replace(".weight", ".input_scale"), "F32", vec![], f32s([0.25])),
    ];
    (narrow, Stored(name.to_owned(), "F32", vec![rows, cols], values))
}

/// A model in 8-bit floats, and the same in f32.
fn tensors() -> [Vec<Stored>; 2] {
    let (mut narrow, mut wide, mut noise) = (vec![], vec![], Noise(5));
    let mut floats = |name: &str, shape: &[usize], centre: f32| {
        let values =
            f32s((0..shape.iter().product()).map(|_| centre + f32::from(noise.byte()) / 256.0 - 0.5));
        for side in [&mut narrow, &mut wide] {
            side.push(Stored(name.to_owned(), "F32", shape.to_vec(), values.clone()));
        }
    };
    floats("model.embed_tokens.weight", &[64, 128], 0.0);
    floats("lm_head.weight", &[64, 128], 0.0);
    floats("model.norm.weight", &[128], 1.0);
    for layer in 0..2 {
        floats(&format!("model.layers.{layer}.input_layernorm.weight"), &[128], 1.0);
        floats(&format!("model.layers.{layer}.post_attention_layernorm.weight"), &[128], 1.0);
    }
    for layer in 0..2 {
        for (module, shape) in [
            ("self_attn.q_proj", [256, 128]),
            ("self_attn.k_proj", [128, 128]),
            ("self_attn.v_proj", [128, 128]),
            ("self_attn.o_proj", [128, 256]),
            ("mlp.gate_proj", [384, 128]),
            ("mlp.up_proj", [384, 128]),
            ("mlp.down_proj", [128, 384]),
        ] {
            let (few, many) = matrix(&format!("model.layers.{layer}.{module}.weight"), shape, &mut noise);
            narrow.extend(few);
            wide.push(many);
        }
    }
    [narrow, wide]
}

/// A folder that holds a checkpoint.
fn folder(tensors: &[Stored], quantization: Option<Value>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128, "intermediate_size": 384,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "num_hidden_layers": 2,
        "vocab_size": 64, "rms_norm_eps": 1e-5, "max_position_embeddings": 128, "tie_word_embeddings": false,
        "hidden_act": "silu",
    });
    if let Some(quantization) = quantization {
        config["quantization_config"] = quantization;
    }
    write(folder.path(), "config.json", config.to_string().as_bytes());
    let (mut header, mut data) = (Map::new(), vec![]);
    for Stored(name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
        data.extend(bytes);
    }
    let header = Value::Object(header).to_string();
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    write(folder.path(), "model.safetensors", &file);
    folder
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).expect("written");
}

fn logits(folder: &Path, device: Device) -> Result<Vec<f32>, Error> {
    let model = Model::open(&folder.to_string_lossy())?.device(device).precision(Precision::F32);
    let model = model.kv(DType::F32).ids_only().load()?;
    Ok(model.logits(&[3, 60, 11, 42, 7])?.values)
}

#[test]
fn eight_bit_floats_are_the_values_that_they_stand_for() -> Result<(), Error> {
    let [narrow, wide] = tensors();
    let narrow = folder(&narrow, Some(json!({"quant_method": "fp8", "weight_block_size": [128, 128]})));
    let wide = folder(&wide, None);
    for device in [Device::Reference, Device::Cpu] {
        let wanted = logits(wide.path(), device)?;
        let spread = wanted.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        assert!(spread > 0.5 && spread.is_finite(), "logits of {spread} tell nothing");
        assert_eq!(logits(narrow.path(), device)?, wanted, "the same bits");
    }
    let model = Model::open(&narrow.path().to_string_lossy())?.ids_only().load()?;
    let of = |ending: &str| model.graph().weights.iter().find(|weight| weight.name.ends_with(ending));
    assert_eq!(of("gate_proj.weight").map(|weight| weight.info.dtype), Some(DType::F8_E4M3));
    assert_eq!(of("lm_head.weight").map(|weight| weight.info.dtype), Some(DType::F32));
    Ok(())
}

#[test]
fn they_are_made_at_load_and_gguf_has_none() -> Result<(), Error> {
    let target = "f8_e4m3".parse().expect("a type");
    let model = Model::open_quantized("embedded", target)?.ids_only().load()?;
    let is_narrow = |weight: &&graph::WeightSpec| weight.info.dtype == DType::F8_E4M3;
    assert!(model.graph().weights.iter().filter(is_narrow).count() > 6);
    assert_eq!(model.logits(&[709, 777])?.values.iter().find(|x| !x.is_finite()), None);

    let out = tempfile::tempdir().expect("a folder");
    let opened = polysilicon::Opened::find("embedded", None)?;
    let error = Quantize::new(opened, target).write(&out.path().join("tiny.gguf")).expect_err("no such type");
    let sentence = error.to_string();
    assert!(sentence.contains("no type f8_e4m3") && sentence.contains("q8_0"), "{sentence}");
    Ok(())
}

#[test]
fn a_checkpoint_without_its_scales_is_refused_by_name() {
    let [mut narrow, _] = tensors();
    narrow.retain(|Stored(name, ..)| name != "model.layers.1.mlp.up_proj.weight_scale");
    let error = logits(folder(&narrow, None).path(), Device::Cpu).expect_err("it has no scale");
    assert!(error.to_string().contains("layers.1.mlp.up_proj.weight"), "{error}");
}
