//! A module as HLO text, as XLA writes and reads it: for people, and for snapshots that they review.

use std::fmt;

use crate::encode::{INPUT_NAMES, OUTPUT_NAMES};
use crate::shape::commas;
use crate::{Computation, Element, Instruction, Literal, Module, Op, Shape, Type};

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HloModule {}", self.name)?;
        if !self.aliases.is_empty() {
            let single = self.outputs.len() == 1;
            let place = |output: usize| if single { String::new() } else { output.to_string() };
            let alias = |a: &crate::Alias| format!("{{{}}}: ({}, {{}}, may-alias)", place(a.output), a.input);
            let aliases = self.aliases.iter().map(alias).collect::<Vec<_>>().join(", ");
            write!(f, ", input_output_alias={{ {aliases} }}")?;
        }
        writeln!(f)?;
        let mut first = 0;
        for (place, computation) in self.computations.iter().enumerate() {
            let writer = Writer { module: self, first, is_entry: place + 1 == self.computations.len() };
            writeln!(f)?;
            writer.computation(f, computation)?;
            first += computation.instructions.len();
        }
        Ok(())
    }
}

struct Writer<'a> {
    module: &'a Module,
    first: usize,
    is_entry: bool,
}

impl Writer<'_> {
    fn computation(&self, f: &mut fmt::Formatter<'_>, it: &Computation) -> fmt::Result {
        let entry = if self.is_entry { "ENTRY " } else { "" };
        writeln!(f, "{entry}%{} {{", it.name)?;
        for (place, instruction) in it.instructions.iter().enumerate() {
            let root = if place == it.root.0 { "ROOT " } else { "" };
            let name = self.name(it, place);
            write!(f, "  {root}%{name} = {} {}(", laid(&instruction.ty), instruction.op.opcode())?;
            match &instruction.op {
                Op::Parameter(number) => write!(f, "{number}")?,
                Op::Constant(literal) => write!(f, "{}", values(literal))?,
                _ => {
                    let operand = |id: &crate::Id| format!("%{}", self.name(it, id.0));
                    let operands = instruction.operands.iter().map(operand).collect::<Vec<_>>();
                    write!(f, "{}", operands.join(", "))?;
                }
            }
            write!(f, ")")?;
            self.attributes(f, instruction, place == it.root.0)?;
            writeln!(f)?;
        }
        writeln!(f, "}}")
    }

    /// The name that the encoded instruction bears too.
    fn name(&self, it: &Computation, place: usize) -> String {
        format!("{}.{}", it.instructions[place].op.opcode(), self.first + place)
    }

    fn attributes(&self, f: &mut fmt::Formatter<'_>, it: &Instruction, is_root: bool) -> fmt::Result {
        match &it.op {
            Op::Compare(compare) => write!(f, ", direction={}", compare.word())?,
            Op::Iota { dimension, .. } => write!(f, ", iota_dimension={dimension}")?,
            Op::Concatenate(axis)
            | Op::AllGather { dimension: axis, .. }
            | Op::Sort { dimension: axis, .. } => {
                write!(f, ", dimensions={{{axis}}}")?;
            }
            Op::Broadcast { dimensions, .. } | Op::Transpose(dimensions) | Op::Reduce { dimensions, .. } => {
                write!(f, ", dimensions={{{}}}", commas(dimensions))?;
            }
            Op::Slice { starts, limits } => {
                let axes = starts.iter().zip(limits).map(|(start, limit)| format!("[{start}:{limit}]"));
                write!(f, ", slice={{{}}}", axes.collect::<Vec<_>>().join(", "))?;
            }
            Op::Gather(dims) => write!(
                f,
                ", offset_dims={{{}}}, collapsed_slice_dims={{{}}}, start_index_map={{{}}}, index_vector_dim={}, slice_sizes={{{}}}",
                commas(&dims.offset_dims),
                commas(&dims.collapsed_slice_dims),
                commas(&dims.start_index_map),
                dims.index_vector_dim,
                commas(&dims.slice_sizes)
            )?,
            Op::Scatter(dims) => write!(
                f,
                ", update_window_dims={{{}}}, inserted_window_dims={{{}}}, scatter_dims_to_operand_dims={{{}}}, index_vector_dim={}",
                commas(&dims.update_window_dims),
                commas(&dims.inserted_window_dims),
                commas(&dims.scatter_dims_to_operand_dims),
                dims.index_vector_dim
            )?,
            Op::Dot(dims) => write!(
                f,
                ", lhs_batch_dims={{{}}}, lhs_contracting_dims={{{}}}, rhs_batch_dims={{{}}}, rhs_contracting_dims={{{}}}",
                commas(&dims.lhs_batch),
                commas(&dims.lhs_contracting),
                commas(&dims.rhs_batch),
                commas(&dims.rhs_contracting)
            )?,
            Op::CustomCall { target, config, .. } => {
                let config = config.replace('"', "\\\"");
                write!(f, ", custom_call_target=\"{target}\", backend_config=\"{config}\"")?;
            }
            Op::GetTupleElement(place) => write!(f, ", index={place}")?,
            Op::Pad { low, high } => {
                let axes = low.iter().zip(high).map(|(low, high)| format!("{low}_{high}"));
                write!(f, ", padding={}", axes.collect::<Vec<_>>().join("x"))?;
            }
            Op::DynamicSlice(sizes) => write!(f, ", dynamic_slice_sizes={{{}}}", commas(sizes))?,
            Op::While { condition, body } => {
                let name = |id: &crate::ComputationId| &self.module.computation(*id).name;
                write!(f, ", condition=%{}, body=%{}", name(condition), name(body))?;
            }
            _ => {}
        }
        if let Op::AllReduce { groups, .. } | Op::AllGather { groups, .. } = &it.op {
            let groups = groups.iter().map(|ranks| format!("{{{}}}", commas(ranks))).collect::<Vec<_>>();
            write!(f, ", replica_groups={{{}}}", groups.join(","))?;
        }
        if let Some(id) = it.op.computation() {
            write!(f, ", to_apply=%{}", self.module.computation(id).name)?;
        }
        if let Op::Sort { .. } = it.op {
            write!(f, ", is_stable=true")?;
        }
        match &it.op {
            Op::Parameter(number) if self.is_entry => {
                attribute(f, INPUT_NAMES, &self.module.inputs[*number])?
            }
            _ if self.is_entry && is_root => attribute(f, OUTPUT_NAMES, &self.module.outputs.join(","))?,
            _ => {}
        }
        if it.path.is_empty() { Ok(()) } else { write!(f, ", metadata={{op_name=\"{}\"}}", it.path) }
    }
}

