//! What is known of a model before it is loaded.

use graph::{GroupId, Ty};
use tensor::DType;

use crate::{Error, Opened};

/// A model's facts.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// What it is called.
    pub name: String,
    /// Its architecture, as config.json names it.
    pub architecture: String,
    /// Parameters, those of a tied head counted once.
    pub parameters: u64,
    /// Bytes of weights.
    pub weight_bytes: u64,
    /// Weights and bytes per type, the largest first.
    pub formats: Vec<(DType, usize, u64)>,
    /// Layers.
    pub layers: u32,
    /// Vocabulary.
    pub vocab: u32,
    /// The most positions it declares.
    pub context: u32,
    /// Bytes that one more token takes of keys and values, in this type, in layers without a window.
    pub kv_bytes_per_token: u64,
    /// The type of keys and values that this is for.
    pub kv: DType,
    /// Windows that some layers see, in positions.
    pub windows: Vec<u32>,
    /// Tokens that end an answer.
    pub end_ids: Vec<u32>,
    /// Whether there is a tokenizer.
    pub tokenizer: bool,
    /// The chat template's source.
    pub template: Option<String>,
    /// Whether the weights are made up.
    pub random: bool,
}

impl Opened {
    /// What is known before loading.
    pub fn facts(&self, kv: DType) -> Result<Facts, Error> {
        let graph = self.graph(kv)?;
        let tokens = self.tokens()?;
        let mut formats: Vec<(DType, usize, u64)> = vec![];
        let mut parameters = 0;
        for weight in &graph.weights {
            parameters += weight.info.shape.elements().unwrap_or(0) as u64;
            let bytes = weight.info.bytes().unwrap_or(0) as u64;
            match formats.iter_mut().find(|(dtype, ..)| *dtype == weight.info.dtype) {
                Some((_, count, sum)) => (*count, *sum) = (*count + 1, *sum + bytes),
                None => formats.push((weight.info.dtype, 1, bytes)),
            }
        }
        formats.sort_by_key(|&(.., bytes)| std::cmp::Reverse(bytes));
        let windows = graph.groups.iter().filter_map(|graph::Group::Pages { window }| *window);
        let full = |group: GroupId| graph.groups[group.index()] == graph::Group::Pages { window: None };
        let slot = |state: &graph::StateSpec| Ty { dtype: state.dtype, dims: state.slot }.bytes();
        Ok(Facts {
            name: self.name.clone(),
            architecture: self.config.architecture().unwrap_or(self.config.model_type()).to_owned(),
            parameters,
            weight_bytes: graph.weight_bytes(),
            formats,
            layers: self.config.count("num_hidden_layers")?,
            vocab: graph.vocab,
            context: self.context()?,
            kv_bytes_per_token: graph.states.iter().filter(|state| full(state.group)).map(slot).sum(),
            kv,
            windows: windows.collect(),
            end_ids: tokens.end,
            tokenizer: tokens.tokenizer.is_some(),
            template: tokens.template_source,
            random: self.random,
        })
    }
}

impl Facts {
    /// Tokens of context whose keys and values fit beside the weights into `bytes`, at most what the model declares.
    pub fn context_within(&self, bytes: u64) -> u32 {
        let left = bytes.saturating_sub(self.weight_bytes);
        let tokens = left.checked_div(self.kv_bytes_per_token).unwrap_or(u64::MAX);
        tokens.min(u64::from(self.context)) as u32
    }
}
