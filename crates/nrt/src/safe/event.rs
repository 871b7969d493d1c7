//! Events that the runtime signals when a run has ended.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use crate::error::Error;

/// An `eventfd`, closed with its last use.
pub struct Event(File);

impl Event {
    pub fn new() -> Result<Event, Error> {
        eventfd().map(Event).map_err(|error| Error::System { what: "event", error })
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Signals it, as the runtime would.
    pub fn signal(&self) {
        (&self.0).write_all(&1u64.to_ne_bytes()).expect("an eventfd takes one more");
    }

    /// Waits for the signal; whether it came within the limit.
    pub fn wait(&self, limit: Duration) -> bool {
        let start = Instant::now();
        loop {
            // Rounded up, so that the last wait is not one of zero again and again.
            let left = limit.saturating_sub(start.elapsed()).as_micros().div_ceil(1000);
            let mut poll = libc::pollfd { fd: self.fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one descriptor is given, as the count says.
            let ready = unsafe { libc::poll(&mut poll, 1, left.min(i32::MAX as u128) as i32) };
            if ready > 0 || left == 0 {
                return ready > 0;
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn eventfd() -> io::Result<File> {
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) })
}

/// Elsewhere there is no libnrt to run anything.
#[cfg(not(target_os = "linux"))]
fn eventfd() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}
