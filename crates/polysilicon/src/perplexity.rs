//! How well a model predicts a text, and how far its predictions are from another's.

use rayon::prelude::*;
use text::{MAX_TEXT_BYTES, Tokenizer};

use crate::{Error, Logits, Model, Progress};

/// Tokens per chunk unless said.
const CHUNK: u32 = 512;

/// A measurement of how well a model predicts a text.
///
/// The text is encoded as a whole, with the tokens that the model wants before it, and cut into chunks of as many
/// tokens as asked for. Each chunk is a prompt of its own; where the tokenizer begins a text with a token, that token
/// takes the place of the chunk's first. Scored are the predictions that have at least half a chunk before them: in a
/// chunk of `n` tokens those made at the places `n / 2` to `n - 2`, counted from zero, each of the token that follows.
/// What is left of the text behind the last whole chunk is not used. llama.cpp measures in the same way, so numbers
/// compare.
pub struct Perplexity<'a> {
    model: &'a Model,
    base: Option<&'a Model>,
    chunk: Option<u32>,
    tell: Box<dyn Fn(Progress) + 'a>,
}

/// What a measurement found.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Tokens of the text.
    pub tokens: usize,
    /// Tokens per chunk.
    pub chunk: usize,
    /// Chunks measured.
    pub chunks: usize,
    /// Predictions scored.
    pub scored: usize,
    /// What the model's predictions are worth.
    pub model: Fit,
    /// How the base compares, where there is one.
    pub against: Option<Against>,
}

/// How well predictions fit a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The mean of the negative logarithms of the probabilities that the text's tokens were given, in nats.
    pub loss: f64,
    /// `exp(loss)`.
    pub perplexity: f64,
    /// The standard error of the perplexity.
    pub error: f64,
}

/// A model's predictions beside those of a base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Against {
    /// What the base's predictions are worth.
    pub base: Fit,
    /// The mean Kullback-Leibler divergence of the model from the base, in nats per prediction.
    pub kl_mean: f64,
    /// Half of the divergences are no larger.
    pub kl_p50: f64,
    /// All but one in a hundred are no larger.
    pub kl_p99: f64,
    /// The largest.
    pub kl_max: f64,
    /// The share of predictions whose likeliest token is the base's.
    pub same_top: f64,
}

impl<'a> Perplexity<'a> {
    /// The longest text that is measured, in bytes.
    pub const TEXT_BYTES_MAX: usize = MAX_TEXT_BYTES;

    /// The fewest tokens of a text, and of a chunk.
    pub const TOKENS_MIN: u32 = 4;

