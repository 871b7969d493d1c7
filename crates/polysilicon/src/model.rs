//! A model that is ready.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cost::{Price, Totals};
use engine::{DraftModel, Request};
use graph::{Caps, Graph};
use safetensors::{Dtype, tensor::TensorView};
use tensor::Shape;
use text::{Clock, Conversation, GrammarError, GrammarSource, Stops, Tokenizer};

use crate::session::digest;
use crate::stream::{Prompt, Stream};
use crate::tokens::Tokens;
use crate::words::Words;
use crate::worker::Worker;
use crate::{Error, Grammar, Opened, Sampling, Session};

/// A model on a device. Any number of threads and tasks may use it at a time: their requests run together, and each gives
/// what it would give alone.
///
/// A clone is the same model: what is cloned is a handle.
#[derive(Clone)]
pub struct Model {
    shared: Arc<Shared>,
    worker: Arc<Worker>,
}

struct Shared {
    opened: Opened,
    tokens: Tokens,
    words: Words,
    graph: Graph,
    caps: Caps,
    emulated: bool,
    /// The model that guesses for this one.
    draft: Option<DraftModel>,
    /// What an hour of the machine costs.
    price: Option<Price>,
    load: Duration,
    /// What tells it from other models, once somebody has asked.
    digest: OnceLock<u64>,
}

/// What a model may have beside it.
pub(crate) struct Extras {
    /// Whether the device is only emulated.
    pub(crate) emulated: bool,
    /// The model that guesses for it.
    pub draft: Option<DraftModel>,
    /// What an hour of the machine costs.
    pub price: Option<Price>,
}

/// Logits of every position of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    /// `[T, V]`, position after position.
    pub values: Vec<f32>,
    /// Vocabulary: `V`.
    pub vocab: usize,
}

/// A named value of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// Its name, `layers.0.attn`.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Its elements.
    pub values: Vec<f32>,
}

impl Logits {
    /// Writes a safetensors file with one f32 tensor: `logits`, `[T, V]`.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let bytes = self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        let shape = vec![self.values.len() / self.vocab, self.vocab];
        let fail = |error| Error::Write { path: path.to_owned(), error };
        let view =
            TensorView::new(Dtype::F32, shape, &bytes).map_err(|error| fail(io::Error::other(error)))?;
        let file = safetensors::serialize([("logits", view)], None)
            .map_err(|error| fail(io::Error::other(error)))?;
        // Written in place: what stands at the path may be a link or a pipe, and stays one.
        std::fs::write(path, file).map_err(fail)
    }
}

impl Model {
    pub(crate) fn new(
        opened: Opened,
        tokens: Tokens,
        graph: Graph,
        caps: Caps,
        Extras { emulated, draft, price }: Extras,
        worker: Worker,
        load: Duration,
    ) -> Model {
        let words = Words::new(graph.vocab, &tokens.end);
        let digest = OnceLock::new();
        let shared = Shared { opened, tokens, words, graph, caps, emulated, draft, price, load, digest };
        Model { shared: Arc::new(shared), worker: Arc::new(worker) }
    }

    /// What the model is called.
    pub fn name(&self) -> &str {
        &self.shared.opened.name
    }

    /// Whether its weights are made up (`shape:`), so that what it says means nothing.
    pub fn is_random(&self) -> bool {
        self.shared.opened.random
    }

    /// The name of the device it runs on.
    pub fn device(&self) -> &str {
        self.shared.caps.name
    }

    /// Whether a request's tokens are the same bits whatever else runs.
    pub fn is_batch_invariant(&self) -> bool {
        self.shared.caps.batch_invariant
    }

    /// The device, in words.
    pub fn device_description(&self) -> &str {
        &self.shared.caps.description
    }

    /// A number that tells its weights and its graph from others'.
    pub fn fingerprint(&self) -> Result<u64, Error> {
        self.digest()
    }

    /// Whether that is no device but an emulation of one: what it says of time is simulated.
    pub fn is_emulated(&self) -> bool {
        self.shared.emulated
    }

    /// The most tokens of prompt and answer together.
    pub fn context(&self) -> u32 {
        self.worker.context
    }

    /// How long loading took.
    pub fn load_time(&self) -> Duration {
        self.shared.load
    }

    /// The graph of one step.
    pub fn graph(&self) -> &Graph {
        &self.shared.graph
    }

