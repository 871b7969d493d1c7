//! The sequences in order of their turns: those that wait, and those that run.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::SequenceId;
use crate::policy::order::Turn;

/// Who waits and who runs. What a step costs depends on those that run alone.
#[derive(Debug, Default)]
pub(crate) struct Line {
    waiting: BTreeSet<(Turn, SequenceId)>,
    /// In order of their turns.
    running: Vec<(Turn, SequenceId)>,
    /// When sequences end at the latest.
    deadlines: BTreeSet<(Duration, SequenceId)>,
}

impl Line {
    /// Adds a sequence to those that wait.
    pub(crate) fn wait(&mut self, turn: Turn, id: SequenceId) {
        self.waiting.insert((turn, id));
    }

    /// Takes a sequence from those that wait.
    pub(crate) fn stop_waiting(&mut self, turn: Turn, id: SequenceId) {
        self.waiting.remove(&(turn, id));
    }

    /// Who waits and goes first.
    pub(crate) fn first(&self) -> Option<(Turn, SequenceId)> {
        self.waiting.first().copied()
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Adds a sequence to those that run.
    pub(crate) fn run(&mut self, turn: Turn, id: SequenceId) {
        let place = self.running.partition_point(|other| *other < (turn, id));
        self.running.insert(place, (turn, id));
    }

    /// Takes a sequence from those that run.
    pub(crate) fn stop_running(&mut self, turn: Turn, id: SequenceId) {
        if let Ok(place) = self.running.binary_search(&(turn, id)) {
            self.running.remove(place);
        }
    }

    /// Those that run, in order of their turns.
    pub(crate) fn running(&self) -> &[(Turn, SequenceId)] {
        &self.running
    }

    /// The running one behind this place in line, whoever may have gone meanwhile.
    pub(crate) fn running_behind(&self, place: (Turn, SequenceId)) -> Option<(Turn, SequenceId)> {
        self.running.get(self.running.partition_point(|other| *other <= place)).copied()
    }

    /// Ends a sequence at a time.
    pub(crate) fn end_at(&mut self, deadline: Duration, id: SequenceId) {
        self.deadlines.insert((deadline, id));
    }

    /// Forgets when a sequence was to end.
    pub(crate) fn forget_deadline(&mut self, deadline: Duration, id: SequenceId) {
        self.deadlines.remove(&(deadline, id));
    }

    /// A sequence that should have ended by now.
    pub(crate) fn overdue(&self, now: Duration) -> Option<SequenceId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|&(_, id)| id)
    }

    /// The next time at which a sequence ends if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }
}
