//! libnrt's C interface, declared from its headers and reference pages: types, and functions as tables of pointers.
//!
//! Only what an engine calls is here. A table is filled when a library is opened; one function missing is an error.
//! Tables are lists that a macro is applied to: to `table` here, and to the one that checks statuses in
//! [`result`](crate::result).

use std::ffi::{c_char, c_int, c_void};

use crate::error::Error;
use crate::library::Library;

/// `NRT_STATUS`: a number, since a library may return one that is not in our list.
pub type Code = c_int;
/// `nrta_seq_t`: the unit of execution in the upper 16 bits, a number that grows in the others.
pub type Sequence = u64;

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])* #[derive(Clone, Copy)] #[repr(C)] pub struct $name { _opaque: [u8; 0] })*
    };
}

opaque! {
    /// `nrt_model_t`: a program loaded on a core.
    Model;
    /// `nrt_tensor_t`: bytes on a device.
    Tensor;
    /// `nrt_tensor_set_t`: tensors by name.
    TensorSet;
}

/// `nrt_framework_type_t`: none, since no framework is between the engine and the runtime.
pub const NO_FRAMEWORK: c_int = 1;
/// `nrt_tensor_placement_t`: memory of the device.
pub const ON_DEVICE: c_int = 0;
/// `nrt_tensor_usage_t`: a tensor that a program reads. Its results are 1.
pub const INPUT: c_int = 0;
/// `vnc_count` of the loading functions, which is not used any more.
pub const ANY_COUNT: i32 = -1;

/// `nrt_version_t`.
#[repr(C)]
pub struct Version {
    /// The number that changes with the interface.
    pub major: u64,
    /// The release.
    pub minor: u64,
    /// Corrections of a release.
    pub patch: u64,
    /// Builds of a correction.
    pub maintenance: u64,
    /// More, as text.
    pub detail: [c_char; 128],
    /// The source it was built from.
    pub git_hash: [c_char; 64],
}

/// `nrt_instance_info_t`.
#[repr(C)]
#[derive(Default)]
pub struct InstanceInfo {
    /// The family of the instance, by a list that grows.
    pub family: u32,
    /// The size of the instance, by a list that grows.
    pub size: u32,
    /// The architecture of its chips.
    pub arch_name: [c_char; 16],
    /// Their revision.
    pub device_revision: [c_char; 8],
}

/// `nrt_tensor_info_t`.
#[repr(C)]
pub struct TensorInfo {
    /// The name, ended by a zero.
    pub name: [c_char; 256],
    /// [`INPUT`] or 1.
    pub usage: c_int,
    /// Bytes.
    pub size: usize,
    /// The type of its elements, by `nrt_dtype_t`.
    pub dtype: c_int,
    /// Lengths of its axes.
    pub shape: *mut u32,
    /// How many axes.
    pub ndim: u32,
}

/// `nrt_tensor_info_array_t`: a count, and behind it that many [`TensorInfo`]s.
#[repr(C)]
pub struct TensorInfos {
    /// How many follow.
    pub count: u64,
    /// Where they start.
    pub first: [TensorInfo; 0],
}

/// `nrt_vnc_memory_stats_t`, which grows at its end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Bytes in use.
    pub used: usize,
    /// Bytes there are.
    pub limit: usize,
}

/// What the emulator counts. The real libnrt has nothing like it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Programs executed.
    pub executions: u64,
    /// Results that are aliased to an argument and were copied all the same.
    pub alias_copies: u64,
    /// Bytes from the host to devices.
    pub written_bytes: u64,
    /// Bytes from devices to the host.
    pub read_bytes: u64,
    /// What the executions would have taken by the time model, in nanoseconds.
    pub simulated_ns: u64,
}

/// The first version whose asynchronous functions are those of [`AsyncFunctions`].
pub const ASYNC_SINCE: (u64, u64) = (2, 31);

