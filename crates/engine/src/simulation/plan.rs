//! What a seed makes of the world: the model, the device, the requests and what befalls them.

use std::time::Duration;

use graph::{BucketPolicy, Dry, Group, Penalties, Sampling};

use crate::null::{Fault, Null, NullExecutor, continuation};
use crate::random::mix;
use crate::{Ask, BeamSearch, DraftModel, Drafter, Engine, Facts, Grammar, PromptLookup, Request};

/// Token ids are below this.
pub const VOCAB: u32 = 61;

/// Numbers from a seed.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(mix(seed))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = mix(self.0);
        (self.0 % u64::from(end.max(1))) as u32
    }

    /// A number of a range, its end included.
    pub fn within(&mut self, from: u32, to: u32) -> u32 {
        from + self.below(to - from + 1)
    }

    /// Whether one chance in `n` comes true.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }
}

/// A grammar: what may follow depends on what came, and there is an end.
struct Toy {
    last: u32,
    left: u32,
}

impl Grammar for Toy {
    fn mask(&mut self, mask: &mut [u32]) -> Result<(), String> {
        let may = (0..VOCAB).filter(|id| self.left > 0 && !(id + self.last).is_multiple_of(3));
        may.for_each(|id| mask[id as usize / 32] |= 1 << (id % 32));
        Ok(())
    }

    fn accept(&mut self, token: u32) -> Result<(), String> {
        if self.left == 0 || (token + self.last).is_multiple_of(3) {
            return Err(format!("{token} may not follow {}", self.last));
        }
        (self.last, self.left) = (token, self.left - 1);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        // Some ends are seen by the mask alone.
        self.left == 0 && self.last.is_multiple_of(2)
    }

    fn fork(&self) -> Box<dyn Grammar> {
        Box::new(Toy { ..*self })
    }
}

/// A drafter that is right three times in four, where the answer is greedy.
#[derive(Clone)]
struct Seer {
    groups: Vec<Group>,
    luck: u32,
    seen: Vec<u32>,
}

impl Drafter for Seer {
    fn ask(&mut self, ask: &Ask<'_>) {
        let mut all = ask.tokens.to_vec();
        for _ in 0..ask.most {
            self.luck = mix(u64::from(self.luck)) as u32;
            let right = continuation(&self.groups, VOCAB, &all);
            all.push(if self.luck.is_multiple_of(4) { self.luck % (VOCAB + 1) } else { right });
        }
        self.seen = all.split_off(ask.tokens.len());
    }

    fn answer(&mut self, out: &mut Vec<u32>) {
        out.append(&mut self.seen);
    }

    fn fork(&self) -> Box<dyn Drafter> {
        Box::new(self.clone())
    }
}

/// A request to come.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Before which step it comes.
    pub step: u64,
    pub request: Request,
    pub answers: u32,
    /// Comes instead, where it is there.
    pub search: Option<BeamSearch>,
}

/// The facts of a small model on some device.
pub fn facts(dice: &mut Dice) -> Facts {
    let groups = (0..dice.within(1, 3)).map(|_| {
        let window = if dice.one_in(2) { None } else { Some(dice.within(1, 20)) };
        Group::Pages { window }
    });
    let groups = groups.collect();
    let context = dice.within(8, 90);
    Facts {
        groups,
        page_len: dice.within(1, 8),
        context,
        vocab: VOCAB,
        buckets: if dice.one_in(2) { BucketPolicy::Exact } else { BucketPolicy::PowersOfTwo },
        chunk: dice.within(1, 40),
        max_seqs: dice.within(1, 12),
        usual: dice.within(1, context),
        overlap: !dice.one_in(3),
        mixed_steps: !dice.one_in(3),
    }
}

/// Pages of each group: those of one context and some more, often too few for all that come.
pub fn pages(dice: &mut Dice, facts: &Facts) -> Vec<u32> {
    let plenty = dice.one_in(4);
    let more = |dice: &mut Dice| if plenty { 400 } else { dice.below(20) };
    facts.groups.iter().map(|&group| facts.sequence_pages(group) + 1 + more(dice)).collect()
}

