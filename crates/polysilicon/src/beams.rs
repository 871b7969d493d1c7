//! Beam search: the likeliest answers, rather than drawn ones.

use crate::stream::Prompt;
use crate::worker::{Listener, Message};
use crate::{Error, FinishReason, Model, Sampling};

/// How wide and towards what a beam search goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beams {
    width: u32,
    length_penalty: f64,
}

impl Beams {
    /// A search of so many beams, which gives as many answers.
    pub fn new(width: u32) -> Beams {
        Beams { width, length_penalty: 1.0 }
    }

    /// An answer's score is its log-probability over its length to the power of this: above 0, longer answers are worth
    /// more. 1 unless said.
    #[must_use]
    pub fn length_penalty(mut self, power: f64) -> Self {
        self.length_penalty = power;
        self
    }
}

/// An answer that a search has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its tokens, the end token included.
    pub ids: Vec<u32>,
    /// Its text; empty where the model has no tokenizer.
    pub text: String,
    /// The log-probability of its tokens together.
    pub logprob: f64,
    /// The same over its length to the power of the length penalty.
    pub score: f64,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

impl Model {
    /// The likeliest answers to a prompt that a search of so many beams finds, the best first. Waits for all of them. It
    /// always takes the likeliest tokens, so of the sampling's options only those have a part that say where an answer ends
    /// and whose it is; others that would change what is likely are refused.
    ///
    /// ```
    /// use polysilicon::{Beams, Model, Sampling};
    ///
    /// let model = Model::open("embedded")?.load()?;
    /// let found = model.beam_search("The cat", &Sampling::default().max_tokens(8), Beams::new(3))?;
    /// assert!(found.len() == 3 && found[0].score >= found[1].score);
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    pub fn beam_search(
        &self,
        prompt: impl Into<Prompt>,
        sampling: &Sampling,
        beams: Beams,
    ) -> Result<Vec<Found>, Error> {
        if !sampling.is_likeliest() {
            let sentence = "a beam search takes the likeliest tokens until one ends the answer; leave out whatever \
                            changes what is likely (temperature, penalties, bias, grammars) and stop texts";
            return Err(Error::Word(sentence.to_owned()));
        }
        let ids = self.ids(prompt.into())?;
        let own = if sampling.ignore_end { &[] } else { self.end_ids() };
        let search = engine::BeamSearch {
            length_penalty: beams.length_penalty,
            stop: [own, &sampling.stop_ids].concat(),
            priority: sampling.priority,
            deadline: sampling.deadline,
            tenant: sampling.tenant,
            ..engine::BeamSearch::new(ids, beams.width, sampling.max_tokens)
        };
        search.check(self.graph().vocab, self.context())?;
        self.gather(&self.worker().search(search)?)
    }

    /// Reads what a search has found.
    fn gather(&self, listener: &Listener) -> Result<Vec<Found>, Error> {
        let mut all = vec![];
        loop {
            match listener.read() {
                Some(Message::Answer { ids, logprob, score, finish }) => {
                    let text = self.text_of(&ids);
                    all.push(Found { ids, text, logprob, score, finish_reason: finish.into() });
                }
                Some(Message::Ended(..)) => return Ok(all),
                Some(Message::Failed(error)) => return Err(error),
                Some(Message::Token { .. } | Message::Prompt(_)) => {}
                None => return Err(Error::Stopped),
            }
        }
    }

    fn text_of(&self, ids: &[u32]) -> String {
        let Some(tokenizer) = self.tokenizer() else { return String::new() };
        let mut decoder = tokenizer.decoder(true);
        let mut text = ids.iter().map(|&id| decoder.push(id)).collect::<String>();
        text += &decoder.finish();
        text
    }
}
