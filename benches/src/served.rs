//! Decoding through the whole library, to hold beside the device alone: what is between the two is the engine.

use std::time::{Duration, Instant};

use polysilicon::{Error, Model, Sampling, Speculation};

/// What a round of decoding took.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Tokens made while all decoded together.
    pub tokens: u32,
    /// How long that took.
    pub wall: Duration,
    /// What the device worked meanwhile.
    pub device: Duration,
}

/// The fewest tokens of a prompt.
const PROMPT: u32 = 8;

/// Decodes so many sequences together, each behind a prompt of its own of so many tokens, which were computed before: so
/// all begin at once. What is measured begins when all have their first token.
/// `acceptance` is the share of guesses that count as right where the sequences guess ahead.
pub fn served(
    model: &Model,
    sequences: u32,
    [depth, output]: [u32; 2],
    acceptance: Option<f32>,
    round: u64,
) -> Result<Served, Error> {
    let length = depth.max(PROMPT);
    let vocab = model.graph().vocab;
    let sampling = Sampling::default().ignore_end(true).tenant(round);
    let sampling = match acceptance {
        Some(share) => sampling.speculate(Speculation::Ngram).synthetic_acceptance(share),
        None => sampling,
    };
    let start = |sequence: u32, tokens: u32| {
        let token = |i: u32| (u64::from(sequence * length + i) * 7919 + 13) as u32 % vocab;
        model.generate((0..length).map(token).collect::<Vec<_>>(), &sampling.clone().max_tokens(tokens))
    };
    for sequence in 0..sequences {
        start(sequence, 1)?.finish()?;
    }
    let begin_all = (0..sequences).map(|sequence| start(sequence, output + 1));
    let mut streams = begin_all.collect::<Result<Vec<_>, _>>()?;
    for stream in &mut streams {
        stream.next().transpose()?;
    }
    // Told between two steps: what streams hold already was made before.
    let before = model.totals()?;
    let begin = Instant::now();
    for stream in &mut streams {
        for piece in &mut *stream {
            piece?;
        }
    }
    let wall = begin.elapsed();
    let after = model.totals()?;
    let device = Duration::from_secs_f64(after.device_s - before.device_s);
    Ok(Served { tokens: (after.rows - before.rows) as u32, wall, device })
}
