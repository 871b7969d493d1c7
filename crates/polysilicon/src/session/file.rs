//! The file that a session is kept in.
//!
//! | Bytes | |
//! |---|---|
//! | 8 | `PSSESS01` |
//! | 8 | length of the head, little-endian as all numbers |
//! | head | JSON: what the session is of, how many tokens and pages, notes |
//! | 4 each | tokens |
//! | 8 | sum (XXH64) of everything so far |
//! | pages | group after group, as `Executor::export` writes them |
//! | 8 | sum of the pages |
//!
//! Whoever reads believes nothing before the file's length agrees with what its head claims, and the sums with its
//! bytes. Pages go straight to the device's free pages and are found by nobody until their sum is right.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use engine::{EngineError, pages_of};
use graph::{Graph, GroupId};
use serde_json::{Value, json};
use tensor::Sum;

use crate::partial::Partial;
use crate::{Error, Model};

const MAGIC: &[u8; 8] = b"PSSESS01";

/// Bytes of the head, notes included: JSON may write six bytes for one.
const HEAD_BYTES_MAX: u64 = 6 * NOTES_BYTES_MAX as u64 + 4096;

/// Bytes of an application's notes.
const NOTES_BYTES_MAX: usize = 16 << 20;

/// Why a session could not be kept or gone on with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// It is being written to.
    #[error("the session's last answer is still being made; read its stream to the end, or drop it")]
    Open,
    /// The application keeps too much with it.
    #[error(
        "the session's notes have {bytes} bytes, and {NOTES_BYTES_MAX} are the most; keep them elsewhere"
    )]
    Notes {
        /// How many.
        bytes: usize,
    },
    /// The file is no session, or damaged.
    #[error("the session file is damaged: {0}; use another copy, or begin anew")]
    Damaged(String),
    /// The context is too short.
    #[error(
        "the session has {tokens} tokens, and the context holds {context}; raise --context where the model declares more"
    )]
    Long {
        /// Tokens of the session.
        tokens: u64,
        /// Tokens that fit.
        context: u32,
    },
    /// The file is another model's.
    #[error("the session file is of another model: {0}; open the one that it was made with")]
    Model(String),
}

/// What a file keeps beside pages.
#[derive(Debug)]
pub(super) struct Contents {
    pub tokens: Vec<u32>,
    pub made: u32,
    pub notes: String,
}

/// What a head claims.
#[derive(Debug)]
struct Head {
    model: String,
    digest: String,
    kv: String,
    page_len: u64,
    tokens: u64,
    made: u64,
    pages: u64,
    notes: String,
    /// Bytes before the tokens.
    front_bytes: u64,
}

impl Head {
    /// Of a head's JSON, `front_bytes` being all bytes up to its end, for a model of this context.
    fn parse(json: &[u8], front_bytes: u64, context: u32) -> Result<Head, SessionError> {
        let damaged = |what: String| SessionError::Damaged(what);
        let head: Value = serde_json::from_slice(json)
            .map_err(|error| damaged(format!("its head is no JSON ({error})")))?;
        let missing = |name: &str| damaged(format!("its head lacks `{name}`"));
        let text = |name: &str| head[name].as_str().map(str::to_owned).ok_or_else(|| missing(name));
        let number = |name: &str| head[name].as_u64().ok_or_else(|| missing(name));
        let head = Head {
            model: text("model")?,
            digest: text("digest")?,
            kv: text("kv")?,
            page_len: number("page_len")?,
            tokens: number("tokens")?,
            made: number("made")?,
            pages: number("pages")?,
            notes: text("notes")?,
            front_bytes,
        };
        let paged = head.page_len.checked_mul(head.pages);
        if head.made > head.tokens || paged.is_none_or(|paged| paged > head.tokens) {
            return Err(damaged("its head contradicts itself".to_owned()));
        }
        if head.tokens > u64::from(context) {
            return Err(SessionError::Long { tokens: head.tokens, context });
        }
        Ok(head)
    }

