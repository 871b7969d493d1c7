//! The thread that owns a model's engine. Jobs come to it through a channel and are done one after another. What a
//! generation makes waits for its reader, of whom there is no more than a context holds; so a reader that stalls stalls
//! nothing but itself.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::{Ending, Engine, Event, Probe, Request};
use graph::Fetch;

use crate::Error;

/// The engine's thread.
pub(crate) struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    pub context: u32,
}

/// What a generation tells.
pub(crate) enum Message {
    Token { token: Token, at: Instant, device: Duration },
    Ended(Ending),
    Failed(Error),
}

/// A token as the engine made it.
pub(crate) struct Token {
    pub id: u32,
    pub logprob: f32,
    pub top: Vec<(u32, f32)>,
}

/// What a reader holds while it listens.
pub(crate) struct Listener {
    pub messages: Receiver<Message>,
    _listening: Arc<()>,
}

/// Values by name that replace the model's own.
pub(crate) type Patches = Vec<(String, Vec<f32>)>;

enum Job {
    Generate { request: Box<Request>, to: Sender<Message>, listening: Weak<()> },
    Logits { ids: Vec<u32>, to: SyncSender<Result<Vec<f32>, Error>> },
    Probe { ids: Vec<u32>, taps: Vec<String>, patches: Patches, to: SyncSender<Result<Fetch, Error>> },
}

impl Worker {
    /// Moves the engine to a thread of its own, which works with the pool's threads.
    pub fn start(engine: Engine, pool: Arc<rayon::ThreadPool>) -> Worker {
        let context = engine.context();
        let (jobs, inbox) = channel();
        let work = move || pool.install(|| Work { engine }.run(inbox));
        let thread = std::thread::Builder::new().name("polysilicon-engine".to_owned()).spawn(work);
        Worker { jobs: Some(jobs), thread: thread.ok(), context }
    }

    /// Starts a generation; its messages end with `Ended` or `Failed`.
    pub fn generate(&self, request: Request) -> Result<Listener, Error> {
        let (to, messages) = channel();
        let listener = Listener { messages, _listening: Arc::new(()) };
        let listening = Arc::downgrade(&listener._listening);
        self.send(Job::Generate { request: Box::new(request), to, listening })?;
        Ok(listener)
    }

    /// The logits of every position.
    pub fn logits(&self, ids: &[u32]) -> Result<Vec<f32>, Error> {
        let (to, from) = sync_channel(1);
        self.send(Job::Logits { ids: ids.to_vec(), to })?;
        from.recv().map_err(|_| Error::Stopped)?
    }

    /// Named values of a prompt, some replaced.
    pub fn probe(&self, ids: &[u32], taps: Vec<String>, patches: Patches) -> Result<Fetch, Error> {
        let (to, from) = sync_channel(1);
        self.send(Job::Probe { ids: ids.to_vec(), taps, patches, to })?;
        from.recv().map_err(|_| Error::Stopped)?
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or(Error::Stopped)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already, and there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

struct Work {
    engine: Engine,
}

impl Work {
    fn run(mut self, inbox: Receiver<Job>) {
        while let Ok(job) = inbox.recv() {
            // A receiver that is gone wants no answer.
            match job {
                Job::Generate { request, to, listening } => self.generate(*request, &to, &listening),
                Job::Logits { ids, to } => drop(to.send(self.logits(&ids))),
                Job::Probe { ids, taps, patches, to } => drop(to.send(self.probe(&ids, &taps, &patches))),
            }
        }
    }

    /// Runs a request to its end, or until nobody listens.
    fn generate(&mut self, request: Request, to: &Sender<Message>, listening: &Weak<()>) {
        if listening.strong_count() == 0 {
            return;
        }
        let sequence = match self.engine.start(request) {
            Ok(sequence) => sequence,
            Err(error) => return drop(to.send(Message::Failed(error.into()))),
        };
        while !self.engine.is_idle() {
            let events = self.engine.step();
            let (at, device) = (Instant::now(), events.device_time());
            for event in events {
                // A reader that is gone is noticed below.
                let _ = to.send(match event {
                    Event::Token { id, logprob, top, .. } => {
                        Message::Token { token: Token { id, logprob, top: top.to_vec() }, at, device }
                    }
                    Event::Finished { ending, .. } => Message::Ended(ending),
                    Event::Failed { error, .. } => Message::Failed(Error::Step(error)),
                });
            }
            if listening.strong_count() == 0 {
                self.engine.cancel(sequence);
            }
        }
    }

    fn logits(&mut self, ids: &[u32]) -> Result<Vec<f32>, Error> {
        let mut all = vec![];
        self.engine.logits(ids, |_, row| all.extend_from_slice(row))?;
        Ok(all)
    }

    fn probe(&mut self, ids: &[u32], taps: &[String], patches: &Patches) -> Result<Fetch, Error> {
        let taps = taps.iter().map(String::as_str).collect::<Vec<_>>();
        let patches =
            patches.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect::<Vec<_>>();
        Ok(self.engine.probe(ids, &Probe { taps: &taps, patches: &patches })?.clone())
    }
}
