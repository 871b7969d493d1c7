//! What a program does, kernel by kernel.

use graph::{PlanLine, PlanReport, StepCounts, Ty, ValueId, Work};

use super::kernel::{Kernel, Operand};
use super::{Program, Slot};
use crate::measure::Limits;
use crate::product::Rounding;
use crate::weights::Form;

/// Where nothing was measured at this level.
const ADVICE: &str =
    "nothing was measured of this machine; `polysilicon devices --measure` does it in a few seconds";

impl Program {
    /// Bytes and operations of each kernel in a step of these counts, and how long they take at best.
    pub fn describe(&self, counts: &StepCounts, forms: &[Form], limits: Option<&Limits>) -> PlanReport {
        let tys = |values: &[ValueId]| values.iter().map(|&v| *self.plan.ty(v)).collect::<Vec<Ty>>();
        let line = |place: usize| {
            let node = &self.nodes[place];
            let (work, factor) = match (&node.kernel, self.plan.nodes.get(node.planned)) {
                // A part of its node, or of none: what it moves is its own.
                (Kernel::Prepare { x, rounding, .. }, _) => (prepared(x, *rounding), None),
                (Kernel::Turns { .. } | Kernel::Peaks { .. } | Kernel::Patch { .. }, _) | (_, None) => {
                    (Work::default(), None)
                }
                (_, Some(planned)) => {
                    let args = tys(&planned.args);
                    (planned.op.work(&args, &tys(&planned.results), counts), planned.op.factor(&args))
                }
            };
            let predicted_ns = limits.map(|limits| 1e9 * limits.bound(&work, factor).seconds());
            let (path, kernel) = self.label(place, forms);
            PlanLine { path, kernel, work, factor, predicted_ns, measured_ns: None }
        };
        PlanReport {
            lines: (0..self.nodes.len()).map(line).collect(),
            arena_bytes: self.work_bytes as u64,
            advice: limits.is_none().then_some(ADVICE),
        }
    }

    /// A node's path and the name of its kernel.
    pub fn label(&self, place: usize, forms: &[Form]) -> (String, String) {
        let node = &self.nodes[place];
        let path = self.plan.nodes.get(node.planned).map(|planned| planned.path.clone());
        (path.unwrap_or_default(), self.name(&node.kernel, forms))
    }

    /// A kernel's name with what it works on, `product[q4_0 x int8, avx512]`.
    fn name(&self, kernel: &Kernel, forms: &[Form]) -> String {
        let isa = self.ways.isa;
        let dtype = |w: &usize| forms[*w].layout().dtype;
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

#[cfg(test)]
mod tests {
    use graph::{Bucket, Catalogue, GraphBuilder, Input, Op, ProgramSpec};
    use simd::Isa;
    use tensor::{DType, Shape, WeightInfo};

    use super::*;
    use crate::measure::Unit;
    use crate::options::Precision;
    use crate::program::Ways;
    use crate::weights::forms;

    /// Has every weight, in one type.
    struct Every(DType);

    impl Catalogue for Every {
        fn find(&self, _name: &str, dims: &[u32]) -> Option<WeightInfo> {
            let dims = dims.iter().map(|&n| n as usize).collect::<Vec<_>>();
            Some(WeightInfo { dtype: self.0, shape: Shape::new(&dims) })
        }
    }

    /// What a product of so many rows by a q8_0 matrix of 64 by 64 is reported to take.
    fn product(tokens: u32, limits: Option<&Limits>) -> (PlanReport, PlanLine) {
        let every = Every(DType::Q8_0);
        let mut g = GraphBuilder::new("one", 64, 16, &every);
        let [table, w] = ["table", "w"].map(|name| g.weight(name, &[64, 64]));
        let tokens_in = g.input(Input::Tokens);
        let x = g.op(Op::Embed, &[tokens_in, table]);
        let y = g.op(Op::Linear, &[x, w]);
        let graph = g.finish(y).unwrap();
        let bucket = Bucket { tokens, seqs: 1, queries: tokens, pages: 1, rows: 1 };
        let spec = ProgramSpec { bucket, ..ProgramSpec::default() };
        let ways = Ways { isa: Isa::Portable, precision: Precision::Auto, workers: 1 };
        let forms = forms(&graph).unwrap();
        let program = Program::new(&graph, &forms, &spec, ways).unwrap();
        let report = program.describe(&StepCounts::largest(&graph, &bucket), &forms, limits);
        let line = report.lines.iter().find(|line| line.kernel.starts_with("product")).unwrap().clone();
        (report, line)
    }

    #[test]
    fn a_kernel_takes_as_long_as_reading_or_multiplying() {
        let (bytes, operations) = (64.0 * 68.0, 2.0 * 64.0 * 64.0);
        let limits = Limits { bandwidth: 1e9, peaks: vec![(Unit::F32, 1e9), (Unit::Int8, 1e10)] };
        let (report, one) = product(1, Some(&limits));
        assert_eq!((one.work.weight_bytes, one.factor), (bytes, Some(DType::Q8_0)));
        assert_eq!(one.predicted_ns, Some(bytes), "a row waits for memory");
        let many = product(16, Some(&limits)).1.predicted_ns.unwrap();
        assert!((many - 16.0 * operations / 10.0).abs() < 1e-6, "{many}: sixteen wait for the int8 unit");
        assert!(report.lines.iter().all(|line| line.predicted_ns.is_some()) && report.advice.is_none());
    }

    #[test]
    fn where_nothing_was_measured_nothing_is_predicted() {
        let (report, line) = product(1, None);
        assert_eq!(line.predicted_ns, None);
        assert!(report.advice.is_some_and(|advice| advice.contains("polysilicon devices --measure")));
    }
}
