//! Moving elements about: everything that computes nothing is a copy of blocks with strides.

use hlo::{Gather, Scatter, Shape};

use super::numbers::whole;
use super::value::Value;

/// A block in an array: where it starts, and how far it is to the next element of each axis. All in elements.
struct Block<'a> {
    start: usize,
    strides: &'a [usize],
}

/// How far it is from one element to the next, along each axis of an array.
pub fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

/// Copies a block of these axes. Trailing axes that are whole on both sides are copied as one run.
fn copy(dims: &[usize], from: &[u8], source: &Block, to: &mut [u8], target: &Block, width: usize) {
    let (mut rank, mut run) = (dims.len(), 1);
    while rank > 0
        && (dims[rank - 1] == 1 || source.strides[rank - 1] == run && target.strides[rank - 1] == run)
    {
        run *= dims[rank - 1];
        rank -= 1;
    }
    if dims.contains(&0) {
        return;
    }
    let (mut at, mut read, mut write) = (vec![0; rank], source.start, target.start);
    loop {
        let len = run * width;
        to[write * width..][..len].copy_from_slice(&from[read * width..][..len]);
        let Some(axis) = (0..rank).rev().find(|&axis| at[axis] + 1 < dims[axis]) else { return };
        at[axis] += 1;
        (read, write) = (read + source.strides[axis], write + target.strides[axis]);
        for (later, at) in at.iter_mut().enumerate().skip(axis + 1) {
            read -= source.strides[later] * *at;
            write -= target.strides[later] * *at;
            *at = 0;
        }
    }
}

/// A new array, filled by one copy from a block of another.
fn filled(shape: Shape, x: &Value, start: usize, from_strides: &[usize]) -> Value {
    let mut result = Value::zeroed(shape);
    let (dims, width) = (result.shape.dims.clone(), result.shape.element.bytes());
    let (source, target) =
        (Block { start, strides: from_strides }, Block { start: 0, strides: &strides(&dims) });
    copy(&dims, x.bytes(), &source, result.bytes_mut(), &target, width);
    result
}

pub fn broadcast(x: &Value, dims: &[usize], dimensions: &[usize]) -> Value {
    let mut repeated = vec![0; dims.len()];
    for (&axis, stride) in dimensions.iter().zip(strides(&x.shape.dims)) {
        repeated[axis] = stride;
    }
    filled(Shape::new(x.shape.element, dims), x, 0, &repeated)
}

pub fn transpose(x: &Value, order: &[usize]) -> Value {
    let strides = strides(&x.shape.dims);
    let (dims, from): (Vec<_>, Vec<_>) =
        order.iter().map(|&axis| (x.shape.dims[axis], strides[axis])).unzip();
    filled(Shape::new(x.shape.element, dims), x, 0, &from)
}

pub fn slice(x: &Value, starts: &[usize], limits: &[usize]) -> Value {
    let dims: Vec<_> = starts.iter().zip(limits).map(|(start, limit)| limit - start).collect();
    let strides = strides(&x.shape.dims);
    let start = starts.iter().zip(&strides).map(|(at, stride)| at * stride).sum();
    filled(Shape::new(x.shape.element, dims), x, start, &strides)
}

/// The array in the middle of a larger one, which holds the value elsewhere.
pub fn pad(x: &Value, value: &Value, low: &[usize], shape: Shape) -> Value {
    let all = shape.dims.clone();
    let mut result = broadcast(value, &all, &[]);
    put(x, &mut result, low);
    result
}

/// The starts of a window, moved to where it fits.
fn starts(x: &Value, sizes: &[usize], starts: &[Value]) -> Vec<usize> {
    let room = x.shape.dims.iter().zip(sizes).map(|(n, size)| (n - size) as i64);
    starts.iter().zip(room).map(|(start, room)| whole(start)[0].clamp(0, room) as usize).collect()
}

pub fn dynamic_slice(x: &Value, from: &[Value], sizes: &[usize]) -> Value {
    let starts = starts(x, sizes, from);
    let limits: Vec<_> = starts.iter().zip(sizes).map(|(start, size)| start + size).collect();
    slice(x, &starts, &limits)
}

/// The operand with a window replaced, in place where it can be.
pub fn dynamic_update(x: Value, update: &Value, from: &[Value]) -> Value {
    let starts = starts(&x, &update.shape.dims, from);
    let mut result = x.unshared();
    put(update, &mut result, &starts);
    result
}

/// Writes an array into another, which nobody shares, from these coordinates on.
fn put(x: &Value, into: &mut Value, at: &[usize]) {
    let (dims, width, to) = (&x.shape.dims, x.shape.element.bytes(), strides(&into.shape.dims));
    let start = at.iter().zip(&to).map(|(at, stride)| at * stride).sum();
    let (source, target) = (Block { start: 0, strides: &strides(dims) }, Block { start, strides: &to });
    copy(dims, x.bytes(), &source, into.bytes_mut(), &target, width);
}

