//! The CPU backend as a whole, on the embedded model: the same bits in every way to run it, how much its roundings add,
//! what it does within a budget, and what it says that it does.

mod accuracy;
mod bits;
mod budget;
mod plan;
