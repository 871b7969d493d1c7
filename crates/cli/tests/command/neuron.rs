//! `--device neuron`, on the emulator of libnrt: the library and the stand-in for neuronx-cc are given by their paths.

use std::process::Command;

use crate::program::{Ended, ended, program};

/// The program where the emulator is libnrt.
fn emulated(args: &[&str], programs: &tempfile::TempDir) -> Command {
    let mut command = program(args);
    let compiler = nrt_emulator::compiler_path();
    let compiler = compiler.expect("`cargo build --release -p polysilicon-nrt-emulator` builds neuronx-cc");
    command.env("POLYSILICON_LIBNRT", nrt_emulator::library_path()).env("POLYSILICON_NEURONX_CC", compiler);
    command.env("POLYSILICON_NEURON_CACHE", programs.path());
    command
}

fn run(device: &str, args: &[&str], programs: &tempfile::TempDir) -> Ended {
    let common =
        ["run", "--device", device, "--kv", "f32", "--precision", "f32", "--context", "64", "-n", "12"];
    ended(emulated(&[&common[..], args].concat(), programs))
}

#[test]
fn the_emulator_gives_the_references_tokens_and_says_what_it_is() {
    let programs = tempfile::tempdir().expect("there is room for files");
    for args in [&["-p", "The cat", "--json"][..], &["-p", "The cat", "--json", "--temperature", "0.8"]] {
        let ours = run("neuron", args, &programs).json();
        let theirs = run("reference", args, &programs).json();
        assert_eq!(ours["ids"], theirs["ids"]);
        assert_eq!(ours["device"], "neuron (emulated)");
        let timing = &ours["timing"];
        assert_eq!(timing["emulated"], true);
        assert!(timing["simulated_s"].as_f64() > Some(0.0) && timing["ttft_s"].is_null(), "{timing}");
    }
    let said = run("neuron", &["-p", "The cat"], &programs);
    assert!(said.err.contains("ms of simulated time, on neuron (emulated)"), "{}", said.err);
    assert!(!said.err.contains("tokens/s"), "{}", said.err);
}

#[test]
fn the_emulator_is_listed_as_one_and_auto_never_takes_it() {
    let programs = tempfile::tempdir().expect("there is room for files");
    let found = ended(emulated(&["devices", "--json"], &programs)).json();
    let devices = found["devices"].as_array().expect("a list");
    let neuron = devices.iter().find(|device| device["name"] == "neuron").expect("it is present");
    assert_eq!((&neuron["emulated"], &neuron["auto"]), (&true.into(), &false.into()));
    let description = neuron["description"].as_str().expect("words");
    assert!(description.contains("4 logical cores") && description.contains("emulated"), "{description}");
}

#[test]
fn a_bench_on_the_emulator_gives_simulated_times() {
    let programs = tempfile::tempdir().expect("there is room for files");
    let args =
        ["bench", "--device", "neuron", "--prompt", "0", "--output", "4", "--rounds", "2", "--json", "-"];
    let report = ended(emulated(&args, &programs)).json();
    assert_eq!(report["emulated"], true);
    // The same work takes the same simulated time whenever it is done.
    let rounds = report["results"][0]["rounds"].as_array().expect("a list");
    assert_eq!(rounds[0], rounds[1]);
}

#[test]
fn cores_that_are_not_there_and_a_library_that_is_not_are_told() {
    let programs = tempfile::tempdir().expect("there is room for files");
    let beyond = run("neuron:9", &["-p", "a"], &programs).sentence(1);
    assert!(beyond.contains("there is no core 9") && beyond.contains("4 of them"), "{beyond}");
    let mut command = emulated(&["run", "--device", "neuron"], &programs);
    command.env("POLYSILICON_LIBNRT", "/no/such/libnrt.so");
    let absent = ended(command).sentence(1);
    assert!(absent.contains("/no/such/libnrt.so") && absent.contains("POLYSILICON_LIBNRT"), "{absent}");
    assert!(absent.contains("Devices present: cpu, reference"), "{absent}");
}

#[test]
fn cores_work_together_and_take_their_programs_from_a_bundle() {
    let folder = tempfile::tempdir().expect("there is room for files");
    let out = folder.path().join("bundle").to_str().expect("a path").to_owned();
    let text = |args: &[&str], device| {
        let common = ["run", "-p", "The cat", "--json", "--context", "64", "-n", "8"];
        let mut command = emulated(&[&common, args, &["--device", device]].concat(), &folder);
        // A bundle needs no compiler, and the one that there is would be noticed.
        command.env("POLYSILICON_NEURONX_CC", if args.contains(&"--bundle") { "/no/such" } else { "" });
        command
    };
    let exact = ["--kv", "f32", "--precision", "f32"];
    let theirs = ended(text(&exact, "reference")).json();
    for ranks in ["1", "2"] {
        let compiler = nrt_emulator::compiler_path().expect("it was built");
        let mut command = text(&[&exact[..], &["--tp", ranks]].concat(), "neuron");
        command.env("POLYSILICON_NEURONX_CC", compiler);
        assert_eq!(ended(command).json()["ids"], theirs["ids"], "{ranks} ranks");
    }
    let args = ["compile", "--target", "trn2", "--tp", "2", "--context", "64", "--out", &out, "--json"];
    let manifest = ended(emulated(&args, &folder)).json();
    assert_eq!(manifest["programs"].as_array().map(Vec::len), Some(2));
    let ours = ended(text(&["--bundle", &out], "neuron")).json();
    assert_eq!(ours["ids"].as_array().map(Vec::len), theirs["ids"].as_array().map(Vec::len));
    // Keys and values of another type are another model.
    let other = ended(text(&["--bundle", &out, "--kv", "f32"], "neuron")).sentence(1);
    assert!(other.contains("is of embedded") && other.contains("compile this model"), "{other}");
}
