//! The command as users meet it: the real program, its output, its exit status.

mod bench;
mod built;
mod chat;
mod chips;
mod compile;
mod cost;
mod failures;
mod forms;
mod goldens;
mod help;
mod inspect;
mod neuron;
mod perplexity;
mod program;
mod quantize;
mod run;
mod show;
