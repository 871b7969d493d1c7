//! Every bound on what a file may claim, in one place. Each is several times what any published model needs.

/// Tensors in one model.
pub const TENSORS: u64 = 1 << 20;

/// Bytes of a tensor's name.
pub const NAME_BYTES: u64 = 1024;

/// Bytes of a safetensors header: the bound that the format itself sets. The index of a sharded model has the same.
pub const HEADER_BYTES: u64 = 100_000_000;

/// Entries of a safetensors file's `__metadata__`.
pub const HEADER_NOTES: usize = 1 << 16;

/// Files that one model may be split into.
pub const SHARDS: usize = 4096;

/// Key-value pairs in a GGUF file.
pub const GGUF_PAIRS: u64 = 1 << 16;

/// Bytes of a GGUF key: the bound that the format itself sets.
pub const GGUF_KEY_BYTES: u64 = (1 << 16) - 1;

/// Bytes of a GGUF file's key-value pairs together; the largest vocabularies take a sixth of it.
pub const GGUF_METADATA_BYTES: u64 = 128 << 20;

/// Axes of a GGUF tensor: the bound that the format itself sets.
pub const GGUF_AXES: u32 = 4;

/// The widest alignment a GGUF file may ask for, in bytes.
pub const GGUF_ALIGNMENT: u32 = 1 << 20;
