//! Walking tensors under a shape that need not be theirs.

use tensor::{MAX_AXES, Shape};

/// Elements from one index of an axis to the next.
pub type Strides = [usize; MAX_AXES];

/// Strides of a tensor that is walked under its own shape.
pub fn contiguous(shape: &Shape) -> Strides {
    let mut strides = [0; MAX_AXES];
    let mut step = 1;
    for axis in (0..shape.len()).rev() {
        strides[axis] = step;
        step *= shape[axis];
    }
    strides
}

/// Strides of a tensor that is walked under a larger shape: 0 along axes that it repeats, of size one or missing in
/// front.
pub fn repeated(from: &Shape, under: &Shape) -> Strides {
    let own = contiguous(from);
    let missing = under.len() - from.len();
    let mut strides = [0; MAX_AXES];
    for axis in 0..from.len() {
        strides[missing + axis] = if from[axis] == 1 { 0 } else { own[axis] };
    }
    strides
}

/// Calls `f` for every index of the shape, in order, with the place of its element in each of `N` tensors.
pub fn walk<const N: usize>(shape: &Shape, strides: [Strides; N], mut f: impl FnMut([usize; N])) {
    let mut index = [0; MAX_AXES];
    let mut places = [0; N];
    for _ in 0..shape.iter().product() {
        f(places);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            let is_inside = index[axis] < shape[axis];
            for (place, strides) in places.iter_mut().zip(&strides) {
                // Back to the axis' start where it is done.
                *place = if is_inside {
                    *place + strides[axis]
                } else {
                    *place - strides[axis] * (shape[axis] - 1)
                };
            }
            if is_inside {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// The product of the axes before an axis, and of those behind it.
pub fn around(shape: &Shape, axis: usize) -> (usize, usize) {
    (shape[..axis].iter().product(), shape[axis + 1..].iter().product())
}
