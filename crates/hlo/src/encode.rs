//! A module as the bytes of an `HloModuleProto`.

use prost::Message;

use crate::proto::{
    AliasEntryProto, CollectiveDeviceListProto, DotDimensionNumbers, FrontendAttributes,
    GatherDimensionNumbers, HloComputationProto, HloInputOutputAliasProto, HloInstructionProto,
    HloModuleProto, LayoutProto, LiteralProto, OpMetadata, PaddingAxis, PaddingConfig, ProgramShapeProto,
    ReplicaGroup, ScatterDimensionNumbers, ShapeProto, SliceDimensions,
};
use crate::{Computation, Element, Literal, Module, Op, Shape, Type};

/// The frontend attribute of a parameter that holds the name under which it is bound.
pub(crate) const INPUT_NAMES: &str = "neff_input_names";

/// The frontend attribute of the root that holds the names of all results, with commas between.
pub(crate) const OUTPUT_NAMES: &str = "neff_output_names";

/// The number of a tuple among element types.
pub(crate) const TUPLE: i32 = 13;

/// "May alias" in `HloInputOutputAliasProto`, which is what frameworks write; that the compiler must is said by the
/// parameter's name.
const MAY_ALIAS: i32 = 1;

impl Module {
    /// The module as serialized `HloModuleProto`.
    pub fn encode(&self) -> Vec<u8> {
        let mut first = 0;
        let mut computations = Vec::with_capacity(self.computations.len());
        for (place, computation) in self.computations.iter().enumerate() {
            let is_entry = place + 1 == self.computations.len();
            computations.push(self.computation_proto(computation, place, first, is_entry));
            first += computation.instructions.len();
        }
        let entry = self.entry();
        let module = HloModuleProto {
            name: self.name.clone(),
            entry_computation_name: entry.name.clone(),
            entry_computation_id: computations.len() as i64 - 1,
            computations,
            host_program_shape: Some(program_shape(entry, &self.inputs)),
            input_output_alias: (!self.aliases.is_empty()).then(|| self.aliases_proto()),
            ..HloModuleProto::default()
        };
        module.encode_to_vec()
    }

    fn computation_proto(
        &self,
        it: &Computation,
        place: usize,
        first: usize,
        is_entry: bool,
    ) -> HloComputationProto {
        let names = if is_entry { &self.inputs[..] } else { &[] };
        let mut instructions = Vec::with_capacity(it.instructions.len());
        for (offset, instruction) in it.instructions.iter().enumerate() {
            let mut proto = instruction_proto(&instruction.op, &instruction.ty);
            proto.id = (first + offset) as i64;
            proto.name = format!("{}.{}", proto.opcode, proto.id);
            proto.operand_ids = instruction.operands.iter().map(|id| (first + id.0) as i64).collect();
            if !instruction.path.is_empty() {
                proto.metadata =
                    Some(OpMetadata { op_name: instruction.path.clone(), ..OpMetadata::default() });
            }
            if let (Op::Parameter(number), true) = (&instruction.op, is_entry) {
                proto.frontend_attributes = Some(attribute(INPUT_NAMES, &self.inputs[*number]));
            }
            if is_entry && offset == it.root.0 {
                proto.frontend_attributes = Some(attribute(OUTPUT_NAMES, &self.outputs.join(",")));
            }
            instructions.push(proto);
        }
        HloComputationProto {
            name: it.name.clone(),
            instructions,
            program_shape: Some(program_shape(it, names)),
            id: place as i64,
            root_id: (first + it.root.0) as i64,
        }
    }

    fn aliases_proto(&self) -> HloInputOutputAliasProto {
        let single = self.outputs.len() == 1;
        let entry = |alias: &crate::Alias| AliasEntryProto {
            output_shape_index: if single { vec![] } else { vec![alias.output as i64] },
            parameter_number: alias.input as i64,
            parameter_shape_index: vec![],
            kind: MAY_ALIAS,
        };
        HloInputOutputAliasProto { entries: self.aliases.iter().map(entry).collect() }
    }
}

fn attribute(key: &str, value: &str) -> FrontendAttributes {
    FrontendAttributes { map: [(key.to_owned(), value.to_owned())].into() }
}

fn program_shape(it: &Computation, names: &[String]) -> ProgramShapeProto {
    ProgramShapeProto {
        parameters: it.parameters().into_iter().map(type_proto).collect(),
        result: Some(type_proto(it.result())),
        parameter_names: names.to_vec(),
    }
}

