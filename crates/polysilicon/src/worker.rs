//! The thread that owns a model's engine. Jobs come to it through a channel, between two steps; what generations make
//! leaves it through a pipe each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use cost::{Charge, Totals};
use engine::limits::SEQUENCES;
use engine::{BeamSearch, Ending, Engine, Event, Finish, Probe, RefuseError, Request, SequenceId, Usage};
use graph::Fetch;

use crate::books::Books;
use crate::pipe::{Reader, Writer, pipe};
use crate::{Error, Told};

/// The engine's thread.
pub(crate) struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    pub context: u32,
    /// Generations that have been asked for.
    asked: AtomicU64,
    /// Listeners there are.
    listening: AtomicU32,
}

/// What a generation tells.
pub(crate) enum Message {
    Token { token: Token, at: Instant, usage: Usage, charge: Charge },
    Prompt(Told),
    Answer { ids: Vec<u32>, logprob: f64, score: f64, finish: Finish },
    Ended(Ending, Charge),
    Failed(Error),
}

/// A token as the engine made it.
pub(crate) struct Token {
    pub id: u32,
    pub logprob: f32,
    pub top: Vec<(u32, f32)>,
}

/// Values by name that replace the model's own.
pub(crate) type Patches = Vec<(String, Vec<f32>)>;

/// The number of a generation, for its lifetime.
type Number = u64;

/// Where a generation's messages go.
type Reply = (Number, Writer<Message>);

enum Job {
    Generate {
        request: Box<Request>,
        to: Vec<Reply>,
    },
    Search {
        search: Box<BeamSearch>,
        to: Reply,
    },
    Resume(Number),
    /// Nobody listens any more; what it was charged, where its listener has taken that for its receipt.
    Cancel(Number, Option<Charge>),
    /// The sums so far.
    Totals(SyncSender<Totals>),
    /// Something done with the engine while no step is in flight.
    Call(Box<dyn FnOnce(&mut Engine) + Send>),
}

impl Worker {
    /// Moves the engine to a thread of its own, which works with the pool's threads.
    pub fn start(engine: Engine, pool: Arc<rayon::ThreadPool>, books: Books) -> Worker {
        let context = engine.context();
        let (jobs, inbox) = channel();
        let work = Work { engine, books, listeners: HashMap::new(), numbers: HashMap::new() };
        let work = move || pool.install(|| work.run(inbox));
        let thread = std::thread::Builder::new().name("polysilicon-engine".to_owned()).spawn(work);
        Worker {
            jobs: Some(jobs),
            thread: thread.ok(),
            context,
            asked: AtomicU64::new(0),
            listening: AtomicU32::new(0),
        }
    }

    /// Starts a generation of so many answers; the messages of each end with `Ended` or `Failed`.
    pub fn generate(self: &Arc<Self>, request: Request, answers: u32) -> Result<Vec<Listener>, Error> {
        let (listeners, to) = self.listen(answers)?;
        self.send(Job::Generate { request: Box::new(request), to })?;
        Ok(listeners)
    }

    /// Starts a search, whose answers come at its end.
    pub fn search(self: &Arc<Self>, search: BeamSearch) -> Result<Listener, Error> {
        let (listener, to) = self.listen(1)?;
        let (listener, to) = listener.into_iter().zip(to).next().ok_or(Error::Stopped)?;
        self.send(Job::Search { search: Box::new(search), to })?;
        Ok(listener)
    }

    /// So many pipes, and the numbers of what will be told through them.
    fn listen(self: &Arc<Self>, count: u32) -> Result<(Vec<Listener>, Vec<Reply>), Error> {
        // What the engine would refuse anyway is not queued before it.
        let alive = self.listening.fetch_add(count, Ordering::Relaxed);
        let pairs = (0..count).map(|_| {
            let (writer, messages) = pipe();
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            (Listener { messages, number, worker: self.clone(), receipted: None }, (number, writer))
        });
        let (listeners, to) = pairs.unzip();
        if alive.saturating_add(count) > SEQUENCES {
            return Err(RefuseError::Full { alive, limit: SEQUENCES }.into());
        }
        Ok((listeners, to))
    }

