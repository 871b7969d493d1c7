//! Progress bars: on a terminal only, and only for what lasts.

use std::sync::Once;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is over sooner needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar on standard error, gone when dropped.
pub struct Bar {
    bar: ProgressBar,
    start: Instant,
    appears: Once,
}

impl Bar {
    /// A bar of bytes that says what is going on.
    pub fn new(what: String) -> Bar {
        Bar::with_template(what, "{msg} [{bar:30}] {bytes} of {total_bytes}, {eta} left")
    }

    /// A bar of other things than bytes.
    pub fn counting(what: String, things: &str) -> Bar {
        Bar::with_template(what, &format!("{{msg}} [{{bar:30}}] {{pos}} of {{len}} {things}, {{eta}} left"))
    }

    fn with_template(what: String, template: &str) -> Bar {
        let style = ProgressStyle::with_template(template)
            .expect("templates are constants that name known fields")
            .progress_chars("=> ");
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style);
        bar.set_message(what);
        Bar { bar, start: Instant::now(), appears: Once::new() }
    }

    /// Moves to `done` of `total`.
    pub fn show(&self, done: u64, total: u64) {
        if self.start.elapsed() > PATIENCE {
            // indicatif draws nothing where standard error is no terminal.
            self.appears.call_once(|| self.bar.set_draw_target(ProgressDrawTarget::stderr()));
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        // Another bar may follow before this one is dropped.
        if done == total {
            self.bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
