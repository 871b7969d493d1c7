//! A model's programs for Neuron chips, made ahead of time on any machine, without its weights.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::limits::CHUNK;
use graph::Bucket;
use neuron::{Bundle, COMMAND, Compiler, Narrow, Options, Step, TARGETS, Target, bucket_named};
use serde_json::Value;
use tensor::DType;

use crate::open::PAGE_LEN;
use crate::{Error, Opened, neuron_chips};

/// Tokens of prompt and answer that programs are made for unless said.
const CONTEXT: u32 = 4096;

/// How long a module may take: large models have been seen to take more than an hour.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// How far compiling is.
pub use neuron::Step as Compiling;

/// Programs about to be made.
pub struct Compile {
    opened: Opened,
    target: &'static Target,
    ranks: u32,
    kv: DType,
    weights: Option<Narrow>,
    context: Option<u32>,
    sequences: u32,
    buckets: Vec<String>,
    compiler: Option<PathBuf>,
    cache: Option<PathBuf>,
    limit: Duration,
    at_once: usize,
    tell: Arc<dyn Fn(Step) + Send + Sync>,
}

/// A bundle that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// What is in it, as its `manifest.json` says.
    pub manifest: Value,
    /// Whether the programs are there, and not only the modules that they are made of.
    pub complete: bool,
    /// What is left to be done, and what is not as one might expect, in sentences.
    pub notes: Vec<String>,
}

impl Compile {
    /// For chips of this name: trn1, inf2, trn2 or trn3.
    pub fn new(opened: Opened, target: &str) -> Result<Compile, Error> {
        let known = || TARGETS.map(|target| target.name).join(", ");
        let unknown = || Error::Word(format!("`{target}` is no chip; the chips are {}", known()));
        let target = Target::named(target).ok_or_else(unknown)?;
        Ok(Compile {
            opened,
            target,
            ranks: 1,
            kv: DType::BF16,
            weights: None,
            context: None,
            sequences: 1,
            buckets: vec![],
            compiler: None,
            cache: None,
            limit: LIMIT,
            at_once: std::thread::available_parallelism().map_or(1, NonZero::get),
            tell: Arc::new(|_| {}),
        })
    }

    /// How many logical cores run the model together, each with its part of the weights; one unless said.
    #[must_use]
    pub fn ranks(mut self, ranks: u32) -> Self {
        self.ranks = ranks;
        self
    }

    /// The type that keys and values are kept in; bf16 unless said.
    #[must_use]
    pub fn kv(mut self, dtype: DType) -> Self {
        self.kv = dtype;
        self
    }

    /// In what matrices are stored that products read: `f8`, `int8`, `int8-blocks`, on trn3 `mxfp8`, or `mxfp4`, which
    /// leaves what was found so packed; in bf16 unless said.
    pub fn weights(mut self, name: &str) -> Result<Self, Error> {
        self.weights = Some(name.parse()?);
        Ok(self)
    }

    /// The most tokens of prompt and answer together; 4096, or what the model declares where that is less, unless said.
    #[must_use]
    pub fn context(mut self, tokens: u32) -> Self {
        self.context = Some(tokens);
        self
    }

    /// The most requests that decode together; one unless said.
    #[must_use]
    pub fn sequences(mut self, sequences: u32) -> Self {
        self.sequences = sequences;
        self
    }

    /// The steps to make programs for, by name: `decode-8x4096` or `prefill-512x4096`. Unless said, decoding with one
    /// sequence, two, four and so on, and prompts in pieces of one size.
    #[must_use]
    pub fn buckets(mut self, names: Vec<String>) -> Self {
        self.buckets = names;
        self
    }

    /// The compiler; `neuronx-cc` where it is on the path unless said, and else none: then modules are written, and a
    /// script that compiles them elsewhere.
    #[must_use]
    pub fn compiler(mut self, command: PathBuf) -> Self {
        self.compiler = Some(command);
        self
    }

    /// The folder in which programs are kept, to be made once.
    #[must_use]
    pub fn cache(mut self, folder: PathBuf) -> Self {
        self.cache = Some(folder);
        self
    }

    /// The longest that one module may take; four hours unless said.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// How many modules are compiled at once; as many as there are cores unless said.
    #[must_use]
    pub fn at_once(mut self, modules: usize) -> Self {
        self.at_once = modules;
        self
    }

