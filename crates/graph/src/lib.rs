//! One step of a model as a small graph of large operations: how it is written, checked, bound to concrete shapes,
//! expanded into simpler operations, printed and counted; and the two traits through which devices run it.
//!
//! The passes are pure functions: build, [`verify`], [`bind`], [`expand`]. This crate does no I/O, spawns no threads
//! and knows no device.

#![forbid(unsafe_code)]

mod backend;
mod bind;
mod builder;
mod dims;
mod expand;
mod func;
mod infer;
mod layers;
mod op;
mod sampling;
mod step;
mod sugar;
mod text;
mod verify;
mod work;

pub use backend::{
    Backend, BackendError, BucketPolicy, Budget, Caps, Executor, PlanLine, PlanReport, ProgramId,
    ProgramSpec, Weights,
};
pub use bind::bind;
pub use builder::{BuildError, Catalogue, FuncBuilder, State};
pub use dims::{Bucket, Dim, Dims, Ty, Var};
pub use expand::{expand, expand_op};
pub use func::{
    Func, FuncId, Graph, Group, GroupId, Input, Node, Param, StateSpec, ValueId, Visit, WeightSpec,
};
pub use infer::TypeError;
pub use layers::GraphBuilder;
pub use op::{Act, BinaryOp, CompareOp, Literal, Op, ReduceOp, UnaryOp};
pub use sampling::{Penalties, Sampler, Sampling};
pub use step::{
    Copy, Feed, Fetch, GroupCounts, GroupFeed, PageId, Row, Sampled, Seen, StepCounts, StepId, Token,
};
pub use verify::{VerifyError, verify};
pub use work::Work;
