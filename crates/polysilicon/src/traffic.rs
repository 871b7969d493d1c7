//! Requests as users would send them, and what each of them took: so many always under way, or coming at random.
//!
//! Times are those at which the engine's thread had a token, so a reader that is late spoils no figure; how late readers and
//! askers were is measured too.
//!
//! ```
//! use polysilicon::traffic::{Arrivals, Traffic};
//!
//! let model = polysilicon::Model::open("embedded")?.load()?;
//! let traffic = Traffic { prompt: 8, output: 4, requests: 6, ..Traffic::default() };
//! let run = traffic.run(&model, &mut |_| {})?;
//! assert_eq!(run.requests.len(), 6);
//! # Ok::<(), polysilicon::Error>(())
//! ```

mod trace;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cost::Catalogue;
use cost::predict::Sheet;
use cost::results::{Request, Run, Setup, percentile};
use engine::uniform;

use crate::bench::{limits, peak};
use crate::disturbance::Watch;
use crate::worker::{Listener, Message};
use crate::{Device, Error, Model, Progress, Sampling};

pub use trace::{Ask, read_trace};

/// Requests that follow one another.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// How they come.
    pub arrivals: Arrivals,
    /// How many.
    pub requests: u32,
    /// Tokens of each prompt, where there is no trace.
    pub prompt: u32,
    /// Tokens that all prompts begin with, of those.
    pub shared: u32,
    /// Tokens of each answer, where there is no trace.
    pub output: u32,
    /// What is asked, in place of prompts that are made up; over and over where there is too little.
    pub trace: Vec<Ask>,
    /// Whether prompts may share what they have in common.
    pub cache: bool,
    /// Decides what is asked, and when.
    pub seed: u64,
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// So many are always under way.
    Closed(u32),
    /// So many come per second, at random and whatever is under way.
    Open(f64),
}

impl Default for Traffic {
    fn default() -> Traffic {
        let arrivals = Arrivals::Closed(1);
        Traffic {
            arrivals,
            requests: 16,
            prompt: 512,
            shared: 0,
            output: 128,
            trace: vec![],
            cache: true,
            seed: 0,
        }
    }
}

/// The most requests of a run: each is kept.
const REQUESTS_MAX: u32 = 1_000_000;

/// The most threads that wait for answers.
const READERS_MAX: u32 = 4096;

/// What becomes known while a run goes on.
struct Book<'a> {
    model: &'a Model,
    start: Instant,
    done: Mutex<Done>,
    tell: Mutex<&'a mut (dyn FnMut(Progress) + Send)>,
    of: u32,
}

/// What is over.
#[derive(Default)]
struct Done {
    /// Requests, each with its number.
    requests: Vec<(usize, Request)>,
    /// Seconds by which they were asked late, and tokens read late.
    lags: [Vec<f64>; 2],
}

impl Traffic {
    /// Sends them all, and waits for what they give; `tell` hears how many of how many are done.
    pub fn run(&self, model: &Model, tell: &mut (dyn FnMut(Progress) + Send)) -> Result<Run, Error> {
        self.check(model)?;
        let (watch, before) = (Watch::start(), model.totals()?);
        let book = Book {
            model,
            start: Instant::now(),
            done: Mutex::default(),
            tell: Mutex::new(tell),
            of: self.requests,
        };
        match self.arrivals {
            Arrivals::Closed(readers) => self.closed(&book, readers),
            Arrivals::Open(rate) => self.open(&book, rate),
        }
        let Done { mut requests, mut lags } = book.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        requests.sort_by_key(|(number, _)| *number);
        lags.iter_mut().for_each(|lags| lags.sort_by(f64::total_cmp));
        let after = model.totals()?;
        let ends = requests.iter().map(|(_, request)| request.end_s);
        Ok(Run {
            wall_s: ends.fold(0.0, f64::max),
            idle_s: after.idle_s - before.idle_s,
            padding_s: after.padding_s - before.padding_s,
            experts: after.experts.since(&before.experts),
            overhead_s: after.overhead_s + after.dropped_s - before.overhead_s - before.dropped_s,
            generator_lag_s_p99: lags.iter().map(|lags| percentile(lags, 0.99)).fold(0.0, f64::max),
            bytes_per_s: None,
            device_s: after.device_s - before.device_s,
            disturbed: watch.end(),
            requests: requests.into_iter().map(|(_, request)| request).collect(),
        })
    }

