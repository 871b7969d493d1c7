//! HLO, the language that XLA and AWS's Neuron compiler read: modules as values, typed as they are built, encoded as
//! `HloModuleProto`, decoded with nothing taken on trust, printed as XLA prints them.
//!
//! Only the instructions that our modules use are known ([`Op`]), and only element types that the Neuron compiler is
//! documented to take ([`Element`]). Names under which arguments and results are bound travel in frontend attributes,
//! as that compiler wants them.

#![forbid(unsafe_code)]

mod builder;
mod decode;
mod encode;
mod infer;
mod literal;
mod module;
mod op;
mod proto;
mod shape;
mod text;

pub use builder::Builder;
pub use decode::DecodeError;
pub use literal::Literal;
pub use module::{Alias, Computation, ComputationId, Id, Instruction, Module};
pub use op::{Binary, Compare, Dot, Gather, Op, Scatter, Unary};
pub use shape::{Element, Shape, Type};
