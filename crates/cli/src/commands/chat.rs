//! `chat`: a conversation in a terminal, or line by line through a pipe.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use polysilicon::{Conversation, Error, Model, Sampling, Session};
use serde_json::{Value, json};

use crate::answers::SpeculationArgs;
use crate::args::{DeviceArgs, ModelArgs};
use crate::failure::Failure;
use crate::output::{note, print};
use crate::sampling::{FormArgs, SamplingArgs, formed};

#[derive(Args)]
#[command(
    after_help = "Each line is a turn; /reset forgets the conversation, /quit or the end of input ends it.\n\n\
                  Example: polysilicon chat path/to/model --system 'Answer in one sentence.'"
)]
pub struct Chat {
    /// What the model is told before the first turn
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    /// Keep the conversation in this file, with what the model has computed of it, and go on with what is there
    #[arg(long, value_name = "FILE")]
    session: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    speculation: SpeculationArgs,
}

/// A conversation: what was said, and what the model has made of it.
struct Talk {
    session: Session,
    messages: Vec<Value>,
}

impl Chat {
    /// Talks until the input ends.
    pub fn execute(self) -> Result<(), Failure> {
        let form = self.form.source()?;
        let model = self.speculation.load(self.device.builder(self.model.open()?))?;
        if !model.has_template() {
            return Err(Error::NoTemplate.into());
        }
        let sampling = self.speculation.speculate(self.sampling.sampling());
        let sampling = formed(sampling, form.as_ref(), &model)?;
        let person = io::stdin().is_terminal();
        if person {
            note(&format!("{} on {}; /reset forgets, /quit ends", model.name(), model.device()));
        }
        let mut talk = self.begin(&model)?;
        let mut lines = io::stdin().lock().lines();
        loop {
            if person {
                print("> ")?;
            }
            let Some(line) = lines.next() else { break };
            match line.map_err(Failure::Input)?.trim() {
                "" => {}
                "/quit" => break,
                "/reset" => talk = Talk { session: model.session(), messages: self.opening() },
                turn => match self.answer(&model, &sampling, &mut talk, turn) {
                    Ok(()) => {}
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

    /// The conversation that the file holds, or a new one.
    fn begin(&self, model: &Model) -> Result<Talk, Failure> {
        let kept = self.session.as_ref().filter(|path| path.exists());
        let Some(path) = kept else { return Ok(Talk { session: model.session(), messages: self.opening() }) };
        let session = Session::restore(model, path)?;
        match serde_json::from_str(session.notes()) {
            Ok(Value::Array(messages)) => Ok(Talk { session, messages }),
            _ => Err(Failure::Usage(format!(
                "{} is a session, but no conversation of this command; name another file",
                path.display()
            ))),
        }
    }

    /// Prints the answer to one turn, and keeps both.
    fn answer(&self, model: &Model, sampling: &Sampling, talk: &mut Talk, turn: &str) -> Result<(), Failure> {
        let question = json!({"role": "user", "content": turn});
        let messages = talk.messages.iter().chain([&question]).cloned().collect();
        let conversation = Conversation { messages, add_generation_prompt: true, ..Conversation::default() };
        let ids = model.encode_chat(&conversation)?;
        let mut stream = talk.session.generate_from(ids, sampling)?;
        for piece in &mut stream {
            print(&piece?.text)?;
        }
        print("\n")?;
        let receipt = stream.receipt().ok_or(Error::Stopped)?;
        talk.messages.extend([question, json!({"role": "assistant", "content": receipt.text})]);
        if let Some(path) = &self.session {
            talk.session.set_notes(Value::from(talk.messages.clone()).to_string());
            talk.session.save(path)?;
        }
        Ok(())
    }
}
