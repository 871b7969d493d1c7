//! Threads that call libnrt, one call after another.

use std::cell::Cell;
use std::sync::mpsc::{Sender, channel};

use crate::error::Error;

/// Bytes of stack of the threads that call libnrt. Executing a large program has been seen to need more than the 2 MiB
/// of Rust's threads (aws-neuron-sdk issues 670 and 673): there are buffers of several MiB on its stack.
pub const STACK_BYTES: usize = 16 << 20;

/// A call.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// A thread with a large stack that makes calls in order. It ends when its lane is dropped and its calls are made.
pub(crate) struct Lane {
    jobs: Sender<Job>,
}

thread_local! {
    /// Whether this thread is one of a lane.
    static IN_LANE: Cell<bool> = const { Cell::new(false) };
}

impl Lane {
    pub fn start(name: String) -> Result<Lane, Error> {
        let (jobs, todo) = channel::<Job>();
        let serve = move || {
            IN_LANE.set(true);
            todo.into_iter().for_each(|job| job());
        };
        let thread = std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(serve);
        thread.map_err(|error| Error::System { what: "thread", error })?;
        Ok(Lane { jobs })
    }

    /// Makes a call and waits for its outcome. On a thread of a lane the call is made at once, so that what is dropped
    /// there can be freed.
    pub fn call<R: Send>(&self, call: impl FnOnce() -> R + Send) -> R {
        if IN_LANE.get() {
            return call();
        }
        let (tell, outcome) = channel();
        let job: Box<dyn FnOnce() + Send + '_> = Box::new(move || drop(tell.send(call())));
        // SAFETY: what the call borrows must live until it is over. It is over when the outcome arrives, since it was
        // consumed by then, or when `tell` is dropped, which a job that panics does last; the wait below ends with
        // either and not before.
        let job = unsafe { std::mem::transmute::<Box<dyn FnOnce() + Send + '_>, Job>(job) };
        self.post(job);
        outcome.recv().expect("a call to libnrt does not panic")
    }

    /// Has a call made and goes on.
    pub fn post(&self, job: Job) {
        self.jobs.send(job).expect("a lane's thread lives as long as its lane");
    }
}
