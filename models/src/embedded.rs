//! The tiny model inside the binary. `embedded/README.md` says what it is and how it was made.

/// A whole GGUF file: weights, tokenizer and chat template.
pub const EMBEDDED: &[u8] = include_bytes!("../embedded/model.gguf");
