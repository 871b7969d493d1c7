//! `chat`: a conversation in a terminal, or line by line through a pipe.

use std::io::{self, BufRead, IsTerminal};

use clap::Args;
use polysilicon::{Conversation, Error, Model};
use serde_json::{Value, json};

use crate::args::{DeviceArgs, ModelArgs, SamplingArgs};
use crate::failure::Failure;
use crate::output::{note, print};

#[derive(Args)]
#[command(
    after_help = "Each line is a turn; /reset forgets the conversation, /quit or the end of input ends it.\n\n\
                  Example: polysilicon chat path/to/model --system 'Answer in one sentence.'"
)]
pub struct Chat {
    /// What the model is told before the first turn
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
}

impl Chat {
    /// Talks until the input ends.
    pub fn execute(self) -> Result<(), Failure> {
        let model = self.device.load(self.model.open()?)?;
        if !model.has_template() {
            return Err(Error::NoTemplate.into());
        }
        let person = io::stdin().is_terminal();
        if person {
            note(&format!("{} on {}; /reset forgets, /quit ends", model.name(), model.device()));
        }
        let mut messages = self.opening();
        let mut lines = io::stdin().lock().lines();
        loop {
            if person {
                print("> ")?;
            }
            let Some(line) = lines.next() else { break };
            match line.map_err(Failure::Input)?.trim() {
                "" => {}
                "/quit" => break,
                "/reset" => messages = self.opening(),
                turn => match self.answer(&model, &messages, turn) {
                    Ok([question, answer]) => messages.extend([question, answer]),
                    // A person can say it differently; a script must hear of it.
                    Err(Failure::Model(error @ Error::Refused(_))) if person => {
                        note(&format!("polysilicon: {error}; /reset makes room"));
                    }
                    Err(failure) => return Err(failure),
                },
            }
        }
        Ok(())
    }

    fn opening(&self) -> Vec<Value> {
        self.system.iter().map(|text| json!({"role": "system", "content": text})).collect()
    }

    /// Prints the answer to one turn; the turn and its answer as messages.
    fn answer(&self, model: &Model, before: &[Value], turn: &str) -> Result<[Value; 2], Failure> {
        let question = json!({"role": "user", "content": turn});
        let messages = before.iter().chain([&question]).cloned().collect();
        let conversation = Conversation { messages, add_generation_prompt: true, ..Conversation::default() };
        let mut stream = model.chat(&conversation, &self.sampling.sampling())?;
        for piece in &mut stream {
            print(&piece?.text)?;
        }
        print("\n")?;
        let receipt = stream.receipt().ok_or(Error::Stopped)?;
        Ok([question, json!({"role": "assistant", "content": receipt.text})])
    }
}
