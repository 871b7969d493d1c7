//! Cores of a Neuron chip, through libnrt, as the device: modules become programs by `neuronx-cc`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use graph::BackendError;
use hlo::{Module, Shape};
use nrt::{Core, Direction, Model, Rank, Runtime, Seen, TensorSet};

use crate::bundle::Packed;
use crate::programs::Programs;
use crate::{Device, NAME, Target, unsupported};

/// Which cores, and how they are used.
#[derive(Clone, Debug)]
pub struct ChipOptions {
    /// The path of libnrt, where it is not one of [`nrt::PLACES`].
    pub library: Option<PathBuf>,
    /// The compiler.
    pub compiler: PathBuf,
    /// Where programs are kept.
    pub cache: PathBuf,
    /// A bundle to take programs from, in place of both; it says how many ranks there are.
    pub bundle: Option<PathBuf>,
    /// The first core, as this process counts those that it sees.
    pub core: u32,
    /// How many cores work together, each as a rank.
    pub ranks: u32,
    /// Whether no other cores are taken, so that other processes find them free: without it, and where the environment
    /// says nothing, libnrt takes all.
    pub alone: bool,
    /// The longest that a program may run.
    pub run_limit: Duration,
    /// The longest that a module may take to be compiled.
    pub compile_limit: Duration,
}

impl ChipOptions {
    /// One core, with programs kept in this folder.
    pub fn new(cache: PathBuf) -> ChipOptions {
        ChipOptions {
            library: None,
            compiler: neuronx::COMMAND.into(),
            cache,
            bundle: None,
            core: 0,
            ranks: 1,
            alone: false,
            // Longer than the runtime waits itself, so that its own word is heard first.
            run_limit: Duration::from_secs(120),
            // Large models have been seen to take more than an hour.
            compile_limit: Duration::from_secs(4 * 3600),
        }
    }
}

/// Bytes of a core's memory that are left to programs: their code is about 96 MB on each physical core, with rings of
/// descriptors and intermediate values beside it.
const RESERVED: u64 = 2 << 30;

/// Where the ranks of a process meet, where the environment says nothing.
const ROOT: ([u8; 4], u16) = ([127, 0, 0, 1], 62182);

/// Cores of this machine's Neuron chips.
pub struct Chip {
    runtime: Runtime,
    /// One per rank.
    cores: Vec<Core>,
    target: Target,
    programs: Programs,
    run_limit: Duration,
    /// What the emulator had counted when the last run was waited for, in nanoseconds.
    simulated_ns: u64,
}

/// A program, loaded on every rank.
pub struct ChipProgram {
    models: Vec<Model>,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

/// A program with its tensors, rank by rank.
pub struct ChipBound(Vec<(Model, TensorSet, TensorSet)>);

impl Chip {
    /// What libnrt says of itself, without being started.
    pub fn look(library: Option<&Path>) -> Result<Seen, nrt::Error> {
        let library = library.map(Path::to_owned);
        Runtime::look(&nrt::Options { library, ..nrt::Options::default() })
    }

    /// Starts libnrt and takes the cores.
    pub fn open(options: &ChipOptions) -> Result<Chip, BackendError> {
        assert!(options.ranks > 0, "at least one core works");
        let packed = options.bundle.as_deref().map(Packed::open).transpose()?;
        let count = packed.as_ref().map_or(options.ranks, Packed::ranks);
        let ranks = options.core..options.core.saturating_add(count);
        let seen = Chip::look(options.library.as_deref()).map_err(failed)?;
        if ranks.end > seen.cores {
            return Err(failed(nrt::Error::NoCore { core: ranks.end - 1, visible: seen.cores }));
        }
        let unset = |name: &str| std::env::var_os(name).is_none();
        let together = count > 1 && unset("NEURON_RT_ROOT_COMM_ID");
        let chosen = options.alone && unset("NEURON_RT_VISIBLE_CORES") && unset("NEURON_RT_NUM_CORES");
        let started = nrt::Options {
            library: options.library.clone(),
            cores: chosen.then(|| ranks.clone().collect()),
            collectives_root: together.then(|| ROOT.into()),
            ..nrt::Options::default()
        };
        let runtime = Runtime::open(&started).map_err(failed)?;
        let target = target(&runtime)?;
        // Cores that were chosen are numbered anew.
        let first = if chosen { 0 } else { options.core };
        let cores = (0..count).map(|rank| runtime.core(first + rank));
        let cores = cores.collect::<Result<_, _>>().map_err(failed)?;
        let programs = match packed {
            Some(packed) if packed.target().name == target.name => Programs::Packed(packed),
            Some(packed) => {
                let what = format!("a bundle for {}", packed.target().name);
                return Err(unsupported(what, format!("this is {}; compile for it", target.name)));
            }
            None => Programs::of_compiler(&options.compiler, &options.cache, options.compile_limit),
        };
        let simulated_ns = runtime.emulated().map_or(0, |counts| counts.simulated_ns);
        Ok(Chip { runtime, cores, target, programs, run_limit: options.run_limit, simulated_ns })
    }

