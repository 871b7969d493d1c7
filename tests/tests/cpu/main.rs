//! The CPU backend as a whole, on the embedded model: the same bits in every way to run it, how much its roundings add,
//! and what it does within a budget.

mod accuracy;
mod bits;
mod budget;
