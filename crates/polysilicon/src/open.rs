//! What a user calls a model, resolved: a folder, a GGUF file, a hub id, a shape, or the one inside the binary.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use graph::Graph;
use models::{CONFIG_BYTES_MAX, Config, Options, shapes};
use tensor::{Access, DType, WeightSource};
use weights::gguf::Optional;
use weights::{Gguf, GgufLayout, Renamed, Requantized, SafeTensors, Target};

use crate::hub::{self, Hub};
use crate::tokens::{Tokens, read_optional};
use crate::{Builder, Error};

/// Positions per page of keys and values.
pub(crate) const PAGE_LEN: u32 = 16;

/// A model found and described, its weights and its tokenizer not yet read.
pub struct Opened {
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) source: Arc<dyn WeightSource>,
    pub(crate) random: bool,
    pub(crate) origin: Origin,
}

/// What a model was opened from.
pub(crate) enum Origin {
    Folder(PathBuf),
    Gguf(Arc<Gguf>),
    Shape,
}

impl Opened {
    /// Set in GGUF files of random weights, so that they are never mistaken for a model.
    pub(crate) const RANDOM_KEY: &str = "polysilicon.random_weights";

    /// Finds a model by what users call it. Weights of shapes are made in `target`, or as they are released.
    pub fn find(model: &str, target: Option<Target>) -> Result<Opened, Error> {
        let opened = match model {
            "embedded" => Opened::gguf("embedded", Gguf::from_static(models::EMBEDDED)?)?,
            _ => match model.strip_prefix("shape:") {
                Some(shape) => return Opened::shape(shape, target),
                None => Opened::path(&locate(model)?, model)?,
            },
        };
        opened.requantized(target)
    }

    /// Whether the weights are made up.
    pub fn is_random(&self) -> bool {
        self.random
    }

    /// What the model is called in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The graph of one step, with keys and values kept in `kv`.
    pub fn graph(&self, kv: DType) -> Result<Graph, Error> {
        self.graph_of(&*self.source, kv)
    }

    /// As [`Opened::graph`], with the matrices changed to another type.
    pub(crate) fn graph_in(&self, target: Target, kv: DType) -> Result<Graph, Error> {
        self.graph_of(&self.changed(target)?, kv)
    }

    fn graph_of(&self, source: &dyn WeightSource, kv: DType) -> Result<Graph, Error> {
        let graph = models::describe(&self.name, &self.config, &Options { kv, page_len: PAGE_LEN }, &source)?;
        graph::verify(&graph)?;
        for state in &graph.states {
            // Whole blocks of each head: what one head needs is not mixed with another's.
            let elements = state.slot.shape().and_then(|slot| slot.last().copied()).unwrap_or(0);
            if kv.bytes_of(elements).is_none() || !(kv.is_float() || kv == DType::Q8_0) {
                return Err(Error::Kv { kv, elements });
            }
        }
        Ok(graph)
    }

    /// Where its weights are read from.
    pub fn source(&self) -> &Arc<dyn WeightSource> {
        &self.source
    }

    /// The most positions the model declares.
    pub fn context(&self) -> Result<u32, Error> {
        Ok(self.config.count_or("max_position_embeddings", 4096)?)
    }

    /// Its tokenizer, template and end tokens, made from the files anew: a large vocabulary takes as long as many weights.
    pub(crate) fn tokens(&self) -> Result<Tokens, Error> {
        match &self.origin {
            Origin::Folder(folder) => Tokens::from_folder(folder, &self.config),
            Origin::Gguf(file) => Tokens::from_gguf(file),
            Origin::Shape => Ok(Tokens::default()),
        }
    }

