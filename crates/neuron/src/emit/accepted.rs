//! What the compiler is documented to take, as data with its sources. A module with anything else is refused here, by
//! the node that it came of, and not hours later by a compiler elsewhere.

use graph::BackendError;
use hlo::{Element, Instruction, Module, Op};

use crate::unsupported;

/// AWS's own emitter of modules for neuronx-cc (aws-neuron/nkipy, `nkipy/src/nkipy/core/backend/hlo.py`): the opcodes
/// that it writes.
const NKIPY: &str = "NKIPy's hlo.py";
/// The Neuron SDK's pages on error codes EHCA005 and EVRF015, which list the targets of custom calls.
const CODES: &str = "the SDK's error codes EHCA005 and EVRF015";

/// Which elements an instruction takes and gives.
#[derive(Clone, Copy, PartialEq)]
enum Elements {
    Any,
    /// Whole numbers are multiplied through f32 there, and so not exactly.
    Floats,
}

/// An opcode, its elements, and who says so.
type Row = (&'static str, Elements, &'static str);

const OPCODES: &[Row] = &[
    ("parameter", Elements::Any, NKIPY),
    ("constant", Elements::Any, NKIPY),
    ("copy", Elements::Any, NKIPY),
    ("negate", Elements::Any, NKIPY),
    ("exponential", Elements::Floats, NKIPY),
    ("log", Elements::Floats, NKIPY),
    ("sqrt", Elements::Floats, NKIPY),
    ("sine", Elements::Floats, NKIPY),
    ("cosine", Elements::Floats, NKIPY),
    ("tanh", Elements::Floats, NKIPY),
    ("floor", Elements::Floats, NKIPY),
    ("add", Elements::Any, NKIPY),
    ("subtract", Elements::Any, NKIPY),
    ("multiply", Elements::Any, NKIPY),
    ("divide", Elements::Any, NKIPY),
    ("maximum", Elements::Any, NKIPY),
    ("minimum", Elements::Any, NKIPY),
    ("and", Elements::Any, NKIPY),
    ("compare", Elements::Any, NKIPY),
    ("select", Elements::Any, NKIPY),
    ("convert", Elements::Any, NKIPY),
    ("iota", Elements::Any, NKIPY),
    ("reshape", Elements::Any, NKIPY),
    ("broadcast", Elements::Any, NKIPY),
    ("transpose", Elements::Any, NKIPY),
    ("slice", Elements::Any, NKIPY),
    ("pad", Elements::Any, NKIPY),
    ("concatenate", Elements::Any, NKIPY),
    ("gather", Elements::Any, NKIPY),
    ("scatter", Elements::Any, NKIPY),
    ("reduce", Elements::Any, NKIPY),
    ("dot", Elements::Floats, NKIPY),
    ("all-reduce", Elements::Floats, NKIPY),
    ("all-gather", Elements::Any, NKIPY),
    ("custom-call", Elements::Any, CODES),
    ("tuple", Elements::Any, NKIPY),
    ("get-tuple-element", Elements::Any, NKIPY),
];

/// Targets of custom calls that modules here may name.
const TARGETS: &[&str] =
    &["AwsNeuronTopK", "AwsNeuronCustomNativeKernel", "QuantizeMX", "__op$block_scaled_dot"];

/// Refuses a module with an instruction that no source says the compiler takes.
pub(super) fn check(module: &Module) -> Result<(), BackendError> {
    let instructions = module.computations.iter().flat_map(|it| &it.instructions);
    for instruction in instructions {
        if let Some(reason) = fault(instruction) {
            let (opcode, path) = (instruction.op.opcode(), &instruction.path);
            let what = if path.is_empty() { opcode.to_owned() } else { format!("{opcode} in `{path}`") };
            return Err(unsupported(what, reason));
        }
    }
    Ok(())
}

fn fault(instruction: &Instruction) -> Option<String> {
    let opcode = instruction.op.opcode();
    let Some((_, elements, source)) = OPCODES.iter().find(|row| row.0 == opcode) else {
        return Some("no document says that neuronx-cc takes it".to_owned());
    };
    let fits = |element: Element| *elements == Elements::Any || element.is_float();
    if let Some(shape) = instruction.ty.arrays().iter().find(|shape| !fits(shape.element)) {
        return Some(format!("it is of {}, and {source} has it for floats", shape.element));
    }
    match &instruction.op {
        Op::CustomCall { target, .. } if !TARGETS.contains(&target.as_str()) => {
            Some(format!("its target `{target}` is none that {source} and AWS's kernels name"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hlo::{Binary, Builder, Shape, Type};

    use super::*;

    #[test]
    fn what_no_document_names_is_refused_by_its_node() {
        let refused = |write: &dyn Fn(&mut Builder) -> hlo::Id| {
            let mut b = Builder::new();
            b.at("layers.3.mlp");
            let made = write(&mut b);
            check(&b.finish("m", &[("y", made)], &[])).unwrap_err().to_string()
        };
        let whole = |b: &mut Builder| b.input("x", Shape::new(Element::S32, [4, 4]));
        let sort = refused(&|b| {
            let x = whole(b);
            let pair = [Element::S32; 2];
            let computation = b.computation("less", &pair, |b, ab| b.compare(hlo::Compare::Lt, ab[0], ab[1]));
            b.push(Op::Sort { dimension: 0, computation }, &[x])
        });
        assert!(sort.contains("sort in `layers.3.mlp`: no document"), "{sort}");
        let reduce = refused(&|b| {
            let x = whole(b);
            let computation = b.fold(Binary::Add, Element::S32);
            b.push(Op::AllReduce { groups: vec![vec![0]], computation }, &[x])
        });
        assert!(reduce.contains("all-reduce in `layers.3.mlp`: it is of s32"), "{reduce}");
        let call = refused(&|b| {
            let x = whole(b);
            let ty = Type::Array(Shape::new(Element::S32, [4]));
            b.push(Op::CustomCall { target: "Mystery".to_owned(), config: String::new(), ty }, &[x])
        });
        assert!(call.contains("`Mystery`"), "{call}");
    }
}