    /// What it is, in words.
    pub fn description(&self) -> String {
        let (target, version) = (self.target.name, &self.runtime.seen().version);
        let cores = match self.cores.len() {
            1 => format!("core {}", self.cores[0].index()),
            n => format!("cores {} to {}", self.cores[0].index(), self.cores[n - 1].index()),
        };
        describe(&format!("{target}, {cores}"), version, self.is_emulated())
    }

    /// Whether this is no chip but the emulator.
    pub fn is_emulated(&self) -> bool {
        self.runtime.seen().emulated
    }

    /// What kind of chip it is.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The runtime, which counts where it is the emulator.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Bytes that a rank has for weights, states and what a step is given.
    pub fn memory_bytes(&self) -> Result<u64, BackendError> {
        let mut least = u64::MAX;
        for core in &self.cores {
            let stats = core.memory().map_err(failed)?;
            least = least.min(stats.limit.saturating_sub(stats.used) as u64);
        }
        Ok(least.saturating_sub(RESERVED.min(least / 8)))
    }
}

/// A device in words: which cores of what, by which runtime.
pub fn describe(what: &str, version: &str, emulated: bool) -> String {
    let emulated = if emulated { ", emulated: times are simulated" } else { "" };
    format!("AWS Neuron, {what}, libnrt {}{emulated}", version.trim())
}

/// The chip that programs are compiled for, with logical cores as they are set.
fn target(runtime: &Runtime) -> Result<Target, BackendError> {
    let name = runtime.target().map_err(failed)?.unwrap_or("a chip that is not known");
    let known = Target::named(name);
    let reason = || "modules are compiled for inf2, trn1, trn2 and trn3".to_owned();
    let mut target = *known.ok_or_else(|| unsupported(name.to_owned(), reason()))?;
    match std::env::var("NEURON_LOGICAL_NC_CONFIG").as_deref() {
        Ok("1") => target.physical = 1,
        Ok("2") => target.physical = 2,
        _ => {}
    }
    Ok(target)
}

impl Device for Chip {
    type Program = ChipProgram;
    /// Rank by rank.
    type Tensor = Vec<nrt::Tensor>;
    type Bound = ChipBound;
    /// Rank by rank.
    type Run = Vec<nrt::Run>;

    fn ranks(&self) -> u32 {
        self.cores.len() as u32
    }

    fn packed(&self) -> Option<&Packed> {
        match &self.programs {
            Programs::Packed(packed) => Some(packed),
            _ => None,
        }
    }

    fn load(&mut self, module: &Module) -> Result<ChipProgram, BackendError> {
        let path = self.programs.find(module, &self.target)?;
        let neff = std::fs::read(&path)?;
        let models = load(&self.cores, &neff).map_err(failed)?;
        let names = [(Direction::Input, &module.inputs), (Direction::Output, &module.outputs)];
        for (direction, name) in
            names.into_iter().flat_map(|(direction, names)| names.iter().map(move |name| (direction, name)))
        {
            let named = |info: &nrt::TensorInfo| info.direction == direction && info.name == *name;
            if !models[0].tensors().iter().any(named) {
                let what = if direction == Direction::Input { "takes" } else { "gives" };
                let path = path.display();
                let reason =
                    format!("the program {path} {what} no `{name}`; remove it to have it made again");
                return Err(BackendError::Device { device: NAME, reason });
            }
        }
        Ok(ChipProgram { models, inputs: module.inputs.clone(), outputs: module.outputs.clone() })
    }

