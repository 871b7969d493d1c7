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
