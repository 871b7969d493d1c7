//! From a plan's nodes to kernels.

use graph::{Act, BackendError, Bucket, Literal, Op, Place, Plan, Planned, ProgramSpec, ValueId};
use tensor::{DType, Value};

use super::divisions::Division;
use super::experts::{Experts, Places};
use super::kernel::{Attention, Kernel, Node, Operand};
use super::shares::Taken;
use super::{Program, Slot};
use crate::attention::{self, Survey};
use crate::hazards::{Access, Hazards, Region, Split};
use crate::options::Precision;
use crate::product::Rounding;
use crate::rows::{CHUNK, Heads, Peak};
use crate::weights::Form;
use crate::{NAME, activation};

/// How kernels run: the level, the rounding of activations, the workers.
#[derive(Clone, Copy, Debug)]
pub struct Ways {
    /// The instruction set level.
    pub isa: simd::Isa,
    /// How activations are rounded.
    pub precision: crate::options::Precision,
    /// Workers of a step.
    pub workers: usize,
}

/// Kernels being collected.
struct Lowering<'a> {
    plan: &'a Plan,
    /// How each weight is kept.
    forms: &'a [Form],
    ways: Ways,
    nodes: Vec<Node>,
    hazards: Hazards,
    /// The plan's node that is being lowered.
    planned: usize,
    /// Bytes of work space given out.
    bytes: usize,
    /// Which value's rows stand prepared in each of the two regions.
    prepared: [Prepared; 2],
    /// Tables of turns by positions, frequencies and scale, each with its byte of the work space.
    turns: Vec<(ValueId, ValueId, f32, usize)>,
    /// How steps are divided for attention, with the inputs that say what its tokens see.
    divisions: Vec<Division>,
    page_len: usize,
    bucket: Bucket,
    /// Where mixtures note how many experts were chosen.
    touched: Vec<usize>,
    /// Bytes of a region that nodes use one after another.
    shared: usize,
    /// Bytes of each worker's own region.
    own: usize,
}

/// A region that holds rows prepared for products.
#[derive(Clone, Copy)]
struct Prepared {
    rounding: Rounding,
    at: usize,
    bytes: usize,
    of: Option<ValueId>,
}

impl Program {
    /// The kernels of a plan.
    pub fn of_plan(
        plan: Plan,
        forms: &[Form],
        spec: &ProgramSpec,
        page_len: usize,
        ways: Ways,
    ) -> Result<Program, BackendError> {
        let mut lowering = Lowering::new(&plan, forms, ways, page_len, spec.bucket);
        for (planned, node) in plan.nodes.iter().enumerate() {
            lowering.planned = planned;
            lowering.node(node)?;
            let patch = spec.patches.iter().position(|name| node.named && *name == node.path);
            if let Some(place) = patch {
                let out = Slot::of(&plan, node.results[0]);
                lowering.push(Kernel::Patch { place, out }, [out.written()]);
                lowering.forget(node.results[0]);
            }
        }
        let logits = plan.results.first().map(|&value| Slot::of(&plan, value));
        let logits = logits.filter(|slot| slot.dtype == DType::F32 && slot.shape.len() == 2);
        let peaks = logits.map(|logits| {
            let pieces = logits.row().div_ceil(CHUNK) * logits.rows();
            let at = lowering.region(pieces * size_of::<Peak>());
            lowering.push(Kernel::Peaks { logits, at }, [logits.read()]);
            at
        });
        let tap = |name: &String| plan.named(name).map(|node| Slot::of(&plan, node.results[0]));
        let taps = spec.taps.iter().map(tap).collect::<Option<Vec<_>>>();
        let taps = taps.ok_or_else(|| BackendError::Unsupported {
            device: NAME,
            what: "a tap".to_owned(),
            reason: "it names a state; states are brought out by pages".to_owned(),
        })?;
        let Lowering { nodes, divisions, touched, bytes, shared, own, .. } = lowering;
        let constants = plan.constants.iter().map(constant).collect();
        let shared_at = bytes;
        let own_at = shared_at + shared.next_multiple_of(LINE);
        let own = own.next_multiple_of(LINE);
        Ok(Program {
            spec: spec.clone(),
            taken: nodes.iter().map(|_| Taken::default()).collect(),
            nodes,
            divisions,
            constants,
            ways,
            taps,
            logits,
            peaks,
            touched,
            shared_at,
            own_at,
            own_bytes: own,
            work_bytes: own_at + own * ways.workers,
            graph: None,
            plan,
        })
    }
}

