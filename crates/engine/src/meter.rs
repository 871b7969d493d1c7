//! Where time goes, by the engine's own clock: into steps, into work that is no request's, and into waiting, each by a
//! stopwatch of its own. What divides a step's time and its price among sequences is not here: the engine knows integers.

use std::time::Duration;

use crate::SequenceId;

/// What a step took and who had which part in it.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// Time that went into this step and into preparing it.
    pub busy: Duration,
    /// Time before it in which there was nothing to do.
    pub idle: Duration,
    /// Time before it that went into what no request asked for: logits, probes.
    pub aside: Duration,
    /// What the device worked on the step.
    pub device: Duration,
    /// Tokens that were added to fill its bucket.
    pub padding: u32,
    /// Experts that it touched, of all layers together, where the device counts them.
    pub experts_touched: Option<u32>,
    /// Who had a part in it; nobody where no step has landed.
    pub parts: &'a [Ran],
}

/// What a step did for one sequence, or for one beam of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Who asked for it; for beams their search.
    pub sequence: SequenceId,
    /// Position of its first token in the step.
    pub from: u32,
    /// Its tokens.
    pub count: u32,
    /// Rows that were sampled for it.
    pub rows: u32,
    /// Whether the tokens were a prompt's, or again those of an answer that had lost its pages.
    pub prefill: bool,
}

/// What is known of a step once it has landed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Landed {
    pub device: Duration,
    pub padding: u32,
    pub experts_touched: Option<u32>,
}

/// Three stopwatches.
#[derive(Clone, Copy, Debug, Default)]
struct Watches {
    busy: Duration,
    idle: Duration,
    aside: Duration,
}

/// The stopwatches, of which one runs at a time, and what they showed when the last step had landed.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Until when all time is accounted for.
    mark: Duration,
    /// Whether nothing was left to do at that time.
    resting: bool,
    running: Watches,
    told: Watches,
    landed: Landed,
    parts: Vec<Ran>,
}

impl Meter {
    /// A meter that begins now, with nothing to do.
    pub(crate) fn new(now: Duration) -> Meter {
        Meter { mark: now, resting: true, ..Meter::default() }
    }

    /// A step is begun. What was before it was waiting, or the end of the step before.
    pub(crate) fn begin(&mut self, now: Duration) {
        self.classify(now);
        self.landed = Landed::default();
        self.parts.clear();
    }

    /// A step has landed.
    pub(crate) fn land(&mut self, landed: Landed, parts: impl Iterator<Item = Ran>) {
        self.landed = landed;
        self.parts.extend(parts);
    }

    /// The account is complete, and the next one begins.
    pub(crate) fn end(&mut self, now: Duration, resting: bool) {
        let since = self.pass(now);
        self.running.busy += since;
        self.resting = resting;
        self.told = std::mem::take(&mut self.running);
    }

    /// Something is begun that no request asked for.
    pub(crate) fn step_aside(&mut self, now: Duration) {
        self.classify(now);
    }

    /// It is done.
    pub(crate) fn step_back(&mut self, now: Duration) {
        let since = self.pass(now);
        self.running.aside += since;
    }

    pub(crate) fn account(&self) -> Account<'_> {
        let Watches { busy, idle, aside } = self.told;
        let Landed { device, padding, experts_touched } = self.landed;
        Account { busy, idle, aside, device, padding, experts_touched, parts: &self.parts }
    }

    fn classify(&mut self, now: Duration) {
        let since = self.pass(now);
        *(if self.resting { &mut self.running.idle } else { &mut self.running.busy }) += since;
    }

    /// Time since the mark, which moves on.
    fn pass(&mut self, now: Duration) -> Duration {
        let since = now.saturating_sub(self.mark);
        self.mark = now;
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moment_is_told_once_and_as_what_it_was() {
        let ms = Duration::from_millis;
        let mut meter = Meter::new(ms(1));
        let told = |meter: &Meter| {
            let Account { busy, idle, aside, .. } = meter.account();
            [idle, busy, aside].map(|time| time.as_millis())
        };
        meter.begin(ms(11));
        meter.end(ms(14), false);
        assert_eq!(told(&meter), [10, 3, 0]);
        meter.begin(ms(15));
        let landed = Landed { device: ms(2), padding: 5, experts_touched: Some(7) };
        meter.land(landed, std::iter::empty());
        meter.end(ms(20), true);
        assert_eq!(told(&meter), [0, 6, 0], "between two steps of what is under way there is no waiting");
        assert_eq!((meter.account().padding, meter.account().experts_touched), (5, Some(7)));
        meter.step_aside(ms(120));
        meter.step_back(ms(150));
        meter.begin(ms(155));
        meter.end(ms(156), true);
        assert_eq!(told(&meter), [105, 1, 30]);
        let Account { padding, device, experts_touched, .. } = meter.account();
        assert_eq!((padding, device, experts_touched), (0, Duration::ZERO, None));
    }
}
