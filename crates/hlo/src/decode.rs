//! The bytes of an `HloModuleProto` as a module. Nothing is taken on trust: what an instruction says it gives is held
//! against what it would give, and what this crate does not know is refused by name.

use std::collections::HashMap;

use prost::Message;

use crate::encode::{INPUT_NAMES, OUTPUT_NAMES, TUPLE};
use crate::infer::infer;
use crate::proto::{
    HloComputationProto, HloInstructionProto, HloModuleProto, LiteralProto, ReplicaGroup, ShapeProto,
};
use crate::{
    Alias, Binary, Compare, Computation, ComputationId, Dot, Element, Gather, Id, Instruction, Literal,
    Module, Op, Scatter, Shape, Type, Unary,
};

/// The most axes an array may have; lists of axes are searched from end to end.
const MAX_AXES: usize = 16;

/// Why bytes are no module that this crate knows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are cut or were never a module: whoever wrote the file should write it again.
    #[error("this is no HloModuleProto: {0}")]
    Wire(#[from] prost::DecodeError),
    /// The module as a whole is malformed.
    #[error("the module {reason}")]
    Module {
        /// What is wrong.
        reason: String,
    },
    /// An instruction is malformed, or of a kind that this crate does not know.
    #[error("instruction {name} of computation {computation} {reason}")]
    Instruction {
        /// Its computation.
        computation: String,
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl Module {
    /// The module that these bytes are.
    pub fn decode(bytes: &[u8]) -> Result<Module, DecodeError> {
        let proto = HloModuleProto::decode(bytes)?;
        let mut decoder = Decoder::default();
        for computation in &proto.computations {
            decoder.computation(computation)?;
        }
        let entry = proto.computations.last().ok_or_else(|| fault("has no computation"))?;
        if entry.id != proto.entry_computation_id {
            return Err(fault("does not end in its entry"));
        }
        if proto.is_dynamic {
            return Err(fault("has axes without a length"));
        }
        let mut module = Module {
            name: proto.name.clone(),
            inputs: input_names(entry),
            outputs: vec![],
            computations: decoder.computations,
            aliases: vec![],
        };
        module.outputs = output_names(entry, module.entry())?;
        let entries = proto.input_output_alias.iter().flat_map(|alias| &alias.entries);
        for entry in entries {
            let output =
                entry.output_shape_index.first().map_or(Some(0), |&place| usize::try_from(place).ok());
            let input = usize::try_from(entry.parameter_number).ok();
            let alias = output.zip(input).map(|(output, input)| Alias { output, input });
            module.aliases.push(alias.ok_or_else(|| fault("aliases what it does not have"))?);
        }
        module.check_aliases()?;
        Ok(module)
    }

    fn check_aliases(&self) -> Result<(), DecodeError> {
        let (parameters, results) = (self.entry().parameters(), self.entry().result().arrays());
        for (place, alias) in self.aliases.iter().enumerate() {
            let (input, output) = (parameters.get(alias.input), results.get(alias.output));
            let fits = input.zip(output).is_some_and(|(input, output)| input.array() == Some(output));
            let again = |other: &Alias| other.input == alias.input || other.output == alias.output;
            if !fits || self.aliases[..place].iter().any(again) {
                return Err(fault("aliases a result with an argument of another type, or one of them twice"));
            }
        }
        Ok(())
    }
}

fn fault(reason: &str) -> DecodeError {
    DecodeError::Module { reason: reason.to_owned() }
}

/// The names of the entry's parameters, by their numbers.
fn input_names(entry: &HloComputationProto) -> Vec<String> {
    let mut named = entry.instructions.iter().filter(|it| it.opcode == "parameter").collect::<Vec<_>>();
    named.sort_by_key(|it| it.parameter_number);
    let name = |it: &&HloInstructionProto| {
        let given = it.frontend_attributes.as_ref().and_then(|attributes| attributes.map.get(INPUT_NAMES));
        given.cloned().unwrap_or_else(|| format!("input{}", it.parameter_number))
    };
    named.iter().map(name).collect()
}

fn output_names(proto: &HloComputationProto, entry: &Computation) -> Result<Vec<String>, DecodeError> {
    let count = entry.result().arrays().len();
    let attributes = proto.instructions[entry.root.0].frontend_attributes.as_ref();
    let Some(names) = attributes.and_then(|attributes| attributes.map.get(OUTPUT_NAMES)) else {
        return Ok((0..count).map(|place| format!("output{place}")).collect());
    };
    let names = names.split(',').map(str::to_owned).collect::<Vec<_>>();
    match names.len() == count {
        true => Ok(names),
        false => Err(fault(&format!("names {} of its {count} results", names.len()))),
    }
}

#[derive(Default)]
struct Decoder {
    computations: Vec<Computation>,
    ids: HashMap<i64, ComputationId>,
}

impl Decoder {
    fn computation(&mut self, proto: &HloComputationProto) -> Result<(), DecodeError> {
        let mut instructions: Vec<Instruction> = Vec::with_capacity(proto.instructions.len());
        let mut places = HashMap::new();
        for it in &proto.instructions {
            let of_it = |reason: String| DecodeError::Instruction {
                computation: proto.name.clone(),
                name: it.name.clone(),
                reason,
            };
            let operands =
                it.operand_ids.iter().map(|id| places.get(id).copied()).collect::<Option<Vec<Id>>>();
            let operands = operands.ok_or_else(|| of_it("reads what is not before it".to_owned()))?;
            let given = operands.iter().map(|id| &instructions[id.0].ty).collect::<Vec<_>>();
            let (op, ty) = self.instruction(it, &given).map_err(of_it)?;
            if places.insert(it.id, Id(instructions.len())).is_some() {
                return Err(of_it("has the number of another".to_owned()));
            }
            let path = it.metadata.as_ref().map(|metadata| metadata.op_name.clone()).unwrap_or_default();
            instructions.push(Instruction { op, operands, ty, path });
        }
        let of_computation = |reason: &str| fault(&format!("has a computation {} that {reason}", proto.name));
        let root = places.get(&proto.root_id).copied().ok_or_else(|| of_computation("gives nothing"))?;
        let computation = Computation { name: proto.name.clone(), instructions, root };
        let mut numbers = computation.numbered().into_iter().map(|(number, _)| number).collect::<Vec<_>>();
        numbers.sort_unstable();
        if !numbers.into_iter().eq(0..computation.parameters().len()) {
            return Err(of_computation("does not count its parameters from nought"));
        }
        if self.ids.insert(proto.id, ComputationId(self.computations.len())).is_some() {
            return Err(of_computation("has the number of another"));
        }
        self.computations.push(computation);
        Ok(())
    }

    fn instruction(&self, it: &HloInstructionProto, operands: &[&Type]) -> Result<(Op, Type), String> {
        let claimed = type_of(it.shape.as_ref().ok_or("gives nothing")?)?;
        let op = self.op(it, &claimed, operands)?;
        if let Op::Parameter(_) = op {
            return Ok((op, claimed));
        }
        let ty = infer(&op, operands, &self.computations)?;
        match ty == claimed {
            true => Ok((op, ty)),
            false => Err(format!("gives {ty} and claims {claimed}")),
        }
    }

    fn op(&self, it: &HloInstructionProto, claimed: &Type, operands: &[&Type]) -> Result<Op, String> {
        let array = || claimed.array().ok_or("gives one array");
        let dimensions = || whole(&it.dimensions);
        let dimension = || match dimensions()?[..] {
            [dimension] => Ok(dimension),
            _ => Err("names one axis".to_owned()),
        };
        Ok(match it.opcode.as_str() {
            "parameter" => Op::Parameter(index(it.parameter_number)?),
            "constant" => Op::Constant(literal(it.literal.as_ref().ok_or("holds nothing")?)?),
            "compare" => Op::Compare(
                Compare::of_word(&it.comparison_direction)
                    .ok_or_else(|| format!("compares by {:?}", it.comparison_direction))?,
            ),
            "select" => Op::Select,
            "convert" => Op::Convert(array()?.element),
            "bitcast-convert" => Op::Bitcast(array()?.element),
            "pad" => pad(it)?,
            "dynamic-slice" => Op::DynamicSlice(whole(&it.dynamic_slice_sizes)?),
            "dynamic-update-slice" => Op::DynamicUpdateSlice,
            "while" => match it.called_computation_ids[..] {
                [body, condition] => Op::While { condition: self.known(condition)?, body: self.known(body)? },
                _ => return Err("applies a body and a condition".to_owned()),
            },
            "iota" => Op::Iota { shape: array()?.clone(), dimension: dimension()? },
            "reshape" => Op::Reshape(array()?.dims.clone()),
            "broadcast" => Op::Broadcast { dims: array()?.dims.clone(), dimensions: dimensions()? },
            "transpose" => Op::Transpose(dimensions()?),
            "slice" => slice(it)?,
            "concatenate" => Op::Concatenate(dimension()?),
            "gather" => gather(it)?,
            "scatter" => scatter(it, self.called(it)?)?,
            "reduce" => Op::Reduce { dimensions: dimensions()?, computation: self.called(it)? },
            "dot" => dot(it, array()?.element)?,
            "sort" if it.is_stable || operands.len() == 1 => {
                Op::Sort { dimension: dimension()?, computation: self.called(it)? }
            }
            "custom-call" => Op::CustomCall {
                target: it.custom_call_target.clone(),
                config: String::from_utf8(it.backend_config.clone())
                    .map_err(|_| "has a config that is no text")?,
                ty: claimed.clone(),
            },
            "all-reduce" => Op::AllReduce { groups: groups(it)?, computation: self.called(it)? },
            "all-gather" => Op::AllGather { dimension: dimension()?, groups: groups(it)? },
            "tuple" => Op::Tuple,
            "get-tuple-element" => Op::GetTupleElement(index(it.tuple_index)?),
            word => match (Unary::of_word(word), Binary::of_word(word)) {
                (Some(op), _) => Op::Unary(op),
                (_, Some(op)) => Op::Binary(op),
                _ => return Err(format!("is a {word}, which is not known here")),
            },
        })
    }

    fn called(&self, it: &HloInstructionProto) -> Result<ComputationId, String> {
        match it.called_computation_ids[..] {
            [id] => self.known(id),
            _ => Err("applies one computation".to_owned()),
        }
    }

    fn known(&self, id: i64) -> Result<ComputationId, String> {
        self.ids.get(&id).copied().ok_or("applies a computation that is not before it".to_owned())
    }
}

fn pad(it: &HloInstructionProto) -> Result<Op, String> {
    let config = it.padding_config.as_ref().ok_or("does not say how it widens")?;
    if config.dimensions.iter().any(|axis| axis.interior != 0) {
        return Err("fills between elements, which is not known here".to_owned());
    }
    let low = config.dimensions.iter().map(|axis| index(axis.low)).collect::<Result<Vec<_>, _>>()?;
    let high = config.dimensions.iter().map(|axis| index(axis.high)).collect::<Result<Vec<_>, _>>()?;
    Ok(Op::Pad { low, high })
}

fn slice(it: &HloInstructionProto) -> Result<Op, String> {
    let axis = |axis: &crate::proto::SliceDimensions| match axis.stride {
        1 => Ok((index(axis.start)?, index(axis.limit)?)),
        stride => Err(format!("takes every element number {stride}, where only all are known")),
    };
    let axes = it.slice_dimensions.iter().map(axis).collect::<Result<Vec<_>, String>>()?;
    let (starts, limits) = axes.into_iter().unzip();
    Ok(Op::Slice { starts, limits })
}

fn gather(it: &HloInstructionProto) -> Result<Op, String> {
    let dims = it.gather_dimension_numbers.as_ref().ok_or("does not say what it gathers")?;
    if !dims.operand_batching_dims.is_empty() || !dims.start_indices_batching_dims.is_empty() {
        return Err("has batched axes, which are not known here".to_owned());
    }
    Ok(Op::Gather(Gather {
        offset_dims: whole(&dims.offset_dims)?,
        collapsed_slice_dims: whole(&dims.collapsed_slice_dims)?,
        start_index_map: whole(&dims.start_index_map)?,
        index_vector_dim: index(dims.index_vector_dim)?,
        slice_sizes: whole(&it.gather_slice_sizes)?,
    }))
}

fn scatter(it: &HloInstructionProto, computation: ComputationId) -> Result<Op, String> {
    let dims = it.scatter_dimension_numbers.as_ref().ok_or("does not say what it scatters")?;
    if !dims.input_batching_dims.is_empty() || !dims.scatter_indices_batching_dims.is_empty() {
        return Err("has batched axes, which are not known here".to_owned());
    }
    Ok(Op::Scatter(Scatter {
        update_window_dims: whole(&dims.update_window_dims)?,
        inserted_window_dims: whole(&dims.inserted_window_dims)?,
        scatter_dims_to_operand_dims: whole(&dims.scatter_dims_to_operand_dims)?,
        index_vector_dim: index(dims.index_vector_dim)?,
        computation,
    }))
}

fn dot(it: &HloInstructionProto, element: Element) -> Result<Op, String> {
    let dims = it.dot_dimension_numbers.as_ref().ok_or("does not say what it multiplies")?;
    Ok(Op::Dot(Dot {
        lhs_contracting: whole(&dims.lhs_contracting_dimensions)?,
        rhs_contracting: whole(&dims.rhs_contracting_dimensions)?,
        lhs_batch: whole(&dims.lhs_batch_dimensions)?,
        rhs_batch: whole(&dims.rhs_batch_dimensions)?,
        element,
    }))
}

fn groups(it: &HloInstructionProto) -> Result<Vec<Vec<usize>>, String> {
    let newer = it.collective_device_list.as_ref().map(|list| &list.replica_groups);
    let groups: &[ReplicaGroup] = newer.filter(|list| !list.is_empty()).unwrap_or(&it.replica_groups);
    groups.iter().map(|group| whole(&group.replica_ids)).collect()
}

fn type_of(proto: &ShapeProto) -> Result<Type, String> {
    match proto.element_type {
        TUPLE => Ok(Type::Tuple(proto.tuple_shapes.iter().map(shape).collect::<Result<_, _>>()?)),
        _ => Ok(Type::Array(shape(proto)?)),
    }
}

fn shape(proto: &ShapeProto) -> Result<Shape, String> {
    let element = Element::of_number(proto.element_type).ok_or_else(|| {
        format!("has elements of type number {}, which is not known here", proto.element_type)
    })?;
    if proto.is_dynamic_dimension.contains(&true) {
        return Err("has an axis without a length".to_owned());
    }
    let plain = |layout: &crate::proto::LayoutProto| {
        layout.minor_to_major.iter().copied().eq((0..proto.dimensions.len() as i64).rev())
    };
    if !proto.layout.as_ref().is_none_or(plain) {
        return Err("does not lie innermost axis last".to_owned());
    }
    if proto.dimensions.len() > MAX_AXES {
        return Err(format!("has {} axes, where {MAX_AXES} are the most", proto.dimensions.len()));
    }
    let shape = Shape { element, dims: whole(&proto.dimensions)? };
    shape.bytes().map(|_| ()).ok_or("has more elements than can be counted")?;
    Ok(shape)
}

fn literal(proto: &LiteralProto) -> Result<Literal, String> {
    let shape = shape(proto.shape.as_ref().ok_or("holds something of no type")?)?;
    let bytes = match shape.element {
        Element::Pred => proto.preds.iter().map(|&bit| u8::from(bit)).collect(),
        Element::S8 => proto.s8s.clone(),
        Element::U8 => proto.u8s.clone(),
        Element::S32 => proto.s32s.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Element::U32 => proto.u32s.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Element::F16 => proto.f16s.clone(),
        Element::BF16 => proto.bf16s.clone(),
        Element::F32 => proto.f32s.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Element::F8E5M2 => proto.f8e5m2s.clone(),
        Element::F8E4M3FN => proto.f8e4m3fns.clone(),
        Element::F8E4M3 => proto.f8e4m3s.clone(),
    };
    match shape.bytes() == Some(bytes.len()) {
        true => Ok(Literal { shape, bytes }),
        false => Err(format!("holds {} bytes and is a {shape}", bytes.len())),
    }
}

fn whole(values: &[i64]) -> Result<Vec<usize>, String> {
    values.iter().map(|&value| index(value)).collect()
}

fn index(value: i64) -> Result<usize, String> {
    usize::try_from(value).map_err(|_| format!("has a {value} where something is counted"))
}
