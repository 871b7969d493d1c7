//! The model inside the binary, in any weight type, on the CPU, and stories that it writes.

use std::sync::Arc;

use cpu::{Cpu, Options, Precision};
use graph::{Backend, Graph, Weights};
use models::Config;
use tensor::{DType, WeightSource};
use weights::{Gguf, GgufLayout, Renamed, Requantized, Target};

use crate::prefill::Prefill;

/// Positions that the model was trained for.
pub const CONTEXT: u32 = 1024;
/// Token ids are below this.
pub const VOCAB: usize = 2048;
/// Positions of a page.
const PAGE_LEN: u32 = 16;
/// The tokens with which the model ends what it writes.
const ENDS: [u32; 2] = [2041, 2043];

/// The model in one weight type, read once for all ways to run it.
pub struct Embedded {
    config: Config,
    source: Arc<dyn WeightSource>,
    weights: Arc<dyn Weights>,
}

impl Embedded {
    /// The model with its matrices in this type.
    pub fn new(dtype: DType) -> Embedded {
        let (config, source) = source(dtype);
        let cpu = Cpu::new(&Options::default()).expect("there is a CPU");
        let weights = cpu.load(&describe(&config, &*source, DType::F32), &*source).expect("the model loads");
        Embedded { config, source, weights }
    }

    /// Some sequences of up to `context` positions each, with keys and values in `kv`.
    pub fn run(&self, options: &Options, kv: DType, sequences: u32, context: u32) -> Prefill {
        let cpu = Cpu::new(options).expect("the level is present");
        let graph = describe(&self.config, &*self.source, kv);
        Prefill::on(&cpu, &graph, self.weights.clone(), sequences, context).expect("there is room")
    }
}

/// The model's configuration, and its weights with matrices of a type.
pub fn source(dtype: DType) -> (Config, Arc<dyn WeightSource>) {
    let file = Gguf::from_static(models::EMBEDDED).expect("the file is good");
    let config = Config::from_gguf(&file).expect("it has a configuration");
    let count = |key: &str| config.count(key).expect("it counts its parts") as usize;
    let layout = GgufLayout {
        arch: file.metadata().str("general.architecture").expect("it names one").to_owned(),
        heads: count("num_attention_heads"),
        kv_heads: count("num_key_value_heads"),
    };
    let layers = count("num_hidden_layers");
    let stored: Arc<dyn WeightSource> = Arc::new(Renamed::gguf(Arc::new(file), layout));
    (config, Arc::new(Requantized::new(stored, Target::One(dtype), layers)))
}

/// The graph of one step, with keys and values in `kv`.
pub fn describe(config: &Config, source: &dyn WeightSource, kv: DType) -> Graph {
    models::describe("embedded", config, &models::Options { kv, page_len: PAGE_LEN }, &source)
        .expect("the model has a graph")
}

/// Stories of up to `tokens` tokens each, as the model writes them without any rounding of its own weights and of
/// activations, each token drawn by its probability. They are the same on every machine.
pub fn stories(count: usize, tokens: u32) -> Vec<Vec<u32>> {
    let openings: [&[u32]; 2] = [&[709, 777, 258, 478], &[292, 420, 1038]];
    let mut stories = openings.iter().cycle().take(count).map(|opening| opening.to_vec()).collect::<Vec<_>>();
    let options = Options { threads: None, precision: Precision::F32, isa: None };
    let mut run = Embedded::new(DType::F32).run(&options, DType::F32, count as u32, tokens);
    let mut uniforms = Uniforms(1);
    let mut fed = vec![0; count];
    loop {
        let goes_on = |story: &Vec<u32>| {
            story.len() < tokens as usize && story.last().is_none_or(|last| !ENDS.contains(last))
        };
        let parts = stories.iter().enumerate().filter(|(_, story)| goes_on(story));
        let parts = parts.map(|(at, story)| (at, story[fed[at]..].to_vec())).collect::<Vec<_>>();
        if parts.is_empty() {
            return stories;
        }
        let feed = parts.iter().map(|(at, ids)| (*at, ids.as_slice())).collect::<Vec<_>>();
        let logits = run.feed_together(&feed, &[]).expect("the step runs").logits;
        let mut rows = logits.chunks_exact(VOCAB);
        for (at, ids) in &parts {
            let last = rows.by_ref().nth(ids.len() - 1).expect("a row for each token");
            fed[*at] += ids.len();
            stories[*at].push(drawn(last, uniforms.draw()));
        }
    }
}

/// The token at which the probabilities pass `uniform`.
fn drawn(logits: &[f32], uniform: f64) -> u32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights = logits.iter().map(|&x| f64::from(x - largest).exp()).collect::<Vec<_>>();
    let mut left = uniform * weights.iter().sum::<f64>();
    let passes = |weight: &f64| {
        left -= weight;
        left < 0.0
    };
    weights.iter().position(passes).unwrap_or(logits.len() - 1) as u32
}

/// Numbers in [0, 1), the same every time.
struct Uniforms(u64);

impl Uniforms {
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
