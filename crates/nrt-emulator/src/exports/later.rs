//! Functions that return before the work is done, as they are from runtime 2.31 on.
#![allow(clippy::undocumented_unsafe_blocks, reason = "pointers of C, as `exports` says of all of them")]
#![allow(clippy::missing_safety_doc, missing_docs, reason = "as in AWS's headers")]

use std::ffi::c_int;
use std::sync::Arc;

use super::models::bound;
use super::{code, put};
use crate::abi::{Code, FAILURE, Handle, INVALID};
use crate::core::{Core, Job, Outcome, Tell};
use crate::machine::{Machine, with};

/// Whether a status is what an execution ends with, and not what a call refuses to begin with.
pub fn is_outcome(code: Code) -> bool {
    code >= 1000 || matches!(code, 1 | 5 | 6 | 101)
}

/// Before 2.31 these functions took other arguments: calling them as now is what the version is asked for to prevent.
fn current(machine: &Machine) -> Result<(), Code> {
    let [major, minor, ..] = machine.settings.version;
    if (major, minor) < (2, 31) { Err(FAILURE) } else { Ok(()) }
}

fn enter(machine: &mut Machine, function: &str) -> Result<(), Code> {
    current(machine)?;
    machine.enter(function)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrta_execute_schedule(
    model: Handle,
    inputs: Handle,
    outputs: Handle,
    queue: c_int,
    outcome: *mut Code,
    sequence: *mut u64,
) -> Code {
    code(with(|machine| {
        current(machine)?;
        let fault = machine.enter("nrta_execute_schedule").err();
        if let Some(early) = fault.filter(|&code| !is_outcome(code)) {
            return Err(early);
        }
        if queue != 0 || outcome.is_null() || sequence.is_null() {
            return Err(INVALID);
        }
        let (model, bound) = bound(machine, model, inputs, outputs)?;
        let core = Arc::clone(machine.core(model.core.into())?);
        let tell = Tell::Later(Outcome(outcome));
        let job = Job { model, bound, fault, tell };
        let begun = core.submit(job, machine.settings.queue)?;
        unsafe { put(sequence, begun) }
    }))
}

fn core_of(machine: &Machine, sequence: u64) -> Result<Arc<Core>, Code> {
    machine.core(Core::of_sequence(sequence) as i64).cloned()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrta_is_completed(sequence: u64, done: *mut bool) -> Code {
    code(with(|machine| {
        enter(machine, "nrta_is_completed")?;
        let is_done = core_of(machine, sequence)?.is_done(sequence)?;
        unsafe { put(done, is_done) }
    }))
}

/// The units of execution have no certain numbers, so every unit is the one that computes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrta_get_sequence(core: u32, _: c_int, queue: c_int, sequence: *mut u64) -> Code {
    code(with(|machine| {
        enter(machine, "nrta_get_sequence")?;
        if queue != 0 {
            return Err(INVALID);
        }
        let last = machine.core(core.into())?.last_done();
        unsafe { put(sequence, last) }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrta_event_register_seq_id_completion(sequence: u64, event: c_int) -> Code {
    code(with(|machine| {
        enter(machine, "nrta_event_register_seq_id_completion")?;
        core_of(machine, sequence)?.signal(sequence, event)
    }))
}
