//! The one place where the engine asks what time it is, so that a virtual clock has one place to go.

use std::time::{Duration, Instant};

/// Time since the engine was made.
#[derive(Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Time since it was started.
    pub(crate) fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