/// A constant as kernels read it.
fn constant(literal: &Literal) -> Value {
    match literal {
        Literal::Scalar(x) => Value::f32s([], &[*x]),
        Literal::Int(x) => Value::i32s([], &[*x]),
        Literal::Vector(values) => Value::f32s([values.len()], values),
    }
}

/// Regions of the work space begin on a line.
const LINE: usize = graph::ARENA_ALIGN;

impl<'a> Lowering<'a> {
    fn new(plan: &'a Plan, forms: &'a [Form], ways: Ways, page_len: usize, bucket: Bucket) -> Lowering<'a> {
        let none = |rounding| Prepared { rounding, at: 0, bytes: 0, of: None };
        let mut lowering = Lowering {
            plan,
            forms,
            ways,
            page_len,
            nodes: vec![],
            hazards: Hazards::default(),
            planned: 0,
            bytes: plan.arena_bytes.next_multiple_of(LINE),
            prepared: [none(Rounding::Bf16), none(Rounding::Int8)],
            turns: vec![],
            divisions: vec![],
            bucket,
            touched: vec![],
            shared: 0,
            own: 0,
        };
        for place in 0..lowering.prepared.len() {
            let rounding = lowering.prepared[place].rounding;
            let bytes =
                plan.nodes.iter().map(|node| lowering.prepared_bytes(node, rounding)).max().unwrap_or(0);
            lowering.prepared[place].at = lowering.region(bytes);
            lowering.prepared[place].bytes = bytes;
        }
        lowering
    }

    /// Bytes of work space for one use.
    fn region(&mut self, bytes: usize) -> usize {
        let at = self.bytes;
        self.bytes += bytes.next_multiple_of(LINE);
        at
    }

    /// Notes a kernel.
    fn push<const N: usize>(&mut self, kernel: Kernel, accesses: [Option<Access>; N]) {
        self.push_all(kernel, accesses.into_iter().flatten().collect());
    }

    fn push_all(&mut self, kernel: Kernel, accesses: Vec<Access>) {
        let meets = self.hazards.meets_before(accesses);
        self.nodes.push(Node { kernel, meets, planned: self.planned });
    }

    fn slot(&self, value: ValueId) -> Slot {
        Slot::of(self.plan, value)
    }

    /// The slot of a weight that is read as a vector of f32.
    fn vector(&self, value: ValueId) -> Slot {
        Slot { dtype: DType::F32, ..self.slot(value) }
    }

    /// The weight that a value is.
    fn weight(&self, value: ValueId) -> Result<usize, BackendError> {
        match self.plan.place(value) {
            Place::Weight(index) => Ok(index),
            _ => Err(BackendError::Unsupported {
                device: NAME,
                what: self.plan.nodes[self.planned].op.to_string(),
                reason: "its matrix is computed in the graph; only weights are packed".to_owned(),
            }),
        }
    }

    fn rounding(&self, weight: usize) -> Rounding {
        self.ways.precision.rounding(self.forms[weight].layout().dtype)
    }

    /// Bytes that a node's rows take where they are prepared so.
    fn prepared_bytes(&self, node: &Planned, rounding: Rounding) -> usize {
        let is_product = matches!(node.op, Op::Linear | Op::LinearAdd { .. } | Op::GatedLinear { .. });
        let Some(Ok(weight)) = is_product.then(|| self.weight(node.args[1])) else { return 0 };
        let x = self.slot(node.args[0]);
        if self.rounding(weight) == rounding {
            bytes_of(rounding, x.len() / x.width().max(1), x.width())
        } else {
            0
        }
    }

    /// The rows of a product by this weight, prepared unless they stand prepared already.
    fn operand(&mut self, value: ValueId, weight: usize) -> Operand {
        let x = self.slot(value);
        let rounding = self.rounding(weight);
        let Some(place) = self.prepared.iter().position(|region| region.rounding == rounding) else {
            return Operand::Plain(x);
        };
        let Prepared { at, of, .. } = self.prepared[place];
        if of != Some(value) {
            self.prepared[place].of = Some(value);
            let written = self.region_access(at, self.prepared[place].bytes, Split::Rows(x.rows()), true);
            self.push(Kernel::Prepare { x, rounding, at }, [x.read_by_rows(), Some(written)]);
        }
        Operand::Prepared { rounding, at, rows: x.len() / x.width().max(1), width: x.width() }
    }

    /// How a product reads its rows.
    fn operand_access(&self, operand: &Operand) -> Option<Access> {
        match operand {
            Operand::Plain(slot) => slot.read(),
            Operand::Prepared { rounding, at, .. } => {
                let region = self.prepared.iter().find(|region| region.rounding == *rounding)?;
                Some(self.region_access(*at, region.bytes, Split::Other, false))
            }
        }
    }

    fn region_access(&self, at: usize, bytes: usize, split: Split, writes: bool) -> Access {
        Access { region: Region::Work(at..at + bytes), split, writes }
    }

    /// A value that was changed stands prepared no more.
    fn forget(&mut self, value: ValueId) {
        for region in &mut self.prepared {
            region.of = region.of.filter(|&of| of != value);
        }
    }

    fn node(&mut self, node: &Planned) -> Result<(), BackendError> {
        let args = &node.args;
        let out = self.slot(node.results[0]);
        match &node.op {
            Op::Embed => {
                let (ids, table) = (self.slot(args[0]), self.weight(args[1])?);
                self.own = self.own.max(self.forms[table].layout().row_bytes());
                self.push(Kernel::Embed { ids, table, out }, [out.written_by_rows()]);
            }
            Op::Linear => self.product(node, args.get(2).copied(), None, out)?,
            Op::LinearAdd { biased } => {
                let bias = biased.then(|| args[2]);
                self.product(node, bias, args.last().copied(), out)?;
            }
            Op::GatedLinear { act, biased } => {
                let (gate, up) = (self.weight(args[1])?, self.weight(args[2])?);
                let x = self.operand(args[0], gate);
                let same = self.rounding(gate) == self.rounding(up);
                let biases = biased.then(|| [self.vector(args[3]), self.vector(args[4])]);
                let x_up = if same { x } else { self.operand(args[0], up) };
                self.reserve(gate, x.rows(), 1);
                self.reserve(up, x.rows(), 1);
                let accesses = [self.operand_access(&x), self.operand_access(&x_up), out.written()];
                self.push(Kernel::Gated { x: [x, x_up], gate, up, biases, act: *act, out }, accesses);
            }
            Op::RmsNorm { eps } => {
                let (x, w) = (self.slot(args[0]), self.vector(args[1]));
                self.push(
                    Kernel::RmsNorm { x, w, eps: *eps, out },
                    [x.read_by_rows(), w.read(), out.written_by_rows()],
                );
            }
            Op::Rope { scale } => self.rope(args[0], None, args[1], args[2], *scale, out),
            Op::NormRope { eps, scale } => {
                let norm = Some((self.vector(args[1]), *eps));
                self.rope(args[0], norm, args[2], args[3], *scale, out);
            }
            Op::GatedAct(act) => {
                let (gate, up) = (self.slot(args[0]), self.slot(args[1]));
                self.push(
                    Kernel::GatedAct { act: *act, gate, up, out },
                    [gate.read_by_rows(), up.read_by_rows(), out.written_by_rows()],
                );
            }
            Op::Binary(graph::BinaryOp::Add) if self.is_plain_sum(node) => {
                let (a, b) = (self.slot(args[0]), self.slot(args[1]));
                self.push(
                    Kernel::Add { a, b, out },
                    [a.read_by_rows(), b.read_by_rows(), out.written_by_rows()],
                );
            }
            Op::StateWrite => {
                let Place::State(state) = self.plan.place(args[0]) else { return self.core(node) };
                let (slots, values) = (self.slot(args[1]), self.slot(args[2]));
                let written =
                    Access { region: Region::State(state), split: Split::Rows(values.rows()), writes: true };
                self.push(
                    Kernel::Write { state, slots, values },
                    [slots.read_by_rows(), values.read_by_rows(), Some(written)],
                );
            }
            Op::Attention { scale, window } => self.attention(node, *scale, *window, out)?,
            Op::Route { k } => {
                let (scores, experts) = (self.slot(args[0]), self.slot(node.results[1]));
                self.push(
                    Kernel::Route { k: *k as usize, scores, weights: out, experts },
                    [scores.read_by_rows(), out.written_by_rows(), experts.written_by_rows()],
                );
            }
            Op::ExpertFfn { act, biased } => self.experts(node, *act, *biased, out)?,
            _ => self.core(node)?,
        }
        Ok(())
    }

    fn is_plain_sum(&self, node: &Planned) -> bool {
        let [a, b, out] = [node.args[0], node.args[1], node.results[0]].map(|value| self.plan.ty(value));
        a == b && a == out && out.dtype == DType::F32
    }

    fn product(
        &mut self,
        node: &Planned,
        bias: Option<ValueId>,
        add: Option<ValueId>,
        out: Slot,
    ) -> Result<(), BackendError> {
        let w = self.weight(node.args[1])?;
        let x = self.operand(node.args[0], w);
        let bias = bias.map(|bias| self.vector(bias));
        let add = add.map(|add| self.slot(add));
        self.reserve(w, x.rows(), 0);
        let accesses =
            [self.operand_access(&x), bias.and_then(|b| b.read()), add.and_then(|a| a.read()), out.written()];
        self.push(Kernel::Product { x, w, bias, add, out }, accesses);
        Ok(())
    }

    /// Room of each worker's own for products by this weight, and `spans` stretches of their results.
    fn reserve(&mut self, weight: usize, rows: usize, spans: usize) {
        let rounding = self.rounding(weight);
        let layout = self.forms[weight].layout();
        let span = super::products::span(rows) * simd::LANES * rows * 4;
        let scratch = super::products::scratch_of(self.ways.isa, layout, rounding, rows);
        self.own = self.own.max(scratch.next_multiple_of(LINE) + spans * span.next_multiple_of(LINE));
    }

    fn rope(
        &mut self,
        x: ValueId,
        norm: Option<(Slot, f32)>,
        positions: ValueId,
        frequencies: ValueId,
        scale: f32,
        out: Slot,
    ) {
        let x = self.slot(x);
        let turned = self.slot(frequencies).len();
        let at = self.table(positions, frequencies, scale);
        let heads = Heads { count: x.shape[1], width: x.shape[2], turned };
        let table = self.region_access(at, x.rows() * 2 * turned * 4, Split::Rows(x.rows()), false);
        self.push(
            Kernel::Rope { x, at, norm, heads, out },
            [x.read_by_rows(), Some(table), out.written_by_rows()],
        );
    }

    /// The table of turns of these positions, made by a node where it is new.
    fn table(&mut self, positions: ValueId, frequencies: ValueId, scale: f32) -> usize {
        let key = |value| self.plan.place(value);
        let known = self
            .turns
            .iter()
            .find(|(p, f, s, _)| key(*p) == key(positions) && key(*f) == key(frequencies) && *s == scale);
        if let Some(&(.., at)) = known {
            return at;
        }
        let (position_slot, frequency_slot) = (self.slot(positions), self.slot(frequencies));
        let bytes = position_slot.rows() * 2 * frequency_slot.len() * 4;
        let at = self.region(bytes);
        // Tables of positions that are computed may be overwritten in the arena; those of inputs last.
        if !matches!(self.plan.place(positions), Place::Arena { .. }) {
            self.turns.push((positions, frequencies, scale, at));
        }
        let written = self.region_access(at, bytes, Split::Rows(position_slot.rows()), true);
        self.push(
            Kernel::Turns { positions: position_slot, frequencies: frequency_slot, scale, at },
            [position_slot.read_by_rows(), frequency_slot.read(), Some(written)],
        );
        at
    }

    fn attention(
        &mut self,
        node: &Planned,
        scale: f32,
        window: Option<u32>,
        out: Slot,
    ) -> Result<(), BackendError> {
        let &[q, keys, values, positions, sequences, table, base, ref sinks @ ..] = &node.args[..] else {
            unreachable!("typed before it is lowered")
        };
        let unsupported = |reason: &str| BackendError::Unsupported {
            device: NAME,
            what: node.op.to_string(),
            reason: reason.to_owned(),
        };
        let (Place::State(key_state), Place::State(value_state)) =
            (self.plan.place(keys), self.plan.place(values))
        else {
            return Err(unsupported("its keys and values are no states"));
        };
        let [q, positions, sequences, table, base] =
            [q, positions, sequences, table, base].map(|value| self.slot(value));
        let is_computed = |slot: &Slot| matches!(slot.place, Place::Arena { .. });
        if [positions, sequences, table, base].iter().any(is_computed) {
            return Err(unsupported("what its tokens see is computed in the graph"));
        }
        let pages = self.plan.ty(keys);
        let kv_heads = pages.dims[2].number().ok_or_else(|| unsupported("its heads are not counted"))?;
        let rounded = self.ways.precision == Precision::Auto && pages.dtype == DType::BF16;
        let shape = attention::Shape {
            heads: q.shape[1],
            kv_heads: kv_heads as usize,
            width: q.shape[2],
            page_len: self.page_len,
            scale,
            window,
            rounded,
        };
        let division = Division { survey: Survey::new(&shape, self.ways.workers), positions, sequences };
        let step = self.divisions.iter().position(|known| known.is_same(&division)).unwrap_or_else(|| {
            self.divisions.push(division);
            self.divisions.len() - 1
        });
        self.shared = self.shared.max(self.divisions[step].survey.partial_bytes(&self.bucket));
        self.own = self.own.max(shape.own_bytes());
        let sinks = sinks.first().map(|&sinks| self.vector(sinks));
        let state = |state| Access { region: Region::State(state), split: Split::Other, writes: false };
        let accesses =
            [q.read(), Some(state(key_state)), Some(state(value_state)), out.written(), self.shared()];
        let (keys, values) = (key_state, value_state);
        let node = Attention { shape, step, q, keys, values, positions, sequences, table, base, sinks, out };
        self.push(Kernel::Attention(Box::new(node)), accesses);
        Ok(())
    }

    /// The region that nodes use one after another.
    fn shared(&self) -> Option<Access> {
        Some(Access { region: Region::Shared, split: Split::Other, writes: true })
    }

    fn experts(&mut self, node: &Planned, act: Act, biased: bool, out: Slot) -> Result<(), BackendError> {
        let args = &node.args;
        let [x, weights, chosen] = [args[0], args[1], args[2]].map(|value| self.slot(value));
        let matrices = [self.weight(args[3])?, self.weight(args[4])?, self.weight(args[5])?];
        let rounding = matrices.map(|w| self.rounding(w));
        if rounding[0] != rounding[1] {
            return Err(BackendError::Unsupported {
                device: NAME,
                what: node.op.to_string(),
                reason: "gate and up are of types that take different activations".to_owned(),
            });
        }
        let biases = biased.then(|| [self.vector(args[6]), self.vector(args[7]), self.vector(args[8])]);
        let rounding = [rounding[0], rounding[2]];
        let pairs = chosen.len();
        let experts = self.forms[matrices[0]].count();
        let inner = self.forms[matrices[0]].layout().rows;
        let places = places(experts, pairs, x.width(), inner, out.width(), rounding);
        self.shared = self.shared.max(places.end);
        for (weight, spans) in matrices.into_iter().zip([1, 1, 0]) {
            // Any number of pairs may fall to one expert.
            for rows in [1, pairs] {
                self.reserve(weight, rows, spans);
            }
        }
        let accesses = [x.read(), weights.read(), chosen.read(), out.written(), self.shared()];
        let touched = self.region(size_of::<u32>());
        self.touched.push(touched);
        let node = Experts { x, weights, chosen, matrices, biases, act, out, rounding, places, touched };
        self.push(Kernel::Experts(Box::new(node)), accesses);
        Ok(())
    }

    fn core(&mut self, node: &Planned) -> Result<(), BackendError> {
        let args = node.args.iter().map(|&arg| self.slot(arg)).collect::<Vec<_>>();
        let results = node.results.iter().map(|&result| self.slot(result)).collect::<Vec<_>>();
        let reads = args.iter().filter_map(Slot::read);
        let writes = results.iter().filter_map(Slot::written);
        let accesses = reads.chain(writes).collect();
        let state = match node.op {
            Op::StateRead => match self.plan.place(node.args[0]) {
                Place::State(state) => Some(state),
                _ => None,
            },
            _ => None,
        };
        let kernel = match state {
            Some(state) => Kernel::Read { state, table: args[1], out: results[0] },
            None => Kernel::Core { op: node.op.clone(), args, results },
        };
        self.push_all(kernel, accesses);
        Ok(())
    }
}