fn attribute(f: &mut fmt::Formatter<'_>, key: &str, value: &str) -> fmt::Result {
    write!(f, ", frontend_attributes={{{key}=\"{value}\"}}")
}

/// The type with the order in which its axes lie.
fn laid(ty: &Type) -> String {
    let one = |shape: &Shape| {
        let axes = (0..shape.dims.len()).rev().collect::<Vec<_>>();
        if axes.is_empty() { shape.to_string() } else { format!("{shape}{{{}}}", commas(&axes)) }
    };
    match ty {
        Type::Array(shape) => one(shape),
        Type::Tuple(shapes) => format!("({})", shapes.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

/// The numbers of a constant; of those in other types than these, none are ever written.
fn values(literal: &Literal) -> String {
    let numbers = match literal.shape.element {
        Element::F32 => literal.words(f32::from_le_bytes).iter().map(number).collect::<Vec<_>>(),
        Element::S32 => literal.words(i32::from_le_bytes).iter().map(i32::to_string).collect(),
        Element::U32 => literal.words(u32::from_le_bytes).iter().map(u32::to_string).collect(),
        Element::Pred => literal.bytes.iter().map(|&bit| (bit != 0).to_string()).collect(),
        _ => return "...".to_owned(),
    };
    match literal.shape.dims[..] {
        [] => numbers.concat(),
        _ => format!("{{{}}}", numbers.join(", ")),
    }
}

fn number(value: &f32) -> String {
    match value {
        value if value.is_nan() => "nan".to_owned(),
        value if value.is_infinite() => if *value > 0.0 { "inf" } else { "-inf" }.to_owned(),
        value => format!("{value:?}"),
    }
}