    /// Does something with the engine between two steps, and waits for what it gives.
    pub fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (to, from) = sync_channel(1);
        // A receiver that is gone wants no answer.
        self.send(Job::Call(Box::new(move |engine| drop(to.send(work(engine))))))?;
        from.recv().map_err(|_| Error::Stopped)
    }

    /// The sums of all time since the model was loaded.
    pub fn totals(&self) -> Result<Totals, Error> {
        let (to, from) = sync_channel(1);
        self.send(Job::Totals(to))?;
        from.recv().map_err(|_| Error::Stopped)
    }

    /// The logits of every position.
    pub fn logits(&self, ids: &[u32]) -> Result<Vec<f32>, Error> {
        let ids = ids.to_vec();
        let logits = self.call(move |engine| {
            let mut all = vec![];
            engine.logits(&ids, |_, row| all.extend_from_slice(row)).map(|()| all)
        })?;
        Ok(logits?)
    }

    /// Named values of a prompt, some replaced.
    pub fn probe(&self, ids: &[u32], taps: Vec<String>, patches: Patches) -> Result<Fetch, Error> {
        let ids = ids.to_vec();
        let fetch = self.call(move |engine| {
            let taps = taps.iter().map(String::as_str).collect::<Vec<_>>();
            let patches =
                patches.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect::<Vec<_>>();
            engine.probe(&ids, &Probe { taps: &taps, patches: &patches }).cloned()
        })?;
        Ok(fetch?)
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

/// What a reader holds while it listens. Dropping it cancels.
pub(crate) struct Listener {
    messages: Reader<Message>,
    number: Number,
    /// The model's thread lives as long as anyone listens to it.
    worker: Arc<Worker>,
    /// What was taken for the receipt before the end.
    receipted: Option<Charge>,
}

impl Listener {
    /// Ends here, with a receipt for so much.
    pub fn settle(mut self, charge: Charge) {
        self.receipted = Some(charge);
    }

    /// Waits for what comes next; `None` where the model's thread is gone.
    pub fn read(&self) -> Option<Message> {
        self.read_with(self.messages.read())
    }

    /// As [`Listener::read`], without waiting.
    pub fn poll_read(&self, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<Message>> {
        self.messages.poll_read(context).map(|read| self.read_with(read))
    }

    fn read_with(&self, (message, makes_room): (Option<Message>, bool)) -> Option<Message> {
        if makes_room {
            // A thread that is gone shows when nothing more comes.
            let _ = self.worker.send(Job::Resume(self.number));
        }
        message
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.worker.listening.fetch_sub(1, Ordering::Relaxed);
        let _ = self.worker.send(Job::Cancel(self.number, self.receipted));
    }
}

struct Work {
    engine: Engine,
    books: Books,
    /// Who listens to which sequence.
    listeners: HashMap<SequenceId, Reply>,
    numbers: HashMap<Number, SequenceId>,
}

impl Work {
    /// Steps and takes jobs until nobody can send any: whoever listens could.
    fn run(mut self, inbox: Receiver<Job>) {
        while self.take_jobs(&inbox) {
            let Work { engine, books, listeners, numbers } = &mut self;
            let events = engine.step();
            books.enter(&events.account());
            let full = deliver(events, books, listeners, numbers);
            full.into_iter().for_each(|id| self.engine.pause(id));
        }
    }

    /// Takes the jobs that are there, and waits for one where there is nothing else to do; whether more may come.
    fn take_jobs(&mut self, inbox: &Receiver<Job>) -> bool {
        if self.engine.is_resting() {
            let job = match self.engine.until_deadline() {
                Some(patience) => inbox.recv_timeout(patience),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match job {
                Ok(job) => self.work(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        loop {
            match inbox.try_recv() {
                Ok(job) => self.work(job),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Generate { request, to } => self.generate(*request, to),
            Job::Search { search, to } => self.search(*search, to),
            Job::Resume(number) => {
                self.numbers.get(&number).into_iter().for_each(|&id| self.engine.resume(id))
            }
            Job::Cancel(number, receipted) => {
                if let Some(id) = self.numbers.remove(&number) {
                    self.listeners.remove(&id);
                    self.engine.cancel(id);
                    self.books.ledger.settle(id, receipted.as_ref());
                }
            }
            Job::Totals(to) => {
                self.books.enter(&self.engine.read_meter());
                // A receiver that is gone wants no answer.
                drop(to.send(self.books.ledger.totals()));
            }
            Job::Call(work) => {
                self.drain();
                self.engine.aside(work);
            }
        }
    }

    fn generate(&mut self, request: Request, to: Vec<Reply>) {
        match self.engine.start_answers(request, to.len() as u32) {
            Ok(ids) => {
                for (id, (number, writer)) in ids.into_iter().zip(to) {
                    self.books.ledger.open(id);
                    self.numbers.insert(number, id);
                    self.listeners.insert(id, (number, writer));
                }
            }
            Err(error) => {
                for (_, writer) in to {
                    writer.write(Message::Failed(error.clone().into()));
                }
            }
        }
    }

    fn search(&mut self, search: BeamSearch, (number, writer): Reply) {
        match self.engine.start_beams(search) {
            Ok(id) => {
                self.books.ledger.open(id);
                self.numbers.insert(number, id);
                self.listeners.insert(id, (number, writer));
            }
            Err(error) => drop(writer.write(Message::Failed(error.into()))),
        }
    }

    /// Lands all steps in flight, and launches none.
    fn drain(&mut self) {
        let Work { engine, books, listeners, numbers } = self;
        let mut full = vec![];
        while let Some(events) = engine.drain() {
            books.enter(&events.account());
            full.extend(deliver(events, books, listeners, numbers));
        }
        full.into_iter().for_each(|id| self.engine.pause(id));
    }
}

/// Hands the events of a step to those who listen; the sequences whose readers should be waited for.
fn deliver(
    events: engine::Events<'_>,
    books: &mut Books,
    listeners: &mut HashMap<SequenceId, Reply>,
    numbers: &mut HashMap<Number, SequenceId>,
) -> Vec<SequenceId> {
    let at = Instant::now();
    let mut full = vec![];
    for event in events {
        let (id, message) = match event {
            Event::Token { sequence, id, logprob, top, usage, .. } => {
                let token = Token { id, logprob, top: top.to_vec() };
                let charge = books.ledger.read(sequence).copied().unwrap_or_default();
                (sequence, Message::Token { token, at, usage, charge })
            }
            Event::Prompt { sequence, id, logprob, top, .. } => {
                (sequence, Message::Prompt(Told { id, logprob, top: top.to_vec() }))
            }
            Event::Answer { sequence, tokens, logprob, score, finish } => {
                (sequence, Message::Answer { ids: tokens.to_vec(), logprob, score, finish })
            }
            Event::Finished { sequence, ending } => (sequence, Message::Ended(ending, books.close(sequence))),
            Event::Failed { sequence, error } => {
                books.ledger.settle(sequence, None);
                (sequence, Message::Failed(Error::Step(error)))
            }
        };
        let is_last = matches!(message, Message::Ended(..) | Message::Failed(_));
        if let Some((number, writer)) = listeners.get(&id) {
            if is_last {
                numbers.remove(number);
            }
            if writer.write(message) && !is_last {
                full.push(id);
            }
        }
        if is_last {
            listeners.remove(&id);
        }
    }
    full
}