/// Functions that return when they are done.
macro_rules! functions { ($apply:ident) => { $apply! { Functions;
    fn nrt_init(framework: c_int, framework_version: *const c_char, layer_version: *const c_char) -> Code;
    fn nrt_close();
    fn nrt_get_version(version: *mut Version, size: usize) -> Code;
    fn nrt_get_instance_info(info: *mut InstanceInfo, size: usize) -> Code;
    fn nrt_get_visible_vnc_count(count: *mut u32) -> Code;
    fn nrt_get_vnc_memory_stats(core: u32, stats: *mut MemoryStats, size: usize, written: *mut usize) -> Code;
    fn nrt_load(neff: *const c_void, size: usize, core: i32, count: i32, model: *mut *mut Model) -> Code;
    fn nrt_load_collectives(neff: *const c_void, size: usize, core: i32, count: i32, rank: u32, ranks: u32, model: *mut *mut Model) -> Code;
    fn nrt_unload(model: *mut Model) -> Code;
    fn nrt_get_model_tensor_info(model: *mut Model, infos: *mut *mut TensorInfos) -> Code;
    fn nrt_free_model_tensor_info(infos: *mut TensorInfos) -> Code;
    fn nrt_tensor_allocate(placement: c_int, core: c_int, size: usize, name: *const c_char, tensor: *mut *mut Tensor) -> Code;
    fn nrt_tensor_free(tensor: *mut *mut Tensor);
    fn nrt_tensor_read(tensor: *const Tensor, to: *mut c_void, offset: usize, size: usize) -> Code;
    fn nrt_tensor_write(tensor: *mut Tensor, from: *const c_void, offset: usize, size: usize) -> Code;
    fn nrt_tensor_memset(tensor: *mut Tensor, offset: u64, value: c_int, size: usize) -> Code;
    fn nrt_allocate_tensor_set(set: *mut *mut TensorSet) -> Code;
    fn nrt_destroy_tensor_set(set: *mut *mut TensorSet);
    fn nrt_add_tensor_to_tensor_set(set: *mut TensorSet, name: *const c_char, tensor: *mut Tensor) -> Code;
    fn nrt_execute(model: *mut Model, inputs: *const TensorSet, outputs: *mut TensorSet) -> Code;
} } }

/// Functions that return at once. Before runtime 2.31 they have the same names and other arguments, so they are looked
/// up only where the version says that they are these. The handles call the first two alone: AWS's notes of a release
/// speak of one more argument of those that move bytes, which the reference page does not show. Those that prepare
/// collective operations are left out, since AWS says that they will change.
macro_rules! async_functions { ($apply:ident) => { $apply! { AsyncFunctions;
    fn nrta_execute_schedule(model: *mut Model, inputs: *const TensorSet, outputs: *mut TensorSet, queue: c_int, outcome: *mut Code, sequence: *mut Sequence) -> Code;
    fn nrta_event_register_seq_id_completion(sequence: Sequence, event: c_int) -> Code;
    fn nrta_is_completed(sequence: Sequence, done: *mut bool) -> Code;
    fn nrta_tensor_write(tensor: *mut Tensor, from: *const c_void, offset: u64, size: u64, queue: c_int, outcome: *mut Code, sequence: *mut Sequence) -> Code;
    fn nrta_tensor_read(to: *mut c_void, tensor: *mut Tensor, offset: u64, size: u64, queue: c_int, outcome: *mut Code, sequence: *mut Sequence) -> Code;
    fn nrta_tensor_copy(from: *mut Tensor, from_offset: u64, to: *mut Tensor, to_offset: u64, size: u64, queue: c_int, outcome: *mut Code, sequence: *mut Sequence) -> Code;
} } }

/// Functions that only the emulator has.
macro_rules! emulator_functions {
    ($apply:ident) => {
        $apply! { EmulatorFunctions;
            fn polysilicon_emulator_counts(counts: *mut Counts, size: usize) -> Code;
        }
    };
}

pub(crate) use {async_functions, emulator_functions, functions};

/// A structure with a pointer to each function.
macro_rules! table {
    ($table:ident; $(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        /// Pointers to functions, each in the field of its name.
        #[allow(missing_docs, reason = "the names and the documentation are AWS's")]
        #[derive(Clone, Copy)]
        pub struct $table { $(pub $name: unsafe extern "C" fn($($type),*) $(-> $result)?,)* }

        impl $table {
            /// Looks all of them up.
            pub fn find(library: &Library) -> Result<$table, Error> {
                // SAFETY: the types are those of the documentation, written above.
                Ok(unsafe { $table { $($name: library.find(stringify!($name))?,)* } })
            }
        }
    };
}

functions!(table);
async_functions!(table);
emulator_functions!(table);