/// Failures of the device in the first steps.
pub fn faults(dice: &mut Dice) -> Vec<Fault> {
    if dice.one_in(2) {
        return vec![];
    }
    let fault = |dice: &mut Dice| {
        let step = u64::from(dice.below(300));
        match dice.below(8) {
            0 => Fault::Launch(step),
            1 => Fault::Finish(step),
            2 => Fault::Answer(step),
            _ => Fault::Slow(step, u64::from(dice.below(1 << 20))),
        }
    };
    (0..dice.below(12)).map(|_| fault(dice)).collect()
}

/// Requests in the order in which they come.
pub fn arrivals(dice: &mut Dice, facts: &Facts) -> Vec<Arrival> {
    let long = facts.context;
    let prefixes =
        (0..3).map(|_| (0..long).map(|_| dice.below(VOCAB)).collect::<Vec<_>>()).collect::<Vec<_>>();
    let mut step = 0;
    let pause = dice.within(1, 12);
    let model = draft_model(dice, facts);
    let arrival = |_| {
        step += u64::from(dice.below(pause));
        let request = request(dice, facts, &prefixes, &model);
        let search = dice.one_in(8).then(|| search(dice, &request));
        Arrival { step, request, answers: if dice.one_in(5) { dice.within(2, 4) } else { 1 }, search }
    };
    (0..40).map(arrival).collect()
}

/// A search from the prompt of a request.
fn search(dice: &mut Dice, request: &Request) -> BeamSearch {
    BeamSearch {
        length_penalty: f64::from(dice.below(3)),
        stop: request.stop.clone(),
        priority: request.priority,
        deadline: request.deadline,
        tenant: request.tenant,
        ..BeamSearch::new(request.prompt.clone(), dice.within(1, 5), dice.within(1, 12))
    }
}

fn drafter(dice: &mut Dice, facts: &Facts, model: &DraftModel) -> Option<Box<dyn Drafter>> {
    match dice.below(8) {
        0 => Some(Box::new(PromptLookup::default())),
        1 => Some(Box::new(Seer { groups: facts.groups.clone(), luck: dice.below(1000), seen: vec![] })),
        2 => Some(model.drafter()),
        _ => None,
    }
}

/// The same model, so that it is right, with room for few: some are refused, and some wait for others.
fn draft_model(dice: &mut Dice, facts: &Facts) -> DraftModel {
    let facts = Facts { max_seqs: dice.within(1, 4), context: facts.context.div_ceil(2), ..facts.clone() };
    let pages = facts.budget(None).pages;
    let null = Null::new(facts.groups.clone(), facts.page_len, pages, VOCAB);
    DraftModel::new(Engine::new(Box::new(NullExecutor::new(null)), facts).expect("there are pages"))
}

fn request(dice: &mut Dice, facts: &Facts, prefixes: &[Vec<u32>], model: &DraftModel) -> Request {
    let len = dice.within(1, facts.context - 1);
    let shared = dice.below(len + 1) as usize;
    let mut prompt = prefixes[dice.below(3) as usize][..shared].to_vec();
    prompt.extend((shared as u32..len).map(|_| dice.below(VOCAB)));
    let grammar = dice.one_in(5).then(|| Box::new(Toy { last: 0, left: dice.below(30) }) as Box<dyn Grammar>);
    let dry = Dry { multiplier: if dice.one_in(2) { 0.8 } else { 0.0 }, allowed_length: 1, ..Dry::NONE };
    let drafter = drafter(dice, facts, model);
    let sampling = match dice.below(4) {
        0 => Sampling { temperature: 3.0, ..Sampling::default() },
        1 => Sampling {
            temperature: 2.0,
            penalties: Penalties { repetition: 1.2, presence: 0.5, frequency: 0.5, dry },
            ..Sampling::default()
        },
        _ => Sampling::default(),
    };
    Request {
        sampling,
        max_tokens: dice.below(60),
        stop: (0..dice.below(3)).map(|_| dice.below(VOCAB)).collect(),
        seed: u64::from(dice.below(100)),
        answer: u64::from(dice.below(3)),
        top_logprobs: dice.below(3),
        prompt_logprobs: dice.one_in(6),
        logits: dice.one_in(10),
        priority: if dice.one_in(4) { dice.within(0, 3) as i8 - 1 } else { 0 },
        deadline: dice.one_in(6).then(|| Duration::from_micros(u64::from(dice.below(9000)))),
        tenant: u64::from(dice.below(2)),
        drafter,
        grammar,
        ..Request::new(prompt)
    }
}
