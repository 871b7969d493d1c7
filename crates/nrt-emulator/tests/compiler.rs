//! The stand-in compiler is called as neuronx-cc is, and refuses what that is documented to refuse.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

use std::path::Path;
use std::process::{Command, Output};

use hlo::{Builder, Element, Module, Op, Shape, Type, Unary};
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

#[test]
fn it_says_what_it_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_neuronx-cc")).arg("--version").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("stand-in"));
}
