//! Programs on a core, and what they take and give.

use std::sync::Arc;

use super::core::{Core, Rank, Seat};
use crate::error::Error;
use crate::result::{Handle, text};
use crate::sys::{self, Functions};

/// A program that is loaded on a core. It is unloaded with its last clone and run.
#[derive(Clone)]
pub struct Model {
    pub(crate) held: Arc<HeldModel>,
}

pub(crate) struct HeldModel {
    pub handle: Handle<sys::Model>,
    pub seat: Arc<Seat>,
    tensors: Vec<TensorInfo>,
}

/// A tensor that a program takes or gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, by which a set holds it.
    pub name: String,
    /// Whether it is taken or given.
    pub direction: Direction,
    /// Its length.
    pub bytes: usize,
}

/// Which way a tensor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The program takes it.
    Input,
    /// The program gives it.
    Output,
}

impl Core {
    /// Loads a program; the bytes are not needed afterwards. One that computes together with others has a rank, and is
    /// loaded when all ranks are: those of one process are loaded from threads of their own.
    pub fn load(&self, neff: &[u8], rank: Option<Rank>) -> Result<Model, Error> {
        let (core, count) = (self.index() as i32, sys::ANY_COUNT);
        let handle = self.seat.io(|calls| {
            let (at, size) = (neff.as_ptr().cast(), neff.len());
            // SAFETY: the runtime is started, and the bytes live until the call returns.
            Handle::made(|made| unsafe {
                match rank {
                    None => calls.nrt_load(at, size, core, count, made),
                    Some(Rank { index, count: n }) => {
                        calls.nrt_load_collectives(at, size, core, count, index, n, made)
                    }
                }
            })
        })?;
        // From here on the program is unloaded where its description fails.
        let mut held = HeldModel { handle, seat: Arc::clone(&self.seat), tensors: Vec::new() };
        held.tensors = self.seat.io(|calls| describe(calls, handle))?;
        Ok(Model { held: Arc::new(held) })
    }
}

impl Model {
    /// What it takes and gives.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.held.tensors
    }
}

impl Drop for HeldModel {
    fn drop(&mut self) {
        let model = self.handle;
        // SAFETY: runs hold the program, so none is left.
        self.seat.release(|calls| unsafe { calls.nrt_unload(model.as_ptr()) });
    }
}

fn describe(calls: &Functions, model: Handle<sys::Model>) -> Result<Vec<TensorInfo>, Error> {
    // SAFETY: the program is loaded.
    let infos =
        Handle::made(|made| unsafe { calls.nrt_get_model_tensor_info(model.as_ptr(), made) })?.as_ptr();
    // SAFETY: `count` descriptions follow the head, and live until they are freed below, once. They are read through
    // the pointer to the whole, which covers what follows.
    let tensors = unsafe {
        let first: *const sys::TensorInfo = (&raw const (*infos).first).cast();
        (0..(*infos).count as usize).map(|i| tensor(&*first.add(i))).collect()
    };
    // SAFETY: what was read above is a copy.
    unsafe { calls.nrt_free_model_tensor_info(infos)? };
    Ok(tensors)
}

/// A description as a value. Types and axes of what a program takes are known to whoever wrote its module.
fn tensor(info: &sys::TensorInfo) -> TensorInfo {
    let direction = if info.usage == sys::INPUT { Direction::Input } else { Direction::Output };
    TensorInfo { name: text(&info.name), direction, bytes: info.size }
}
