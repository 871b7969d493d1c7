//! A conversation that is kept: its tokens, and whatever the device still knows of them.
//!
//! The tokens are all there is to a session; pages of keys and values are a cache, shared and evicted as any prefix is.
//! So a fork costs nothing, going back is forgetting tokens, and what the device has lost it computes again. Which
//! number decides the next token, what penalties count and where a grammar stands follows from the tokens too, and from
//! how many of the last ones the model made.

mod digest;
mod file;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::Request;

use crate::{Error, Model, Prompt, Sampling, Stream};

pub(crate) use digest::digest;
pub use file::{SessionError, check as check_file};

/// A conversation on a model.
///
/// ```
/// let model = polysilicon::Model::open("embedded")?.load()?;
/// let sampling = polysilicon::Sampling::default().max_tokens(8);
/// let session = model.session();
/// session.generate("Once upon a time", &sampling)?.finish()?;
/// let other = session.fork();
/// other.generate(" But then", &sampling)?.finish()?;
/// assert!(other.tokens().starts_with(&session.tokens()));
/// # Ok::<(), polysilicon::Error>(())
/// ```
pub struct Session {
    model: Model,
    tenant: u64,
    notes: String,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    tokens: Vec<u32>,
    /// How many of the last ones the model made.
    made: u32,
    /// Whether an answer is being read into it.
    is_open: bool,
}

/// The place that a stream's tokens are written to. Dropping it ends the answer.
pub(crate) struct Recording(Arc<Mutex<State>>);

impl Recording {
    pub fn push(&self, token: u32) {
        let mut state = lock(&self.0);
        state.tokens.push(token);
        state.made += 1;
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        lock(&self.0).is_open = false;
    }
}

/// Nobody panics while holding the lock, and if somebody did, the tokens would still be whole.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub(crate) fn new(model: Model) -> Session {
        Session { model, tenant: 0, notes: String::new(), state: Arc::default() }
    }

    /// The same session for a tenant, who shares state with no other: see [`Sampling::tenant`].
    #[must_use]
    pub fn tenant(mut self, tenant: u64) -> Session {
        self.tenant = tenant;
        self
    }

    /// All tokens, those included that were read from the stream of an answer that goes on.
    pub fn tokens(&self) -> Vec<u32> {
        lock(&self.state).tokens.clone()
    }

    /// What the application keeps with the session.
    pub fn notes(&self) -> &str {
        &self.notes
    }

    /// Keeps some text of the application's own with the session, such as the messages of a chat.
    pub fn set_notes(&mut self, notes: impl Into<String>) {
        self.notes = notes.into();
    }

    /// Appends a prompt and answers; what is read from the stream becomes part of the session.
    pub fn generate(&self, prompt: impl Into<Prompt>, sampling: &Sampling) -> Result<Stream, Error> {
        let more = match prompt.into() {
            // What the model wants before a text it wants once.
            Prompt::Text(text) if !lock(&self.state).tokens.is_empty() => self.model.encode_more(&text)?,
            prompt => self.model.ids(prompt)?,
        };
        self.go_on(sampling, |state| {
            state.tokens.extend(&more);
            state.made = 0;
        })
    }

    /// Takes these tokens in place of all there were and answers: how a conversation goes on that its template has
    /// rendered anew. What both have in common is not computed again.
    pub fn generate_from(&self, tokens: Vec<u32>, sampling: &Sampling) -> Result<Stream, Error> {
        self.go_on(sampling, |state| (state.tokens, state.made) = (tokens, 0))
    }

    /// Goes on with an answer that was broken off, as if it had not been: with the same options it gives the same
    /// tokens.
    pub fn resume(&self, sampling: &Sampling) -> Result<Stream, Error> {
        self.go_on(sampling, |_| {})
    }

    fn go_on(&self, sampling: &Sampling, change: impl FnOnce(&mut State)) -> Result<Stream, Error> {
        let mut next = lock(&self.state).clone();
        if next.is_open {
            return Err(SessionError::Open.into());
        }
        change(&mut next);
        let request = self.model.request(next.tokens.clone(), sampling)?;
        let request = Request { made: next.made, tenant: self.tenant, ..request };
        let mut streams = self.model.start(request, sampling, 1)?;
        let stream = streams.pop().ok_or(Error::Stopped)?;
        *lock(&self.state) = State { is_open: true, ..next };
        Ok(stream.recorded(Recording(self.state.clone())))
    }

    /// Another session that begins as this one is now.
    pub fn fork(&self) -> Session {
        let state = State { is_open: false, ..lock(&self.state).clone() };
        let notes = self.notes.clone();
        Session { model: self.model.clone(), tenant: self.tenant, notes, state: Arc::new(Mutex::new(state)) }
    }

    /// Goes back to the first so many tokens; more than there are change nothing.
    pub fn rewind(&self, tokens: usize) -> Result<(), Error> {
        let mut state = lock(&self.state);
        if state.is_open {
            return Err(SessionError::Open.into());
        }
        let gone = state.tokens.len().saturating_sub(tokens);
        state.tokens.truncate(tokens);
        state.made = state.made.saturating_sub(gone as u32);
        Ok(())
    }

    /// Writes the session to a file, with what the device still knows of it. The file is whole or not there.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let State { tokens, made, .. } = lock(&self.state).clone();
        file::save(
            &self.model,
            path.as_ref(),
            &file::Contents { tokens, made, notes: self.notes.clone() },
            self.tenant,
        )
    }

    /// Reads a session that the same model has written, on this or on another device.
    pub fn restore(model: &Model, path: impl AsRef<Path>) -> Result<Session, Error> {
        let file::Contents { tokens, made, notes } = file::restore(model, path.as_ref(), 0)?;
        let state = State { tokens, made, is_open: false };
        Ok(Session { model: model.clone(), tenant: 0, notes, state: Arc::new(Mutex::new(state)) })
    }
}
