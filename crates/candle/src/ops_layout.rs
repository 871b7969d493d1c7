//! Operations that move elements and compute nothing.

use candle_core::{Device, Result, Tensor, bail};
use graph::{Dims, Op};
use tensor::DType;

use crate::array::{Array, stored, stored_axes};
use crate::ops::take;

pub(crate) fn apply(op: &Op, args: &[Array]) -> Result<Array> {
    match op {
        Op::Iota { dtype, dims, axis } => iota(*dtype, &bound(dims)?, usize::from(*axis)),
        Op::Reshape(dims) => reshape(take(args)?, &bound(dims)?),
        Op::Broadcast(dims) => broadcast(take(args)?, &bound(dims)?),
        Op::Transpose(order) => transpose(take(args)?, order),
        Op::Slice { axis, start, len } => {
            slice(take(args)?, usize::from(*axis), *start as usize, *len as usize)
        }
        Op::Concat { axis } => concat(args, usize::from(*axis)),
        Op::Gather => gather(take(args)?),
        _ => bail!("`{op}` is no operation on layout"),
    }
}

fn bound(dims: &Dims) -> Result<Vec<usize>> {
    match dims.shape() {
        Some(shape) => Ok(shape.to_vec()),
        None => bail!("the shape {dims} is not bound"),
    }
}

fn iota(dtype: DType, shape: &[usize], axis: usize) -> Result<Array> {
    let Some(&len) = shape.get(axis) else { bail!("there is no axis {axis} in {shape:?}") };
    let counts = Tensor::from_vec((0..len as u32).collect(), len, &Device::Cpu)?.to_dtype(stored(dtype))?;
    let mut axes = vec![1; shape.len()];
    axes[axis] = len;
    Array::new(dtype, counts.reshape(axes)?.broadcast_as(shape)?)
}

fn reshape([x]: &[Array; 1], shape: &[usize]) -> Result<Array> {
    Array::new(x.dtype, x.tensor.reshape(stored_axes(x.dtype, shape)?)?)
}

fn broadcast([x]: &[Array; 1], shape: &[usize]) -> Result<Array> {
    Array::new(x.dtype, x.tensor.broadcast_as(stored_axes(x.dtype, shape)?)?)
}

fn transpose([x]: &[Array; 1], order: &[u8]) -> Result<Array> {
    let order = order.iter().map(|&axis| usize::from(axis)).collect::<Vec<_>>();
    if x.dtype.is_block() && order.last() != Some(&(order.len() - 1)) {
        bail!("the innermost axis of {} cannot move: it comes in blocks", x.dtype)
    }
    Array::new(x.dtype, x.tensor.permute(order)?)
}

fn slice([x]: &[Array; 1], axis: usize, start: usize, len: usize) -> Result<Array> {
    let (start, len) = if x.dtype.is_block() && axis + 1 == x.tensor.rank() {
        match (x.dtype.bytes_of(start), x.dtype.bytes_of(len)) {
            (Some(start), Some(len)) => (start, len),
            _ => bail!("{len} elements from {start} on are no whole blocks of {}", x.dtype),
        }
    } else {
        (start, len)
    };
    Array::new(x.dtype, x.tensor.narrow(axis, start, len)?)
}

fn concat(args: &[Array], axis: usize) -> Result<Array> {
    let Some(first) = args.first() else { bail!("there is nothing to join") };
    let tensors = args.iter().map(|arg| &arg.tensor).collect::<Vec<_>>();
    Array::new(first.dtype, Tensor::cat(&tensors, axis)?)
}

fn gather([table, ids]: &[Array; 2]) -> Result<Array> {
    if table.dtype.is_block() && table.tensor.rank() == 1 {
        bail!("single elements of {} cannot be gathered: they come in blocks", table.dtype)
    }
    let rows = table.tensor.index_select(&ids.to_ids()?, 0)?;
    Array::new(table.dtype, rows.reshape([ids.tensor.dims(), &table.tensor.dims()[1..]].concat())?)
}
