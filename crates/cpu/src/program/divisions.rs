//! Attention within a step, divided among the workers once for all layers that attend alike.

use graph::Place;

use super::kernel::Attention;
use super::memory::Memory;
use super::shares::Taken;
use super::{Program, Slot};
use crate::attention::{Call, Step, Survey};
use crate::team::Worker;

/// How steps are divided, and the inputs that say what their tokens see.
pub struct Division {
    pub survey: Survey,
    pub positions: Slot,
    pub sequences: Slot,
}

impl Division {
    /// Whether both divide every step alike.
    pub fn is_same(&self, other: &Division) -> bool {
        let inputs =
            |division: &Division| -> [Place; 2] { [division.positions.place, division.sequences.place] };
        self.survey == other.survey && inputs(self) == inputs(other)
    }
}

impl Program {
    /// Makes room for the divisions of this program's steps.
    pub fn reserve(&self, steps: &mut Vec<Step>) {
        steps.resize_with(self.divisions.len().max(steps.len()), Step::default);
        for (division, step) in self.divisions.iter().zip(steps) {
            division.survey.reserve(&self.spec.bucket, step);
        }
    }

    /// Divides a step in every way that the program's layers work by, and takes back what was dealt out in the last one.
    /// It allocates only until `steps` have grown.
    pub fn divide(&self, memory: &Memory<'_>, steps: &mut Vec<Step>) {
        self.taken.iter().for_each(Taken::reset);
        steps.resize_with(self.divisions.len().max(steps.len()), Step::default);
        for (division, step) in self.divisions.iter().zip(steps) {
            // SAFETY: inputs, which nobody writes to.
            let (positions, sequences) =
                unsafe { (memory.elements(&division.positions), memory.elements(&division.sequences)) };
            division.survey.look(positions, sequences, step);
        }
    }

    /// A worker's units of attention, and of the merges behind them.
    ///
    /// # Safety
    /// The workers have met since queries, keys and values were written, all of them run it, and nobody else touches
    /// its results.
    pub(super) unsafe fn attention(
        &self,
        memory: &Memory<'_>,
        steps: &[Step],
        worker: Worker<'_>,
        node: &Attention,
    ) {
        let (isa, step) = (self.ways.isa, &steps[node.step]);
        // SAFETY: as the caller says; units are shared out, and merged after all of them are done.
        unsafe {
            let partials = self.divisions[node.step].survey.partial_bytes(&self.spec.bucket);
            let call = Call {
                shape: node.shape,
                q: memory.elements(&node.q),
                keys: memory.states.state(node.keys),
                values: memory.states.state(node.values),
                positions: memory.elements(&node.positions),
                sequences: memory.elements(&node.sequences),
                table: memory.elements(&node.table),
                columns: node.table.width(),
                base: memory.elements(&node.base),
                sinks: node.sinks.as_ref().map(|sinks| memory.elements(sinks)),
                out: memory.start(&node.out),
                partials: memory.work(self.shared_at, partials).cast(),
            };
            let own = self.own(memory, worker.part);
            let own = std::slice::from_raw_parts_mut(own.as_mut_ptr().cast::<f32>(), own.len() / 4);
            for unit in step.share(worker.part) {
                call.unit(isa, step, unit, own);
            }
            if step.merges() > 0 {
                worker.meet();
                for merge in worker.part.share(step.merges()) {
                    call.merge(isa, step, merge);
                }
            }
        }
    }
}
