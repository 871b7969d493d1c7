//! Why a command did not do what was asked, and the status the program then ends with.

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use crate::output::note;

/// A command's failure.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The model could not do it.
    #[error(transparent)]
    Model(#[from] polysilicon::Error),
    /// What it costs cannot be told.
    #[error(transparent)]
    Cost(#[from] polysilicon::cost::CostError),
    /// The arguments do not fit together: exit status 2.
    #[error("{0}")]
    Usage(String),
    /// Standard input is no text.
    #[error("standard input could not be read: {0}")]
    Input(io::Error),
    /// Standard output takes no more.
    #[error("standard output could not be written: {0}")]
    Output(io::Error),
}

impl Failure {
    /// Says it on standard error, and gives the exit status. A reader that has seen enough (`| head`) is no failure.
    pub fn report(&self) -> ExitCode {
        if matches!(self, Failure::Output(error) if error.kind() == ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        note(&format!("polysilicon: {}", plain(&self.to_string())));
        match self {
            Failure::Usage(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

/// One line, and nothing that a terminal would obey: a message may quote a file or a template.
fn plain(message: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    message.chars().map(plain).collect()
}
