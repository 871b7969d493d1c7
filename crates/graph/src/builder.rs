//! Writing functions without noise: the first mistake is kept with the line that made it and told at the end.

use std::panic::Location;

use tensor::{DType, WeightInfo};

use crate::{Dim, Dims, Func, GroupId, Input, Node, Op, Param, Shard, Ty, TypeError, ValueId};

/// Where the builder learns what weights there are.
pub trait Catalogue {
    /// Type and shape of a weight, or `None` where there is none of that name. `dims` is the shape the graph wants:
    /// a catalogue of made-up weights answers with it.
    fn find(&self, name: &str, dims: &[u32]) -> Option<WeightInfo>;
}

impl Catalogue for &dyn tensor::WeightSource {
    fn find(&self, name: &str, _dims: &[u32]) -> Option<WeightInfo> {
        tensor::WeightSource::find(*self, name)
    }
}

/// What was wrong with a description.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The model description applies an operation wrongly.
    #[error("{at}: {error}")]
    Type {
        /// The line that applied it.
        at: &'static Location<'static>,
        /// What was wrong.
        error: TypeError,
    },
    /// The file has no such weight.
    #[error("the model has no weight `{name}`, which its configuration asks for; is the file complete?")]
    NoWeight {
        /// The canonical name.
        name: String,
    },
    /// File and configuration do not agree.
    #[error("weight `{name}` is {found} in the file, but the configuration makes it [{wanted}]")]
    WeightShape {
        /// The canonical name.
        name: String,
        /// The shape found.
        found: tensor::Shape,
        /// The shape the configuration gives.
        wanted: String,
    },
    /// A weight of a type that cannot be multiplied.
    #[error("weight `{name}` holds {dtype}, which is no type for a weight")]
    WeightType {
        /// The canonical name.
        name: String,
        /// The type found.
        dtype: DType,
    },
}

/// A state being threaded through a function; [`FuncBuilder::write`] replaces its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(pub(crate) usize);

/// Builds one function.
pub struct FuncBuilder<'c> {
    pub(crate) func: Func,
    pub(crate) states: Vec<ValueId>,
    pub(crate) error: Option<BuildError>,
    pub(crate) page_len: u32,
    catalogue: Option<&'c dyn Catalogue>,
    prefix: String,
}

impl<'c> FuncBuilder<'c> {
    pub(crate) fn new(name: &str, page_len: u32, catalogue: Option<&'c dyn Catalogue>) -> Self {
        let func = Func {
            name: name.into(),
            params: vec![],
            shards: vec![],
            nodes: vec![],
            results: vec![],
            types: vec![],
            parts: vec![],
        };
        FuncBuilder { func, states: vec![], error: None, page_len, catalogue, prefix: String::new() }
    }

    pub(crate) fn with_prefix(mut self, prefix: &str) -> Self {
        self.prefix = format!("{prefix}.");
        self
    }

    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> Ty {
        *self.func.ty(value)
    }

    /// The dimensions of a value.
    pub fn dims(&self, value: ValueId) -> Dims {
        self.ty(value).dims
    }

    /// The last axis of a value, which must be a number.
    pub fn width(&self, value: ValueId) -> u32 {
        self.dims(value).last().and_then(|dim| dim.number()).unwrap_or(0)
    }

    /// Slots per page.
    pub fn page_len(&self) -> u32 {
        self.page_len
    }

    /// A value the caller passes.
    pub fn param(&mut self, ty: Ty) -> ValueId {
        self.add_param(Param::Value, ty, Shard::Whole)
    }

    /// An input of the step.
    pub fn input(&mut self, input: Input) -> ValueId {
        let param = Param::Input(input);
        self.find_param(&param).unwrap_or_else(|| self.add_param(param, input.ty(), Shard::Whole))
    }

    /// A weight of this shape, named within the function; its type is what the catalogue says.
    pub fn weight(&mut self, name: &str, dims: &[u32]) -> ValueId {
        self.weight_by(name, dims, Shard::Whole)
    }

    /// As [`FuncBuilder::weight`], of which each of several ranks has a part.
    pub fn weight_by(&mut self, name: &str, dims: &[u32], shard: Shard) -> ValueId {
        let param = Param::Weight(name.to_owned());
        if let Some(value) = self.find_param(&param) {
            return value;
        }
        let dtype = self.check_weight(name, dims).unwrap_or_else(|error| {
            self.error.get_or_insert(error);
            DType::F32
        });
        self.add_param(
            param,
            Ty::new(dtype, Dims::new(&dims.iter().map(|&n| Dim::Fixed(n)).collect::<Vec<_>>())),
            shard,
        )
    }

