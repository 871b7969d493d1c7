//! What a worker can do.

use graph::{Act, Op};

use super::Slot;
use super::experts::Experts;
use crate::attention;
use crate::product::Rounding;
use crate::rows::Heads;

/// A kernel and whether the workers meet before it.
pub struct Node {
    /// What is done.
    pub kernel: Kernel,
    /// Whether it reads or overwrites what another worker has been busy with.
    pub meets: bool,
    /// The plan's node that it does, or does a part of.
    pub planned: usize,
}

/// A kernel with the places of its values. Bytes `at` are of the work space.
pub enum Kernel {
    /// Rounds rows for products.
    Prepare { x: Slot, rounding: Rounding, at: usize },
    /// `x w^T`, plus a bias, plus a residual.
    Product { x: Operand, w: usize, bias: Option<Slot>, add: Option<Slot>, out: Slot },
    /// `act(x gate^T, x up^T)`, a stretch of columns at a time.
    Gated { x: [Operand; 2], gate: usize, up: usize, biases: Option<[Slot; 2]>, act: Act, out: Slot },
    /// Rows of a packed table.
    Embed { ids: Slot, table: usize, out: Slot },
    /// A norm of rows as wide as `w`.
    RmsNorm { x: Slot, w: Slot, eps: f32, out: Slot },
    /// The table of turns of this step's positions.
    Turns { positions: Slot, frequencies: Slot, scale: f32, at: usize },
    /// Heads turned, normed before where there is a norm.
    Rope { x: Slot, at: usize, norm: Option<(Slot, f32)>, heads: Heads, out: Slot },
    /// A gated activation.
    GatedAct { act: Act, gate: Slot, up: Slot, out: Slot },
    /// A sum of two values of one shape.
    Add { a: Slot, b: Slot, out: Slot },
    /// Rows into slots of a state.
    Write { state: usize, slots: Slot, values: Slot },
    /// Pages of a state, decoded.
    Read { state: usize, table: Slot, out: Slot },
    /// Attention over pages.
    Attention(Box<Attention>),
    /// The chosen experts of each row of scores.
    Route { k: usize, scores: Slot, weights: Slot, experts: Slot },
    /// The experts themselves.
    Experts(Box<Experts>),
    /// What no kernel takes: plain loops by one worker.
    Core { op: Op, args: Vec<Slot>, results: Vec<Slot> },
    /// Puts a value of the feed in place of the program's.
    Patch { place: usize, out: Slot },
    /// The peak of each piece of each row of logits.
    Peaks { logits: Slot, at: usize },
}

/// The rows of a product.
#[derive(Clone, Copy)]
pub enum Operand {
    /// As they are.
    Plain(Slot),
    /// As a `Prepare` node left them at this byte of the work space.
    Prepared { rounding: Rounding, at: usize, rows: usize, width: usize },
}

/// Attention with the places of its values.
pub struct Attention {
    /// Heads, scale, window and rounding.
    pub shape: attention::Shape,
    /// Which of the program's divisions of a step it works by.
    pub step: usize,
    pub q: Slot,
    pub keys: usize,
    pub values: usize,
    /// Tokens' positions and sequences, sequences' pages and the first of them.
    pub positions: Slot,
    pub sequences: Slot,
    pub table: Slot,
    pub base: Slot,
    pub sinks: Option<Slot>,
    pub out: Slot,
}
