//! Choices between finding a model and running it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use engine::{Engine, Facts, limits::CHUNK};
use tensor::DType;
use weights::Target;

use crate::open::PAGE_LEN;
use crate::progress::Watched;
use crate::worker::Worker;
use crate::{Device, Error, Model, Opened, Progress, memory};

type Tell = Box<dyn Fn(Progress) + Send + Sync>;

/// A model about to be loaded.
pub struct Builder {
    opened: Opened,
    device: Device,
    context: Option<u32>,
    kv: Option<DType>,
    threads: Option<usize>,
    memory: Option<u64>,
    tell: Tell,
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
        Builder { opened, device: Device::Auto, context: None, kv: None, threads: None, memory: None, tell }
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

    /// The type that keys and values are kept in; the device's own unless said.
    #[must_use]
    pub fn kv(mut self, dtype: DType) -> Self {
        self.kv = Some(dtype);
        self
    }

    /// Threads to work with; one per core unless said.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Bytes for weights, keys and values, and work space; what is available unless said.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Tells how far loading is.
    #[must_use]
    pub fn on_progress(mut self, tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// Reads the weights and makes the model ready.
    pub fn load(self) -> Result<Model, Error> {
        let start = Instant::now();
        let backend = self.device.backend()?;
        let caps = backend.caps().clone();
        let kv = self.kv.unwrap_or(caps.kv[0]);
        if !caps.kv.contains(&kv) {
            let known = caps.kv.iter().map(DType::to_string).collect::<Vec<_>>().join(", ");
            return Err(Error::Word(format!("{} keeps keys and values in {known}, not in {kv}", caps.name)));
        }
        let graph = self.opened.graph(kv)?;
        let facts = Facts {
            groups: graph.groups.clone(),
            page_len: PAGE_LEN,
            context: self.context.map_or_else(|| self.opened.context(), Ok)?,
            vocab: graph.vocab,
            buckets: caps.buckets,
            chunk: CHUNK,
            max_seqs: 1,
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
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads.unwrap_or(0));
        let pool = pool.build().map_err(|error| Error::Word(format!("threads could not be started: {error}")))?;
        let pool = Arc::new(pool);
        let watched = Watched {
            source: &*self.opened.source,
            total: graph.weight_bytes(),
            done: AtomicU64::new(0),
            tell: &*self.tell,
        };
        let weights = pool.install(|| backend.load(&graph, &watched))?;
        let executor = backend.open(&graph, weights, &facts.budget(budget))?;
        let engine = Engine::new(executor, facts)?;
        let worker = Worker::start(engine, pool);
        Ok(Model::new(self.opened, graph, caps, worker, start.elapsed()))
    }
}
