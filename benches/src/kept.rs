//! What is gained by state that is kept: in the cache for whoever comes with the same beginning, and in a session's file.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use polysilicon::{Error, Model, Sampling, Session};

/// Tokens that follow what two prompts have in common.
const TAIL: u32 = 4;

/// Tokens decoded to know what a step takes.
const DECODED: u32 = 16;

/// Two prompts with a common beginning.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// From the first request to its first token.
    pub first: Duration,
    /// From the second request to its first token.
    pub second: Duration,
    /// A step of decoding behind them.
    pub step: Duration,
    /// Tokens of the second that needed no computation.
    pub cached: u32,
}

/// A session, written to a file and read again.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// From the prompt to the first token.
    pub prefill: Duration,
    /// Writing the file.
    pub save: Duration,
    /// Reading it.
    pub restore: Duration,
    /// From going on to the next token.
    pub resume: Duration,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Asks twice with a common beginning of so many tokens; `round` tells rounds apart.
pub fn shared(model: &Model, tokens: u32, round: u32) -> Result<Shared, Error> {
    let sampling = Sampling::default().max_tokens(DECODED).ignore_end(true).tenant(u64::from(round) + 1);
    let prompt =
        |tail: u32| [prompt(model, tokens, round), prompt(model, TAIL, 7000 + 2 * round + tail)].concat();
    let first = model.generate(prompt(0), &sampling)?.finish()?;
    let second = model.generate(prompt(1), &sampling)?.finish()?;
    Ok(Shared {
        first: first.first_token,
        second: second.first_token,
        step: first.decode / (DECODED - 1),
        cached: second.cached_tokens,
    })
}

/// Keeps a session of so many tokens in a file, and goes on with it as somebody who has none of its state.
pub fn restored(model: &Model, tokens: u32, round: u32) -> Result<Restored, Error> {
    let path = Scratch(std::env::temp_dir().join(format!("polysilicon-{}.pss", std::process::id())));
    let one = Sampling::default().max_tokens(1).ignore_end(true);
    // What a tenant leaves in the cache no other finds, and files are read for the first.
    let session = model.session().tenant(u64::from(round) + 1);
    let prefill = session.generate(prompt(model, tokens, round), &one)?.finish()?.first_token;
    let start = Instant::now();
    session.save(&path.0)?;
    let save = start.elapsed();
    let fail = |error: io::Error| Error::File { path: path.0.clone(), error };
    let bytes = std::fs::metadata(&path.0).map_err(fail)?.len();
    let start = Instant::now();
    let session = Session::restore(model, &path.0)?;
    let restore = start.elapsed();
    let resume = session.resume(&one)?.finish()?.first_token;
    Ok(Restored { prefill, save, restore, resume, bytes })
}

fn prompt(model: &Model, tokens: u32, salt: u32) -> Vec<u32> {
    let vocab = u64::from(model.graph().vocab);
    (0..u64::from(tokens)).map(|i| ((i * 7919 + u64::from(salt) * 104_729 + 13) % vocab) as u32).collect()
}

/// A file that is gone when it is dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What was never written is not there to be removed.
        let _ = std::fs::remove_file(&self.0);
    }
}
