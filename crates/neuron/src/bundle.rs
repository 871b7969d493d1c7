//! Modules written to a folder, one per bucket, with a manifest: what a compiler on another machine needs, and what can
//! be said of the programs before there are any. No weight is read.

use std::fmt::Write as _;
use std::path::Path;

use graph::{BackendError, Bucket, Graph, GroupId, ProgramSpec, StepCounts};
use serde_json::{Value, json};
use tensor::DType;

use crate::{NAME, Options, Target, emit, unsupported, weights};

/// What bundles are made for.
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    /// The chip.
    pub target: &'a Target,
    /// How modules are written.
    pub options: Options,
    /// One program each.
    pub buckets: Vec<Bucket>,
}

/// Bytes of memory that programs and the runtime take beside tensors: instructions, rings of descriptors, scratch.
const RESERVED: u64 = 1 << 30;

impl Bundle<'_> {
    /// Writes `NAME.hlo.pb` for every bucket, `manifest.json`, and `compile.sh`, which runs the compiler on each; gives
    /// the manifest.
    pub fn write(&self, graph: &Graph, folder: &Path) -> Result<Value, BackendError> {
        self.options.check(self.target)?;
        let pages = self.pages(graph)?;
        std::fs::create_dir_all(folder)?;
        let mut script = String::from(
            "#!/usr/bin/env bash\n# Turns every module here into a program. It needs no chip.\n",
        );
        script += "set -euo pipefail\ncd \"$(dirname \"${BASH_SOURCE[0]}\")\"\n";
        let mut programs = vec![];
        for bucket in &self.buckets {
            let spec = ProgramSpec { bucket: *bucket, ..ProgramSpec::default() };
            let emitted = emit(graph, &spec, &pages, &self.options)?;
            let name = name(bucket, graph.page_len);
            let (module, program) = (format!("{name}.hlo.pb"), format!("{name}.neff"));
            let bytes = emitted.module.encode();
            std::fs::write(folder.join(&module), &bytes)?;
            writeln!(script, "{}", self.target.command(&module, &program).join(" "))
                .expect("a string takes any text");
            programs.push(json!({
                "name": name,
                "module": module,
                "program": program,
                "instructions": emitted.module.entry().instructions.len(),
                "predicted": self.predicted(graph, bucket),
            }));
        }
        let weight_bytes = weights::bytes(graph, &self.options);
        let states =
            (0..).zip(&pages).map(|(group, &pages)| graph.page_bytes(GroupId(group)) * u64::from(pages));
        let states = states.sum::<u64>();
        let manifest = json!({
            "model": graph.name,
            "target": self.target.name,
            "ranks": 1,
            "page_len": graph.page_len,
            "pages": pages,
            "bytes_per_core": {
                "weights": weight_bytes,
                "states": states,
                "reserved": RESERVED,
                "available": self.target.memory_bytes,
            },
            "programs": programs,
        });
        std::fs::write(folder.join("manifest.json"), format!("{manifest:#}\n"))?;
        std::fs::write(folder.join("compile.sh"), script)?;
        Ok(manifest)
    }

    /// Pages of each group that the largest bucket wants, the bin included.
    fn pages(&self, graph: &Graph) -> Result<Vec<u32>, BackendError> {
        let most = self.buckets.iter().map(|bucket| bucket.seqs.saturating_mul(bucket.pages)).max();
        let most = most.ok_or_else(|| unsupported("a bundle".to_owned(), "it has no bucket".to_owned()))?;
        let pages = vec![most.saturating_add(1); graph.groups.len()];
        let of_states =
            (0..).zip(&pages).map(|(group, &pages)| graph.page_bytes(GroupId(group)) * u64::from(pages));
        let needed = weights::bytes(graph, &self.options) + of_states.sum::<u64>() + RESERVED;
        if needed > self.target.memory_bytes {
            let what = "weights, keys and values, and programs on one core";
            return Err(BackendError::Memory {
                device: NAME,
                what,
                needed,
                available: self.target.memory_bytes,
            });
        }
        Ok(pages)
    }

    /// What the chip's published figures allow: an estimate from below of the time, never a measurement.
    fn predicted(&self, graph: &Graph, bucket: &Bucket) -> Value {
        let work = on_chip(graph, &self.options).work(&StepCounts::largest(graph, bucket));
        let memory = (work.weight_bytes + work.state_bytes) / self.target.bandwidth;
        let compute = work.operations / self.target.bf16;
        json!({
            "kind": "a lower bound of the time, from published figures; nothing was measured",
            "step_ms": memory.max(compute) * 1e3,
            "tokens_per_s": f64::from(bucket.tokens) / memory.max(compute),
            "bound": if memory >= compute { "memory" } else { "compute" },
        })
    }
}

/// What a bucket is called: `decode-8x4096` for eight sequences, `prefill-512x4096` for 512 tokens of one, each with
/// 4096 positions.
fn name(bucket: &Bucket, page_len: u32) -> String {
    let positions = bucket.pages * page_len;
    match bucket.queries {
        1 => format!("decode-{}x{positions}", bucket.seqs),
        _ => format!("prefill-{}x{positions}", bucket.tokens),
    }
}

/// The graph with weights of the types that they have on the chip.
fn on_chip(graph: &Graph, options: &Options) -> Graph {
    let unpacked = match options.precision {
        crate::Precision::Bf16 => DType::BF16,
        crate::Precision::F32 => DType::F32,
    };
    let mut graph = graph.clone();
    for ty in graph.funcs.iter_mut().flat_map(|func| &mut func.types) {
        if ty.dtype.is_block() {
            ty.dtype = unpacked;
        }
    }
    graph
}