fn instruction_proto(op: &Op, ty: &Type) -> HloInstructionProto {
    let mut proto = HloInstructionProto {
        opcode: op.opcode().to_owned(),
        shape: Some(type_proto(ty)),
        ..Default::default()
    };
    proto.called_computation_ids = op.computation().iter().map(|id| id.0 as i64).collect();
    match op {
        Op::Parameter(number) => proto.parameter_number = *number as i64,
        Op::Constant(literal) => proto.literal = Some(literal_proto(literal)),
        Op::Compare(compare) => {
            proto.comparison_direction = compare.word().to_owned();
        }
        Op::Iota { dimension, .. } | Op::Concatenate(dimension) => proto.dimensions = vec![*dimension as i64],
        Op::AllGather { dimension, groups } => {
            proto.dimensions = vec![*dimension as i64];
            set_groups(&mut proto, groups);
        }
        Op::AllReduce { groups, .. } => set_groups(&mut proto, groups),
        Op::Sort { dimension, .. } => {
            proto.dimensions = vec![*dimension as i64];
            proto.is_stable = true;
        }
        Op::Broadcast { dimensions, .. } | Op::Transpose(dimensions) | Op::Reduce { dimensions, .. } => {
            proto.dimensions = whole(dimensions);
        }
        Op::Pad { low, high } => {
            let axis = |(&low, &high)| PaddingAxis { low: low as i64, high: high as i64, interior: 0 };
            proto.padding_config =
                Some(PaddingConfig { dimensions: low.iter().zip(high).map(axis).collect() });
        }
        Op::DynamicSlice(sizes) => proto.dynamic_slice_sizes = whole(sizes),
        Op::While { condition, body } => {
            proto.called_computation_ids = vec![body.0 as i64, condition.0 as i64];
        }
        Op::Slice { starts, limits } => {
            let axis =
                |(&start, &limit)| SliceDimensions { start: start as i64, limit: limit as i64, stride: 1 };
            proto.slice_dimensions = starts.iter().zip(limits).map(axis).collect();
        }
        Op::Gather(dims) => {
            proto.gather_slice_sizes = whole(&dims.slice_sizes);
            proto.gather_dimension_numbers = Some(GatherDimensionNumbers {
                offset_dims: whole(&dims.offset_dims),
                collapsed_slice_dims: whole(&dims.collapsed_slice_dims),
                start_index_map: whole(&dims.start_index_map),
                index_vector_dim: dims.index_vector_dim as i64,
                ..Default::default()
            });
        }
        Op::Scatter(dims) => {
            proto.scatter_dimension_numbers = Some(ScatterDimensionNumbers {
                update_window_dims: whole(&dims.update_window_dims),
                inserted_window_dims: whole(&dims.inserted_window_dims),
                scatter_dims_to_operand_dims: whole(&dims.scatter_dims_to_operand_dims),
                index_vector_dim: dims.index_vector_dim as i64,
                ..Default::default()
            });
        }
        Op::Dot(dims) => {
            proto.dot_dimension_numbers = Some(DotDimensionNumbers {
                lhs_contracting_dimensions: whole(&dims.lhs_contracting),
                rhs_contracting_dimensions: whole(&dims.rhs_contracting),
                lhs_batch_dimensions: whole(&dims.lhs_batch),
                rhs_batch_dimensions: whole(&dims.rhs_batch),
            });
        }
        Op::CustomCall { target, config, .. } => {
            proto.custom_call_target.clone_from(target);
            proto.backend_config = config.clone().into_bytes();
            proto.custom_call_api_version = 1;
        }
        Op::GetTupleElement(place) => proto.tuple_index = *place as i64,
        Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Convert(_) | Op::Bitcast(_) => {}
        Op::Reshape(_) | Op::DynamicUpdateSlice | Op::Tuple => {}
    }
    proto
}

/// Both where readers of today and where those of yesterday look for them.
fn set_groups(proto: &mut HloInstructionProto, groups: &[Vec<usize>]) {
    proto.replica_groups = groups.iter().map(|ranks| ReplicaGroup { replica_ids: whole(ranks) }).collect();
    proto.collective_device_list =
        Some(CollectiveDeviceListProto { replica_groups: proto.replica_groups.clone() });
}

fn type_proto(ty: &Type) -> ShapeProto {
    match ty {
        Type::Array(shape) => shape_proto(shape),
        Type::Tuple(shapes) => ShapeProto {
            element_type: TUPLE,
            tuple_shapes: shapes.iter().map(shape_proto).collect(),
            ..ShapeProto::default()
        },
    }
}

fn shape_proto(shape: &Shape) -> ShapeProto {
    ShapeProto {
        element_type: shape.element.number(),
        dimensions: whole(&shape.dims),
        is_dynamic_dimension: vec![false; shape.dims.len()],
        layout: Some(LayoutProto {
            minor_to_major: (0..shape.dims.len() as i64).rev().collect(),
            tail_padding_alignment_in_elements: 1,
        }),
        ..ShapeProto::default()
    }
}

fn literal_proto(literal: &Literal) -> LiteralProto {
    let mut proto = LiteralProto { shape: Some(shape_proto(&literal.shape)), ..LiteralProto::default() };
    let bytes = || literal.bytes.clone();
    match literal.shape.element {
        Element::Pred => proto.preds = literal.bytes.iter().map(|&byte| byte != 0).collect(),
        Element::S8 => proto.s8s = bytes(),
        Element::U8 => proto.u8s = bytes(),
        Element::S32 => proto.s32s = literal.words(i32::from_le_bytes),
        Element::U32 => proto.u32s = literal.words(u32::from_le_bytes),
        Element::F16 => proto.f16s = bytes(),
        Element::BF16 => proto.bf16s = bytes(),
        Element::F32 => proto.f32s = literal.words(f32::from_le_bytes),
        Element::F8E5M2 => proto.f8e5m2s = bytes(),
        Element::F8E4M3FN => proto.f8e4m3fns = bytes(),
        Element::F8E4M3 => proto.f8e4m3s = bytes(),
    }
    proto
}

fn whole(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&value| value as i64).collect()
}
