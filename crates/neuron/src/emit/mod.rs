//! The graph, bound to a bucket, as an HLO module: composites written out, calls followed into their functions, one
//! arm per core operation.
//!
//! A value of the graph that is f32 may be held in a narrower type as long as only its layout is changed: a product
//! then takes a weight or a page of keys as it lies in memory, and whatever else reads it widens it first.

mod accepted;
mod collectives;
mod draw;
mod elementwise;
mod kernels;
mod layout;
mod narrow;
mod products;
mod rows;
mod sampling;
mod states;

use std::collections::HashMap;

use graph::{
    BackendError, Bucket, Dims, Func, Graph, GroupId, Input, Literal, Node, Op, Part, Place, ProgramSpec,
    StateSpec, Ty, ValueId, WeightSpec, bind, expand,
};
use hlo::{Builder, Element, Id, Module, Shape};
use tensor::{DType, WeightInfo};

pub(crate) use draw::WISHES;
pub(crate) use narrow::scale_input;
use sampling::PREVIOUS;
pub(crate) use sampling::{CHOSEN, KEPT, SAMPLED, TOP, TOP_MAX};

use self::narrow::Scaled;
use crate::uses::{Use, uses};
use crate::weights::Form;
use crate::{Dialect, Options, unsupported};

/// A module, and what its inputs are.
#[derive(Debug)]
pub struct Emitted {
    /// The module.
    pub module: Module,
    /// What each of its inputs is bound to.
    pub inputs: Vec<Given>,
}

/// What an input of a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// What main takes: an input of the step, a weight, a state, or a plain value.
    Main(Place),
    /// The scales of what main takes, where that is stored in fewer bits.
    Scales(Place),
    /// The patch of this number.
    Patch(usize),
    /// The tokens of the step before.
    Previous,
    /// How rows choose their tokens.
    Wishes,
}

/// The result that holds the logits.
pub(crate) const LOGITS: &str = "logits";

/// The module of a program: its results are the logits, the states by their names, the tokens and the largest
/// logits, and `tap.N` for each tap. `pages` are those of each group's pool. A graph of one operation gives `result.N` alone.
pub fn emit(
    graph: &Graph,
    spec: &ProgramSpec,
    pages: &[u32],
    options: &Options,
) -> Result<Emitted, BackendError> {
    spec.check(graph)?;
    let bound = bind(graph, &spec.bucket);
    let whole = kernels::take_attention(&bound, &spec.bucket, options);
    let bound = expand(&bound, &spec.bucket, &|op| whole && matches!(op, Op::Attention { .. }));
    let mut emitter = Emitter::new(&bound, spec, pages, options, uses(graph));
    let main = bound.main();
    let mut arguments = vec![];
    for ((place, place_ty), number) in bound.given().zip(main.param_types()).zip(0..) {
        arguments.push(emitter.argument(place, &place_ty, number)?);
    }
    let results = emitter.call(main, arguments, "")?;
    let of_op = graph.vocab == 0;
    let names: Vec<String> = match of_op {
        true => (0..results.len()).map(|place| format!("result.{place}")).collect(),
        false => {
            let states = graph.states.iter().map(|state| state.name.clone());
            std::iter::once(LOGITS.to_owned()).chain(states).collect()
        }
    };
    let mut outputs = vec![];
    for ((name, &value), id) in names.into_iter().zip(&main.results).zip(results) {
        outputs.push((name, emitter.result(id, main.ty(value))?));
    }
    if !of_op {
        outputs.extend(emitter.sampling(outputs[0].1));
        emitter.given.insert(WISHES.to_owned(), Given::Wishes);
    }
    emitter.finish(outputs)
}

/// The graph in core operations on concrete shapes.
pub(crate) fn lower(graph: &Graph, bucket: &Bucket) -> Graph {
    expand(&bind(graph, bucket), bucket, &|_| false)
}

/// What is being written.
struct Emitter<'a> {
    b: Builder,
    graph: &'a Graph,
    spec: &'a ProgramSpec,
    pages: &'a [u32],
    options: &'a Options,
    /// What reads each parameter of main.
    uses: Vec<Use>,
    given: HashMap<String, Given>,
    /// Scales of elements that stand for values only together with them.
    scaled: HashMap<Id, Scaled>,
    taps: Vec<Option<Id>>,
}

