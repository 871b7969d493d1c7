//! Choices between finding a model and running it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use cpu::Precision;
use engine::{Engine, Facts, limits::CHUNK};
use graph::{Backend, Caps, Executor, Graph};
use tensor::DType;
use weights::Target;

use crate::device::Choices;
use crate::open::PAGE_LEN;
use crate::progress::Watched;
use crate::tokens::Tokens;
use crate::worker::Worker;
use crate::{Device, Error, Model, Opened, Progress, memory};

/// Requests that run at a time unless said.
const SEQUENCES: u32 = 64;

/// And the most that can be asked for.
const SEQUENCES_MAX: u32 = 4096;

/// Tokens that requests usually have: there is room for so many of each that runs, and for one that fills the context,
/// where memory allows. More would be taken from other programs, to be used seldom.
const USUAL: u32 = 4096;

type Tell = Box<dyn Fn(Progress) + Send + Sync>;

/// A model about to be loaded.
pub struct Builder {
    pub(crate) opened: Opened,
    pub(crate) device: Device,
    context: Option<u32>,
    sequences: u32,
    kv: Option<DType>,
    choices: Choices,
    memory: Option<u64>,
    ids_only: bool,
    tell: Tell,
}

/// A model whose weights are on the device, before it is given a thread.
pub(crate) struct Ready {
    pub opened: Opened,
    pub tokens: Tokens,
    pub graph: Graph,
    pub caps: Caps,
    pub facts: Facts,
    pub executor: Box<dyn Executor>,
    pub pool: Arc<rayon::ThreadPool>,
}

impl Model {
    /// Finds a model: a Hugging Face folder, a GGUF file, a hub id in the local cache, `shape:NAME[@TYPE]`, or
    /// `embedded`.
    pub fn open(model: &str) -> Result<Builder, Error> {
        Ok(Builder::new(Opened::find(model, None)?))
    }

    /// As [`Model::open`], its matrices changed to another type as they are loaded.
    pub fn open_quantized(model: &str, target: Target) -> Result<Builder, Error> {
        Ok(Builder::new(Opened::find(model, Some(target))?))
    }
}

impl Builder {
    pub(crate) fn new(opened: Opened) -> Builder {
        let tell: Tell = Box::new(|_| {});
        Builder {
            opened,
            device: Device::Auto,
            context: None,
            sequences: SEQUENCES,
            kv: None,
            choices: Choices::default(),
            memory: None,
            ids_only: false,
            tell,
        }
    }

    /// Where to run it; the best device present unless said.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// The most tokens of prompt and answer together; what the model declares unless said, or what fits.
    #[must_use]
    pub fn context(mut self, tokens: u32) -> Self {
        self.context = Some(tokens);
        self
    }

    /// The most requests that run at a time; others wait for their turn. 64 unless said.
    #[must_use]
    pub fn sequences(mut self, sequences: u32) -> Self {
        self.sequences = sequences.clamp(1, SEQUENCES_MAX);
        self
    }

    /// The type that keys and values are kept in; the device's own unless said.
    #[must_use]
    pub fn kv(mut self, dtype: DType) -> Self {
        self.kv = Some(dtype);
        self
    }

    /// Threads to work with; one per core unless said.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.choices.threads = Some(threads);
        self
    }

    /// How activations are rounded for products; as suits the device and the weights unless said.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.choices.precision = precision;
        self
    }

    /// Bytes for weights, keys and values, and work space; what is available unless said.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Leaves out tokenizer, template and end tokens, which take their time to load: the model then takes and gives
    /// token ids alone.
    #[must_use]
    pub fn ids_only(mut self) -> Self {
        self.ids_only = true;
        self
    }

    /// Tells how far loading is.
    #[must_use]
    pub fn on_progress(mut self, tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// Reads the weights and, at the same time, the tokenizer, and makes the model ready.
    pub fn load(self) -> Result<Model, Error> {
        let backend = self.backend()?;
        self.load_on(&*backend)
    }

    /// As [`Builder::load`], on a backend of the caller's own.
    pub fn load_on(self, backend: &dyn Backend) -> Result<Model, Error> {
        let start = Instant::now();
        let Ready { opened, tokens, graph, caps, facts, executor, pool } = self.ready(backend)?;
        let worker = Worker::start(Engine::new(executor, facts)?, pool);
        Ok(Model::new(opened, tokens, graph, caps, worker, start.elapsed()))
    }

    /// The backend that will run it.
    pub(crate) fn backend(&self) -> Result<Box<dyn Backend>, Error> {
        self.device.backend(&self.choices)
    }

    /// The graph that will run, and what the device can do.
    pub(crate) fn graph(&self, backend: &dyn Backend) -> Result<Graph, Error> {
        let caps = backend.caps();
        let kv = self.kv.unwrap_or(caps.kv[0]);
        if !caps.kv.contains(&kv) {
            let known = caps.kv.iter().map(DType::to_string).collect::<Vec<_>>().join(", ");
            return Err(Error::Word(format!("{} keeps keys and values in {known}, not in {kv}", caps.name)));
        }
        self.opened.graph(kv)
    }

    /// Reads the weights and makes room for a request.
    pub(crate) fn ready(self, backend: &dyn Backend) -> Result<Ready, Error> {
        let caps = backend.caps().clone();
        let graph = self.graph(backend)?;
        let facts = Facts {
            groups: graph.groups.clone(),
            page_len: PAGE_LEN,
            context: self.context_asked()?,
            vocab: graph.vocab,
            buckets: caps.buckets,
            chunk: CHUNK,
            max_seqs: self.sequences,
            usual: USUAL,
            overlap: caps.overlap,
            mixed_steps: caps.mixed_steps,
        };
        let budget = self.memory.or(caps.memory_bytes).or_else(memory::available);
        if let Some(bytes) = budget.filter(|&bytes| bytes < graph.weight_bytes()) {
            return Err(graph::BackendError::Memory {
                device: caps.name,
                what: "the weights",
                needed: graph.weight_bytes(),
                available: bytes,
            }
            .into());
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.choices.threads.unwrap_or(0));
        let pool =
            pool.build().map_err(|error| Error::Word(format!("threads could not be started: {error}")))?;
        let watched = Watched {
            source: &*self.opened.source,
            total: graph.weight_bytes(),
            done: AtomicU64::new(0),
            tell: &*self.tell,
        };
        let tokens = || if self.ids_only { Ok(Tokens::default()) } else { self.opened.tokens() };
        let (weights, tokens) = pool.install(|| rayon::join(|| backend.load(&graph, &watched), tokens));
        let (weights, tokens) = (weights?, tokens?);
        let executor = backend.open(&graph, weights, &facts.budget(budget))?;
        Ok(Ready { opened: self.opened, tokens, graph, caps, facts, executor, pool: Arc::new(pool) })
    }

    /// The most tokens of prompt and answer together: as asked for, or as the model declares.
    pub(crate) fn context_asked(&self) -> Result<u32, Error> {
        let declared = self.opened.context()?;
        match self.context {
            Some(0) => Err(Error::Word("a context holds at least one token".to_owned())),
            Some(asked) if asked > declared => Err(Error::Word(format!(
                "a context of {asked} tokens was asked for, and the model declares {declared}; ask for {declared} at most"
            ))),
            Some(asked) => Ok(asked),
            None => Ok(declared),
        }
    }
}
