//! The command `neuronx-cc` of the emulator. It compiles nothing: it checks a module and packs it for the emulator.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match nrt_emulator::compile(&arguments) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("neuronx-cc (stand-in): {error}");
            ExitCode::FAILURE
        }
    }
}
