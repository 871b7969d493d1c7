//! The structures lie in memory as AWS's headers have them, on a 64-bit machine: counted by hand, field by field.

use std::mem::offset_of;

use nrt::sys::{Counts, InstanceInfo, MemoryStats, TensorInfo, TensorInfos, Version};

#[test]
fn structures_lie_as_documented() {
    assert_eq!((size_of::<Version>(), align_of::<Version>()), (224, 8));
    let at = [offset_of!(Version, major), offset_of!(Version, minor), offset_of!(Version, patch)];
    assert_eq!(at, [0, 8, 16]);
    let at = [offset_of!(Version, maintenance), offset_of!(Version, detail), offset_of!(Version, git_hash)];
    assert_eq!(at, [24, 32, 160]);

    assert_eq!((size_of::<InstanceInfo>(), align_of::<InstanceInfo>()), (32, 4));
    let at = [offset_of!(InstanceInfo, family), offset_of!(InstanceInfo, size)];
    assert_eq!(at, [0, 4]);
    let at = [offset_of!(InstanceInfo, arch_name), offset_of!(InstanceInfo, device_revision)];
    assert_eq!(at, [8, 24]);

    assert_eq!((size_of::<TensorInfo>(), align_of::<TensorInfo>()), (296, 8));
    let at = [offset_of!(TensorInfo, name), offset_of!(TensorInfo, usage), offset_of!(TensorInfo, size)];
    assert_eq!(at, [0, 256, 264]);
    let at = [offset_of!(TensorInfo, dtype), offset_of!(TensorInfo, shape), offset_of!(TensorInfo, ndim)];
    assert_eq!(at, [272, 280, 288]);

    assert_eq!((size_of::<TensorInfos>(), align_of::<TensorInfos>()), (8, 8));
    assert_eq!((offset_of!(TensorInfos, count), offset_of!(TensorInfos, first)), (0, 8));
    assert_eq!((size_of::<MemoryStats>(), offset_of!(MemoryStats, used)), (16, 0));
    assert_eq!(offset_of!(MemoryStats, limit), 8);
    let at = [offset_of!(Counts, executions), offset_of!(Counts, alias_copies)];
    assert_eq!((size_of::<Counts>(), at), (40, [0, 8]));
    let at = [offset_of!(Counts, written_bytes), offset_of!(Counts, read_bytes)];
    assert_eq!((at, offset_of!(Counts, simulated_ns)), ([16, 24], 32));
}