    fn allocate(&mut self, name: &str, shape: &Shape) -> Result<Self::Tensor, BackendError> {
        let too_large = || unsupported(format!("`{name}`"), format!("{shape} cannot be counted"));
        let bytes = shape.bytes().ok_or_else(too_large)?;
        let of_core = |core: &Core| {
            let tensor = core.allocate(name, bytes)?;
            tensor.fill(0)?;
            Ok::<_, nrt::Error>(tensor)
        };
        self.cores.iter().map(of_core).collect::<Result<_, _>>().map_err(failed)
    }

    fn write(
        &mut self,
        tensor: &mut Self::Tensor,
        rank: Option<u32>,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        let of_ranks = match rank {
            Some(rank) => &tensor[rank as usize..=rank as usize],
            None => &tensor[..],
        };
        of_ranks.iter().try_for_each(|tensor| tensor.write(offset, bytes)).map_err(failed)
    }

    fn read(
        &mut self,
        tensor: &Self::Tensor,
        rank: u32,
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), BackendError> {
        tensor[rank as usize].read(offset, bytes).map_err(failed)
    }

    fn bind(
        &mut self,
        program: &ChipProgram,
        inputs: &[&Self::Tensor],
        outputs: &[&Self::Tensor],
    ) -> Result<ChipBound, BackendError> {
        let set = |rank: usize, names: &[String], tensors: &[&Self::Tensor]| {
            let mut set = TensorSet::new(&self.cores[rank])?;
            for (name, tensor) in names.iter().zip(tensors) {
                set.insert(name, &tensor[rank])?;
            }
            Ok::<_, nrt::Error>(set)
        };
        let of_rank = |(rank, model): (usize, &Model)| {
            let inputs = set(rank, &program.inputs, inputs)?;
            Ok((model.clone(), inputs, set(rank, &program.outputs, outputs)?))
        };
        let ranks = program.models.iter().enumerate().map(of_rank);
        ranks.collect::<Result<_, _>>().map(ChipBound).map_err(failed)
    }

    fn start(&mut self, bound: &ChipBound) -> Result<Self::Run, BackendError> {
        let of_rank = |(model, inputs, outputs): &(Model, TensorSet, TensorSet)| model.start(inputs, outputs);
        bound.0.iter().map(of_rank).collect::<Result<_, _>>().map_err(failed)
    }

    fn wait(&mut self, run: Self::Run) -> Result<Option<u64>, BackendError> {
        let (start, mut left) = (Instant::now(), self.run_limit);
        // All are waited for, whatever becomes of the first.
        let wait = |run: nrt::Run| {
            let outcome = run.wait(left);
            left = self.run_limit.saturating_sub(start.elapsed());
            outcome
        };
        let outcomes = run.into_iter().map(wait).collect::<Vec<_>>();
        outcomes.into_iter().collect::<Result<(), _>>().map_err(failed)?;
        let Some(counts) = self.runtime.emulated() else { return Ok(None) };
        let since = counts.simulated_ns.saturating_sub(self.simulated_ns);
        self.simulated_ns = counts.simulated_ns;
        // The ranks worked at the same time.
        Ok(Some(since / u64::from(self.ranks())))
    }
}

/// Loads a program on every core; those that compute together are loaded together, since each waits for all.
fn load(cores: &[Core], neff: &[u8]) -> Result<Vec<Model>, nrt::Error> {
    if let [core] = cores {
        return Ok(vec![core.load(neff, None)?]);
    }
    let count = cores.len() as u32;
    std::thread::scope(|scope| {
        let begin = |(index, core)| scope.spawn(move || Core::load(core, neff, Some(Rank { index, count })));
        let threads = (0..).zip(cores).map(begin).collect::<Vec<_>>();
        threads.into_iter().map(|thread| thread.join().expect("loading does not panic")).collect()
    })
}

fn failed(error: nrt::Error) -> BackendError {
    BackendError::Device { device: NAME, reason: error.to_string() }
}
