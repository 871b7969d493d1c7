//! Types and numbers of libnrt's C interface, declared here a second time: a mistake in the engine's declarations is
//! not shared, and shows.

use std::ffi::{c_char, c_int, c_void};

/// `NRT_STATUS`.
pub type Code = c_int;

macro_rules! codes {
    ($($name:ident = $code:literal;)*) => { $(pub const $name: Code = $code;)* };
}

codes! {
    SUCCESS = 0;
    FAILURE = 1;
    INVALID = 2;
    INVALID_HANDLE = 3;
    RESOURCE = 4;
    TIMEOUT = 5;
    QUEUE_FULL = 7;
    LOAD_NOT_ENOUGH_NC = 9;
    UNSUPPORTED_NEFF_VERSION = 10;
    UNINITIALIZED = 13;
    CLOSED = 14;
    EXEC_UNIT_UNRECOVERABLE = 101;
    EXEC_BAD_INPUT = 1002;
    EXEC_COMPLETED_WITH_NUM_ERR = 1003;
    EXEC_OOB = 1006;
    EXEC_HW_ERR_COLLECTIVES = 1200;
    NETWORK_PROXY_FAILURE = 1206;
}

/// `nrt_tensor_placement_t`: memory of the device, and of the host.
pub const ON_DEVICE: c_int = 0;
pub const ON_HOST: c_int = 1;

/// `nrt_tensor_usage_t`.
pub const INPUT: c_int = 0;
pub const OUTPUT: c_int = 1;

/// A handle: a number in a pointer's clothes, which nobody follows.
pub type Handle = *mut c_void;

#[repr(C)]
pub struct Version {
    pub rt_major: u64,
    pub rt_minor: u64,
    pub rt_patch: u64,
    pub rt_maintenance: u64,
    pub rt_detail: [c_char; 128],
    pub git_hash: [c_char; 64],
}

#[repr(C)]
pub struct InstanceInfo {
    pub family: u32,
    pub size: u32,
    pub arch_name: [c_char; 16],
    pub device_revision: [c_char; 8],
}

#[repr(C)]
pub struct TensorInfo {
    pub name: [c_char; 256],
    pub usage: c_int,
    pub size: usize,
    pub dtype: c_int,
    pub shape: *mut u32,
    pub ndim: u32,
}

#[repr(C)]
pub struct TensorInfoArray {
    pub tensor_count: u64,
    pub tensor_array: [TensorInfo; 0],
}

#[repr(C)]
pub struct BatchOp {
    pub offset: u64,
    pub size: u64,
    pub buffer: *mut c_void,
}

#[repr(C)]
pub struct Batch {
    pub tensor: Handle,
    pub ops: *const BatchOp,
    pub num_ops: u32,
}

#[repr(C)]
pub struct DeviceAllocation {
    pub physical_address: u64,
    pub size: usize,
    pub hbm_index: c_int,
}

#[repr(C)]
pub struct MemoryStats {
    pub bytes_used: usize,
    pub bytes_limit: usize,
}

#[repr(C)]
pub struct ModelInfo {
    pub vnc: u32,
}

/// What `polysilicon_emulator_counts` gives.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub executions: u64,
    pub alias_copies: u64,
    pub written_bytes: u64,
    pub read_bytes: u64,
    pub simulated_ns: u64,
}

/// Text in a field of C, cut to fit before its zero.
pub fn field<const N: usize>(text: &str) -> [c_char; N] {
    let mut field = [0; N];
    for (to, from) in field[..N - 1].iter_mut().zip(text.bytes()) {
        *to = from as c_char;
    }
    field
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// Sizes and offsets on a 64-bit machine, counted by hand from the declarations in AWS's documentation.
    #[test]
    fn structures_lie_as_documented() {
        assert_eq!(size_of::<Version>(), 4 * 8 + 128 + 64);
        let at =
            (offset_of!(Version, rt_major), offset_of!(Version, rt_minor), offset_of!(Version, rt_patch));
        assert_eq!((at, offset_of!(Version, rt_maintenance)), ((0, 8, 16), 24));
        assert_eq!((offset_of!(Version, rt_detail), offset_of!(Version, git_hash)), (32, 160));
        assert_eq!((size_of::<InstanceInfo>(), offset_of!(InstanceInfo, device_revision)), (32, 24));
        let at = (offset_of!(InstanceInfo, family), offset_of!(InstanceInfo, size));
        assert_eq!((at, offset_of!(InstanceInfo, arch_name)), ((0, 4), 8));
        assert_eq!(size_of::<TensorInfo>(), 296);
        let at = (offset_of!(TensorInfo, usage), offset_of!(TensorInfo, size), offset_of!(TensorInfo, dtype));
        assert_eq!(at, (256, 264, 272));
        assert_eq!((offset_of!(TensorInfo, shape), offset_of!(TensorInfo, ndim)), (280, 288));
        assert_eq!((size_of::<TensorInfoArray>(), offset_of!(TensorInfoArray, tensor_array)), (8, 8));
        let at = (offset_of!(BatchOp, offset), offset_of!(BatchOp, size), offset_of!(BatchOp, buffer));
        assert_eq!((size_of::<BatchOp>(), at), (24, (0, 8, 16)));
        let at = (offset_of!(Batch, tensor), offset_of!(Batch, ops), offset_of!(Batch, num_ops));
        assert_eq!((size_of::<Batch>(), at), (24, (0, 8, 16)));
        let at = (offset_of!(DeviceAllocation, physical_address), offset_of!(DeviceAllocation, size));
        assert_eq!((size_of::<DeviceAllocation>(), at), (24, (0, 8)));
        assert_eq!(offset_of!(DeviceAllocation, hbm_index), 16);
        let at = (offset_of!(MemoryStats, bytes_used), offset_of!(MemoryStats, bytes_limit));
        assert_eq!((size_of::<MemoryStats>(), at), (16, (0, 8)));
        assert_eq!((size_of::<ModelInfo>(), offset_of!(ModelInfo, vnc)), (4, 0));
        let at = (offset_of!(Counts, executions), offset_of!(Counts, alias_copies));
        assert_eq!((size_of::<Counts>(), at), (40, (0, 8)));
        let at = (offset_of!(Counts, written_bytes), offset_of!(Counts, read_bytes));
        assert_eq!((at, offset_of!(Counts, simulated_ns)), ((16, 24), 32));
    }
}
