//! What a worker does in a step: every node in order, its share of each.

use graph::Op;
use half::bf16;
use simd::{Kernel as Vectors, Simd};

use super::kernel::{Kernel, Node};
use super::memory::Memory;
use super::shares::Taken;
use super::{Program, Slot};
use crate::activation::{Int8Group, bf16_values, int8_groups, quantize_row, round_row};
use crate::attention::Step;
use crate::core::{self, View, ViewMut};
use crate::packed;
use crate::part::Part;
use crate::product::Rounding;
use crate::rows::{self, CHUNK, Peak};
use crate::team::Worker;
use crate::trace::Trace;

impl Program {
    /// Runs a worker's share of a step.
    ///
    /// # Safety
    /// All workers of the team run this program on this memory, which has the program's work space, and inputs that
    /// were checked.
    pub unsafe fn run(&self, memory: &Memory<'_>, steps: &[Step], worker: Worker<'_>, trace: Option<&Trace>) {
        for (place, node) in self.nodes.iter().enumerate() {
            if node.meets {
                worker.meet();
            }
            let start = trace.map(Trace::now);
            // SAFETY: as the caller says, and the workers have met where the node needs it.
            unsafe { self.node(memory, steps, worker, node, &self.taken[place]) };
            if let (Some(trace), Some(start)) = (trace, start) {
                trace.note(worker.part.index, place, start);
            }
        }
    }

    /// # Safety
    /// As for `run`; and what the node reads has been written, what it writes is read by nobody.
    unsafe fn node(
        &self,
        memory: &Memory<'_>,
        steps: &[Step],
        worker: Worker<'_>,
        node: &Node,
        taken: &Taken,
    ) {
        let (isa, part) = (self.ways.isa, worker.part);
        // SAFETY: as the caller says. Kernels that split by rows touch their share of rows; the others say how they
        // split.
        unsafe {
            match &node.kernel {
                Kernel::Prepare { x, rounding, at } => {
                    let width = x.width();
                    let per_row = x.row() / width.max(1);
                    let all = x.rows() * per_row;
                    let share = part.share(x.rows());
                    let values = memory.rows(x, share.clone());
                    for (row, values) in (share.start * per_row..).zip(values.chunks_exact(width.max(1))) {
                        self.prepare_row(memory, values, *rounding, *at, row, all);
                    }
                }
                Kernel::Product { x, w, bias, add, out } => {
                    self.product(memory, part, taken, x, *w, bias.as_ref(), add.as_ref(), out);
                }
                Kernel::Gated { x, gate, up, biases, act, out } => {
                    self.gated(memory, part, taken, x, [*gate, *up], biases.as_ref(), *act, out);
                }
                Kernel::Embed { ids, table, out } => {
                    let share = part.share(out.rows());
                    let table = memory.weight(*table).matrix().view();
                    let bytes = &mut self.own(memory, part)[..table.layout.row_bytes()];
                    let ids = &memory.elements::<i32>(ids)[share.clone()];
                    rows::embed(&table, ids, bytes, memory.rows_mut(out, share));
                }
                Kernel::RmsNorm { x, w, eps, out } => {
                    let share = part.share(x.rows());
                    let x = memory.rows(x, share.clone());
                    rows::rms_norm(isa, x, memory.elements(w), *eps, memory.rows_mut(out, share));
                }
                Kernel::Turns { positions, frequencies, scale, at } => {
                    let frequencies = memory.elements::<f32>(frequencies);
                    let share = part.share(positions.rows());
                    let positions = &memory.elements::<i32>(positions)[share.clone()];
                    let row = 2 * frequencies.len();
                    let table = memory.part_mut(at + share.start * row * 4, share.len() * row);
                    rows::turns(positions, frequencies, *scale, table);
                }
                Kernel::Rope { x, at, norm, heads, out } => {
                    let share = part.share(x.rows());
                    let row = 2 * heads.turned;
                    let table = memory.part::<f32>(at + share.start * row * 4, share.len() * row);
                    let x = memory.rows(x, share.clone());
                    let out = memory.rows_mut(out, share);
                    match norm {
                        Some((w, eps)) => {
                            rows::norm_rope(isa, x, memory.elements(w), *eps, table, *heads, out);
                        }
                        None => rows::rope(isa, x, table, *heads, out),
                    }
                }
                Kernel::GatedAct { act, gate, up, out } => {
                    let share = part.share(out.rows());
                    let (gate, up) = (memory.rows(gate, share.clone()), memory.rows(up, share.clone()));
                    rows::gated_act(isa, *act, gate, up, memory.rows_mut(out, share));
                }
                Kernel::Add { a, b, out } => {
                    let share = part.share(out.rows());
                    let (a, b) = (memory.rows(a, share.clone()), memory.rows(b, share.clone()));
                    rows::add(isa, a, b, memory.rows_mut(out, share));
                }
                Kernel::Write { state, slots, values } => {
                    let share = part.share(values.rows());
                    let slots = &memory.elements::<i32>(slots)[share.clone()];
                    memory.states.state(*state).write(slots, memory.rows(values, share));
                }
                Kernel::Read { state, table, out } => {
                    if part.index == 0 {
                        memory
                            .states
                            .state(*state)
                            .read(memory.elements(table), memory.rows_mut(out, 0..out.rows()));
                    }
                }
                Kernel::Attention(node) => self.attention(memory, steps, worker, node),
                Kernel::Route { k, scores, weights, experts } => {
                    let share = part.share(scores.rows());
                    let chosen = memory.rows_mut_i32(experts, share.clone());
                    let weights = memory.rows_mut(weights, share.clone());
                    rows::route(isa, *k, memory.rows(scores, share), scores.width(), weights, chosen);
                }
                Kernel::Experts(node) => self.experts(memory, worker, node),
                Kernel::Core { op, args, results } => {
                    if part.index == 0 {
                        core_node(memory, op, args, results);
                    }
                }
                Kernel::Patch { place, out } => {
                    if part.index == 0 {
                        memory.rows_mut(out, 0..out.rows()).copy_from_slice(memory.patches[*place]);
                    }
                }
                Kernel::Peaks { logits, at } => self.peaks(memory, part, logits, *at),
            }
        }
    }

