//! "Don't repeat yourself": what a token loses for going on with what was said before.

use super::Dry;

/// Finds repetitions, keeping its work space.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// For each token, counted from the newest: how many tokens before it and from it on backwards are those at the end.
    lengths: Vec<u32>,
    /// Tokens that would go on with a repetition, and its length.
    found: Vec<(u32, u32)>,
}

impl Repeats {
    /// Takes from logits what their tokens lose. A repetition does not reach across a breaker, and no breaker loses.
    pub(super) fn penalise(&mut self, logits: &mut [f32], dry: &Dry, recent: &[u32], breakers: &[u32]) {
        let window = if dry.window == 0 { recent.len() } else { recent.len().min(dry.window as usize) };
        let recent = &recent[recent.len() - window..];
        self.measure(recent);
        let longest = self.lengths.iter().skip(1).copied().max().unwrap_or(0);
        let breaks =
            |id: &u32| breakers.get(*id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1);
        let reach = recent.iter().rev().take(longest as usize).take_while(|id| !breaks(id)).count() as u32;
        self.find(recent, dry.allowed_length, reach);
        for (i, &(id, length)) in self.found.iter().enumerate() {
            let is_longest = self.found.get(i + 1).is_none_or(|next| next.0 != id);
            if let Some(logit) = logits.get_mut(id as usize).filter(|_| is_longest && !breaks(&id)) {
                *logit -= loss(dry, length);
            }
        }
    }

    /// Fills `lengths`, each token looked at twice at most (the Z function of the tokens read backwards).
    fn measure(&mut self, recent: &[u32]) {
        let count = recent.len();
        let back = |i: usize| recent[count - 1 - i];
        self.lengths.clear();
        self.lengths.push(count as u32);
        // The stretch that reaches furthest back of those that agree with the end.
        let (mut from, mut to) = (0, 0);
        for i in 1..count {
            let mut length = if i < to { (self.lengths[i - from] as usize).min(to - i) } else { 0 };
            while i + length < count && back(length) == back(i + length) {
                length += 1;
            }
            if i + length > to {
                (from, to) = (i, i + length);
            }
            self.lengths.push(length as u32);
        }
    }

    /// Fills `found`, in order of ids and lengths.
    fn find(&mut self, recent: &[u32], allowed: u32, reach: u32) {
        self.found.clear();
        for (&next, &length) in recent.iter().rev().zip(self.lengths.iter().skip(1)) {
            let length = length.min(reach);
            if length < allowed {
                continue;
            }
            match self.found.last_mut() {
                // Saves memory where one token is repeated for long.
                Some((id, longest)) if *id == next => *longest = length.max(*longest),
                _ => self.found.push((next, length)),
            }
        }
        self.found.sort_unstable();
    }
}

/// What a token loses that would go on with so many tokens; always finite.
fn loss(dry: &Dry, length: u32) -> f32 {
    let mut loss = dry.multiplier;
    for _ in dry.allowed_length..length {
        // In single steps, which round alike on every machine.
        loss *= dry.base;
        if loss.is_infinite() {
            return f32::MAX.copysign(loss);
        }
    }
    loss
}
