//! Loading programs and running them.
#![allow(clippy::undocumented_unsafe_blocks, reason = "pointers of C, as `exports` says of all of them")]
#![allow(clippy::missing_safety_doc, missing_docs, reason = "as in AWS's headers")]

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::sync::Arc;

use super::{bytes, code, put};
use crate::abi::{
    Code, FAILURE, Handle, INPUT, INVALID, INVALID_HANDLE, ModelInfo, OUTPUT, SUCCESS, TIMEOUT, TensorInfo,
    TensorInfoArray, field,
};
use crate::interpret::dtype;
use crate::machine::{CODE_BYTES, Machine, with};
use crate::model::{Bound, Model, Place, program_of};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_load(
    neff: *const c_void,
    size: usize,
    core: i32,
    _: i32,
    model: *mut Handle,
) -> Code {
    code(with(|machine| {
        machine.enter("nrt_load")?;
        let loaded = load(machine, unsafe { bytes(neff, size)? }, core, None, 0)?;
        unsafe { put(model, loaded) }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_load_collectives(
    neff: *const c_void,
    size: usize,
    core: i32,
    _: i32,
    rank: u32,
    ranks: u32,
    model: *mut Handle,
) -> Code {
    let load = || {
        let (loaded, world) = with(|machine| {
            machine.enter("nrt_load_collectives")?;
            if rank >= ranks || (ranks > 1 && std::env::var_os("NEURON_RT_ROOT_COMM_ID").is_none()) {
                return Err(INVALID);
            }
            let world = machine.world(ranks);
            let place = Place { world: Arc::clone(&world), rank };
            let loaded = load(machine, unsafe { bytes(neff, size)? }, core, Some(place), ranks)?;
            Ok((loaded.addr(), world))
        })?;
        // All ranks meet here, or none of them has loaded.
        let all: Vec<usize> = (0..ranks as usize).collect();
        let number = (loaded / 16) as u64;
        let met = world.exchange(&all, rank as usize, LOADING, number.to_ne_bytes().to_vec(), TIMEOUT);
        let handle = std::ptr::without_provenance_mut(loaded);
        if let Err(late) = met {
            with(|machine| machine.models.remove(handle))?;
            return Err(late);
        }
        unsafe { put(model, handle) }
    };
    code(load())
}

/// The number of the exchange at which ranks meet when they load; executions count from 0.
const LOADING: u64 = u64::MAX;

fn load(
    machine: &mut Machine,
    file: &[u8],
    core: i32,
    place: Option<Place>,
    ranks: u32,
) -> Result<Handle, Code> {
    let (chip, logical) = (machine.settings.chip, machine.logical);
    let core = Arc::clone(machine.core_for_load(core)?);
    let program = program_of(file, chip, logical)?;
    if program.ranks() > ranks as usize {
        return Err(INVALID);
    }
    core.reserve_scratch(program.scratch_bytes())?;
    let code = core.bank.take(CODE_BYTES * logical as usize)?;
    let model = Model::new(program, core.index, chip, logical, place, code);
    Ok(machine.models.insert(Arc::new(model)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_unload(model: Handle) -> Code {
    code(with(|machine| {
        machine.enter("nrt_unload")?;
        machine.models.remove(model).map(drop)
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_get_model_info(
    model: Handle,
    info: *mut ModelInfo,
    size: usize,
    written: *mut usize,
) -> Code {
    code(with(|machine| {
        machine.enter("nrt_get_model_info")?;
        let vnc = machine.models.find(model)?.core;
        if size < size_of::<ModelInfo>() {
            return Err(INVALID);
        }
        unsafe {
            put(info, ModelInfo { vnc })?;
            put(written, size_of::<ModelInfo>())
        }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_get_model_tensor_info(model: Handle, infos: *mut *mut TensorInfoArray) -> Code {
    code(with(|machine| {
        machine.enter("nrt_get_model_tensor_info")?;
        let program = &machine.models.find(model)?.program;
        let (parameters, module) = (program.parameters(), &program.module);
        let inputs = module.inputs.iter().zip(&parameters).map(|(name, shape)| (name, shape, INPUT));
        let outputs = module.outputs.iter().zip(program.results()).map(|(name, shape)| (name, shape, OUTPUT));
        let described: Vec<TensorInfo> = inputs
            .chain(outputs)
            .map(|(name, shape, usage)| TensorInfo {
                name: field(name),
                usage,
                size: shape.bytes().unwrap_or(0),
                dtype: dtype(shape.element),
                shape: Box::into_raw(shape.dims.iter().map(|&n| n as u32).collect::<Box<[u32]>>()).cast(),
                ndim: shape.dims.len() as u32,
            })
            .collect();
        let array = unsafe { lay_out(described)? };
        machine.infos.insert(array.addr(), 0);
        unsafe { put(infos, array) }
    }))
}

/// The head and the descriptions in one piece of memory of C.
///
/// # Safety
/// The result is freed by [`take_apart`].
unsafe fn lay_out(described: Vec<TensorInfo>) -> Result<*mut TensorInfoArray, Code> {
    let size = size_of::<TensorInfoArray>() + described.len() * size_of::<TensorInfo>();
    let array: *mut TensorInfoArray = unsafe { libc::malloc(size) }.cast();
    if array.is_null() {
        return Err(FAILURE);
    }
    unsafe {
        (&raw mut (*array).tensor_count).write(described.len() as u64);
        let first: *mut TensorInfo = (&raw mut (*array).tensor_array).cast();
        described.into_iter().enumerate().for_each(|(place, info)| first.add(place).write(info));
    }
    Ok(array)
}

/// # Safety
/// The array is one that [`lay_out`] gave, and not freed yet.
unsafe fn take_apart(array: *mut TensorInfoArray) {
    unsafe {
        let first: *mut TensorInfo = (&raw mut (*array).tensor_array).cast();
        for place in 0..(*array).tensor_count as usize {
            let info = first.add(place).read();
            drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(info.shape, info.ndim as usize)));
        }
        libc::free(array.cast());
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_free_model_tensor_info(infos: *mut TensorInfoArray) -> Code {
    code(with(|machine| {
        machine.enter("nrt_free_model_tensor_info")?;
        machine.infos.remove(&infos.addr()).ok_or(INVALID_HANDLE)?;
        unsafe { take_apart(infos) };
        Ok(())
    }))
}

/// The program and its tensors, found and checked by their names.
pub fn bound(
    machine: &Machine,
    model: Handle,
    inputs: Handle,
    outputs: Handle,
) -> Result<(Arc<Model>, Bound), Code> {
    let model = Arc::clone(machine.models.find(model)?);
    let (inputs, outputs) = (machine.sets.find(inputs)?, machine.sets.find(outputs)?);
    let tensor = |set: &BTreeMap<String, usize>, name: &str| {
        machine.tensors.by_number(*set.get(name).ok_or(INVALID)?).cloned()
    };
    let bound = model.bind(|name| tensor(inputs, name), |name| tensor(outputs, name))?;
    Ok((model, bound))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_execute(model: Handle, inputs: Handle, outputs: Handle) -> Code {
    let run = || {
        let outcome = with(|machine| {
            let fault = machine.enter("nrt_execute").err();
            if let Some(early) = fault.filter(|&code| !super::later::is_outcome(code)) {
                return Err(early);
            }
            let (model, bound) = bound(machine, model, inputs, outputs)?;
            machine.core(model.core.into())?.execute(model, bound, fault)
        })?;
        match outcome.recv().unwrap_or(FAILURE) {
            SUCCESS => Ok(()),
            code => Err(code),
        }
    };
    code(run())
}

/// Only a program that was compiled for it can be repeated, and none is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nrt_execute_repeat(model: Handle, _: Handle, _: Handle, _: c_int) -> Code {
    code(with(|machine| {
        machine.enter("nrt_execute_repeat")?;
        machine.models.find(model)?;
        Err(INVALID)
    }))
}