    /// Tells how far it is.
    #[must_use]
    pub fn on_progress(mut self, tell: impl Fn(Compiling) + Send + Sync + 'static) -> Self {
        self.tell = Arc::new(tell);
        self
    }

    /// Writes the bundle.
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("polysilicon-bundle-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// let opened = polysilicon::Opened::find("shape:llama-3.2-1b", None)?;
    /// let compile = polysilicon::Compile::new(opened, "trn2")?.ranks(4).context(512);
    /// # let compile = compile.buckets(vec!["decode-1x512".to_owned()]).compiler("/no/compiler/here".into());
    /// # compile.write(&folder).unwrap_err();
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    pub fn write(self, folder: &Path) -> Result<Compiled, Error> {
        let buckets = self.steps()?;
        let graph = self.opened.graph(self.kv)?;
        let compiler = self.open_compiler()?;
        let options = Options { narrow: self.weights, ..Options::default() };
        let bundle = Bundle { target: self.target, options, ranks: self.ranks, buckets };
        let manifest = bundle.write(&graph, folder, compiler.as_ref(), self.at_once, &*self.tell)?;
        let mut notes = filled(&manifest).into_iter().collect::<Vec<_>>();
        if compiler.is_none() {
            notes.push(format!(
                "{COMMAND} is not on the path, so that no program was made; run {} on an x86-64 Linux machine that has \
                 AWS's Neuron compiler (no chip is needed), then take the folder to the machine with the chips",
                folder.join("compile.sh").display()
            ));
        }
        Ok(Compiled { manifest, complete: compiler.is_some(), notes })
    }

    fn open_compiler(&self) -> Result<Option<Compiler>, Error> {
        let named = self.compiler.clone().or_else(neuron_chips::compiler);
        let Some(command) = named.or_else(Compiler::on_path) else { return Ok(None) };
        let cache = self.cache.clone().unwrap_or_else(neuron_chips::cache);
        let compiler = Compiler::open(&command, &cache, self.limit).map_err(neuron::uncompiled)?;
        Ok(Some(compiler))
    }

    /// The buckets that were asked for, or those that requests will need.
    fn steps(&self) -> Result<Vec<Bucket>, Error> {
        let declared = self.opened.context()?;
        let context = self.context.unwrap_or(declared.min(CONTEXT));
        if context == 0 || context > declared {
            return Err(Error::Word(format!(
                "a context of {context} tokens was asked for, and the model declares {declared}; ask for 1 to {declared}"
            )));
        }
        let names = if self.buckets.is_empty() { self.usual(context) } else { self.buckets.clone() };
        let mut buckets = vec![];
        for name in names {
            let bucket = bucket_named(&name, PAGE_LEN).map_err(|error| Error::Word(error.to_string()))?;
            if !buckets.contains(&bucket) {
                buckets.push(bucket);
            }
        }
        Ok(buckets)
    }

    fn usual(&self, context: u32) -> Vec<String> {
        // As the engine rounds what it asks for.
        let positions = context.div_ceil(PAGE_LEN).next_power_of_two().saturating_mul(PAGE_LEN);
        let most = self.sequences.max(1).next_power_of_two();
        let sequences = std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|&n| n <= most);
        let mut names = sequences.map(|n| format!("decode-{n}x{positions}")).collect::<Vec<_>>();
        names.push(format!("prefill-{}x{positions}", CHUNK.min(context).next_power_of_two()));
        names
    }
}

/// Tells of weights that are filled up with zeros to be divided.
fn filled(manifest: &Value) -> Option<String> {
    let weights = manifest["weights"].as_array()?;
    let filled = |weight: &&Value| weight["slice"]["zeros"].as_u64().is_some_and(|zeros| zeros > 0);
    let count = weights.iter().filter(filled).count();
    let first = weights.iter().find(filled)?;
    let (name, zeros, of) = (first["name"].as_str()?, &first["slice"]["zeros"], &first["slice"]["of"]);
    Some(format!(
        "{count} weights do not divide among the ranks in whole blocks and are filled up with zeros: {name} with {zeros} \
         beside {of}, for example"
    ))
}
