//! Events that the runtime signals when a run has ended.

use std::os::fd::RawFd;
use std::time::Duration;

use crate::error::Error;

#[cfg(target_os = "linux")]
pub use linux::Event;

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::time::Instant;

    use super::*;

    /// An `eventfd`, closed with its last use.
    pub struct Event(OwnedFd);

    impl Event {
        pub fn new() -> Result<Event, Error> {
            // SAFETY: no memory is involved.
            let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
            if fd < 0 {
                return Err(Error::System { what: "event", error: std::io::Error::last_os_error() });
            }
            // SAFETY: the descriptor is new and nobody else's.
            Ok(Event(unsafe { OwnedFd::from_raw_fd(fd) }))
        }

        pub fn fd(&self) -> RawFd {
            self.0.as_raw_fd()
        }

        /// Waits for the signal; whether it came within the limit.
        pub fn wait(&self, limit: Duration) -> bool {
            let end = Instant::now() + limit;
            loop {
                // Rounded up, so that the last wait is not one of zero again and again.
                let left = end.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
                let mut poll = libc::pollfd { fd: self.fd(), events: libc::POLLIN, revents: 0 };
                // SAFETY: one descriptor is given, as the count says.
                let ready = unsafe { libc::poll(&mut poll, 1, left.min(i32::MAX as u128) as i32) };
                if ready > 0 || left == 0 {
                    return ready > 0;
                }
            }
        }
    }
}

/// Elsewhere there is no libnrt, so no run either.
#[cfg(not(target_os = "linux"))]
pub struct Event(std::convert::Infallible);

#[cfg(not(target_os = "linux"))]
impl Event {
    pub fn new() -> Result<Event, Error> {
        Err(Error::System { what: "event", error: std::io::ErrorKind::Unsupported.into() })
    }

    pub fn fd(&self) -> RawFd {
        match self.0 {}
    }

    pub fn wait(&self, _: Duration) -> bool {
        match self.0 {}
    }
}
