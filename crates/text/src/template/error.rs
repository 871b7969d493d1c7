//! What can go wrong with a chat template.

/// Why a chat template could not be read or rendered; each says the template's line where it is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The template is longer than templates are (act: replace the file).
    #[error("the chat template is {bytes} bytes long, more than the {limit} allowed; replace it")]
    TooLarge {
        /// Its size, bytes.
        bytes: usize,
        /// The largest size taken, bytes.
        limit: usize,
    },
    /// The template is not valid (act: replace the file).
    #[error("the chat template is not valid{}: {reason}; replace it", at(.line))]
    Syntax {
        /// Line in the template, from 1.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// The template itself refused the conversation with `raise_exception` (act: whoever wrote the conversation).
    #[error("the chat template refused the conversation{}: {message}", at(.line))]
    Refused {
        /// Line in the template, from 1.
        line: Option<usize>,
        /// The template's own words.
        message: String,
    },
    /// The template took more steps or memory than any conversation needs (act: replace the template).
    #[error("the chat template ran over its budget{}: {reason}; replace it or shorten the conversation", at(.line))]
    Budget {
        /// Line in the template, from 1.
        line: Option<usize>,
        /// Which limit.
        reason: String,
    },
    /// The template failed on this conversation (act: check the conversation, then the template).
    #[error("the chat template failed{}: {reason}; check the conversation's fields against the template", at(.line))]
    Render {
        /// Line in the template, from 1.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
}

fn at(line: &Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" at line {line}"))
}

/// Marks an error as the template's own `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Raised(pub(super) String);

impl TemplateError {
    pub(super) fn syntax(error: &minijinja::Error) -> Self {
        Self::Syntax { line: error.line(), reason: reason(error) }
    }

    pub(super) fn render(error: &minijinja::Error) -> Self {
        let line = error.line();
        if let Some(Raised(message)) = find_raised(error) {
            return Self::Refused { line, message: message.clone() };
        }
        match error.kind() {
            minijinja::ErrorKind::OutOfFuel => Self::Budget { line, reason: reason(error) },
            _ => Self::Render { line, reason: reason(error) },
        }
    }
}

fn reason(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

fn find_raised(error: &minijinja::Error) -> Option<&Raised> {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(raised) = inner.downcast_ref::<Raised>() {
            return Some(raised);
        }
        source = inner.source();
    }
    None
}
