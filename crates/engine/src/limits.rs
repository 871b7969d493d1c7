//! Every bound in one place, each with its reason. What a request may ask for is checked by
//! [`crate::Request::check`]; that the bounds fit each other is checked when this file is compiled.

use crate::RefuseError;

/// Steps in flight: one runs while the next waits behind it. More would only delay cancellation.
pub const STEPS_IN_FLIGHT: usize = 2;

/// Tokens of a prompt that one step takes, unless the facts say otherwise. Enough to keep matrix products busy, few
/// enough that others need not wait long.
pub const CHUNK: u32 = 512;

/// The most log-probabilities a request may ask for per token, as in the OpenAI interface.
pub const TOP_LOGPROBS: u32 = 20;

/// The most entries of a logit bias, as in the OpenAI interface.
pub const BIAS_ENTRIES: usize = 1024;

/// The most token ids that may end a request. Models declare a handful, some of them hundreds.
pub const STOP_IDS: usize = 1024;

/// The most values of a step that a probe may bring out, and as many that it may replace.
pub const PROBED_VALUES: usize = 4096;

/// Floats of logits that one step may give back: 128 MiB. Bounds the rows of [`crate::Engine::logits`] where the
/// vocabulary is large.
pub const LOGITS_PER_STEP: u32 = 1 << 25;

/// Sequences that may be alive, waiting ones included: what they were asked is kept until they end.
pub const SEQUENCES: u32 = 1 << 14;

/// Answers to one prompt.
pub const ANSWERS: u32 = 128;

/// Beams of a search: each tells twice as many of its likeliest tokens.
pub const BEAMS: u32 = 64;

/// Programs that are kept. A device that wants one for each shape met would otherwise gather them without end.
pub const PROGRAMS: usize = 64;

/// Slots of a group: devices address them with signed 32-bit integers.
pub const SLOTS: u32 = i32::MAX as u32;

/// Refuses a number of answers that nobody may ask for.
pub fn check_answers(answers: u32) -> Result<(), RefuseError> {
    let range = "from 1 to 128";
    let holds = (1..=ANSWERS).contains(&answers);
    if holds {
        Ok(())
    } else {
        Err(RefuseError::OutOfRange { name: "the number of answers", value: answers as f32, range })
    }
}

const _: () = assert!(STEPS_IN_FLIGHT == 2, "a token can refer to the step before, and to none earlier");
const _: () = assert!(PROGRAMS > STEPS_IN_FLIGHT, "a program in flight is never dropped");
const _: () = assert!(BEAMS < SEQUENCES, "the beams of a search are alive together");
const _: () = assert!(ANSWERS < SEQUENCES, "the answers to one prompt are alive together");
const _: () = assert!(CHUNK >= 1 && CHUNK <= SLOTS, "a chunk is one token at least and fits the slots");