    /// A worker's own region.
    ///
    /// # Safety
    /// The worker has no other view of it.
    #[allow(clippy::mut_from_ref, reason = "the caller promises what the borrow would")]
    pub(super) unsafe fn own<'m>(&self, memory: &'m Memory<'_>, part: Part) -> &'m mut [u8] {
        // SAFETY: no other worker has this index.
        unsafe { memory.part_mut(self.own_at + part.index * self.own_bytes, self.own_bytes) }
    }

    /// Rounds one of `rows` rows for products.
    ///
    /// # Safety
    /// Nobody else touches what is written.
    pub(super) unsafe fn prepare_row(
        &self,
        memory: &Memory<'_>,
        values: &[f32],
        rounding: Rounding,
        at: usize,
        row: usize,
        rows: usize,
    ) {
        let width = values.len();
        let bytes = match rounding {
            Rounding::None => rows * width * 4,
            Rounding::Bf16 => bf16_values(rows, width) * 2,
            Rounding::Int8 => int8_groups(rows, width) * size_of::<Int8Group>(),
        };
        let start = memory.work(at, bytes);
        self.ways.isa.run(Prepare { values, rounding, start, row, rows });
    }

    /// Surveys a worker's pieces of the logits.
    ///
    /// # Safety
    /// The logits are there, and nobody else touches the peaks.
    unsafe fn peaks(&self, memory: &Memory<'_>, part: Part, logits: &Slot, at: usize) {
        let pieces = logits.row().div_ceil(CHUNK);
        // SAFETY: as the caller says.
        let values = unsafe { memory.elements::<f32>(logits) };
        for piece in part.share(pieces * logits.rows()) {
            let row = &values[piece / pieces * logits.row()..][..logits.row()];
            let first = piece % pieces * CHUNK;
            let peak = Peak::of(self.ways.isa, &row[first..(first + CHUNK).min(row.len())], first as u32);
            let to = memory.work(at + piece * size_of::<Peak>(), size_of::<Peak>());
            // SAFETY: the piece's own place, aligned as a line is for the first and by its size for the others.
            unsafe { to.cast::<Peak>().write(peak) };
        }
    }
}

/// One row rounded; made by `prepare_row` only, which has asked for the room.
struct Prepare<'a> {
    values: &'a [f32],
    rounding: Rounding,
    start: *mut u8,
    row: usize,
    rows: usize,
}

impl Vectors for Prepare<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, cols) = (self.values.as_ptr(), self.values.len());
        // SAFETY: the room is for `rows` rows, of which this is one.
        unsafe {
            match self.rounding {
                Rounding::None => {
                    std::ptr::copy_nonoverlapping(x, self.start.cast::<f32>().add(self.row * cols), cols);
                }
                Rounding::Bf16 => {
                    let out = self.start.cast::<bf16>().add(self.row * bf16_values(1, cols));
                    round_row(s, x, cols, out);
                }
                Rounding::Int8 => {
                    let out = self.start.cast::<Int8Group>().add(self.row);
                    quantize_row(s, x, cols, out, self.rows);
                }
            }
        }
    }
}

/// Arguments that a core operation has at most before its views are collected on the heap.
const FEW: usize = 4;

/// # Safety
/// What is read has been written, what is written is read by nobody.
unsafe fn core_node(memory: &Memory<'_>, op: &Op, args: &[Slot], results: &[Slot]) {
    let view = |slot: &Slot| View {
        dtype: slot.dtype,
        shape: slot.shape,
        // SAFETY: as the caller says.
        data: unsafe { memory.bytes(slot) },
    };
    let out = |slot: &Slot| ViewMut {
        dtype: slot.dtype,
        shape: slot.shape,
        // SAFETY: as the caller says.
        data: unsafe { memory.bytes_mut(slot) },
    };
    let many;
    let few;
    let args = match args {
        [] => &[][..],
        _ if args.len() <= FEW => {
            few = std::array::from_fn::<_, FEW, _>(|i| view(&args[i.min(args.len() - 1)]));
            &few[..args.len()]
        }
        _ => {
            many = args.iter().map(view).collect::<Vec<_>>();
            &many
        }
    };
    let done = match results {
        [one] => core::apply(op, args, &mut [out(one)]),
        [one, two] => core::apply(op, args, &mut [out(one), out(two)]),
        _ => false,
    };
    assert!(done, "{op} is an operation that is lowered to no kernel");
}

impl rows::Table for packed::View<'_> {
    fn dtype(&self) -> tensor::DType {
        self.layout.dtype
    }

    fn rows(&self) -> usize {
        self.layout.rows
    }

    fn unpack_row(&self, row: usize, bytes: &mut [u8]) {
        packed::View::unpack_row(self, row, bytes);
    }
}
