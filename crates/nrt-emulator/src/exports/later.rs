//! Functions that return before the work is done, as they are from runtime 2.31 on.
#![allow(clippy::undocumented_unsafe_blocks, reason = "pointers of C, as `exports` says of all of them")]
#![allow(clippy::missing_safety_doc, missing_docs, reason = "as in AWS's headers")]

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use super::models::bound;
use super::{code, put, tensors};
use crate::abi::{Code, FAILURE, Handle, INVALID};
use crate::core::Core;
use crate::machine::{Machine, with};
use crate::memory::Tensor;
use crate::unit::{Job, Outcome, Tell};

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
        let begun = core.submit(model, bound, fault, tell, machine.settings.queue)?;
        unsafe { put(sequence, begun) }
    }))
}

/// The caller's bytes, which it leaves alone until the work is done.
struct Lent(*mut c_void);

// SAFETY: the functions below ask their caller for that.
unsafe impl Send for Lent {}

impl Lent {
    fn start(&self) -> *mut c_void {
        self.0
    }
}

/// Queues work on tensors, the first of which says on which core.
///
/// # Safety
/// `outcome` is null or a place that stays until the work is done.
unsafe fn moved<const N: usize>(
    function: &str,
    handles: [Handle; N],
    queue: c_int,
    outcome: *mut Code,
    sequence: *mut u64,
    work: impl FnOnce(&[Tensor; N]) -> Result<(), Code> + Send + 'static,
) -> Code {
    code(with(|machine| {
        current(machine)?;
        let fault = machine.enter(function).err();
        if let Some(early) = fault.filter(|&code| !is_outcome(code)) {
            return Err(early);
        }
        let queue = usize::try_from(queue).map_err(|_| INVALID)?;
        if outcome.is_null() || sequence.is_null() {
            return Err(INVALID);
        }
        let mut tensors = Vec::with_capacity(N);
        for handle in handles {
            tensors.push(machine.tensors.find(handle)?.clone());
        }
        let tensors: [Tensor; N] = tensors.try_into().map_err(|_| FAILURE)?;
        let core = Arc::clone(machine.core(tensors[0].core.ok_or(INVALID)?.into())?);
        let work = Box::new(move || fault.map_or_else(|| work(&tensors), Err));
        let tell = Tell::Later(Outcome(outcome));
        let begun = core.submit_move(queue, Job { work, tell }, machine.settings.queue)?;
        unsafe { put(sequence, begun) }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrta_tensor_write(
    tensor: Handle,
    from: *const c_void,
    offset: u64,
    size: u64,
    queue: c_int,
    outcome: *mut Code,
    sequence: *mut u64,
) -> Code {
    let from = Lent(from.cast_mut());
    let write =
        move |[tensor]: &[Tensor; 1]| tensors::write(tensor, from.start(), offset as usize, size as usize);
    unsafe { moved("nrta_tensor_write", [tensor], queue, outcome, sequence, write) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrta_tensor_read(
    to: *mut c_void,
    tensor: Handle,
    offset: u64,
    size: u64,
    queue: c_int,
    outcome: *mut Code,
    sequence: *mut u64,
) -> Code {
    let to = Lent(to);
    let read =
        move |[tensor]: &[Tensor; 1]| tensors::read(tensor, to.start(), offset as usize, size as usize);
    unsafe { moved("nrta_tensor_read", [tensor], queue, outcome, sequence, read) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrta_tensor_copy(
    from: Handle,
    from_offset: u64,
    to: Handle,
    to_offset: u64,
    size: u64,
    queue: c_int,
    outcome: *mut Code,
    sequence: *mut u64,
) -> Code {
    let copy = move |[from, to]: &[Tensor; 2]| {
        tensors::copy(from, from_offset as usize, to, to_offset as usize, size as usize)
    };
    unsafe { moved("nrta_tensor_copy", [from, to], queue, outcome, sequence, copy) }
}

fn core_of(machine: &Machine, sequence: u64) -> Result<Arc<Core>, Code> {
    machine.core(Core::of_sequence(sequence) as i64).cloned()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrta_is_completed(sequence: u64, done: *mut bool) -> Code {
    code(with(|machine| {
        enter(machine, "nrta_is_completed")?;
        let is_done = core_of(machine, sequence)?.unit(sequence)?.is_done(sequence)?;
        unsafe { put(done, is_done) }
    }))
}

/// `nrta_xu_t` as the reference page has it: what moves bytes, and what computes.
const TENSOR_OP: c_int = 0;
const COMPUTE: c_int = 1;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrta_get_sequence(core: u32, unit: c_int, queue: c_int, sequence: *mut u64) -> Code {
    code(with(|machine| {
        enter(machine, "nrta_get_sequence")?;
        let core = machine.core(core.into())?;
        let last = match (unit, usize::try_from(queue)) {
            (COMPUTE, Ok(0)) => core.compute().last_done(),
            (TENSOR_OP, Ok(queue)) => core.queue(queue)?.last_done(),
            _ => return Err(INVALID),
        };
        unsafe { put(sequence, last) }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrta_event_register_seq_id_completion(sequence: u64, event: c_int) -> Code {
    code(with(|machine| {
        enter(machine, "nrta_event_register_seq_id_completion")?;
        core_of(machine, sequence)?.unit(sequence)?.signal(sequence, event)
    }))
}