impl<'a> Emitter<'a> {
    fn new(
        graph: &'a Graph,
        spec: &'a ProgramSpec,
        pages: &'a [u32],
        options: &'a Options,
        uses: Vec<Use>,
    ) -> Emitter<'a> {
        let (given, scaled, taps) = (HashMap::new(), HashMap::new(), vec![None; spec.taps.len()]);
        Emitter { b: Builder::new(), graph, spec, pages, options, uses, given, scaled, taps }
    }

    /// A parameter of main as an input of the module.
    fn argument(&mut self, place: Place, ty: &Ty, number: usize) -> Result<Id, BackendError> {
        let graph = self.graph;
        let of_weight = |info: &WeightInfo| Form::of(info, self.uses[number], self.options);
        let (name, shape) = match place {
            Place::Input(input) => (input_name(input), Shape::new(Element::S32, self.dims(&ty.dims))),
            Place::Weight(of) => {
                let spec = &graph.weights[of];
                let form = Form::of_weight(spec, self.uses[number], self.options);
                let name = weight_input(spec);
                if let Form::Narrow(narrow, _) = form {
                    self.given.insert(name.clone(), Given::Main(place));
                    return Ok(self.narrow_argument(place, &name, &spec.info.shape, narrow));
                }
                (name, form.shape(&spec.info))
            }
            Place::State(of) => {
                let state = &graph.states[of];
                (state_input(&state.name), state_shape(graph, state, self.pages)?)
            }
            place => {
                let info = WeightInfo { dtype: ty.dtype, shape: ty.dims.shape().expect("a graph is bound") };
                let name = format!("argument.{number}");
                let form = of_weight(&info);
                if let Form::Narrow(narrow, _) = form {
                    self.given.insert(name.clone(), Given::Main(place));
                    return Ok(self.narrow_argument(place, &name, &info.shape, narrow));
                }
                let shape = match ty.dtype.is_block() {
                    true => form.shape(&info),
                    false => Shape::new(element(ty.dtype, || format!("{place:?}"))?, &info.shape[..]),
                };
                (name, shape)
            }
        };
        self.given.insert(name.clone(), Given::Main(place));
        let id = self.b.input(&name, shape);
        if place != Place::Input(Input::Tokens) {
            return Ok(id);
        }
        self.given.insert(PREVIOUS.to_owned(), Given::Previous);
        let previous = self.b.input(PREVIOUS, Shape::new(Element::S32, [KEPT]));
        Ok(self.tokens(id, previous))
    }

    /// A function's results for these arguments.
    fn call(&mut self, func: &Func, arguments: Vec<Id>, path: &str) -> Result<Vec<Id>, BackendError> {
        let mut values: Vec<Option<Id>> = vec![None; func.types.len()];
        for (first, node) in func.nodes_with_ids() {
            let args = node.args.iter().map(|arg| made(&values, *arg)).collect::<Vec<_>>();
            let here = join(path, node.name.as_deref());
            let mut results = match &node.op {
                Op::Param(place) => vec![arguments[*place as usize]],
                Op::Call(callee) => self.call(self.graph.func(*callee), args, &here)?,
                _ => {
                    self.b.at(&here);
                    self.node(func, first, node, &args, &here)?
                }
            };
            if node.name.is_some() {
                self.probe(&here, &mut results)?;
            }
            for (slot, result) in values[first.index()..].iter_mut().zip(results) {
                *slot = Some(result);
            }
        }
        Ok(func.results.iter().map(|value| made(&values, *value)).collect())
    }

    fn node(
        &mut self,
        func: &Func,
        first: ValueId,
        node: &Node,
        args: &[Id],
        path: &str,
    ) -> Result<Vec<Id>, BackendError> {
        let of_args = func.tys(&node.args);
        let ty = func.ty(first);
        let site = Site { op: &node.op, of_args: &of_args, ty, path };
        let takes_scales = matches!(node.op, Op::Gather | Op::Matmul { .. } | Op::Dequantize);
        let args = match takes_scales {
            true => args.to_vec(),
            false => args.iter().map(|&arg| self.values(arg)).collect(),
        };
        let args = &args[..];
        Ok(match &node.op {
            Op::Constant(literal) => vec![self.constant(literal)],
            Op::Cast(to) => vec![self.cast(args[0], *to, &site)?],
            Op::Iota { dtype, dims, axis } => {
                let shape = Shape::new(element(*dtype, || site.to_string())?, self.dims(dims));
                vec![self.b.iota(shape, usize::from(*axis))]
            }
            Op::Reshape(_) | Op::Broadcast(_) | Op::Transpose(_) | Op::Slice { .. } | Op::Concat { .. } => {
                vec![self.layout(args, &site)]
            }
            Op::Gather => vec![self.gather(args[0], args[1])],
            Op::Unary(op) => vec![self.unary(*op, args[0])],
            Op::Binary(op) => vec![self.binary(*op, args[0], args[1], &self.dims(&ty.dims))],
            Op::Compare(op) => vec![self.compare(*op, args[0], args[1], &self.dims(&ty.dims))],
            Op::Select => vec![self.select(args, &self.dims(&ty.dims))],
            Op::Reduce(op) => vec![self.reduce(*op, args[0])],
            Op::Matmul { transposed } => vec![self.matmul(args[0], args[1], *transposed)],
            // Narrow types stay narrow until somebody reads them.
            Op::Dequantize => vec![args[0]],
            Op::Softmax => vec![self.softmax(args[0])],
            Op::TopK(k) => self.top_k(args[0], *k as usize),
            Op::Attention { scale, .. } => vec![self.attention(*scale, args, &site)?],
            Op::StateRead => vec![self.state_read(args[0], args[1], &site)?],
            Op::StateWrite => vec![self.state_write(args[0], args[1], args[2], &site)?],
            Op::AllReduce { ranks } => vec![self.all_reduce(args[0], *ranks)],
            Op::AllGather { axis, ranks } => vec![self.all_gather(args[0], usize::from(*axis), *ranks)],
            op => unreachable!("{} is expanded, followed or bound before it is emitted", op.name()),
        })
    }

    /// Replaces a node's first result where there is a patch for it, and brings it out where there is a tap.
    fn probe(&mut self, path: &str, results: &mut [Id]) -> Result<(), BackendError> {
        let Some(result) = results.first_mut() else { return Ok(()) };
        let is_probed = |names: &[String]| names.iter().any(|name| name == path);
        if is_probed(&self.spec.patches) || is_probed(&self.spec.taps) {
            *result = self.values(*result);
        }
        if let Some(number) = self.spec.patches.iter().position(|name| name == path) {
            let name = format!("patch.{number}");
            let shape = self.b.shape(*result).of(Element::F32);
            self.given.insert(name.clone(), Given::Patch(number));
            let patch = self.b.input(&name, shape);
            *result = self.b.convert(patch, self.b.element(*result));
        }
        for (tap, _) in self.taps.iter_mut().zip(&self.spec.taps).filter(|(_, name)| *name == path) {
            *tap = Some(*result);
        }
        Ok(())
    }

    /// What main gives, in the type it has there.
    fn result(&mut self, id: Id, ty: &Ty) -> Result<Id, BackendError> {
        self.b.at("");
        if ty.dtype.is_block() {
            return Err(unsupported(
                "a result".to_owned(),
                format!("it is of {}, and blocks are unpacked here", ty.dtype),
            ));
        }
        let id = self.values(id);
        let id = self.b.convert(id, element(ty.dtype, || "a result".to_owned())?);
        // States lie flat from the first step to the last.
        let is_state = ty.dims.iter().any(|dim| matches!(dim, graph::Dim::Pool(_)));
        Ok(if is_state { id } else { self.b.reshape(id, &self.dims(&ty.dims)) })
    }

    fn finish(mut self, mut outputs: Vec<(String, Id)>) -> Result<Emitted, BackendError> {
        for (number, tap) in self.taps.clone().into_iter().enumerate() {
            let id = tap.ok_or_else(|| BackendError::NoValue { name: self.spec.taps[number].clone() })?;
            let id = self.b.convert(id, Element::F32);
            outputs.push((format!("tap.{number}"), id));
        }
        let outputs = outputs.iter().map(|(name, id)| (name.as_str(), *id)).collect::<Vec<_>>();
        let states = self.graph.states.iter().map(|state| (state.name.as_str(), state_input(&state.name)));
        let states = states.collect::<Vec<_>>();
        let aliases = states.iter().map(|(output, input)| (*output, input.as_str())).collect::<Vec<_>>();
        let module = self.b.finish(&module_name(&self.graph.name), &outputs, &aliases);
        if self.options.dialect == Dialect::Neuron {
            accepted::check(&module)?;
        }
        let inputs = module.inputs.iter().map(|name| self.given[name]).collect();
        Ok(Emitted { module, inputs })
    }

    /// The axes of a bound value; a pool has the pages that the executor made room for.
    fn dims(&self, dims: &Dims) -> Vec<usize> {
        let axis = |dim: &graph::Dim| match dim {
            graph::Dim::Pool(GroupId(group)) => self.pages[*group as usize] as usize,
            dim => dim.number().expect("a graph is bound before it is emitted") as usize,
        };
        dims.iter().map(axis).collect()
    }

    fn constant(&mut self, literal: &Literal) -> Id {
        self.b.constant(match literal {
            Literal::Scalar(x) => hlo::Literal::f32(*x),
            Literal::Int(x) => hlo::Literal::s32(*x),
            Literal::Vector(v) => hlo::Literal::f32s(v),
        })
    }

    /// A value of the graph in the type that arithmetic is done in.
    fn wide(&mut self, id: Id) -> Id {
        match self.b.element(id).is_float() {
            true => self.b.convert(id, Element::F32),
            false => id,
        }
    }
}