    /// The tokenizer, where the model has one.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.shared.tokens.tokenizer.as_deref()
    }

    /// Whether the model has a chat template.
    pub fn has_template(&self) -> bool {
        self.shared.tokens.template.is_some()
    }

    /// The ids of a text, with the tokens the model wants before it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.encode_as(text, true)
    }

    fn encode_as(&self, text: &str, begins: bool) -> Result<Vec<u32>, Error> {
        let tokenizer = self.tokenizer().ok_or(Error::NoTokenizer)?;
        // Even if every token were the longest, and the tokenizer dropped three bytes of four.
        let most = 4 * self.shared.tokens.longest as u64 * u64::from(self.context());
        if text.len() as u64 > most {
            return Err(Error::TextTooLong { bytes: text.len(), context: self.context() });
        }
        Ok(tokenizer.encode(text, begins)?)
    }

    /// The ids of a text that goes on behind others.
    pub(crate) fn encode_more(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.encode_as(text, false)
    }

    /// The ids of a conversation, through the model's template.
    pub fn encode_chat(&self, conversation: &Conversation) -> Result<Vec<u32>, Error> {
        let template = self.shared.tokens.template.as_ref().ok_or(Error::NoTemplate)?;
        let tokenizer = self.tokenizer().ok_or(Error::NoTokenizer)?;
        Ok(tokenizer.encode_chat(template, conversation, &Clock::now())?)
    }

    /// Makes a grammar ready that answers are to follow: see [`Sampling::grammar`]. It takes milliseconds, seconds at worst,
    /// and the first one takes a part of a second more for a large vocabulary; other requests do not wait for it.
    ///
    /// ```
    /// use polysilicon::{GrammarSource, Model, Sampling};
    ///
    /// let model = Model::open("embedded")?.load()?;
    /// let grammar = model.grammar(&GrammarSource::Choice(vec!["yes".to_owned(), "no".to_owned()]))?;
    /// let answer = model.generate("Is it so?", &Sampling::default().grammar(&grammar))?.finish()?;
    /// assert!(["yes", "no"].contains(&&*answer.text));
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    pub fn grammar(&self, source: &GrammarSource) -> Result<Grammar, Error> {
        let none = || GrammarError::Tokenizer { reason: "it has none".to_owned() };
        let tokenizer = self.shared.tokens.tokenizer.as_ref().ok_or_else(none)?;
        self.shared.words.grammar(tokenizer, source)
    }

    /// Continues a prompt.
    ///
    /// ```
    /// let model = polysilicon::Model::open("embedded")?.load()?;
    /// let answer = model.generate("The cat", &polysilicon::Sampling::default().max_tokens(4))?.finish()?;
    /// assert_eq!(answer.ids.len(), 4);
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    pub fn generate(&self, prompt: impl Into<Prompt>, sampling: &Sampling) -> Result<Stream, Error> {
        let mut streams = self.generate_answers(prompt, sampling, 1)?;
        streams.pop().ok_or(Error::Stopped)
    }

    /// Continues a prompt in several ways, which draw different numbers from one seed. The prompt is computed once.
    ///
    /// ```
    /// let model = polysilicon::Model::open("embedded")?.load()?;
    /// let sampling = polysilicon::Sampling::default().temperature(1.0).max_tokens(8).ignore_end(true);
    /// for answer in model.generate_answers("The cat", &sampling, 3)? {
    ///     assert_eq!(answer.finish()?.ids.len(), 8);
    /// }
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    pub fn generate_answers(
        &self,
        prompt: impl Into<Prompt>,
        sampling: &Sampling,
        answers: u32,
    ) -> Result<Vec<Stream>, Error> {
        let ids = self.ids(prompt.into())?;
        self.start(self.request(ids, sampling)?, sampling, answers)
    }

    /// The ids of a prompt.
    pub(crate) fn ids(&self, prompt: Prompt) -> Result<Vec<u32>, Error> {
        match prompt {
            Prompt::Ids(ids) => Ok(ids),
            Prompt::Text(text) => self.encode(&text),
        }
    }

    /// The tokens that end an answer.
    pub(crate) fn end_ids(&self) -> &[u32] {
        self.shared.words.ends()
    }

    /// What the engine is asked to continue.
    pub(crate) fn request(&self, ids: Vec<u32>, sampling: &Sampling) -> Result<Request, Error> {
        let words = &self.shared.words;
        let stop = [words.ends(), &sampling.stop_ids].concat();
        let grammar = sampling.grammar.as_ref().map(|grammar| words.follow(grammar)).transpose()?;
        Ok(Request {
            sampling: sampling.choice,
            max_tokens: sampling.max_tokens,
            stop,
            ignore_end: sampling.ignore_end,
            seed: sampling.seed,
            top_logprobs: sampling.top_logprobs,
            prompt_logprobs: sampling.prompt_logprobs,
            synthetic: sampling.synthetic,
            bias: sampling.bias.clone(),
            breakers: words.breakers(self.tokenizer(), sampling)?,
            grammar,
            priority: sampling.priority,
            deadline: sampling.deadline,
            tenant: sampling.tenant,
            ..Request::new(ids)
        })
    }

    /// Starts a request; a stream for each answer.
    pub(crate) fn start(
        &self,
        request: Request,
        sampling: &Sampling,
        answers: u32,
    ) -> Result<Vec<Stream>, Error> {
        let stops = Stops::new(&sampling.stop)?;
        request.check(self.shared.graph.vocab, self.context())?;
        engine::limits::check_answers(answers)?;
        let drafter = sampling.speculation.drafter(self.shared.draft.as_ref())?;
        let request = Request { drafter, ..request };
        let prompt_tokens = request.prompt.len() as u32;
        let stream = |listener| {
            let decoder = self.tokenizer().map(|tokenizer| match sampling.grammar {
                // Every character counts, that of a space before the first word too.
                Some(_) => tokenizer.decoder_within(true),
                None => tokenizer.decoder(true),
            });
            Stream::new(listener, decoder, stops.clone(), prompt_tokens).priced(self.shared.price.clone())
        };
        Ok(self.worker.generate(request, answers)?.into_iter().map(stream).collect())
    }

    /// What an hour of the machine costs, where anybody has said.
    pub fn price(&self) -> Option<&Price> {
        self.shared.price.as_ref()
    }

    /// Where the machine's time went since the model was loaded. All parts together are what the clock has gone on by.
    ///
    /// ```
    /// let model = polysilicon::Model::open("embedded")?.load()?;
    /// let answer = model.generate("The cat", &polysilicon::Sampling::default().max_tokens(4))?.finish()?;
    /// let totals = model.totals()?;
    /// assert!((totals.receipts_s - answer.cost.charge.seconds()).abs() < 1e-9);
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    pub fn totals(&self) -> Result<Totals, Error> {
        self.worker.totals()
    }

    /// A conversation whose state can be kept, forked and taken back.
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }

    /// What tells this model's weights and graph from others', made on the first call from the graph as text and a sample
    /// of each weight.
    pub(crate) fn digest(&self) -> Result<u64, Error> {
        if let Some(&digest) = self.shared.digest.get() {
            return Ok(digest);
        }
        let digest = digest(&self.shared.graph, &*self.shared.opened.source)?;
        Ok(*self.shared.digest.get_or_init(|| digest))
    }

    pub(crate) fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    /// Answers a conversation through the model's template.
    pub fn chat(&self, conversation: &Conversation, sampling: &Sampling) -> Result<Stream, Error> {
        self.generate(self.encode_chat(conversation)?, sampling)
    }

    /// The logits of every position of a prompt.
    ///
    /// ```
    /// let model = polysilicon::Model::open("embedded")?.load()?;
    /// let logits = model.logits(&[1, 2, 3])?;
    /// assert_eq!(logits.values.len(), 3 * logits.vocab);
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    pub fn logits(&self, ids: &[u32]) -> Result<Logits, Error> {
        let vocab = self.shared.graph.vocab as usize;
        Ok(Logits { values: self.worker.logits(ids)?, vocab })
    }

    /// Named values on the way from a prompt to its logits; [`Graph::names`] lists the names.
    ///
    /// ```
    /// let model = polysilicon::Model::open("embedded")?.load()?;
    /// let attn = model.probe(&[1, 2, 3], &["layers.0.attn"])?;
    /// assert_eq!(attn[0].shape[0], 3);
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    pub fn probe(&self, ids: &[u32], names: &[&str]) -> Result<Vec<Probed>, Error> {
        let taps = names.iter().map(|&name| name.to_owned()).collect();
        let fetch = self.worker.probe(ids, taps, vec![])?;
        let probed = |(name, (shape, values)): (&&str, (Shape, Vec<f32>))| Probed {
            name: (*name).to_owned(),
            shape,
            values,
        };
        Ok(names.iter().zip(fetch.taps).map(probed).collect())
    }

    /// The logits of a prompt with named values replaced.
    pub fn patch(&self, ids: &[u32], patches: &[(&str, &[f32])]) -> Result<Logits, Error> {
        let patches = patches.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())).collect();
        let fetch = self.worker.probe(ids, vec![], patches)?;
        Ok(Logits { values: fetch.logits, vocab: self.shared.graph.vocab as usize })
    }
}