    /// Of a model.
    pub fn of(model: &'a Model) -> Perplexity<'a> {
        Perplexity { model, base: None, chunk: None, tell: Box::new(|_| {}) }
    }

    /// Compares with the predictions of a base, which must have the same vocabulary.
    #[must_use]
    pub fn against(mut self, base: &'a Model) -> Self {
        self.base = Some(base);
        self
    }

    /// Tokens per chunk: 512 unless said, or as many as the context or the text holds where that is less.
    #[must_use]
    pub fn chunk(mut self, tokens: u32) -> Self {
        self.chunk = Some(tokens);
        self
    }

    /// Tells how many tokens of how many have been measured.
    #[must_use]
    pub fn on_progress(mut self, tell: impl Fn(Progress) + 'a) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// Measures.
    ///
    /// ```
    /// use polysilicon::{Model, Perplexity};
    ///
    /// let model = Model::open("embedded")?.load()?;
    /// let rounded = Model::open_quantized("embedded", "q4_0".parse().unwrap())?.load()?;
    /// let text = "Once upon a time there was a little cat. The cat liked to play in the garden.";
    /// let scores = Perplexity::of(&rounded).against(&model).text(text)?;
    /// let against = scores.against.expect("there is a base");
    /// assert!(against.kl_mean > 0.0 && against.kl_mean < 1.0);
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    pub fn text(&self, text: &str) -> Result<Scores, Error> {
        self.base.map_or(Ok(()), |base| same_vocabulary(self.model, base))?;
        let tokenizer = self.model.tokenizer().ok_or(Error::NoTokenizer)?;
        let ids = tokenizer.encode(text, true)?;
        if ids.len() < Perplexity::TOKENS_MIN as usize {
            return Err(Error::TextTooShort { tokens: ids.len(), least: Perplexity::TOKENS_MIN });
        }
        let context = self.base.map_or(u32::MAX, Model::context).min(self.model.context());
        let chunk = self.chunk.unwrap_or(CHUNK.min(context)).max(Perplexity::TOKENS_MIN) as usize;
        let chunk = chunk.min(ids.len());
        let first = tokenizer.bos().filter(|&bos| ids[0] == bos);

        let (mut model, mut base, mut apart) = (Losses::default(), Losses::default(), Apart::default());
        let (whole, total) = (ids.chunks_exact(chunk), ids.len() / chunk * chunk);
        for (done, ids) in whole.enumerate() {
            (self.tell)(Progress { done: (done * chunk) as u64, total: total as u64 });
            let mut ids = ids.to_vec();
            ids[0] = first.unwrap_or(ids[0]);
            let predicted = Predictions::of(self.model, &ids)?;
            model.add(&predicted);
            if let Some(other) = self.base {
                let others = Predictions::of(other, &ids)?;
                base.add(&others);
                apart.add(&predicted, &others);
            }
        }
        let scored = model.0.len();
        let against = self.base.map(|_| apart.against(base.fit()));
        let (tokens, chunks) = (ids.len(), total / chunk);
        Ok(Scores { tokens, chunk, chunks, scored, model: model.fit(), against })
    }
}

/// The scored predictions of a chunk.
struct Predictions {
    logits: Logits,
    /// The place of the first, and of each the token that followed.
    first: usize,
    followed: Vec<u32>,
    /// Of each the logarithm of the sum of the exponentials of its logits.
    sums: Vec<f64>,
}

impl Predictions {
    fn of(model: &Model, ids: &[u32]) -> Result<Predictions, Error> {
        let logits = model.logits(ids)?;
        let first = ids.len() / 2;
        let followed = ids[first + 1..].to_vec();
        let rows = logits.values.par_chunks_exact(logits.vocab).skip(first).take(followed.len());
        let sums = rows.map(log_sum_exp).collect();
        Ok(Predictions { logits, first, followed, sums })
    }

    fn row(&self, place: usize) -> &[f32] {
        &self.logits.values[(self.first + place) * self.logits.vocab..][..self.logits.vocab]
    }

    /// The negative logarithm of the probability of the token that followed.
    fn loss(&self, place: usize) -> f64 {
        self.sums[place] - f64::from(self.row(place)[self.followed[place] as usize])
    }
}

/// Losses of predictions.
#[derive(Default)]
struct Losses(Vec<f64>);

impl Losses {
    fn add(&mut self, predictions: &Predictions) {
        self.0.extend((0..predictions.followed.len()).map(|place| predictions.loss(place)));
    }

    fn fit(&self) -> Fit {
        let count = self.0.len() as f64;
        let loss = self.0.iter().sum::<f64>() / count;
        let variance = self.0.iter().map(|l| (l - loss).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        let perplexity = loss.exp();
        Fit { loss, perplexity, error: perplexity * (variance / count).sqrt() }
    }
}

/// How far predictions are from a base's.
#[derive(Default)]
struct Apart {
    divergences: Vec<f64>,
    same_top: usize,
}

impl Apart {
    fn add(&mut self, model: &Predictions, base: &Predictions) {
        let compare = |place: usize| {
            let (got, want) = (model.row(place), base.row(place));
            let divergence = divergence((want, base.sums[place]), (got, model.sums[place]));
            (divergence, likeliest(got) == likeliest(want))
        };
        let found = (0..model.followed.len()).into_par_iter().map(compare).collect::<Vec<_>>();
        self.same_top += found.iter().filter(|(_, same)| *same).count();
        self.divergences.extend(found.iter().map(|(divergence, _)| divergence));
    }

    fn against(mut self, base: Fit) -> Against {
        self.divergences.sort_unstable_by(f64::total_cmp);
        let count = self.divergences.len();
        let rank = |share: f64| self.divergences[((count as f64 * share).ceil() as usize).max(1) - 1];
        Against {
            base,
            kl_mean: self.divergences.iter().sum::<f64>() / count as f64,
            kl_p50: rank(0.5),
            kl_p99: rank(0.99),
            kl_max: rank(1.0),
            same_top: self.same_top as f64 / count as f64,
        }
    }
}

/// The sum over all tokens of `p ln(p / q)`, `p` and `q` being the softmax of logits whose sums are given.
fn divergence((want, want_sum): (&[f32], f64), (got, got_sum): (&[f32], f64)) -> f64 {
    let term = |(want, got): (&f32, &f32)| {
        let (p, q) = (f64::from(*want) - want_sum, f64::from(*got) - got_sum);
        p.exp() * (p - q)
    };
    // Rounding may leave a little less than nothing of equal distributions.
    want.iter().zip(got).map(term).sum::<f64>().max(0.0)
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    largest + logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum::<f64>().ln()
}

/// The place of the largest logit, the first among equals.
fn likeliest(logits: &[f32]) -> usize {
    let larger =
        |best: usize, (place, logit): (usize, &f32)| if *logit > logits[best] { place } else { best };
    logits.iter().enumerate().fold(0, larger)
}

/// Refuses models whose tokens do not mean the same.
fn same_vocabulary(model: &Model, base: &Model) -> Result<(), Error> {
    let refuse = |reason: String| {
        let (a, b) = (model.name().to_owned(), base.name().to_owned());
        Err(Error::Vocabularies { a, b, reason })
    };
    let (ours, theirs) = (model.graph().vocab, base.graph().vocab);
    if ours != theirs {
        return refuse(format!("one has {ours} tokens and the other {theirs}"));
    }
    let (Some(a), Some(b)) = (model.tokenizer(), base.tokenizer()) else { return Ok(()) };
    // A token that only one of them knows fills up the vocabulary of its file.
    let differ = |&id: &u32| matches!((a.token(id), b.token(id)), (Some(a), Some(b)) if a != b);
    match (0..ours).find(differ) {
        None => Ok(()),
        Some(id) => {
            let spelled = |tokenizer: &Tokenizer| tokenizer.token(id).unwrap_or_default().to_owned();
            refuse(format!("token {id} is `{}` to one and `{}` to the other", spelled(a), spelled(b)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn sums_and_divergences_are_those_of_distributions() {
        let ln = |p: f64| p.ln() as f32;
        let (p, q) = ([ln(0.5), ln(0.25), ln(0.25)], [ln(0.25), ln(0.25), ln(0.5)]);
        assert!(log_sum_exp(&p).abs() < 1e-7);
        // 0.5 ln 2 + 0.25 ln(1/2)
        let want = 0.25 * 2.0f64.ln();
        assert!((divergence((&p, log_sum_exp(&p)), (&q, log_sum_exp(&q))) - want).abs() < 1e-7);
        assert_eq!(divergence((&p, log_sum_exp(&p)), (&p, log_sum_exp(&p))), 0.0);
        // Logits mean the same when a constant is added, however large.
        let shifted = [1000.0 + 3.0, 1000.0, 1000.0 - 2.0];
        let sum = 1000.0 + (3.0f64.exp() + 1.0 + (-2.0f64).exp()).ln();
        assert!(close(log_sum_exp(&shifted), sum));
        assert_eq!(likeliest(&[0.0, 2.0, 2.0, -1.0]), 1);
    }

    #[test]
    fn losses_become_a_perplexity_with_its_error() {
        let fit = Losses(vec![1.0, 2.0, 3.0]).fit();
        assert!(close(fit.loss, 2.0) && close(fit.perplexity, 2.0f64.exp()));
        assert!(close(fit.error, 2.0f64.exp() * (1.0f64 / 3.0).sqrt()));
        let one = Losses(vec![0.5]).fit();
        assert!(close(one.loss, 0.5) && one.error == 0.0);
    }

    #[test]
    fn ranks_are_of_the_sorted_divergences() {
        let apart = Apart { divergences: (1..=200).rev().map(f64::from).collect(), same_top: 50 };
        let base = Losses(vec![1.0]).fit();
        let against = apart.against(base);
        assert_eq!((against.kl_p50, against.kl_p99, against.kl_max), (100.0, 198.0, 200.0));
        assert_eq!((against.kl_mean, against.same_top), (100.5, 0.25));
    }
}
