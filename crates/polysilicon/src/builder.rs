//! Choices between finding a model and running it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use cost::{Ledger, Price};
use cpu::Precision;
use cpu::measure::available_memory;
use engine::{DraftModel, Engine, Facts, limits::CHUNK};
use graph::{Backend, BackendError, Caps, Executor, Graph, Weights};
use tensor::DType;
use weights::Target;

use crate::books::Books;
use crate::device::Choices;
use crate::model::Extras;
use crate::open::PAGE_LEN;
use crate::progress::Watched;
use crate::speculation::check_draft;
use crate::tokens::Tokens;
use crate::worker::Worker;
use crate::{Device, Error, Model, Opened, Progress, books};

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
    pub(crate) kv: Option<DType>,
    pub(crate) choices: Choices,
    memory: Option<u64>,
    ids_only: bool,
    draft: Option<Box<Builder>>,
    pub(crate) price: Option<Price>,
    /// The largest steps of the bundle, as [`neuron::Packed::most`] gives them.
    bundled: Option<[u32; 3]>,
    tell: Tell,
    tell_kernels: Tell,
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
            draft: None,
            price: None,
            bundled: None,
            tell,
            tell_kernels: Box::new(|_| {}),
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

    /// Asks for the same bits of a request whatever else runs, and whatever that costs: the CPU gives them always, GPUs where
    /// they are asked to, and other devices refuse.
    #[must_use]
    pub fn batch_invariant(mut self, yes: bool) -> Self {
        self.choices.batch_invariant = yes;
        self
    }

    /// How many GPUs, or Neuron cores, run it together, each with its part of the weights: from the device's own number on; one
    /// unless said.
    #[must_use]
    pub fn ranks(mut self, ranks: u32) -> Self {
        self.choices.ranks = Some(ranks);
        self
    }

    /// The folder of a bundle that [`Compile`] wrote: Neuron cores take their programs from it, and nothing is compiled
    /// here. It bounds contexts, requests that run at a time, and cores.
    ///
    /// [`Compile`]: crate::Compile
    #[must_use]
    pub fn bundle(mut self, folder: PathBuf) -> Self {
        self.choices.bundle = Some(folder);
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

    /// Loads a smaller model of the same vocabulary beside it, which guesses what it will say: see [`Speculation`]. It
    /// runs where this one does, within the same memory.
    ///
    /// ```
    /// # use polysilicon::Model;
    /// let model = Model::open("embedded")?.draft(Model::open("embedded")?).load()?;
    /// let answer = model.generate("The cat", &polysilicon::Sampling::default().max_tokens(30))?.finish()?;
    /// assert!(answer.accepted_tokens <= answer.drafted_tokens);
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    ///
    /// [`Speculation`]: crate::Speculation
    #[must_use]
    pub fn draft(mut self, draft: Builder) -> Self {
        self.draft = Some(Box::new(draft));
        self
    }

    /// What an hour of the machine costs: receipts then tell dollars.
    ///
    /// ```
    /// # use polysilicon::{Model, Sampling, cost::Catalogue};
    /// let price = Catalogue::built_in()?.price("c7a.48xlarge", "2026-11-28".parse()?)?;
    /// let model = Model::open("embedded")?.price(price).load()?;
    /// let answer = model.generate("The cat", &Sampling::default().max_tokens(4))?.finish()?;
    /// assert!(answer.cost.dollars().is_some_and(|dollars| dollars > 0.0));
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    #[must_use]
    pub fn price(mut self, price: Price) -> Self {
        self.price = Some(price);
        self
    }

    /// Tells how far loading is.
    #[must_use]
    pub fn on_progress(mut self, tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// Tells how many of the kernels are compiled that its steps will need, on devices that compile: before weights are read,
    /// so that a compiler that is missing is known at once.
    #[must_use]
    pub fn on_kernels(mut self, tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.tell_kernels = Box::new(tell);
        self
    }

    /// Reads the weights and, at the same time, the tokenizer, and makes the model ready.
    pub fn load(self) -> Result<Model, Error> {
        let backend = self.backend()?;
        self.load_on(&*backend)
    }

    /// As [`Builder::load`], on a backend of the caller's own.
    pub fn load_on(mut self, backend: &dyn Backend) -> Result<Model, Error> {
        let start = Instant::now();
        self.look_into_bundle()?;
        let draft = match self.draft.take() {
            Some(draft) => Some(self.load_draft(*draft, backend)?),
            None => None,
        };
        let (price, device, ranks) = (self.price.take(), self.device, self.choices.ranks.unwrap_or(1));
        let Ready { opened, tokens, graph, caps, facts, executor, pool } = self.ready(backend)?;
        let ledger =
            Ledger::new(&graph, books::rates(device.runs_here(), pool.current_num_threads(), &graph));
        let books = Books::new(ledger, device, ranks);
        let worker = Worker::start(Engine::new(executor, facts)?, pool, books);
        let extras = Extras { emulated: backend.is_emulated(), draft, price };
        Ok(Model::new(opened, tokens, graph, caps, extras, worker, start.elapsed()))
    }

    /// Loads the model that guesses for this one, and leaves this one its share of the memory: as their weights are.
    fn load_draft(&mut self, draft: Builder, backend: &dyn Backend) -> Result<DraftModel, Error> {
        if !self.ids_only {
            check_draft(&draft.opened, &self.opened)?;
        }
        let bytes =
            |builder: &Builder| Ok::<_, Error>(u128::from(builder.graph(backend)?.weight_bytes().max(1)));
        let (of_draft, of_model) = (bytes(&draft)?, bytes(self)?);
        let memory = self.bytes(backend.caps());
        let share = memory.map(|all| (u128::from(all) * of_draft / (of_draft + of_model)) as u64);
        self.memory = memory.zip(share).map(|(all, share)| all - share);
        let draft = Builder {
            // What is longer it guesses nothing for.
            context: Some(self.context_asked()?.min(draft.context_asked()?)),
            sequences: self.sequences,
            choices: self.choices.clone(),
            memory: share,
            ids_only: true,
            draft: None,
            ..draft
        };
        let Ready { executor, facts, .. } = draft.ready(backend)?;
        Ok(DraftModel::new(Engine::new(executor, facts)?))
    }

    /// The backend that will run it.
    pub(crate) fn backend(&self) -> Result<Box<dyn Backend>, Error> {
        self.device.backend(&self.choices)
    }

    /// Learns what steps the bundle has programs for, where there is one.
    fn look_into_bundle(&mut self) -> Result<(), Error> {
        if let (Some(folder), Device::Neuron(_)) = (&self.choices.bundle, self.device) {
            let packed = neuron::Packed::open(folder).map_err(BackendError::from)?;
            self.bundled = Some(packed.most());
        }
        Ok(())
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
        // What is available is known before the weights take their share of it.
        let bytes = self.bytes(&caps);
        self.check(backend, &graph, bytes)?;
        let facts = self.facts(backend, &graph, self.context_asked()?);
        let pool = self.pool()?;
        let tell = |done, total| (self.tell_kernels)(Progress { done, total });
        pool.install(|| backend.prepare(&graph, &facts.budget(bytes).bucket, &tell))?;
        let tokens = || if self.ids_only { Ok(Tokens::default()) } else { self.opened.tokens() };
        let (weights, tokens) = pool.install(|| rayon::join(|| self.weights(backend, &graph), tokens));
        let (weights, tokens) = (weights?, tokens?);
        let executor = backend.open(&graph, weights, &facts.budget(bytes))?;
        Ok(Ready { opened: self.opened, tokens, graph, caps, facts, executor, pool: Arc::new(pool) })
    }

    /// What the engine must know for contexts of so many tokens.
    pub(crate) fn facts(&self, backend: &dyn Backend, graph: &Graph, context: u32) -> Facts {
        let caps = backend.caps();
        let [_, sequences, tokens] = self.bundled.unwrap_or([u32::MAX; 3]);
        let sequences = self.sequences.min(sequences).max(1);
        Facts {
            groups: graph.groups.clone(),
            page_len: PAGE_LEN,
            context,
            vocab: graph.vocab,
            buckets: caps.buckets,
            // No step is longer than all sequences together.
            chunk: backend.chunk().unwrap_or(CHUNK).min(context.saturating_mul(sequences)).min(tokens).max(1),
            max_seqs: sequences,
            usual: USUAL,
            overlap: caps.overlap,
            mixed_steps: caps.mixed_steps,
        }
    }

    /// Bytes that may be taken, where anyone says.
    pub(crate) fn bytes(&self, caps: &Caps) -> Option<u64> {
        self.memory.or(caps.memory_bytes).or_else(available_memory)
    }

    /// The threads that it works with.
    pub(crate) fn pool(&self) -> Result<rayon::ThreadPool, Error> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.choices.threads.unwrap_or(0));
        pool.build().map_err(|error| Error::Word(format!("threads could not be started: {error}")))
    }

    /// Reads the weights with the current pool's threads, and tells how far it is.
    pub(crate) fn weights(&self, backend: &dyn Backend, graph: &Graph) -> Result<Arc<dyn Weights>, Error> {
        let watched = Watched {
            source: &*self.opened.source,
            total: graph.weight_bytes(),
            done: AtomicU64::new(0),
            tell: &*self.tell,
        };
        Ok(backend.load(graph, &watched)?)
    }

    /// The most tokens of prompt and answer together: as asked for, or as the model declares.
    pub(crate) fn context_asked(&self) -> Result<u32, Error> {
        let [positions, ..] = self.bundled.unwrap_or([u32::MAX; 3]);
        let declared = self.opened.context()?.min(positions);
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