    fn path(path: &Path, model: &str) -> Result<Opened, Error> {
        // A snapshot in the hub's cache is a folder named by its commit: the id says more.
        let last = path.file_name().filter(|_| Path::new(model) == path);
        let name = last.map_or(model.to_owned(), |name| name.to_string_lossy().into_owned());
        let name = name.strip_suffix(".gguf").map_or(name.clone(), str::to_owned);
        if path.is_dir() {
            return Opened::folder(&name, path, path);
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors" | "json") => {
                let folder =
                    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
                Opened::folder(&name, folder, path)
            }
            _ => Opened::gguf(&name, Gguf::open(path, Access::Read)?),
        }
    }

    /// A folder of Hugging Face's, `weights` being a file of it or all of it.
    fn folder(name: &str, folder: &Path, weights: &Path) -> Result<Opened, Error> {
        let Some(bytes) = read_optional(&folder.join("config.json"), CONFIG_BYTES_MAX as u64)? else {
            return match only_gguf(folder) {
                Some(file) => Opened::path(&file, name),
                None => Err(Error::NoModel {
                    model: name.to_owned(),
                    tried: format!(
                        "{} holds no config.json and not exactly one .gguf file",
                        folder.display()
                    ),
                }),
            };
        };
        let config = Config::from_json(&bytes)?;
        // Before the weights are looked at: an unknown architecture is the better answer than a missing file.
        models::find(&config)?;
        let stored = SafeTensors::open(weights, Access::Read)?;
        let source = Arc::new(Renamed::hf(Arc::new(stored)));
        let origin = Origin::Folder(folder.to_owned());
        Ok(Opened { name: name.to_owned(), config, source, random: false, origin })
    }

    pub(crate) fn gguf(name: &str, file: Gguf) -> Result<Opened, Error> {
        let file = Arc::new(file);
        let config = Config::from_gguf(&file)?;
        let arch = file.metadata().str("general.architecture").optional().map_err(models::GgufError::from)?;
        let layout = GgufLayout {
            arch: arch.unwrap_or_default().to_owned(),
            heads: config.count("num_attention_heads")? as usize,
            kv_heads: config.count("num_key_value_heads")? as usize,
        };
        let random = file.metadata().bool(Opened::RANDOM_KEY) == Ok(true);
        let source = Arc::new(Renamed::gguf(file.clone(), layout));
        Ok(Opened { name: name.to_owned(), config, source, random, origin: Origin::Gguf(file) })
    }

    fn shape(shape: &str, target: Option<Target>) -> Result<Opened, Error> {
        let (name, asked) =
            shape.split_once('@').map_or((shape, None), |(name, target)| (name, Some(target)));
        let asked = asked.map(|word| word.parse::<Target>().map_err(|error| Error::Word(error.to_string())));
        let target = target.or(asked.transpose()?).unwrap_or(Target::One(DType::BF16));
        let config = shapes::config(name).ok_or_else(|| Error::NoModel {
            model: format!("shape:{shape}"),
            tried: format!("the shapes are {}", shapes::names().collect::<Vec<_>>().join(", ")),
        })?;
        let options = Options { kv: DType::F32, page_len: PAGE_LEN };
        let source = Arc::new(shapes::weights(&config, &options, target)?);
        Ok(Opened { name: format!("shape:{shape}"), config, source, random: true, origin: Origin::Shape })
    }

    fn requantized(mut self, target: Option<Target>) -> Result<Opened, Error> {
        if let Some(target) = target {
            self.source = Arc::new(self.changed(target)?);
        }
        Ok(self)
    }

    /// Its weights with the matrices changed to another type.
    fn changed(&self, target: Target) -> Result<Requantized, Error> {
        let layers = self.config.count("num_hidden_layers")? as usize;
        Ok(Requantized::new(self.source.clone(), target, layers))
    }
}

/// The path of a model: itself, or the snapshot of a hub id in the local cache.
fn locate(model: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(model);
    if path.exists() {
        return Ok(path);
    }
    let mut tried = format!("there is no file or folder {}", path.display());
    if hub::is_id(model) {
        if let Some(snapshot) = Hub::from_env().cached(model)? {
            return Ok(snapshot);
        }
        tried += ", and the local hub cache does not hold it; --download fetches it";
    }
    Err(Error::NoModel { model: model.to_owned(), tried })
}

/// The one GGUF file of a folder; of a split one its first part.
fn only_gguf(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let is_first = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".gguf") && (!name.contains("-of-") || name.contains("-00001-of-"))
    };
    let mut found = files.filter(is_first);
    found.next().filter(|_| found.next().is_none())
}

impl From<Opened> for Builder {
    fn from(opened: Opened) -> Builder {
        Builder::new(opened)
    }
}
