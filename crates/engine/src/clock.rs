//! The one place where the engine asks what time it is, so that a virtual clock has one place to go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Tells the time since it was made.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Instant),
    Hands(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock, started now.
    pub fn system() -> Clock {
        Clock(Source::System(Instant::now()))
    }

    /// A clock that goes when somebody moves its hands, which are nanoseconds.
    pub fn by_hand(hands: Arc<AtomicU64>) -> Clock {
        Clock(Source::Hands(hands))
    }

    /// Time since it was started.
    pub fn now(&self) -> Duration {
        match &self.0 {
            Source::System(start) => start.elapsed(),
            Source::Hands(hands) => Duration::from_nanos(hands.load(Ordering::Relaxed)),
        }
    }
}
