//! One step of a model as a small graph of large operations: how it is written, checked, bound to concrete shapes,
//! divided among ranks, fused, expanded into simpler operations, planned, printed and counted; and the two traits through which devices run
//! it.
//!
//! The passes are pure functions: build, [`verify`], [`shard()`], [`bind`], [`fuse`], [`expand`], [`Plan::of`]. This crate does no
//! I/O, spawns no threads and knows no device.

#![forbid(unsafe_code)]

mod backend;
mod bind;
mod builder;
mod dims;
mod expand;
mod func;
mod fuse;
mod infer;
mod inputs;
mod kept;
mod layers;
mod op;
pub mod parts;
mod plan;
mod program;
mod sampling;
mod shard;
mod step;
mod sugar;
mod text;
mod verify;
mod work;

pub use backend::{Backend, BackendError, BucketPolicy, Budget, Caps, Executor, Needs, Tell, Weights};
pub use bind::bind;
pub use builder::{BuildError, Catalogue, FuncBuilder, State};
pub use dims::{Bucket, Dim, Dims, Ty, Var};
pub use expand::{expand, expand_op};
pub use func::{
    Func, FuncId, Graph, Group, GroupId, Input, Node, Param, StateSpec, ValueId, Visit, WeightSpec,
};
pub use fuse::{fuse, fuse_counted};
pub use infer::TypeError;
pub use inputs::Inputs;
pub use kept::KeptRow;
pub use layers::GraphBuilder;
pub use op::{Act, BinaryOp, CompareOp, Literal, Op, ReduceOp, UnaryOp};
pub use plan::{ARENA_ALIGN, Place, Placed, Plan, Planned};
pub use program::{PlanLine, PlanReport, ProgramId, ProgramSpec};
pub use sampling::{Choice, Dry, Largest, Penalties, RowStats, Sampler, Sampling, normaliser};
pub use shard::{Part, RANKS_MAX, Shard, ShardError, shard};
pub use step::{
    Copy, Feed, Fetch, GroupCounts, GroupFeed, PageId, Row, Sampled, Seen, StepCounts, StepId, Token,
};
pub use verify::{VerifyError, verify};
pub use work::Work;
