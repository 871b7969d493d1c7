//! Programs loaded on cores: what they take and give, and their execution.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hlo::{Module, Shape};

use crate::abi::{
    Code, Counts, EXEC_BAD_INPUT, EXEC_COMPLETED_WITH_NUM_ERR, INVALID, UNSUPPORTED_NEFF_VERSION,
};
use crate::interpret::{Lent, Member, Program, Value, has_nan};
use crate::memory::{Share, Storage, Tensor};
use crate::neff::Neff;
use crate::ranks::World;
use crate::settings::Chip;
use crate::time;

/// A program on a core.
pub struct Model {
    pub program: Program,
    pub core: u32,
    /// Nanoseconds of an execution, by the time model.
    pub execution_ns: u64,
    place: Option<Place>,
    executions: AtomicU64,
    /// What its code takes of the core's memory.
    _code: Share,
}

/// A rank's place in its world.
pub struct Place {
    pub world: Arc<World>,
    pub rank: u32,
}

/// What is counted over the life of the library.
#[derive(Default)]
pub struct Counters {
    pub executions: AtomicU64,
    pub alias_copies: AtomicU64,
    pub written_bytes: AtomicU64,
    pub read_bytes: AtomicU64,
    pub simulated_ns: AtomicU64,
}

impl Counters {
    pub fn counts(&self) -> Counts {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            executions: now(&self.executions),
            alias_copies: now(&self.alias_copies),
            written_bytes: now(&self.written_bytes),
            read_bytes: now(&self.read_bytes),
            simulated_ns: now(&self.simulated_ns),
        }
    }
}

/// Tensors for every argument and result.
pub struct Bound {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

/// Reads a NEFF for a chip whose logical cores have so many cores.
pub fn program_of(file: &[u8], chip: Chip, logical: u32) -> Result<Program, Code> {
    let neff = Neff::decode(file)?;
    let legacy = std::env::var_os("NEURON_RT_ALLOW_LEGACY_NEFF").is_some();
    if neff.chip != chip && !(legacy && neff.chip < chip) {
        return Err(UNSUPPORTED_NEFF_VERSION);
    }
    if neff.logical != logical {
        return Err(INVALID);
    }
    let module = Module::decode(&neff.module).map_err(|_| INVALID)?;
    Program::new(module).map_err(|_| INVALID)
}

impl Model {
    pub fn new(
        program: Program,
        core: u32,
        chip: Chip,
        logical: u32,
        place: Option<Place>,
        code: Share,
    ) -> Model {
        let execution_ns = time::execution_ns(&program, chip, logical);
        Model { program, core, execution_ns, place, executions: AtomicU64::new(0), _code: code }
    }

    /// Finds the tensor of every argument and result by its name and checks that they fit.
    pub fn bind(
        &self,
        mut input: impl FnMut(&str) -> Result<Tensor, Code>,
        mut output: impl FnMut(&str) -> Result<Tensor, Code>,
    ) -> Result<Bound, Code> {
        let module = &self.program.module;
        let fits = |tensor: Tensor, shape: &Shape| match () {
            () if Some(tensor.bytes) != shape.bytes() => Err(INVALID),
            () if tensor.storage().is_none() || tensor.core.is_some_and(|core| core != self.core) => {
                Err(EXEC_BAD_INPUT)
            }
            () => Ok(tensor),
        };
        let parameters = self.program.parameters();
        let inputs = module.inputs.iter().zip(&parameters).map(|(name, shape)| fits(input(name)?, shape));
        let inputs = inputs.collect::<Result<Vec<_>, Code>>()?;
        let outputs = module.outputs.iter().zip(self.program.results());
        let outputs =
            outputs.map(|(name, shape)| fits(output(name)?, shape)).collect::<Result<Vec<_>, Code>>()?;
        let bound = Bound { inputs, outputs };
        if self.is_apart(&bound) { Ok(bound) } else { Err(EXEC_BAD_INPUT) }
    }

    /// Whether results lie where their aliases are and nowhere else among the tensors.
    fn is_apart(&self, bound: &Bound) -> bool {
        let alias = |output: usize| {
            let found = self.program.module.aliases.iter().find(|alias| alias.output == output);
            found.map(|alias| alias.input)
        };
        bound.outputs.iter().enumerate().all(|(place, output)| {
            let input = |(number, input): (usize, &Tensor)| match alias(place) == Some(number) {
                true => input.start() == output.start(),
                false => !input.overlaps(output),
            };
            let before = &bound.outputs[..place];
            bound.inputs.iter().enumerate().all(input) && !before.iter().any(|other| other.overlaps(output))
        })
    }

    /// Executes the program once.
    pub fn run(&self, bound: &Bound, counters: &Counters) -> Result<(), Code> {
        let module = &self.program.module;
        let storages = storages(bound);
        let mut reads = Vec::new();
        let mut writes = Vec::new();
        // In the order of their addresses, so that programs on different cores never wait for each other in a circle.
        for (storage, written) in storages.values() {
            match written {
                true => writes.push(storage.write()),
                false => reads.push(storage.read()),
            }
        }
        let arguments = bound.inputs.iter().zip(self.program.parameters()).enumerate();
        let arguments = arguments.map(|(number, (tensor, shape))| {
            let ours = module.aliases.iter().any(|alias| alias.input == number);
            // SAFETY: the guards above keep writers away, and readers too where results are written; `bind` checked
            // that what is ours overlaps with nothing else. All values are gone when this function returns.
            Value::lent(shape, unsafe { Lent::new(start(tensor), tensor.bytes, ours) })
        });
        let execution = self.executions.fetch_add(1, Ordering::Relaxed);
        let member = self.place.as_ref().map(|place| Member {
            world: &place.world,
            rank: place.rank as usize,
            execution,
        });
        let results = self.program.run(arguments.collect(), member.as_ref())?;
        let mut numbers = true;
        for (place, (result, tensor)) in results.iter().zip(&bound.outputs).enumerate() {
            let aliased = module.aliases.iter().any(|alias| alias.output == place);
            if result.lies_at(start(tensor)) {
                continue;
            }
            counters.alias_copies.fetch_add(aliased.into(), Ordering::Relaxed);
            numbers &= !has_nan(result);
            let from = result.bytes();
            // SAFETY: the result's bytes are as many as the tensor's, lie elsewhere or at another place of an argument,
            // and the guard keeps everybody else away.
            unsafe { start(tensor).as_ptr().copy_from(from.as_ptr(), from.len()) };
        }
        for tensor in &bound.outputs {
            tensor.completions.fetch_add(1, Ordering::Release);
        }
        counters.executions.fetch_add(1, Ordering::Relaxed);
        counters.simulated_ns.fetch_add(self.execution_ns, Ordering::Relaxed);
        if numbers { Ok(()) } else { Err(EXEC_COMPLETED_WITH_NUM_ERR) }
    }
}

/// Every storage once, by its address, and whether it is written.
fn storages(bound: &Bound) -> BTreeMap<usize, (&Arc<Storage>, bool)> {
    let mut storages = BTreeMap::new();
    let read = bound.inputs.iter().map(|tensor| (tensor, false));
    for (tensor, written) in read.chain(bound.outputs.iter().map(|tensor| (tensor, true))) {
        if let Some(storage) = tensor.storage() {
            storages.entry(Arc::as_ptr(storage).addr()).or_insert((storage, false)).1 |= written;
        }
    }
    storages
}

fn start(tensor: &Tensor) -> NonNull<u8> {
    tensor.start().expect("`bind` checked that the tensor lies somewhere")
}
