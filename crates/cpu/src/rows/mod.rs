//! Kernels over rows of f32, with the same bits at every level and for any split among workers.
//!
//! Each takes the slices that one worker works on: whole rows, or any stretch where elements do not see each other.
//! Entries that end in `in_place` write over their first argument.

mod act;
mod embed;
mod lanes;
mod norm;
mod peak;
mod rope;
mod softmax;
mod sum;
#[cfg(test)]
mod tests;
mod top_k;

pub use act::{gated_act, gated_act_in_place};
pub use embed::{Table, embed};
pub use norm::rms_norm;
pub use peak::{CHUNK, Peak};
pub use rope::{Heads, norm_rope, rope, turns};
pub use softmax::softmax_in_place;
pub use sum::{add, add_in_place};
pub use top_k::{route, top_k};
#[cfg(test)]
pub use {
    norm::rms_norm_in_place,
    rope::{norm_rope_in_place, rope_in_place},
    softmax::softmax,
    sum::add_bias_in_place,
};
