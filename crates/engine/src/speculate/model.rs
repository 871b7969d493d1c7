//! Guesses of a smaller model with the same vocabulary.
//!
//! The model has an engine of its own, which all sequences ask together, so it makes their guesses in common steps. A guess is
//! a short request whose prompt is all there is so far: what the model has computed of it before it finds by its prefix. It
//! draws with the numbers that the token itself will be drawn with, so where both models think alike they draw alike.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Ask, Drafter};
use crate::{Engine, Event, Request, SequenceId};

/// A model that guesses for others. A clone is the same model.
#[derive(Clone, Debug)]
pub struct DraftModel(Arc<Mutex<Desk>>);

#[derive(Debug)]
struct Desk {
    engine: Engine,
    /// What it has made so far, and what that cost in all once it is done.
    answers: HashMap<SequenceId, (Vec<u32>, Option<Duration>)>,
}

impl DraftModel {
    /// The model that this engine runs.
    pub fn new(engine: Engine) -> DraftModel {
        DraftModel(Arc::new(Mutex::new(Desk { engine, answers: HashMap::new() })))
    }

    /// One that guesses for one answer.
    pub fn drafter(&self) -> Box<dyn Drafter> {
        Box::new(Guest { model: self.clone(), asked: None, cost: Duration::ZERO })
    }

    /// A thread that panicked while it held the desk has poisoned its own engine, and nobody else's answers.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Goes on with all requests until this one is done; its tokens, and what they cost.
    fn finish(&mut self, id: SequenceId) -> Option<(Vec<u32>, Duration)> {
        while self.answers.get(&id)?.1.is_none() {
            for event in self.engine.step() {
                match event {
                    Event::Token { sequence, id, .. } => {
                        self.answers.get_mut(&sequence).into_iter().for_each(|(tokens, _)| tokens.push(id));
                    }
                    Event::Prompt { .. } | Event::Answer { .. } => {}
                    Event::Finished { sequence, ending } => {
                        let answer = self.answers.get_mut(&sequence);
                        answer.into_iter().for_each(|(_, cost)| *cost = Some(ending.usage.device));
                    }
                    // Whoever guesses nothing is none the worse for it.
                    Event::Failed { sequence, .. } => drop(self.answers.remove(&sequence)),
                }
            }
        }
        let (tokens, cost) = self.answers.remove(&id)?;
        Some((tokens, cost?))
    }

    fn forget(&mut self, id: SequenceId) {
        if self.answers.remove(&id).is_some() {
            self.engine.cancel(id);
        }
    }
}

/// Asks the model for one answer.
struct Guest {
    model: DraftModel,
    asked: Option<SequenceId>,
    /// Of a guess, the last ones counting most.
    cost: Duration,
}

impl Drafter for Guest {
    fn ask(&mut self, ask: &Ask<'_>) {
        let Request { sampling, seed, answer, ref bias, priority, tenant, .. } = *ask.request;
        let request = Request {
            sampling,
            max_tokens: ask.most,
            seed,
            answer,
            bias: bias.clone(),
            priority,
            tenant,
            ..Request::new(ask.tokens.to_vec())
        };
        let mut desk = self.model.desk();
        self.asked.take().into_iter().for_each(|asked| desk.forget(asked));
        // What it refuses, such as a text that is too long for it, it cannot guess.
        self.asked = desk.engine.start(request).ok();
        self.asked.into_iter().for_each(|asked| drop(desk.answers.insert(asked, (vec![], None))));
    }

    fn answer(&mut self, out: &mut Vec<u32>) {
        let Some(asked) = self.asked.take() else { return };
        let answer = self.model.desk().finish(asked);
        let Some((tokens, cost)) = answer.filter(|(tokens, _)| !tokens.is_empty()) else { return };
        let each = cost / tokens.len() as u32;
        self.cost = if self.cost.is_zero() { each } else { (self.cost * 7 + each) / 8 };
        out.extend(tokens);
    }

    fn cost(&self) -> Duration {
        self.cost
    }

    fn fork(&self) -> Box<dyn Drafter> {
        Box::new(Guest { model: self.model.clone(), asked: None, cost: self.cost })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.asked.take().into_iter().for_each(|asked| self.model.desk().forget(asked));
    }
}
