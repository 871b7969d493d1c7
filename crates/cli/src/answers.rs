//! Arguments that say how many answers are wanted and how they are found, and who guesses ahead.

use clap::{Args, value_parser};
use polysilicon::{Beams, Builder, Error, FinishReason, Model, Opened, Sampling, Speculation};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::print;

/// Who guesses ahead.
#[derive(Args)]
#[command(next_help_heading = "Speculation")]
pub struct SpeculationArgs {
    /// A smaller model of the same vocabulary that guesses what the model will say; the answer stays the same
    #[arg(long, value_name = "MODEL")]
    draft: Option<String>,
    /// Who guesses: ngram (what followed the last tokens before), draft, off, or auto, which is the draft model where there
    /// is one
    #[arg(long, value_name = "WHO", default_value = "auto")]
    speculate: Speculation,
}

impl SpeculationArgs {
    /// Loads the model, and the one that guesses for it.
    pub fn load(&self, builder: Builder) -> Result<Model, Error> {
        match &self.draft {
            Some(draft) => builder.draft(Builder::from(Opened::find(draft, None)?)).load(),
            None => builder.load(),
        }
    }

    /// The same choice of tokens, guessed by whom it was said.
    pub fn speculate(&self, sampling: Sampling) -> Sampling {
        sampling.speculate(self.speculate)
    }
}

/// How many answers, and which.
#[derive(Args)]
#[command(next_help_heading = "Answers")]
pub struct AnswerArgs {
    /// Make this many answers, each drawn by numbers of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=128))]
    answers: u32,
    /// Draw this many answers and keep the best of them, by the mean log-probability of their tokens
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=128))]
    best_of: Option<u32>,
    /// Search for the likeliest answers with this many beams
    #[arg(long, value_name = "N", conflicts_with = "best_of", value_parser = value_parser!(u32).range(1..=64))]
    beams: Option<u32>,
    /// The score of a beam is its log-probability over its length to the power of this
    #[arg(long, value_name = "F", default_value_t = 1.0, allow_negative_numbers = true, requires = "beams")]
    length_penalty: f64,
}

/// One of several answers.
pub struct Answer {
    pub ids: Vec<u32>,
    pub text: String,
    pub finish_reason: FinishReason,
    pub logprob: f64,
}

impl AnswerArgs {
    /// Whether one answer is wanted, and the first is the one.
    pub fn are_plain(&self) -> bool {
        self.answers == 1 && self.best_of.is_none() && self.beams.is_none()
    }

    /// All answers, the best first where there is a best.
    pub fn make(&self, model: &Model, prompt: &[u32], sampling: &Sampling) -> Result<Vec<Answer>, Failure> {
        if let Some(width) = self.beams {
            self.hold("--beams", width)?;
            let beams = Beams::new(width).length_penalty(self.length_penalty);
            let found = model.beam_search(prompt, sampling, beams)?;
            let answer = |found: polysilicon::Found| Answer {
                ids: found.ids,
                text: found.text,
                finish_reason: found.finish_reason,
                logprob: found.logprob,
            };
            return Ok(found.into_iter().take(self.answers as usize).map(answer).collect());
        }
        let drawn = self.best_of.unwrap_or(self.answers);
        self.hold("--best-of", drawn)?;
        let answer = |receipt: polysilicon::Receipt| Answer {
            ids: receipt.ids,
            text: receipt.text,
            finish_reason: receipt.finish_reason,
            logprob: receipt.logprob,
        };
        let best = model.generate_best(prompt, sampling, self.answers, drawn)?;
        Ok(best.into_iter().map(answer).collect())
    }

    fn hold(&self, name: &str, most: u32) -> Result<(), Failure> {
        if self.answers <= most {
            return Ok(());
        }
        let (answers, sentence) = (self.answers, "answers are wanted, and that many are not made; raise");
        Err(Failure::Usage(format!("{answers} {sentence} {name}, which is {most}")))
    }
}

/// Prints answers, each under its number.
pub fn print_all(model: &Model, answers: &[Answer]) -> Result<(), Failure> {
    for (answer, number) in answers.iter().zip(1..) {
        let ids = || answer.ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let text = if model.tokenizer().is_some() { answer.text.clone() } else { ids() };
        print(&format!("[{number}] {text}\n"))?;
    }
    Ok(())
}

/// Answers as one JSON list.
pub fn report_all(answers: &[Answer]) -> Value {
    let report = |answer: &Answer| {
        json!({
            "ids": answer.ids,
            "text": answer.text,
            "finish_reason": answer.finish_reason.as_str(),
            "logprob": answer.logprob,
        })
    };
    answers.iter().map(report).collect()
}