    /// Whether the catalogue has this weight.
    pub fn has_weight(&self, name: &str, dims: &[u32]) -> bool {
        self.catalogue.is_some_and(|c| c.find(&format!("{}{name}", self.prefix), dims).is_some())
    }

    /// A state with one slot of these dimensions per position, named within the function.
    pub fn state(&mut self, name: &str, group: GroupId, dtype: DType, slot: &[u32]) -> State {
        self.state_by(name, group, dtype, slot, Shard::Whole)
    }

    /// As [`FuncBuilder::state`], of which each of several ranks has a part; axes are those of a slot.
    pub fn state_by(
        &mut self,
        name: &str,
        group: GroupId,
        dtype: DType,
        slot: &[u32],
        shard: Shard,
    ) -> State {
        let mut axes = vec![Dim::Pool(group), Dim::Fixed(self.page_len)];
        axes.extend(slot.iter().map(|&n| Dim::Fixed(n)));
        self.add_state(name, group, Ty::new(dtype, Dims::new(&axes)), shard)
    }

    pub(crate) fn add_state(&mut self, name: &str, group: GroupId, ty: Ty, shard: Shard) -> State {
        let value = self.add_param(Param::State(name.to_owned(), group), ty, shard);
        self.states.push(value);
        State(self.states.len() - 1)
    }

    /// The state as it stands now.
    pub fn read(&self, state: State) -> ValueId {
        self.states[state.0]
    }

    /// Writes a row per token; from here on the state has its new value.
    #[track_caller]
    pub fn write(&mut self, state: State, slots: ValueId, values: ValueId) {
        self.states[state.0] = self.op(Op::StateWrite, &[self.states[state.0], slots, values]);
    }

    /// Applies an operation that has one result.
    #[track_caller]
    pub fn op(&mut self, op: Op, args: &[ValueId]) -> ValueId {
        self.ops(op, args)[0]
    }

    /// Applies an operation, giving all its results.
    #[track_caller]
    pub fn ops(&mut self, op: Op, args: &[ValueId]) -> Vec<ValueId> {
        let at = Location::caller();
        let types = op.infer(&self.func.tys(args)).unwrap_or_else(|error| {
            self.error.get_or_insert(BuildError::Type { at, error });
            // Any type will do from here on: the first mistake is what will be told. All axes are there, so that
            // whoever describes the rest may look at them.
            vec![Ty::new(DType::F32, [1; tensor::MAX_AXES]); 2]
        });
        self.push(Node { op, args: args.to_vec(), results: types.len() as u32, at, name: None }, &types)
    }

    pub(crate) fn push(&mut self, node: Node, types: &[Ty]) -> Vec<ValueId> {
        let first = self.func.types.len() as u32;
        self.func.types.extend_from_slice(types);
        self.func.nodes.push(node);
        (first..self.func.types.len() as u32).map(ValueId).collect()
    }

    /// Names a value, so that it can be probed and compared between devices.
    pub fn name(&mut self, value: ValueId, name: &str) -> ValueId {
        let makes = |(first, node): &(ValueId, &Node)| (first.0..first.0 + node.results).contains(&value.0);
        let place = self.func.nodes_with_ids().position(|node| makes(&node));
        if let Some(place) = place {
            self.func.nodes[place].name = Some(name.to_owned());
        }
        value
    }

    fn check_weight(&self, name: &str, dims: &[u32]) -> Result<DType, BuildError> {
        let name = format!("{}{name}", self.prefix);
        let Some(info) = self.catalogue.and_then(|c| c.find(&name, dims)) else {
            return Err(BuildError::NoWeight { name });
        };
        if !info.shape.iter().map(|&n| n as u64).eq(dims.iter().map(|&n| u64::from(n))) {
            let wanted = dims.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            return Err(BuildError::WeightShape { name, found: info.shape, wanted });
        }
        if !(info.dtype.is_float() || info.dtype.is_block()) {
            return Err(BuildError::WeightType { name, dtype: info.dtype });
        }
        Ok(info.dtype)
    }

    fn find_param(&self, param: &Param) -> Option<ValueId> {
        let place = self.func.params.iter().position(|p| p == param)? as u32;
        self.func.nodes_with_ids().find(|(_, node)| node.op == Op::Param(place)).map(|(value, _)| value)
    }

    #[track_caller]
    pub(crate) fn add_param(&mut self, param: Param, ty: Ty, shard: Shard) -> ValueId {
        let op = Op::Param(self.func.params.len() as u32);
        self.func.params.push(param);
        self.func.shards.push(shard);
        self.push(Node { op, args: vec![], results: 1, at: Location::caller(), name: None }, &[ty])[0]
    }
}
