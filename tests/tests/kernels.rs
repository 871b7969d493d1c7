//! What the kernels for Neuron chips compute, as numpy says it tile by tile, against the reference; and that a module with
//! kernels put in differs in nothing else.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use graph::{Bucket, Op};
use hlo::{Builder, Element, Module, Shape, Type};
use neuron::{Dialect, Form, Narrow};
use polysilicon_tests::conformance::{Data, PAGE_LEN};
use polysilicon_tests::golden::root;
use polysilicon_tests::xla::Xla;
use serde_json::{Value as Json, json};
use tensor::{DType, ErrorStats, Value, WeightInfo, blocks};

fn folder() -> PathBuf {
    root().join("../kernels/neuron")
}

/// Runs a Python program on some input, for what it prints.
fn python(program: &std::ffi::OsStr, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder()).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
    child.stdin.take().expect("it is piped").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{arguments:?} ended with {}", output.status);
    output.stdout
}

/// What a kernel's twin gives for arrays, each of a type of numpy, a shape and bytes.
fn twin(kernel: &str, numbers: Json, arrays: &[(&str, &[usize], Vec<u8>)]) -> Vec<f32> {
    let described = arrays.iter().map(|(dtype, shape, _)| json!([dtype, shape])).collect::<Vec<_>>();
    let request = json!({ "kernel": kernel, "numbers": numbers, "arrays": described });
    let mut input = format!("{request}\n").into_bytes();
    arrays.iter().for_each(|(_, _, bytes)| input.extend(bytes));
    let output = python(&Xla::python().expect("the test asked for it"), &["twins.py"], &input);
    output.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// A value's elements in f32.
fn decoded(value: &Value) -> Vec<f32> {
    let mut values = vec![0.0; value.shape.iter().product()];
    blocks::decode(value.dtype, value.data.as_slice::<u8>(), &mut values);
    values
}

#[test]
fn paged_attention_is_attention() {
    if !Xla::is_present() {
        return;
    }
    let (seqs, heads, kv_heads, width, pages) = (2usize, 4, 2, 32, 64);
    let (slots, scale, mut data) = (PAGE_LEN as usize, 0.25f32, Data::of("paged attention"));
    let q = Value::f32s([seqs, heads, width], &decoded(&data.rounded(DType::BF16, &[seqs, heads, width])));
    let pool = seqs * pages + 1;
    let [keys, values] = [0, 1].map(|_| data.rounded(DType::BF16, &[pool, slots, kv_heads, width]));
    let table = data.shuffled(1, seqs * pages);
    let positions = [200, 77];
    let whole = |shape: &[usize], values: &[i32]| Value::i32s(tensor::Shape::new(shape), values);
    let args = vec![
        q.clone(),
        keys.clone(),
        values.clone(),
        whole(&[seqs], &positions),
        whole(&[seqs], &[0, 1]),
        whole(&[seqs, pages], &table),
        whole(&[seqs], &[0, 0]),
    ];
    let bucket = Bucket { tokens: 2, seqs: 2, queries: 1, pages: pages as u32, rows: 0 };
    let op = Op::Attention { scale, window: None };
    let wanted = reference::eval(&op, &args, PAGE_LEN, &bucket, false).unwrap();

    let rows = table.iter().flat_map(|&page| (0..slots as u32).map(move |place| page as u32 * 4 + place));
    let rows = rows.flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    let lengths = positions.map(|position| position as f32 + 1.0);
    let flat = [pool * slots, kv_heads, width];
    let found = twin(
        "paged_attention",
        json!([scale]),
        &[
            ("float32", &[seqs, heads, width], f32s(q.as_f32s())),
            ("float32", &flat, f32s(&decoded(&keys))),
            ("float32", &flat, f32s(&decoded(&values))),
            ("uint32", &[seqs, pages * slots], rows),
            ("float32", &[seqs, 1], f32s(&lengths)),
        ],
    );
    // The weights of positions are rounded to bf16.
    let stats = ErrorStats::new(&found, wanted[0].as_f32s());
    assert!(stats.within(1e-4) && !stats.within(1e-12), "{stats}");
}

#[test]
fn mxfp4_products_are_products() {
    if !Xla::is_present() {
        return;
    }
    let (experts, rows, width) = (3usize, 128, 64);
    let mut data = Data::of("mxfp4 product");
    let weights = data.weight(DType::MXFP4, &[experts, rows, width]);
    let x = data.f32s(&[2, width]);
    let chosen = [2usize, 0];
    let info = WeightInfo { dtype: weights.dtype, shape: weights.shape };
    let form = Form::Narrow(Narrow::Mxfp4, Dialect::Stock);
    let [codes, scales] = form.pack(&info, weights.data.as_slice::<u8>());
    let scales = scales.as_chunks().0.iter().map(|&[a, b]| f32::from_bits(u32::from_le_bytes([0, 0, a, b])));
    let scales = scales.collect::<Vec<_>>();
    let ids = chosen.iter().flat_map(|&expert| (expert as u32).to_le_bytes()).collect();
    let found = twin(
        "mxfp4_product",
        json!([]),
        &[
            ("float32", &[2, width], f32s(x.as_f32s())),
            ("uint8", &[experts, rows, width / 32, 16], codes),
            ("float32", &[experts, rows, width / 32], f32s(&scales)),
            ("uint32", &[2], ids),
        ],
    );
    let dense = decoded(&weights);
    let wanted = x.as_f32s().chunks_exact(width).zip(chosen).flat_map(|(x, expert)| {
        let matrix = &dense[expert * rows * width..][..rows * width];
        let w = Value::f32s([rows, width], matrix);
        let x = Value::f32s([1, width], x);
        let y = reference::eval(&Op::Linear, &[x, w], PAGE_LEN, &Bucket::default(), false).unwrap();
        y[0].as_f32s().to_vec()
    });
    let stats = ErrorStats::new(&found, &wanted.collect::<Vec<_>>());
    assert!(stats.within(1e-12), "{stats}");
}

/// A sum of two calls, one of them of a kernel.
fn module(config: &str) -> Module {
    let shape = Shape::new(Element::F32, [300]);
    let mut b = Builder::new();
    let x = b.input("x", shape.clone());
    let mut call = |target: &str, config: &str| {
        let (target, config) = (target.to_owned(), config.to_owned());
        b.push(hlo::Op::CustomCall { target, config, ty: Type::Array(shape.clone()) }, &[x])
    };
    let (a, c) = (call("AwsNeuronCustomNativeKernel", config), call("AwsNeuronSilu", "its own"));
    let y = b.binary(hlo::Binary::Add, a, c);
    b.finish("kernels", &[("y", y), ("x_again", x)], &[])
}

#[test]
fn a_module_with_kernels_put_in_differs_in_nothing_else() {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let request = r#"{"kernel":"paged_attention","arguments":[["float32",[300]]],"numbers":[0.5]}"#;
    std::fs::write(path("m.pb"), module(request).encode()).unwrap();
    // What NKI makes of a kernel, longer than what asks for it, so that lengths around it change.
    let program = "import embed; embed.by_nki = lambda r: (r['kernel'] * 40).encode(); embed.main()";
    python("python3".as_ref(), &["-c", program, &path("m.pb"), &path("out.pb")], &[]);
    let embedded = std::fs::read(path("out.pb")).unwrap();
    assert_eq!(embedded, module(&"paged_attention".repeat(40)).encode());
}