    /// Refuses what another model has written, or this one with other keys and values.
    fn belongs_to(&self, model: &Model) -> Result<(), Error> {
        let graph = model.graph();
        let kv = graph.states.first().map_or("", |state| state.dtype.name());
        if self.kv != kv {
            let reason = format!("it keeps keys and values in {}, and this one in {kv} (--kv)", self.kv);
            return Err(SessionError::Model(reason).into());
        }
        if self.digest != format!("{:016x}", model.digest()?) || self.page_len != u64::from(graph.page_len) {
            let reason =
                format!("`{}`, with weights or a graph unlike those of `{}`", self.model, model.name());
            return Err(SessionError::Model(reason).into());
        }
        Ok(())
    }
}

/// Bytes on their way, and their sum.
struct Summed<T> {
    inner: T,
    sum: Sum,
}

impl<T> Summed<T> {
    fn new(inner: T) -> Summed<T> {
        Summed { inner, sum: Sum::default() }
    }
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.add(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.sum.add(&bytes[..read]);
        Ok(read)
    }
}

impl<T: Read> Summed<T> {
    /// Reads the sum that stands next, and compares.
    fn check(&mut self, of: &str) -> Result<(), SessionError> {
        let (wanted, mut found) = (self.sum.value(), [0; 8]);
        self.inner
            .read_exact(&mut found)
            .map_err(|_| SessionError::Damaged(format!("the sum of {of} is missing")))?;
        match u64::from_le_bytes(found) == wanted {
            true => Ok(()),
            false => Err(SessionError::Damaged(format!("the sum of {of} is wrong"))),
        }
    }
}

/// Writes a session: all of it, or no file.
pub(super) fn save(model: &Model, path: &Path, contents: &Contents, tenant: u64) -> Result<(), Error> {
    if contents.notes.len() > NOTES_BYTES_MAX {
        return Err(SessionError::Notes { bytes: contents.notes.len() }.into());
    }
    let digest = model.digest()?;
    let partial = Partial::create(path, true)?;
    let fail = |error| Error::Write { path: path.to_owned(), error };
    let mut file = partial.file().try_clone().map_err(fail)?;
    let (graph, tokens) = (model.graph(), contents.tokens.clone());
    let (head, page_len) = (head(graph, digest, model.name(), contents), graph.page_len);
    let write = move |engine: &mut engine::Engine| -> Result<(), EngineError> {
        let io = |error| EngineError::from(graph::BackendError::Io(error));
        let positions = engine.kept(tenant, &tokens);
        let mut out = Summed::new(BufWriter::new(&mut file));
        write_front(&mut out, head, &tokens, positions / page_len).map_err(io)?;
        let sum = out.sum.value();
        out.write_all(&sum.to_le_bytes()).map_err(io)?;
        out.sum = Sum::default();
        if positions > 0 {
            engine.export(tenant, &tokens, positions, &mut out)?;
        }
        let sum = out.sum.value();
        out.write_all(&sum.to_le_bytes()).and_then(|()| out.flush()).map_err(io)
    };
    match model.worker().call(write)? {
        Err(EngineError::Backend(graph::BackendError::Io(error))) => return Err(fail(error)),
        written => written?,
    }
    partial.finish(true).map(|_| ())
}

fn head(graph: &Graph, digest: u64, name: &str, contents: &Contents) -> Value {
    json!({
        "model": name,
        "digest": format!("{digest:016x}"),
        "kv": graph.states.first().map_or("", |state| state.dtype.name()),
        "page_len": graph.page_len,
        "tokens": contents.tokens.len(),
        "made": contents.made,
        "notes": contents.notes,
    })
}

fn write_front(out: &mut impl Write, mut head: Value, tokens: &[u32], pages: u32) -> io::Result<()> {
    head["pages"] = pages.into();
    let head = head.to_string();
    out.write_all(MAGIC)?;
    out.write_all(&(head.len() as u64).to_le_bytes())?;
    out.write_all(head.as_bytes())?;
    tokens.iter().try_for_each(|token| out.write_all(&token.to_le_bytes()))
}