/// A node where it stands, for those who must refuse it.
struct Site<'a> {
    op: &'a Op,
    of_args: &'a [Ty],
    ty: &'a Ty,
    path: &'a str,
}

impl std::fmt::Display for Site<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path {
            "" => write!(f, "{}", self.op),
            path => write!(f, "{} in `{path}`", self.op),
        }
    }
}

fn made(values: &[Option<Id>], value: ValueId) -> Id {
    values[value.index()].expect("verified: made before it is used")
}

fn join(path: &str, name: Option<&str>) -> String {
    match name {
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) => format!("{path}.{name}"),
        None => path.to_owned(),
    }
}

/// The type in which the chip holds values of a dense type of the graph.
fn element(dtype: DType, what: impl Fn() -> String) -> Result<Element, BackendError> {
    Ok(match dtype {
        DType::F32 => Element::F32,
        DType::F16 => Element::F16,
        DType::BF16 => Element::BF16,
        DType::I32 => Element::S32,
        DType::U32 => Element::U32,
        DType::U8 => Element::U8,
        DType::Bool => Element::Pred,
        _ => {
            return Err(unsupported(
                what(),
                format!("it is of {dtype}, and only dense types are kept on the chip"),
            ));
        }
    })
}

/// The name under which an input of the step is bound.
pub(crate) fn input_name(input: Input) -> String {
    match input {
        Input::Tokens => "tokens".to_owned(),
        Input::Positions => "positions".to_owned(),
        Input::Sequences => "sequences".to_owned(),
        Input::Rows => "rows".to_owned(),
        Input::Table(GroupId(group)) => format!("table.{group}"),
        Input::Base(GroupId(group)) => format!("base.{group}"),
        Input::Slots(GroupId(group)) => format!("slots.{group}"),
    }
}

/// The shape of a state's pool: its slots one behind another.
pub(crate) fn state_shape(graph: &Graph, state: &StateSpec, pages: &[u32]) -> Result<Shape, BackendError> {
    let element = element(state.dtype, || format!("state `{}`", state.name))?;
    let slots = pages[state.group.index()] as usize * graph.page_len as usize;
    let slot = state.slot.shape().ok_or_else(|| {
        unsupported(format!("state `{}`", state.name), "the size of its slots is not known".to_owned())
    })?;
    Ok(Shape::new(element, [&[slots], &slot[..]].concat()))
}

/// The name under which a weight is bound: a table may be there twice, cut along each of its axes.
pub(crate) fn weight_input(weight: &WeightSpec) -> String {
    match weight.part {
        Part::Slice { axis, .. } => format!("{}.axis{axis}", weight.name),
        Part::Whole | Part::First => weight.name.clone(),
    }
}

/// The name under which a state is bound as an argument: the compiler then writes it where it lies.
pub(crate) fn state_input(name: &str) -> String {
    format!("{name}.must_alias_input")
}

/// A name of letters, digits and underscores.
fn module_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