    fn check(&self, model: &Model) -> Result<(), Error> {
        let refuse = |sentence: String| Err(Error::Word(sentence));
        if !(1..=REQUESTS_MAX).contains(&self.requests) {
            return refuse(format!("{} requests are no run; ask for 1 to {REQUESTS_MAX}", self.requests));
        }
        match self.arrivals {
            Arrivals::Closed(n) if !(1..=READERS_MAX).contains(&n) => {
                return refuse(format!("{n} requests at a time are not run; ask for 1 to {READERS_MAX}"));
            }
            Arrivals::Open(rate) if !(rate.is_finite() && rate > 0.0) => {
                return refuse(format!("{rate} requests per second do not come; ask for more than 0"));
            }
            _ => {}
        }
        let longest = (0..self.requests.min(self.trace.len().max(1) as u32)).map(|number| {
            let (prompt, output) = self.lengths(number as usize);
            prompt.saturating_add(output)
        });
        match longest.max().unwrap_or(0) {
            most if most > model.context() => refuse(format!(
                "a prompt and its answer have {most} tokens, and the context is {}; ask for less, or for more with --context",
                model.context()
            )),
            _ => Ok(()),
        }
    }

    /// So many readers, each of which asks again when it has its answer.
    fn closed(&self, book: &Book<'_>, readers: u32) {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..readers.min(self.requests) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.requests as usize {
                            return;
                        }
                        let asked = Instant::now();
                        book.keep(number, self.ask(book, number, asked));
                    }
                });
            }
        });
    }

    /// A reader for each request, whose time has come whatever is under way.
    fn open(&self, book: &Book<'_>, rate: f64) {
        let mut at = 0.0;
        thread::scope(|scope| {
            for number in 0..self.requests as usize {
                at -= (1.0 - uniform(self.seed, 1, number as u64)).ln() / rate;
                let due = book.start + Duration::from_secs_f64(at);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                // Its time counts from when it should have been asked.
                scope.spawn(move || book.keep(number, self.ask(book, number, due)));
            }
        });
    }

    /// Asks, and reads the answer to its end.
    fn ask(&self, book: &Book<'_>, number: usize, due: Instant) -> (Request, [Vec<f64>; 2]) {
        let since = |at: Instant| at.saturating_duration_since(book.start).as_secs_f64();
        let prompt = self.prompt_of(book.model, number);
        let mut request =
            Request { start_s: since(due), tokens_in: prompt.len() as u32, ..Request::default() };
        let mut lags = [vec![due.elapsed().as_secs_f64()], vec![]];
        let (_, output) = self.lengths(number);
        let listener = self.listen(book.model, prompt, output, number);
        let mut last = None;
        let failed = loop {
            match listener.as_ref().map(Listener::read) {
                Ok(Some(Message::Token { at, usage, .. })) => {
                    lags[1].push(at.elapsed().as_secs_f64());
                    let at = since(at);
                    match last {
                        None => request.first_s = at,
                        Some(last) => request.between_s.push((at - last) as f32),
                    }
                    (last, request.end_s) = (Some(at), at);
                    request.tokens_out = usage.completion_tokens;
                    request.tokens_cached = usage.cached_tokens;
                }
                Ok(Some(Message::Ended(_, charge))) => {
                    let phases = [&charge.prefill, &charge.decode];
                    [request.prefill_s, request.decode_s] = phases.map(|phase| phase.seconds);
                    request.device_s = phases.map(|phase| phase.device_s);
                    request.bytes = phases.map(|phase| phase.bytes);
                    request.operations = phases.map(|phase| phase.operations);
                    request.joules = charge.joules;
                    break None;
                }
                Ok(Some(Message::Failed(error))) => break Some(error.to_string()),
                Ok(Some(Message::Prompt(_) | Message::Answer { .. })) => {}
                Ok(None) => break Some(Error::Stopped.to_string()),
                Err(error) => break Some(error.to_string()),
            }
        };
        if failed.is_some() {
            request.end_s = since(Instant::now());
        }
        request.error = failed;
        (request, lags)
    }

    fn listen(&self, model: &Model, prompt: Vec<u32>, output: u32, number: usize) -> Result<Listener, Error> {
        // Who shares with nobody has a name of its own.
        let tenant = if self.cache { self.seed } else { uniform(self.seed, 2, number as u64).to_bits() };
        let sampling = Sampling::default().max_tokens(output).ignore_end(true).tenant(tenant);
        let request = model.request(prompt, &sampling)?;
        let mut listeners = model.worker().generate(request, 1)?;
        listeners.pop().ok_or(Error::Stopped)
    }

    /// Tokens of a request's prompt and of its answer.
    fn lengths(&self, number: usize) -> (u32, u32) {
        match self.asked(number) {
            Some(ask) => (ask.prompt.len() as u32, ask.output),
            None => (self.prompt.max(1), self.output.max(1)),
        }
    }

    fn asked(&self, number: usize) -> Option<&Ask> {
        self.trace.get(number % self.trace.len().max(1))
    }

    /// A request's prompt: what the trace says, or tokens that no other prompt has but for the beginning that all share.
    pub fn prompt_of(&self, model: &Model, number: usize) -> Vec<u32> {
        if let Some(ask) = self.asked(number) {
            return ask.prompt.clone();
        }
        let vocab = f64::from(model.graph().vocab);
        let token = |place: u32| {
            let whose = if place < self.shared { 3 } else { 4 + number as u64 };
            (uniform(self.seed, whose, u64::from(place)) * vocab) as u32
        };
        (0..self.prompt.max(1)).map(token).collect()
    }

    /// Whether a request has the same tokens among others as alone: `None` where the device does not promise it.
    pub fn is_same_alone(&self, model: &Model) -> Result<Option<bool>, Error> {
        if !model.is_batch_invariant() {
            return Ok(None);
        }
        let ids = |listener: &Listener| {
            let mut ids = vec![];
            loop {
                match listener.read() {
                    Some(Message::Token { token, .. }) => ids.push(token.id),
                    Some(Message::Ended(..)) => return Ok(ids),
                    Some(Message::Failed(error)) => return Err(error),
                    Some(_) => {}
                    None => return Err(Error::Stopped),
                }
            }
        };
        // Nobody shares with anybody: all of them are computed, and computed again.
        let apart = Traffic { cache: false, ..self.clone() };
        let ask = |number: usize, whose: usize| {
            let (_, output) = self.lengths(number);
            apart.listen(model, self.prompt_of(model, number), output.min(16), whose)
        };
        let alone = (0..4).map(|number| ids(&ask(number, number)?)).collect::<Result<Vec<_>, _>>()?;
        let among = (0..4).map(|number| ask(number, 4 + number)).collect::<Result<Vec<_>, _>>()?;
        let among = among.iter().map(ids).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(among == alone))
    }
}