/// Bytes of so many rows prepared.
fn bytes_of(rounding: Rounding, rows: usize, width: usize) -> usize {
    match rounding {
        Rounding::None => 0,
        Rounding::Bf16 => activation::bf16_values(rows, width) * 2,
        Rounding::Int8 => activation::int8_groups(rows, width) * size_of::<activation::Int8Group>(),
    }
}

/// Where the parts of a mixture's work lie.
fn places(
    experts: usize,
    pairs: usize,
    width: usize,
    inner: usize,
    outer: usize,
    rounding: [Rounding; 2],
) -> Places {
    let mut end = 0;
    let mut place = |bytes: usize| {
        let at = end;
        end += bytes.next_multiple_of(LINE);
        at
    };
    let rows = |rounding, width| match rounding {
        Rounding::None => pairs * width * 4,
        _ => bytes_of(rounding, pairs, width),
    };
    let taken = place(LINE);
    let (starts, order, ranks) = (place((experts + 1) * 4), place(pairs * 4), place(pairs * 4));
    let x = place(rows(rounding[0], width));
    let (h, h_prepared) = (place(pairs * inner * 4), place(rows(rounding[1], inner)));
    let y = place(pairs * outer * 4);
    Places { taken, starts, order, ranks, x, h, h_prepared, y, end }
}
