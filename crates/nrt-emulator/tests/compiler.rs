//! The stand-in compiler is called as neuronx-cc is, and refuses what that is documented to refuse.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

use std::path::Path;
use std::process::{Command, Output};

use hlo::{Binary, Builder, Compare, Dot, Element, Literal, Module, Op, Shape, Type, Unary};
use tempfile::TempDir;

fn compile(module: &[u8], flags: &[&str]) -> (Output, TempDir) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("m.pb"), module).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_neuronx-cc"));
    command.current_dir(folder.path()).args(["compile", "m.pb"]).args(flags).args(["--output", "m.neff"]);
    (command.output().unwrap(), folder)
}

const FLAGS: &[&str] = &["--framework", "XLA", "--target", "trn2"];

fn refusal(module: &[u8], flags: &[&str]) -> String {
    let (output, folder) = compile(module, flags);
    assert!(!output.status.success() && !Path::exists(&folder.path().join("m.neff")));
    String::from_utf8(output.stderr).unwrap()
}

fn copying(element: Element) -> Module {
    let mut b = Builder::new();
    let x = b.input("x", Shape::new(element, [4]));
    let y = b.unary(Unary::Copy, x);
    b.finish("copying", &[("y", y)], &[])
}

#[test]
fn flags_are_taken_as_neuronx_cc_takes_them() {
    let module = copying(Element::F32).encode();
    let more: &[&str] = &[
        "--model-type=transformer",
        "-O1",
        "--lnc",
        "2",
        "--pipeline",
        "compile",
        "SaveTemps",
        "--verbose",
        "35",
    ];
    let (output, folder) = compile(&module, &[FLAGS, more].concat());
    assert!(output.status.success(), "{output:?}");
    let neff = std::fs::read(folder.path().join("m.neff")).unwrap();
    assert_eq!((&neff[8..10], neff[552]), (&1024u16.to_le_bytes()[..], 2));
    for (flags, reason) in [
        (&["--target", "trn2"][..], "--framework"),
        (&["--framework", "XLA"], "--target"),
        (&["--framework", "XLA", "--target", "h100"], "h100"),
        (&["--framework", "XLA", "--target", "trn1", "--lnc=2"], "NCC_EARG001"),
        (&["--framework", "XLA", "--target", "trn2", "--faster"], "--faster"),
    ] {
        let text = refusal(&module, flags);
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn modules_that_the_compiler_does_not_take_are_refused() {
    assert!(refusal(b"no module", FLAGS).contains("NCC_EVRF064"));
    let text = refusal(&copying(Element::F8E4M3FN).encode(), FLAGS);
    assert!(text.contains("240"), "{text}");
    let (output, _folder) =
        compile(&copying(Element::F8E4M3FN).encode(), &["--framework", "XLA", "--target", "trn3"]);
    assert!(output.status.success());
    let mut b = Builder::new();
    let shape = Shape::new(Element::F32, [4]);
    let x = b.input("x", shape.clone());
    let call = Op::CustomCall { target: "Mystery".to_owned(), config: String::new(), ty: Type::Array(shape) };
    let y = b.push(call, &[x]);
    let text = refusal(&b.finish("m", &[("y", y)], &[]).encode(), FLAGS);
    assert!(text.contains("Mystery"), "{text}");
    let mut module = copying(Element::F32);
    module.aliases = vec![hlo::Alias { output: 0, input: 0 }];
    let text = refusal(&module.encode(), FLAGS);
    assert!(text.contains("y.must_alias_input"), "{text}");
}

/// Two matrices of a type multiplied.
fn product(element: Element) -> Module {
    let mut b = Builder::new();
    let x = b.input("x", Shape::new(element, [4, 4]));
    let dims = Dot {
        lhs_contracting: vec![1],
        rhs_contracting: vec![0],
        lhs_batch: vec![],
        rhs_batch: vec![],
        element,
    };
    let y = b.dot(dims, x, x);
    b.finish("product", &[("y", y)], &[])
}

#[test]
fn whole_numbers_that_would_be_rounded_are_refused() {
    assert!(refusal(&product(Element::S32).encode(), FLAGS).contains("NCC_EVRF035"));
    assert!(compile(&product(Element::F32).encode(), FLAGS).0.status.success());
    let mut b = Builder::new();
    let (x, at) =
        (b.input("x", Shape::new(Element::S32, [4, 2])), b.input("at", Shape::new(Element::S32, [1])));
    let row = b.input("row", Shape::new(Element::S32, [1, 2]));
    let y = b.replace_rows(x, at, row);
    assert!(refusal(&b.finish("m", &[("y", y)], &[]).encode(), FLAGS).contains("NCC_EVRF060"));
    let mut b = Builder::new();
    let x = b.input("x", Shape::new(Element::S32, [4]));
    let computation = b.fold(Binary::Add, Element::S32);
    let y = b.push(Op::AllReduce { groups: vec![vec![0, 1]], computation }, &[x]);
    assert!(refusal(&b.finish("m", &[("y", y)], &[]).encode(), FLAGS).contains("NCC_EVRF061"));
}

#[test]
fn types_and_operations_that_are_not_known_are_refused_by_name() {
    // Four-bit floats have the number 32, which no element of ours has, where the type of an f32 stood.
    let good = copying(Element::F32).encode();
    let at = good.windows(4).position(|bytes| bytes == [0x10, 11, 0x1a, 1]).unwrap();
    let mut unknown = good.clone();
    unknown[at + 1] = 32;
    let text = refusal(&unknown, FLAGS);
    assert!(text.contains("NCC_EVRF064") && text.contains("elements of type number 32"), "{text}");
    let mut unknown = good;
    let places: Vec<_> = (0..unknown.len() - 4).filter(|&at| unknown[at..at + 4] == *b"copy").collect();
    places.iter().for_each(|&at| unknown[at..at + 4].copy_from_slice(b"erfc"));
    let text = refusal(&unknown, FLAGS);
    assert!(text.contains("is a erfc, which is not known here"), "{text}");
}

#[test]
fn a_loop_that_depends_on_data_is_refused() {
    let mut b = Builder::new();
    let end = b.input("end", Shape::new(Element::S32, [1]));
    let end = b.reshape(end, &[]);
    let nought = b.constant(Literal::s32(0));
    let last = b.repeat(
        "count",
        &[nought, end],
        |b, values| b.compare(Compare::Lt, values[0], values[1]),
        |b, values| {
            let one = b.constant(Literal::s32(1));
            vec![b.binary(Binary::Add, values[0], one), values[1]]
        },
    );
    let text = refusal(&b.finish("m", &[("y", last[0])], &[]).encode(), FLAGS);
    assert!(text.contains("cannot be counted"), "{text}");
}

#[test]
fn only_trn3_multiplies_blocks_under_scales() {
    let mut b = Builder::new();
    let x = b.input("x", Shape::new(Element::BF16, [4, 64]));
    let ty = Type::Tuple(vec![Shape::new(Element::U32, [4, 16]), Shape::new(Element::U8, [4, 2])]);
    let config = r#"{"dtype":"float8_e4m3fn","dim":-1,"block_size":32}"#;
    let call = |config: &str| Op::CustomCall {
        target: "QuantizeMX".to_owned(),
        config: config.to_owned(),
        ty: ty.clone(),
    };
    let both = b.push(call(config), &[x]);
    let (words, scales) = (b.part(both, 0), b.part(both, 1));
    let mut module = b.finish("m", &[("words", words), ("scales", scales)], &[]);
    let trn3 = &["--framework", "XLA", "--target", "trn3"];
    assert!(compile(&module.encode(), trn3).0.status.success());
    assert!(refusal(&module.encode(), FLAGS).contains("NCC_EVRF051"));
    for (config, code) in [
        ("not JSON", "NCC_EVRF036"),
        (r#"{"dtype":"float8_e4m3fn","dim":0}"#, "NCC_EVRF038"),
        (r#"{"dtype":"float8_e4m3fn","dim":-1,"block_size":16}"#, "NCC_EVRF039"),
        (r#"{"dtype":"float8_e4m3fn","dim":-1,"scale_method":"MAX"}"#, "NCC_EVRF040"),
        (r#"{"dtype":"float4_e2m1fn","dim":-1}"#, "NCC_EVRF042"),
    ] {
        let entry = module.computations.last_mut().unwrap();
        let at = entry.instructions.iter().position(|it| it.op.opcode() == "custom-call").unwrap();
        entry.instructions[at].op = call(config);
        let text = refusal(&module.encode(), trn3);
        assert!(text.contains(code), "{config}: {text}");
    }
}

#[test]
fn it_says_what_it_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_neuronx-cc")).arg("--version").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("stand-in"));
}