/// What is to be told of a model on a device, beside what requests take. On this machine's processor its limits are measured,
/// where that was not done before.
pub fn setup(model: &Model, device: Device, threads: Option<usize>) -> Result<Setup, Error> {
    let threads = threads.unwrap_or_else(cpu::measure::cores);
    let weight_bytes = model.graph().weight_bytes();
    // What caches hold is read faster than memory gives.
    let caches = cpu::measure::caches();
    let in_caches = weight_bytes <= caches.l3.max(caches.l2) as u64;
    let (bytes_per_s, operations_per_s) = match limits(device, threads) {
        Some(limits) => {
            let bandwidth = Some(limits.bandwidth).filter(|_| !in_caches);
            (bandwidth, Some(peak(&limits, model.graph())))
        }
        None => match sheet(model)? {
            Some(sheet) => (Some(sheet.bytes_per_s), sheet.fastest()),
            None => (None, None),
        },
    };
    Ok(Setup {
        model: model.name().to_owned(),
        random_weights: model.is_random(),
        model_digest: format!("{:016x}", model.fingerprint()?),
        weight_bytes,
        device: model.device().to_owned(),
        device_description: model.device_description().to_owned(),
        threads,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bytes_per_s,
        operations_per_s,
        ..Setup::default()
    })
}

/// The data sheet of a GPU that the catalogue knows.
fn sheet(model: &Model) -> Result<Option<Sheet>, Error> {
    let catalogue = Catalogue::built_in()?;
    Ok(catalogue.gpu(model.device_description()).map(|(name, chip)| Sheet::of(name, chip, 1)))
}

/// The share of a prompt's positions whose likeliest token is that of the reference too: what is fast and computes something else
/// is no result.
pub fn like_reference(model: &Model, reference: &Model, ids: &[u32]) -> Result<f64, Error> {
    let (ours, theirs) = (model.logits(ids)?, reference.logits(ids)?);
    let likeliest = |row: &[f32]| {
        let places = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        places.map(|(place, _)| place)
    };
    let rows = ours.values.chunks(ours.vocab.max(1)).zip(theirs.values.chunks(theirs.vocab.max(1)));
    let alike = rows.filter(|(ours, theirs)| likeliest(ours) == likeliest(theirs)).count();
    Ok(alike as f64 / ids.len().max(1) as f64)
}

impl Book<'_> {
    fn keep(&self, number: usize, (request, lags): (Request, [Vec<f64>; 2])) {
        // Nobody panics while holding the locks.
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.requests.push((number, request));
        done.lags.iter_mut().zip(lags).for_each(|(all, lags)| all.extend(lags));
        let progress = Progress { done: done.requests.len() as u64, total: u64::from(self.of) };
        drop(done);
        let mut tell = self.tell.lock().unwrap_or_else(PoisonError::into_inner);
        (*tell)(progress);
    }
}
