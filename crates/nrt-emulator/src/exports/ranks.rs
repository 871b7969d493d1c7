//! Collectives that the host drives.
#![allow(clippy::undocumented_unsafe_blocks, reason = "pointers of C, as `exports` says of all of them")]
#![allow(clippy::missing_safety_doc, missing_docs, reason = "as in AWS's headers")]

use std::ffi::c_void;

use super::{bytes, bytes_mut, code};
use crate::abi::{Code, INVALID, TIMEOUT};
use crate::machine::with;

/// The exchanges of these functions, apart from those of programs.
const BARRIER: u64 = u64::MAX - 1;
const GATHER: u64 = u64::MAX - 2;
const BUILD: u64 = u64::MAX - 3;

fn exchange(
    function: &str,
    core: i64,
    rank: u32,
    ranks: u32,
    number: u64,
    bytes: Vec<u8>,
) -> Result<Vec<Vec<u8>>, Code> {
    let world = with(|machine| {
        machine.enter(function)?;
        machine.core(core)?;
        if rank < ranks { Ok(machine.world(ranks)) } else { Err(INVALID) }
    })?;
    let all: Vec<usize> = (0..ranks as usize).collect();
    world.exchange(&all, rank as usize, number, bytes, TIMEOUT)
}

#[unsafe(no_mangle)]
pub extern "C" fn nrt_build_global_comm(core: i32, rank: u32, ranks: u32) -> Code {
    code(exchange("nrt_build_global_comm", core.into(), rank, ranks, BUILD, Vec::new()).map(drop))
}

#[unsafe(no_mangle)]
pub extern "C" fn nrt_cc_global_comm_init(core: u32, rank: u32, ranks: u32) -> Code {
    code(exchange("nrt_cc_global_comm_init", core.into(), rank, ranks, BUILD, Vec::new()).map(drop))
}

#[unsafe(no_mangle)]
pub extern "C" fn nrt_barrier(core: i32, rank: u32, ranks: u32) -> Code {
    code(exchange("nrt_barrier", core.into(), rank, ranks, BARRIER, Vec::new()).map(drop))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_all_gather(
    core: i32,
    rank: u32,
    ranks: u32,
    rank_bytes: u32,
    input: *mut c_void,
    output: *mut c_void,
) -> Code {
    let gather = || {
        let mine = unsafe { bytes(input, rank_bytes as usize)? }.to_vec();
        let all = exchange("nrt_all_gather", core.into(), rank, ranks, GATHER, mine)?.concat();
        let output = unsafe { bytes_mut(output, rank_bytes as usize * ranks as usize)? };
        if output.len() == all.len() {
            output.copy_from_slice(&all);
            Ok(())
        } else {
            Err(INVALID)
        }
    };
    code(gather())
}
