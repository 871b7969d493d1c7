//! The devices of an executor, doing the same at the same time. One is run by whoever asks; several have a thread each, since
//! what they do together may keep each of them waiting for the others.
//!
//! Nobody waits for a rank that failed: it tells the others before anything else, and so does a thread that panics.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use graph::BackendError;

use crate::driver::Fault;
use crate::meeting::Leaving;
use crate::program::Program;
use crate::rank::{Begin, Rank};
use crate::{NAME, fault};

/// What every rank is to do.
#[derive(Clone)]
pub(crate) enum Task {
    /// Enqueue a step.
    Begin(Arc<Program>, Arc<Begin>),
    /// Wait for the step in a slot.
    Wait(usize),
    /// Give up what ranks do together.
    Part,
}

/// All ranks.
pub(crate) struct Ranks {
    all: Vec<Arc<Mutex<Rank>>>,
    /// One for each, where there are several.
    threads: Vec<Thread>,
}

/// A rank's thread.
struct Thread {
    tasks: Option<Sender<Task>>,
    answers: Receiver<Result<u64, Fault>>,
    handle: Option<JoinHandle<()>>,
}

impl Ranks {
    /// Of these devices, in the order of their numbers.
    pub fn new(ranks: Vec<Rank>) -> Result<Ranks, BackendError> {
        let all = ranks.into_iter().map(|rank| Arc::new(Mutex::new(rank))).collect::<Vec<_>>();
        let several = if all.len() > 1 { &all[..] } else { &[] };
        let threads = several.iter().enumerate().map(|(number, rank)| Thread::start(number, rank));
        let threads = threads.collect::<Result<_, _>>()?;
        Ok(Ranks { all, threads })
    }

    /// Each of them, while none of them does anything.
    pub fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Rank>> {
        self.all.iter().map(|rank| lock(rank))
    }

    /// Lets all of them do something, and waits until all have; the most nanoseconds that it took a device.
    pub fn together(&self, task: &Task) -> Result<u64, BackendError> {
        if self.threads.is_empty() {
            return lock(&self.all[0]).act(task).map_err(fault);
        }
        let answers = self.ask(task);
        if answers.iter().all(Result::is_ok) {
            return Ok(answers.into_iter().flatten().max().unwrap_or(0));
        }
        self.ask(&Task::Part);
        // Who failed first tells more than those whom it left.
        let mut failed =
            answers.into_iter().enumerate().filter_map(|(rank, answer)| Some((rank, answer.err()?)));
        let (mut rank, mut first) = failed.next().expect("one of them failed");
        if matches!(first, Fault::Left(_)) {
            (rank, first) =
                failed.find(|(_, fault)| !matches!(fault, Fault::Left(_))).unwrap_or((rank, first));
        }
        let reason = match first {
            Fault::Left(why) => why,
            own => format!("rank {rank}, {}: {own}", lock(&self.all[rank]).driver.about().name),
        };
        Err(BackendError::Device { device: NAME, reason })
    }

    fn ask(&self, task: &Task) -> Vec<Result<u64, Fault>> {
        let sent =
            self.threads.iter().map(|thread| thread.tasks.as_ref().map(|tasks| tasks.send(task.clone())));
        // All of them, before anyone is waited for.
        sent.for_each(drop);
        let gone = || Err(Fault::Failed("its thread panicked".to_owned()));
        self.threads.iter().map(|thread| thread.answers.recv().unwrap_or_else(|_| gone())).collect()
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        self.threads.iter_mut().for_each(|thread| drop(thread.tasks.take()));
        for handle in self.threads.iter_mut().filter_map(|thread| thread.handle.take()) {
            // A panic was told of when it happened.
            let _ = handle.join();
        }
    }
}

impl Thread {
    fn start(number: usize, rank: &Arc<Mutex<Rank>>) -> Result<Thread, BackendError> {
        let (tasks, asked) = channel::<Task>();
        let (told, answers) = channel();
        let rank = Arc::clone(rank);
        let driver = Arc::clone(&lock(&rank).driver);
        let work = move || {
            let leaving = Leaving(&*driver);
            for task in asked {
                let done = lock(&rank).act(&task);
                if let Err(fault) = &done {
                    driver.leave(&fault.to_string());
                }
                // What it holds may be used again once this is told.
                drop(task);
                if told.send(done).is_err() {
                    break;
                }
            }
            drop(leaving);
        };
        let started = thread::Builder::new().name(format!("rank {number}")).spawn(work);
        let handle = started.map_err(|error| {
            let reason = format!("no thread can be started for rank {number} ({error}); ask for fewer ranks");
            BackendError::Device { device: NAME, reason }
        })?;
        Ok(Thread { tasks: Some(tasks), answers, handle: Some(handle) })
    }
}

impl Rank {
    fn act(&mut self, task: &Task) -> Result<u64, Fault> {
        match task {
            Task::Begin(program, step) => self.begin(program, step).map(|()| 0),
            Task::Wait(slot) => self.wait(*slot),
            Task::Part => {
                self.driver.part();
                Ok(0)
            }
        }
    }
}

/// A rank, whatever happened to those who held it before.
fn lock(rank: &Mutex<Rank>) -> MutexGuard<'_, Rank> {
    rank.lock().unwrap_or_else(PoisonError::into_inner)
}
