//! Making a bundle. No weight is read.

use std::fs;
use std::io;
use std::path::Path;

use graph::{BackendError, Bucket, Graph, GroupId, Part, ProgramSpec};
use serde_json::{Value, json};
use tensor::Sum;

use super::buckets::name;
use super::predict::predicted;
use super::{FORMAT, MANIFEST};
use crate::emit::{scale_input, weight_input};
use crate::weights::Form;
use crate::{Compiler, Job, NAME, Options, Precision, Target, emit, of_rank, uncompiled, unsupported};
use neuronx::COMMAND;

/// What a bundle is made for.
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    /// The chip.
    pub target: &'a Target,
    /// How modules are written.
    pub options: Options,
    /// How many logical cores run it together.
    pub ranks: u32,
    /// One program each.
    pub buckets: Vec<Bucket>,
}

/// Something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many modules of all are written.
    Written {
        /// Modules there are now.
        done: usize,
        /// All of them.
        of: usize,
    },
    /// So many programs of all are made.
    Compiled {
        /// Programs there are now.
        done: usize,
        /// All of them.
        of: usize,
    },
}

/// Bytes of memory that programs and the runtime take beside tensors: instructions, rings of descriptors, scratch.
const RESERVED: u64 = 1 << 30;

/// A module in the folder.
struct Written {
    name: String,
    bucket: Bucket,
    module: Vec<u8>,
    instructions: usize,
}

impl Written {
    fn module_file(&self) -> String {
        format!("{}.hlo.pb", self.name)
    }

    fn program_file(&self) -> String {
        format!("{}.neff", self.name)
    }
}