/// Reads a session, and lets the device keep what the file has of its state.
pub(super) fn restore(model: &Model, path: &Path, tenant: u64) -> Result<Contents, Error> {
    let fail = |error| Error::File { path: path.to_owned(), error };
    let file = File::open(path).map_err(fail)?;
    let facts = file.metadata().map_err(fail)?;
    if !facts.is_file() {
        return Err(SessionError::Damaged("it is no regular file".to_owned()).into());
    }
    let mut from = Summed::new(BufReader::new(file));
    let (head, contents) = read_front(&mut from, facts.len(), model.context())?;
    head.belongs_to(model)?;
    let graph = model.graph();
    let pages = u32::try_from(head.pages).unwrap_or(u32::MAX);
    let bytes = front_bytes(facts.len(), &head)?;
    if bytes != page_bytes(graph, pages) {
        return Err(SessionError::Damaged(format!("{bytes} bytes are no {pages} pages of this model")).into());
    }
    let prefix = contents.tokens[..pages as usize * graph.page_len as usize].to_vec();
    if let Some(id) = contents.tokens.iter().find(|&&id| id >= graph.vocab) {
        return Err(
            SessionError::Damaged(format!("token {id} is none of the {} there are", graph.vocab)).into()
        );
    }
    if !prefix.is_empty() {
        from.sum = Sum::default();
        let check = |from: &mut Summed<BufReader<File>>| {
            from.check("the pages").map_err(|error| EngineError::Damaged(error.to_string()))
        };
        let read = model.worker().call(move |engine| engine.import(tenant, &prefix, &mut from, check))?;
        read.map_err(|error| match error {
            EngineError::Damaged(reason) => SessionError::Damaged(reason).into(),
            error => Error::Engine(error),
        })?;
    }
    Ok(contents)
}

/// Bytes of the pages of all groups, where a prefix has so many.
fn page_bytes(graph: &Graph, pages: u32) -> u64 {
    let of_groups = pages_of(&graph.groups, graph.page_len, pages).into_iter().zip(0..);
    of_groups.map(|(pages, group)| u64::from(pages).saturating_mul(graph.page_bytes(GroupId(group)))).sum()
}

/// Bytes that a file of this length has left for pages.
fn front_bytes(length: u64, head: &Head) -> Result<u64, SessionError> {
    let front = head.front_bytes + 4 * head.tokens + 8;
    let short =
        || SessionError::Damaged(format!("it has {length} bytes, which is too few for what it claims"));
    length.checked_sub(front + 8).ok_or_else(short)
}

/// Reads everything before the pages of a file of this length, and holds it against its sum.
fn read_front(
    from: &mut Summed<impl Read>,
    length: u64,
    context: u32,
) -> Result<(Head, Contents), SessionError> {
    let damaged = |what: &str| SessionError::Damaged(what.to_owned());
    let mut start = [0; 16];
    from.read_exact(&mut start).map_err(|_| damaged("it is shorter than any session"))?;
    let (magic, size) = start.split_at(8);
    if magic != MAGIC {
        return Err(damaged("it does not begin as a session does"));
    }
    let size = u64::from_le_bytes(size.try_into().map_err(|_| damaged("it is shorter than any session"))?);
    if size > HEAD_BYTES_MAX || size > length {
        return Err(damaged("its head is longer than it may be"));
    }
    let mut head = vec![0; size as usize];
    from.read_exact(&mut head).map_err(|_| damaged("it ends in its head"))?;
    let head = Head::parse(&head, 16 + size, context)?;
    front_bytes(length, &head)?;
    let mut bytes = vec![0; 4 * head.tokens as usize];
    from.read_exact(&mut bytes).map_err(|_| damaged("it ends in its tokens"))?;
    from.check("the tokens")?;
    let (words, _) = bytes.as_chunks::<4>();
    let tokens = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let contents = Contents { tokens, made: head.made as u32, notes: head.notes.clone() };
    Ok((head, contents))
}

/// Reads all of a file but its pages, in whatever state it is: what a fuzzer calls, through `entry`.
pub fn check(bytes: &[u8]) -> Result<(), SessionError> {
    read_front(&mut Summed::new(bytes), bytes.len() as u64, 1 << 20).map(|_| ())
}
