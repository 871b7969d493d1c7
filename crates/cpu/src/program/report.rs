//! What a program does, kernel by kernel, before anyone runs it.

use graph::{Graph, Op, PlanLine, PlanReport, StepCounts, Work};

use super::kernel::{Kernel, Operand};
use super::{Program, Slot};
use crate::product::Rounding;
use crate::weights::Loaded;

impl Program {
    /// Bytes and operations of each kernel at the size of the bucket.
    pub(super) fn describe(&self, graph: &Graph, weights: &Loaded) -> PlanReport {
        let counts = StepCounts::largest(graph, &self.spec.bucket);
        let line = |node: &super::Node| {
            let planned = self.plan.nodes.get(node.planned);
            let tys =
                |values: &[graph::ValueId]| values.iter().map(|&v| *self.plan.ty(v)).collect::<Vec<_>>();
            let whole = |op: &Op, planned: &graph::Planned| {
                op.work(&tys(&planned.args), &tys(&planned.results), &counts)
            };
            let work = match (&node.kernel, planned) {
                // A part of its node, or of none: what it moves is its own.
                (Kernel::Prepare { x, rounding, .. }, _) => prepared(x, *rounding),
                (Kernel::Turns { .. } | Kernel::Peaks { .. } | Kernel::Patch { .. }, _) | (_, None) => {
                    Work::default()
                }
                (_, Some(planned)) => whole(&planned.op, planned),
            };
            let path = planned.map(|planned| planned.path.clone()).unwrap_or_default();
            PlanLine { path, kernel: self.name(&node.kernel, weights), work, predicted_ns: None }
        };
        PlanReport { lines: self.nodes.iter().map(line).collect(), arena_bytes: self.work_bytes as u64 }
    }

    /// A kernel's name with what it works on, `product[q4_0 x int8, avx512]`.
    fn name(&self, kernel: &Kernel, weights: &Loaded) -> String {
        let isa = self.ways.isa;
        let dtype = |w: &usize| weights.weights[*w].matrix().view().layout.dtype;
        let by = |x: &Operand| match x {
            Operand::Plain(_) => "f32",
            Operand::Prepared { rounding, .. } => word(*rounding),
        };
        match kernel {
            Kernel::Prepare { rounding, .. } => format!("prepare[{}, {isa}]", word(*rounding)),
            Kernel::Product { x, w, bias, add, .. } => {
                let bias = if bias.is_some() { " + bias" } else { "" };
                let add = if add.is_some() { " + residual" } else { "" };
                format!("product[{} x {}{bias}{add}, {isa}]", dtype(w), by(x))
            }
            Kernel::Gated { x, gate, .. } => format!("gated_product[{} x {}, {isa}]", dtype(gate), by(&x[0])),
            Kernel::Embed { table, .. } => format!("embed[{}]", dtype(table)),
            Kernel::RmsNorm { .. } => format!("rms_norm[{isa}]"),
            Kernel::Turns { .. } => "turns".to_owned(),
            Kernel::Rope { norm: None, .. } => format!("rope[{isa}]"),
            Kernel::Rope { .. } => format!("norm_rope[{isa}]"),
            Kernel::GatedAct { .. } => format!("gated_act[{isa}]"),
            Kernel::Add { .. } => format!("add[{isa}]"),
            Kernel::Write { .. } => "state_write".to_owned(),
            Kernel::Read { .. } => "state_read".to_owned(),
            Kernel::Attention(node) => {
                let rounding = if node.shape.rounded { Rounding::Bf16 } else { Rounding::None };
                format!("attention[{}, {isa}]", word(rounding))
            }
            Kernel::Route { .. } => format!("route[{isa}]"),
            Kernel::Experts(node) => {
                format!("experts[{} x {}, {isa}]", dtype(&node.matrices[0]), word(node.rounding[0]))
            }
            Kernel::Core { op, .. } => op.to_string(),
            Kernel::Patch { .. } => "patch".to_owned(),
            Kernel::Peaks { .. } => format!("peaks[{isa}]"),
        }
    }
}

fn word(rounding: Rounding) -> &'static str {
    match rounding {
        Rounding::None => "f32",
        Rounding::Bf16 => "bf16",
        Rounding::Int8 => "int8",
    }
}

fn prepared(x: &Slot, rounding: Rounding) -> Work {
    let written = match rounding {
        Rounding::None => 4.0,
        Rounding::Bf16 => 2.0,
        Rounding::Int8 => 1.25,
    };
    let values = x.len() as f64;
    Work { operations: values, value_bytes: values * (4.0 + written), ..Work::default() }
}