pub fn concatenate(parts: &[Value], axis: usize, shape: Shape) -> Value {
    let mut result = Value::zeroed(shape);
    let (to, width, mut start) = (strides(&result.shape.dims), result.shape.element.bytes(), 0);
    for part in parts {
        let dims = &part.shape.dims;
        let (source, target) = (Block { start: 0, strides: &strides(dims) }, Block { start, strides: &to });
        copy(dims, part.bytes(), &source, result.bytes_mut(), &target, width);
        start += dims[axis] * to[axis];
    }
    result
}

/// An index that is out of bounds.
pub struct OutOfBounds;

pub fn gather(x: &Value, indices: &Value, dims: &Gather, shape: Shape) -> Result<Value, OutOfBounds> {
    let mut result = Value::zeroed(shape);
    let axes = Axes::of(&x.shape.dims, &dims.slice_sizes, &dims.collapsed_slice_dims);
    let places = places(indices, dims.index_vector_dim, &dims.start_index_map, &x.shape.dims, &axes.room)?;
    let to = strides(&result.shape.dims);
    let window: Vec<_> = dims.offset_dims.iter().map(|&axis| to[axis]).collect();
    let spots = spots(&result.shape.dims, &dims.offset_dims);
    let width = result.shape.element.bytes();
    for (start, spot) in places.into_iter().zip(spots) {
        let (source, target) =
            (Block { start, strides: &axes.strides }, Block { start: spot, strides: &window });
        copy(&axes.dims, x.bytes(), &source, result.bytes_mut(), &target, width);
    }
    Ok(result)
}

/// The operand with slices replaced, in place where it can be. No index is out of bounds, or nothing is written.
pub fn scatter(x: Value, indices: &Value, updates: &Value, dims: &Scatter) -> Result<Value, OutOfBounds> {
    let mut sizes = vec![1; x.shape.dims.len()];
    let kept = (0..sizes.len()).filter(|axis| !dims.inserted_window_dims.contains(axis));
    for (axis, &update) in kept.zip(&dims.update_window_dims) {
        sizes[axis] = updates.shape.dims[update];
    }
    let axes = Axes::of(&x.shape.dims, &sizes, &dims.inserted_window_dims);
    let map = &dims.scatter_dims_to_operand_dims;
    let places = places(indices, dims.index_vector_dim, map, &x.shape.dims, &axes.room)?;
    let from = strides(&updates.shape.dims);
    let window: Vec<_> = dims.update_window_dims.iter().map(|&axis| from[axis]).collect();
    let spots = spots(&updates.shape.dims, &dims.update_window_dims);
    let (width, mut result) = (x.shape.element.bytes(), x.unshared());
    for (start, spot) in places.into_iter().zip(spots) {
        let (source, target) =
            (Block { start: spot, strides: &window }, Block { start, strides: &axes.strides });
        copy(&axes.dims, updates.bytes(), &source, result.bytes_mut(), &target, width);
    }
    Ok(result)
}

/// The axes of a slice that stay, with their strides in the operand, and how far a slice can start along each axis.
struct Axes {
    dims: Vec<usize>,
    strides: Vec<usize>,
    room: Vec<usize>,
}

impl Axes {
    fn of(operand: &[usize], sizes: &[usize], gone: &[usize]) -> Axes {
        let kept = |axis: &usize| !gone.contains(axis);
        let all = strides(operand);
        Axes {
            dims: (0..sizes.len()).filter(kept).map(|axis| sizes[axis]).collect(),
            strides: (0..sizes.len()).filter(kept).map(|axis| all[axis]).collect(),
            room: operand.iter().zip(sizes).map(|(n, size)| n - size).collect(),
        }
    }
}

/// Where each slice starts in the operand.
fn places(
    indices: &Value,
    vector: usize,
    map: &[usize],
    operand: &[usize],
    room: &[usize],
) -> Result<Vec<usize>, OutOfBounds> {
    let (values, dims, strides) = (whole(indices), &indices.shape.dims, strides(operand));
    let step = dims.get(vector + 1..).map_or(1, |behind| behind.iter().product::<usize>());
    let starts = spots(dims, &[vector]);
    let place = |start: usize| {
        map.iter().enumerate().try_fold(0, |place, (coordinate, &axis)| {
            let index = usize::try_from(values[start + coordinate * step]).map_err(|_| OutOfBounds)?;
            if index <= room[axis] { Ok(place + index * strides[axis]) } else { Err(OutOfBounds) }
        })
    };
    starts.into_iter().map(place).collect()
}

/// The places of an array's elements whose coordinates along these axes are zero, in order.
fn spots(dims: &[usize], without: &[usize]) -> Vec<usize> {
    let mut spots = vec![0];
    for (axis, stride) in strides(dims).into_iter().enumerate().filter(|(axis, _)| !without.contains(axis)) {
        spots = spots.iter().flat_map(|spot| (0..dims[axis]).map(move |at| spot + at * stride)).collect();
    }
    spots
}