impl Bundle<'_> {
    /// Writes `NAME.hlo.pb` for every bucket, `NAME.neff` where there is a compiler and else `compile.sh`, which runs it
    /// on each, and last `manifest.json`, which is also what it gives. So many modules are compiled `at_once`.
    pub fn write(
        &self,
        graph: &Graph,
        folder: &Path,
        compiler: Option<&Compiler>,
        at_once: usize,
        tell: &(dyn Fn(Step) + Sync),
    ) -> Result<Value, BackendError> {
        self.options.check(self.target)?;
        let graph = of_rank(graph, self.ranks)?;
        let pages = self.pages(&graph)?;
        fs::create_dir_all(folder).map_err(|error| at(folder, error))?;
        // What was there is another bundle's from the first module on.
        match fs::remove_file(folder.join(MANIFEST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(folder, error)),
            _ => {}
        }
        let mut modules = vec![];
        for bucket in &self.buckets {
            modules.push(self.module(&graph, bucket, &pages, folder)?);
            tell(Step::Written { done: modules.len(), of: self.buckets.len() });
        }
        let programs = match compiler {
            Some(compiler) => self.compile(&modules, folder, compiler, at_once, tell)?,
            None => {
                put(folder, "compile.sh", self.script(&modules).as_bytes())?;
                vec![None; modules.len()]
            }
        };
        let manifest = self.manifest(&graph, &pages, &modules, &programs, compiler);
        let (new, text) = (format!("{MANIFEST}.new"), format!("{manifest:#}\n"));
        put(folder, &new, text.as_bytes())?;
        fs::rename(folder.join(new), folder.join(MANIFEST)).map_err(|error| at(folder, error))?;
        Ok(manifest)
    }

    /// Writes the module of a bucket.
    fn module(
        &self,
        graph: &Graph,
        bucket: &Bucket,
        pages: &[u32],
        folder: &Path,
    ) -> Result<Written, BackendError> {
        let spec = ProgramSpec { bucket: *bucket, ..ProgramSpec::default() };
        let emitted = emit(graph, &spec, pages, &self.options)?;
        let instructions = emitted.module.entry().instructions.len();
        let name = name(bucket, graph.page_len);
        let written = Written { name, bucket: *bucket, module: emitted.module.encode(), instructions };
        put(folder, &written.module_file(), &written.module)?;
        Ok(written)
    }

    /// Puts a program beside every module, and gives a sum over each.
    fn compile(
        &self,
        modules: &[Written],
        folder: &Path,
        compiler: &Compiler,
        at_once: usize,
        tell: &(dyn Fn(Step) + Sync),
    ) -> Result<Vec<Option<String>>, BackendError> {
        let jobs = modules
            .iter()
            .map(|it| Job { name: &it.name, module: &it.module, target: self.target })
            .collect::<Vec<_>>();
        let done = std::sync::atomic::AtomicUsize::new(0);
        let compiled = compiler.compile_all(&jobs, at_once, &|_, _| {
            let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            tell(Step::Compiled { done, of: jobs.len() });
        });
        let compiled = compiled.map_err(uncompiled)?;
        let mut sums = vec![];
        for (module, compiled) in modules.iter().zip(compiled) {
            let program = fs::read(&compiled.path).map_err(|error| at(&compiled.path, error))?;
            put(folder, &module.program_file(), &program)?;
            sums.push(Some(sum(&program)));
        }
        Ok(sums)
    }

    /// The commands that make the programs elsewhere.
    fn script(&self, modules: &[Written]) -> String {
        let mut script = String::from(
            "#!/usr/bin/env bash\n# Turns every module here into a program. It needs AWS's Neuron compiler on an x86-64 Linux \
             machine, and no chip.\n",
        );
        script += "set -euo pipefail\ncd \"$(dirname \"${BASH_SOURCE[0]}\")\"\n";
        for module in modules {
            let flags = self.target.flags(&module.module_file(), &module.program_file());
            script += &format!("{COMMAND} {}\n", flags.join(" "));
        }
        script
    }

    fn manifest(
        &self,
        graph: &Graph,
        pages: &[u32],
        modules: &[Written],
        programs: &[Option<String>],
        compiler: Option<&Compiler>,
    ) -> Value {
        let program = |(it, program): (&Written, &Option<String>)| {
            let Bucket { tokens, seqs, queries, pages, rows } = it.bucket;
            json!({
                "name": it.name,
                "bucket": {"tokens": tokens, "seqs": seqs, "queries": queries, "pages": pages, "rows": rows},
                "module": it.module_file(),
                "module_sum": sum(&it.module),
                "program": it.program_file(),
                "program_sum": program,
                "instructions": it.instructions,
                "predicted": predicted(graph, &it.bucket, self.target, &self.options),
            })
        };
        let weights_in = self.options.narrow.map_or(String::new(), |narrow| narrow.to_string());
        let weights = graph.weights.iter().zip(Form::all(graph, &self.options));
        let weights = weights.map(|(weight, form)| self.weight(weight, form)).collect::<Vec<_>>();
        json!({
            "format": FORMAT,
            "made_by": concat!("polysilicon ", env!("CARGO_PKG_VERSION")),
            "compiler": compiler.map(Compiler::version),
            "model": graph.name,
            "graph_sum": graph_sum(graph),
            "target": self.target.name,
            "physical_cores": self.target.physical,
            "ranks": self.ranks,
            "precision": precision(&self.options),
            "weights_in": weights_in,
            "page_len": graph.page_len,
            "pages": pages,
            "bytes_per_core": {
                "weights": crate::weights::bytes(graph, &self.options),
                "states": graph.pages_bytes(pages),
                "reserved": RESERVED,
                "available": self.target.memory_bytes,
            },
            "programs": modules.iter().zip(programs).map(program).collect::<Vec<_>>(),
            "weights": weights,
        })
    }

    /// How a weight lies in a core's memory, and which part of the whole it is there.
    fn weight(&self, weight: &graph::WeightSpec, form: Form) -> Value {
        let shape = form.shape(&weight.info);
        let mut value = json!({
            "name": weight.name,
            "input": weight_input(weight),
            "type": shape.element.name(),
            "shape": shape.dims,
        });
        if let Some(scales) = form.scales(&weight.info) {
            let input = scale_input(&weight_input(weight));
            value["scales"] = json!({"input": input, "type": scales.element.name(), "shape": scales.dims});
        }
        match weight.part {
            Part::Whole => {}
            Part::First => value["only_rank"] = 0.into(),
            Part::Slice { axis, whole, copies } => {
                let len = weight.info.shape[usize::from(axis)] as u32;
                let filling = weight.part.filling(len, self.ranks);
                value["slice"] = json!({"axis": axis, "of": whole, "copies": copies, "zeros": filling});
            }
        }
        value
    }

    /// Pages of each group that the largest bucket wants, the bin included.
    fn pages(&self, graph: &Graph) -> Result<Vec<u32>, BackendError> {
        let most = self.buckets.iter().map(|bucket| bucket.seqs.saturating_mul(bucket.pages)).max();
        let most = most.ok_or_else(|| unsupported("a bundle".to_owned(), "it has no bucket".to_owned()))?;
        let pages = vec![most.saturating_add(1); graph.groups.len()];
        let of_states = (0..)
            .zip(&pages)
            .map(|(group, &pages)| graph.page_bytes(GroupId(group)).saturating_mul(pages.into()));
        let of_states = of_states.fold(0, u64::saturating_add);
        let needed =
            crate::weights::bytes(graph, &self.options).saturating_add(of_states).saturating_add(RESERVED);
        if needed > self.target.memory_bytes {
            let what = "weights, keys and values, and programs on one core";
            let available = self.target.memory_bytes;
            return Err(BackendError::Memory { device: NAME, what, needed, available });
        }
        Ok(pages)
    }
}

/// How products are computed, in a word.
pub(super) fn precision(options: &Options) -> &'static str {
    match options.precision {
        Precision::Bf16 => "bf16",
        Precision::F32 => "f32",
    }
}

/// A sum over bytes, as text.
pub(super) fn sum(bytes: &[u8]) -> String {
    let mut sum = Sum::default();
    sum.add(bytes);
    format!("{:016x}", sum.value())
}

/// A sum over what a graph computes, on one rank: operations, types and shapes, whatever it is called.
pub(super) fn graph_sum(graph: &Graph) -> String {
    let graph = Graph { name: String::new(), ..graph.clone() };
    sum(format!("{graph}ranks {}", graph.ranks).as_bytes())
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), BackendError> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(|error| at(&path, error))
}

/// An error of the file system, with the file.
fn at(path: &Path, error: io::Error) -> BackendError {
    io::Error::new(error.kind(), format!("{}: {error}", path.display())).into()
}
