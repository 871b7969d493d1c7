//! A model written as a GGUF file, its matrices in another type.

mod check;
mod keys;
mod vocabulary;

use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use graph::Graph;
use tensor::{Access, DType, Shape, WeightInfo, WeightSource};
use weights::gguf::{WriteError, Writer};
use weights::{ForGguf, Gguf, Requantized, Target};

use crate::partial::Partial;
use crate::progress::Watched;
use crate::{Error, Facts, Opened, Progress};
use keys::Keys;

/// What rotary frequencies are divided by, under the name that GGUF gives the list.
const ROPE_FREQS: &str = "rope_freqs.weight";

/// The type of keys and values in graphs that are only looked at.
const KV: DType = DType::F32;

/// A model about to be written.
pub struct Quantize {
    opened: Opened,
    target: Target,
    overwrite: bool,
    tell: Box<dyn Fn(Progress) + Send + Sync>,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// What is known of the model in the file.
    pub facts: Facts,
    /// Bytes of the file.
    pub bytes: u64,
    /// What is not as one might expect, in sentences.
    pub notes: Vec<String>,
}

/// Writes a model as a GGUF file that must not be there yet; [`Quantize`] has the choices.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("polysilicon-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let out = folder.join("tiny-q4_k_m.gguf");
/// let written = polysilicon::quantize("embedded", "q4_k_m".parse().unwrap(), &out)?;
/// assert!(written.bytes < 3_500_000);
///
/// let model = polysilicon::Model::open(out.to_str().unwrap())?.load()?;
/// let answer = model.generate("The cat", &polysilicon::Sampling::default().max_tokens(4))?.finish()?;
/// assert_eq!(answer.ids.len(), 4);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), polysilicon::Error>(())
/// ```
pub fn quantize(model: &str, target: Target, out: &Path) -> Result<Quantized, Error> {
    Quantize::new(Opened::find(model, None)?, target).write(out)
}

impl Quantize {
    /// Of a model that was found without a target.
    pub fn new(opened: Opened, target: Target) -> Quantize {
        Quantize { opened, target, overwrite: false, tell: Box::new(|_| {}) }
    }

    /// Puts the file in the place of one that is there.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Tells how far writing is.
    #[must_use]
    pub fn on_progress(mut self, tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// Writes the file, a few megabytes at a time on all of the machine's cores.
    ///
    /// It is written under another name, opened again, held against the model it was made of, and only then put in its
    /// place: there is either a whole file or none.
    pub fn write(self, out: &Path) -> Result<Quantized, Error> {
        let partial = Partial::create(out, self.overwrite)?;
        let graph = self.opened.graph(KV)?;
        let keys = Keys::of(&self.opened, &graph, self.target)?;
        let layers = self.opened.config.count("num_hidden_layers")? as usize;
        let made = Requantized::new(self.opened.source.clone(), self.target, layers).with_f32_vectors();
        let notes = self.notes(&graph, &made);
        self.write_body(&partial, &keys, &graph, Arc::new(made))?;

        let written = Opened::gguf(self.opened.name(), Gguf::open(partial.path(), Access::Read)?)?;
        check::same_model(&self.opened, &graph, &written, KV)?;
        let lost = check::same_tokens(&self.opened, &written)?;
        let facts = written.facts(KV)?;
        let bytes = partial.finish(self.overwrite)?;
        Ok(Quantized { facts, bytes, notes: notes.into_iter().chain(keys.notes).chain(lost).collect() })
    }

    fn write_body(
        &self,
        partial: &Partial,
        keys: &Keys,
        graph: &Graph,
        made: Arc<dyn WeightSource>,
    ) -> Result<(), Error> {
        let fail = |error: WriteError| match error {
            WriteError::Io(error) => Error::Write { path: partial.target().to_owned(), error },
            other => Error::Unwritten(other),
        };
        let names = || graph.weights.iter().map(|weight| weight.name.as_str());
        let stored = ForGguf::new(made, keys.layout.clone(), names());
        let mut writer = Writer::new();
        for (key, value) in &keys.pairs {
            writer = writer.pair(key, value.clone());
        }
        if let Some(factors) = &keys.rope_factors {
            let info = WeightInfo { dtype: DType::F32, shape: Shape::from([factors.len()]) };
            writer = writer.tensor(ROPE_FREQS, info);
        }
        let mut tensors = vec![];
        for name in names() {
            let found = keys.layout.stored_name(name).and_then(|name| Some((stored.find(&name)?, name)));
            let (info, name) = found.ok_or_else(|| Error::NotGguf {
                model: self.opened.name.clone(),
                reason: format!("GGUF has no name for the weight `{name}`"),
            })?;
            writer = writer.tensor(&name, info);
            tensors.push((name, info));
        }
        let total = tensors.iter().filter_map(|(_, info)| info.bytes()).map(|bytes| bytes as u64).sum();
        let watched = Watched { source: &stored, total, done: AtomicU64::new(0), tell: &*self.tell };
        let mut body = writer.begin(BufWriter::new(partial.file())).map_err(fail)?;
        if let Some(factors) = &keys.rope_factors {
            let bytes = factors.iter().flat_map(|factor| factor.to_le_bytes()).collect::<Vec<_>>();
            body.write(&bytes).map_err(fail)?;
        }
        for (name, _) in &tensors {
            body.copy(&watched, name).map_err(fail)?;
        }
        body.finish().map_err(fail)?;
        Ok(())
    }

    /// What the types of the weights, before and after, give occasion to say.
    fn notes(&self, graph: &Graph, made: &Requantized) -> Vec<String> {
        let (mut rounded, mut kept) = (vec![], false);
        let mut replaced: Vec<(DType, DType, usize)> = vec![];
        for weight in &graph.weights {
            let (stored, name) = (weight.info.dtype, &weight.name);
            let Some((wanted, made)) = made.wanted(name).zip(made.find(name)) else { continue };
            if stored.is_block() && made.dtype != stored && !rounded.contains(&stored) {
                rounded.push(stored);
            }
            kept |= stored == DType::MXFP4 && self.target != Target::One(DType::MXFP4);
            if made.dtype != wanted {
                let same = |(from, to, _): &&mut (DType, DType, usize)| (*from, *to) == (wanted, made.dtype);
                match replaced.iter_mut().find(same) {
                    Some((.., count)) => *count += 1,
                    None => replaced.push((wanted, made.dtype, 1)),
                }
            }
        }
        let mut notes = vec![];
        if !rounded.is_empty() {
            let types = rounded.iter().map(DType::to_string).collect::<Vec<_>>().join(", ");
            notes.push(format!(
                "the model was quantized before ({types}), and what that lost stays lost; quantize the original where you have it"
            ));
        }
        if !replaced.is_empty() {
            let each = |(from, to, count): &(DType, DType, usize)| format!("{count} of {from} became {to}");
            let list = replaced.iter().map(each).collect::<Vec<_>>().join(", ");
            notes.push(format!("some weights have rows that are no whole blocks of their type: {list}"));
        }
        if kept {
            notes.push("experts stay in mxfp4, which is what they were trained in".to_owned());
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_weights_stay_known_as_such() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut opened = Opened::find("embedded", None).expect("it is in the program");
        opened.random = true;
        for name in ["once.gguf", "again.gguf"] {
            let out = folder.path().join(name);
            let target = Target::One(DType::Q8_0);
            assert!(Quantize::new(opened, target).write(&out).expect("it can be written").facts.random);
            opened = Opened::find(&out.to_string_lossy(), None).expect("it was written");
            assert!(opened.is_random());
        }
    }
}
