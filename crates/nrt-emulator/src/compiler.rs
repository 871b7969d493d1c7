//! The stand-in for neuronx-cc: checks a module and packs it.

use std::fs;
use std::path::PathBuf;

use hlo::{Computation, Element, Instruction, Module, Op};

use crate::interpret::{Program, is_scaled};
use crate::neff::Neff;
use crate::settings::Chip;

/// What a call of the command asks for.
struct Order {
    input: PathBuf,
    output: PathBuf,
    chip: Chip,
    logical: u32,
}

/// Flags of neuronx-cc with a value that change nothing here.
const WITH_VALUE: &[&str] = &[
    "--framework",
    "--model-type",
    "--optlevel",
    "--auto-cast",
    "--auto-cast-type",
    "--native-int64",
    "--implicit-integer-downcast",
    "--hbm-scratchpad-page-size",
    "--distribution-strategy",
    "--verbose",
    "--logfile",
    "--internal-tensorizer-opt-level",
];
/// Flags of neuronx-cc without one.
const ALONE: &[&str] = &[
    "--enable-fast-loading-neuron-binaries",
    "--enable-fast-context-switch",
    "--enable-saturate-infinity",
    "--disable-mixed-precision-accumulation",
    "--experimental-unsafe-fp8e4m3fn-as-fp8e4m3",
];

/// What the command does with its arguments: the text it prints, or the error.
pub fn compile(arguments: &[String]) -> Result<String, String> {
    match arguments.first().map(String::as_str) {
        Some("--version") => Ok(format!("polysilicon stand-in for neuronx-cc {}", env!("CARGO_PKG_VERSION"))),
        Some("compile") => {
            let order = order(&arguments[1..])?;
            let bytes =
                fs::read(&order.input).map_err(|error| format!("{}: {error}", order.input.display()))?;
            let module = Module::decode(&bytes).map_err(|error| format!("[NCC_EVRF064] {error}"))?;
            check(&module, order.chip)?;
            let name = module.name.clone();
            Program::new(module).map_err(|what| format!("[NCC_EHCA005] {what}"))?;
            let neff = Neff { chip: order.chip, logical: order.logical, module: bytes };
            fs::write(&order.output, neff.encode(&name))
                .map_err(|error| format!("{}: {error}", order.output.display()))?;
            Ok("Compiler status PASS".to_owned())
        }
        _ => Err("usage: neuronx-cc compile FILE --framework XLA --target CHIP --output FILE".to_owned()),
    }
}

fn order(arguments: &[String]) -> Result<Order, String> {
    let (mut input, mut output, mut chip, mut logical, mut framework) = (None, None, None, None, None);
    let mut arguments = arguments.iter().peekable();
    while let Some(argument) = arguments.next() {
        let (flag, attached) = match argument.split_once('=') {
            Some((flag, value)) if flag.starts_with('-') => (flag, Some(value.to_owned())),
            _ => (argument.as_str(), None),
        };
        let mut value = || {
            let next = attached.clone().or_else(|| arguments.next().cloned());
            next.ok_or_else(|| format!("{flag} wants a value"))
        };
        match flag {
            "--target" => {
                let name = value()?;
                chip = Some(Chip::of_name(&name).ok_or_else(|| format!("--target {name} is not known"))?);
            }
            "--output" => output = Some(PathBuf::from(value()?)),
            "--logical-nc-config" | "--lnc" | "-lnc" => {
                logical = Some(value()?.parse().map_err(|_| format!("{flag} is 1 or 2"))?);
            }
            "--framework" => framework = Some(value()?),
            // Several words follow, up to the next flag.
            "--pipeline" => while arguments.next_if(|word| !word.starts_with('-')).is_some() {},
            _ if WITH_VALUE.contains(&flag) => drop(value()?),
            _ if ALONE.contains(&flag) || (flag.starts_with("-O") && flag.len() == 3) => {}
            _ if flag.starts_with('-') => return Err(format!("{flag} is no flag of neuronx-cc")),
            _ => input = Some(PathBuf::from(argument)),
        }
    }
    if framework.as_deref() != Some("XLA") {
        return Err("--framework XLA is needed: the input is an HloModuleProto".to_owned());
    }
    let chip = chip.ok_or("--target is needed")?;
    let most = chip.facts().logical;
    let logical = logical.unwrap_or(most);
    if !(1..=most).contains(&logical) {
        let name = chip.facts().name;
        return Err(format!(
            "[NCC_EARG001] {name} has logical cores of up to {most} cores, not of {logical}"
        ));
    }
    Ok(Order {
        input: input.ok_or("a file is needed")?,
        output: output.ok_or("--output is needed")?,
        chip,
        logical,
    })
}

/// Products, scatters and sums over ranks are computed in f32, so whole numbers of 32 bits are refused.
fn check_whole_numbers(of: &Computation, it: &Instruction) -> Result<(), String> {
    let code = match it.op {
        Op::Dot(_) => "NCC_EVRF035",
        Op::Scatter(_) => "NCC_EVRF060",
        Op::AllReduce { .. } => "NCC_EVRF061",
        _ => return Ok(()),
    };
    let first = it.operands.first().and_then(|id| of.instruction(*id).ty.array());
    match first.map(|shape| shape.element) {
        Some(element @ (Element::S32 | Element::U32)) => {
            Err(format!("[{code}] {} does not support operands of {element} on this target", it.op.opcode()))
        }
        _ => Ok(()),
    }
}

/// What the compiler is documented to refuse.
fn check(module: &Module, chip: Chip) -> Result<(), String> {
    let entry = module.entry();
    let elements = entry.instructions.iter().flat_map(|it| it.ty.arrays()).map(|shape| shape.element);
    if chip != Chip::Trn3 && elements.into_iter().any(|element| element == Element::F8E4M3FN) {
        return Err(format!(
            "[NCC_EVRF051] f8e4m3fn is for trn3; {} has f8e4m3, at most 240",
            chip.facts().name
        ));
    }
    for computation in &module.computations {
        computation.instructions.iter().try_for_each(|it| check_whole_numbers(computation, it))?;
    }
    let calls = entry.instructions.iter().filter_map(|it| match &it.op {
        Op::CustomCall { target, .. } => Some(target),
        _ => None,
    });
    if let Some(call) = calls.filter(|call| is_scaled(call)).find(|_| chip != Chip::Trn3) {
        return Err(format!("[NCC_EVRF051] {call} is for trn3, not for {}", chip.facts().name));
    }
    let root = entry.instruction(entry.root);
    let results: &[hlo::Id] = if root.op == Op::Tuple { &root.operands } else { &[entry.root] };
    if results.iter().any(|id| matches!(entry.instruction(*id).op, Op::Parameter(_))) {
        return Err("a result is an argument as it came; it needs a copy".to_owned());
    }
    for alias in &module.aliases {
        let (input, output) = (&module.inputs[alias.input], &module.outputs[alias.output]);
        if *input != format!("{output}.must_alias_input") {
            return Err(format!(
                "`{output}` takes the place of `{input}`, which must be `{output}.must_alias_input`"
            ));
        }
    }
    Ok(())
}
