//! Starting, closing, and what there is.
#![allow(clippy::undocumented_unsafe_blocks, reason = "pointers of C, as `exports` says of all of them")]
#![allow(clippy::missing_safety_doc, missing_docs, reason = "as in AWS's headers")]

use std::ffi::{c_char, c_int};

use super::{code, put};
use crate::abi::{Code, INVALID, InstanceInfo, MemoryStats, Version, field};
use crate::machine::with;
use crate::settings::Sight;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_init(framework: c_int, _: *const c_char, _: *const c_char) -> Code {
    code(with(|machine| {
        if !(1..=5).contains(&framework) {
            return Err(INVALID);
        }
        machine.faults.of_call("nrt_init").map_or(Ok(()), Err)?;
        machine.start()
    }))
}

#[unsafe(no_mangle)]
pub extern "C" fn nrt_close() {
    let cores = with(|machine| Ok(machine.close())).unwrap_or_default();
    cores.iter().for_each(|core| core.close());
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_get_version(version: *mut Version, size: usize) -> Code {
    code(with(|machine| {
        machine.faults.of_call("nrt_get_version").map_or(Ok(()), Err)?;
        if size < size_of::<Version>() {
            return Err(INVALID);
        }
        let [rt_major, rt_minor, rt_patch, rt_maintenance] = machine.settings.version;
        let detail = format!("polysilicon nrt-emulator, {}", machine.settings.chip.facts().name);
        let (rt_detail, git_hash) = (field(&detail), field(""));
        unsafe { put(version, Version { rt_major, rt_minor, rt_patch, rt_maintenance, rt_detail, git_hash }) }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_get_instance_info(info: *mut InstanceInfo, size: usize) -> Code {
    code(with(|machine| {
        machine.enter("nrt_get_instance_info")?;
        if size < size_of::<InstanceInfo>() {
            return Err(INVALID);
        }
        let facts = machine.settings.chip.facts();
        let (arch_name, device_revision) = (field(facts.name), field("0"));
        unsafe {
            put(info, InstanceInfo { family: facts.family, size: facts.size, arch_name, device_revision })
        }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_get_total_vnc_count(count: *mut u32) -> Code {
    code(with(|machine| {
        let sight = Sight::from_environment(&machine.settings)?;
        unsafe { put(count, sight.total) }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_get_visible_vnc_count(count: *mut u32) -> Code {
    code(with(|machine| {
        machine.faults.of_call("nrt_get_visible_vnc_count").map_or(Ok(()), Err)?;
        let sight = Sight::from_environment(&machine.settings)?;
        unsafe { put(count, sight.visible.len() as u32) }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_get_vnc_memory_stats(
    core: u32,
    stats: *mut MemoryStats,
    size: usize,
    written: *mut usize,
) -> Code {
    code(with(|machine| {
        machine.enter("nrt_get_vnc_memory_stats")?;
        let bank = &machine.core(core.into())?.bank;
        if size < size_of::<MemoryStats>() {
            return Err(INVALID);
        }
        unsafe {
            put(stats, MemoryStats { bytes_used: bank.used(), bytes_limit: bank.limit })?;
            put(written, size_of::<MemoryStats>())
        }
    }))
}
