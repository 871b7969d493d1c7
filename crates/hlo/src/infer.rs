//! What an instruction gives for operands of these types, and why it cannot take them.

use crate::{Binary, Computation, ComputationId, Dot, Element, Gather, Op, Scatter, Shape, Type, Unary};

/// A reason, or a type.
type Inferred = Result<Type, String>;

/// The type of a result. `computations` are those that may be called.
pub(crate) fn infer(op: &Op, operands: &[&Type], computations: &[Computation]) -> Inferred {
    match op {
        Op::Parameter(_) => Err("a parameter's type is given and not inferred".to_owned()),
        Op::CustomCall { ty, .. } => Ok(ty.clone()),
        Op::Tuple => {
            let of_arrays = operands.iter().all(|ty| ty.array().is_some());
            want(of_arrays, "joins arrays only")?;
            Ok(Type::Tuple(operands.iter().flat_map(|ty| ty.arrays()).cloned().collect()))
        }
        Op::GetTupleElement(place) => match operands {
            [Type::Tuple(shapes)] => {
                shapes.get(*place).cloned().map(Type::Array).ok_or("takes a part that there is".to_owned())
            }
            _ => Err("takes a tuple".to_owned()),
        },
        Op::While { condition, body } => {
            let [ty] = operands else { return Err("takes one operand, which may be a tuple".to_owned()) };
            let of = |id: &ComputationId| computations.get(id.0).ok_or("applies computations that there are");
            let (condition, body) = (of(condition)?, of(body)?);
            let fits = condition.parameters() == [*ty] && body.parameters() == [*ty];
            want(fits && body.result() == *ty, "has a body that gives what it takes")?;
            want(
                *condition.result() == Type::Array(Shape::scalar(Element::Pred)),
                "has a condition that gives one pred",
            )?;
            Ok((*ty).clone())
        }
        Op::Sort { dimension, .. } => {
            let shapes = arrays(operands)?;
            let first = shapes.first().ok_or("orders at least one array")?;
            let alike = shapes.iter().all(|shape| shape.dims == first.dims);
            want(
                alike && *dimension < first.dims.len(),
                "orders arrays of one shape along an axis they have",
            )?;
            let elements = shapes.iter().flat_map(|shape| [shape.element; 2]).collect::<Vec<_>>();
            called(op, computations, &elements, Element::Pred)?;
            Ok(match shapes[..] {
                [one] => one.clone().into(),
                _ => Type::Tuple(shapes.into_iter().cloned().collect()),
            })
        }
        _ => array(op, &arrays(operands)?, computations).map(Type::Array),
    }
}

fn array(op: &Op, operands: &[&Shape], computations: &[Computation]) -> Result<Shape, String> {
    match op {
        Op::Constant(literal) => {
            let [] = take(operands)?;
            Ok(literal.shape.clone())
        }
        Op::Iota { shape, dimension } => {
            let [] = take(operands)?;
            want(*dimension < shape.dims.len(), "counts along an axis it has")?;
            want(shape.element != Element::Pred, "counts in numbers")?;
            Ok(shape.clone())
        }
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Convert(_) | Op::Bitcast(_) => {
            elementwise(op, operands)
        }
        Op::Reshape(_) | Op::Broadcast { .. } | Op::Transpose(_) | Op::Slice { .. } | Op::Concatenate(_) => {
            layout(op, operands)
        }
        Op::Pad { low, high } => pad(low, high, operands),
        Op::DynamicSlice(sizes) => {
            let [x, starts @ ..] = operands else { return Err("takes what it cuts".to_owned()) };
            window(x, sizes, starts)?;
            Ok(Shape::new(x.element, &sizes[..]))
        }
        Op::DynamicUpdateSlice => {
            let [x, update, starts @ ..] = operands else { return Err("takes an update".to_owned()) };
            want(x.element == update.element, "takes an update of the operand's type")?;
            window(x, &update.dims, starts)?;
            Ok((*x).clone())
        }
        Op::Gather(dims) => gather(dims, operands),
        Op::Scatter(dims) => {
            let shape = scatter(dims, operands)?;
            called(op, computations, &[shape.element; 2], shape.element)?;
            Ok(shape)
        }
        Op::Reduce { dimensions, .. } => {
            let [x, initial] = take(operands)?;
            want(*initial == Shape::scalar(x.element), "starts from one element of the operand's type")?;
            want(all_below(dimensions, x.dims.len()), "folds axes that the operand has, each once")?;
            called(op, computations, &[x.element; 2], x.element)?;
            Ok(Shape::new(x.element, without(&x.dims, dimensions)))
        }
        Op::Dot(dims) => dot(dims, operands),
        Op::AllReduce { groups, .. } => {
            let [x] = take(operands)?;
            group_len(groups)?;
            called(op, computations, &[x.element; 2], x.element)?;
            Ok(x.clone())
        }
        Op::AllGather { dimension, groups } => {
            let [x] = take(operands)?;
            let mut shape = x.clone();
            let axis = shape.dims.get_mut(*dimension).ok_or("grows along an axis that the operand has")?;
            *axis = axis.checked_mul(group_len(groups)?).ok_or("grows beyond all bounds")?;
            Ok(shape)
        }
        _ => Err("gives no single array".to_owned()),
    }
}

fn elementwise(op: &Op, operands: &[&Shape]) -> Result<Shape, String> {
    match op {
        Op::Unary(unary) => {
            let [x] = take(operands)?;
            let fits = match unary {
                Unary::Copy => true,
                Unary::Negate => x.element != Element::Pred,
                _ => x.element.is_float(),
            };
            want(fits, "takes numbers, and but for copies and signs those with a fraction")?;
            Ok(x.clone())
        }
        Op::Binary(binary) => {
            let [a, b] = take(operands)?;
            let fits = match binary {
                Binary::And => !a.element.is_float(),
                _ => a.element != Element::Pred,
            };
            want(a == b && fits, "takes two operands of one type")?;
            Ok(a.clone())
        }
        Op::Compare(_) => {
            let [a, b] = take(operands)?;
            want(a == b, "compares two operands of one type")?;
            Ok(a.of(Element::Pred))
        }
        Op::Select => {
            let [which, a, b] = take(operands)?;
            want(
                which.element == Element::Pred && which.dims == a.dims && a == b,
                "takes pred and two of one type",
            )?;
            Ok(a.clone())
        }
        Op::Convert(element) => {
            let [x] = take(operands)?;
            Ok(x.of(*element))
        }
        Op::Bitcast(element) => {
            let [x] = take(operands)?;
            want(x.element.bytes() == element.bytes(), "keeps the width of elements")?;
            want(![x.element, *element].contains(&Element::Pred), "takes numbers")?;
            Ok(x.of(*element))
        }
        _ => Err("does not go element by element".to_owned()),
    }
}

fn layout(op: &Op, operands: &[&Shape]) -> Result<Shape, String> {
    match op {
        Op::Reshape(dims) => {
            let [x] = take(operands)?;
            let shape = Shape::new(x.element, &dims[..]);
            want(x.elements().is_some() && x.elements() == shape.elements(), "keeps the number of elements")?;
            Ok(shape)
        }
        Op::Broadcast { dims, dimensions } => {
            let [x] = take(operands)?;
            let rising = dimensions.windows(2).all(|pair| pair[0] < pair[1]);
            want(rising && all_below(dimensions, dims.len()), "places axes in rising order")?;
            let kept = dimensions.iter().map(|&axis| dims[axis]).collect::<Vec<_>>();
            want(kept == x.dims, "keeps the length of the operand's axes")?;
            Ok(Shape::new(x.element, &dims[..]))
        }
        Op::Transpose(order) => {
            let [x] = take(operands)?;
            want(order.len() == x.dims.len() && all_below(order, x.dims.len()), "names each axis once")?;
            Ok(Shape::new(x.element, order.iter().map(|&axis| x.dims[axis]).collect::<Vec<_>>()))
        }
        Op::Slice { starts, limits } => {
            let [x] = take(operands)?;
            want(starts.len() == x.dims.len() && limits.len() == x.dims.len(), "cuts every axis")?;
            let within = starts.iter().zip(limits).zip(&x.dims).all(|((s, l), n)| s <= l && l <= n);
            want(within, "stays within the operand")?;
            Ok(Shape::new(x.element, starts.iter().zip(limits).map(|(s, l)| l - s).collect::<Vec<_>>()))
        }
        Op::Concatenate(axis) => {
            let first = operands.first().ok_or("joins at least one array")?;
            want(*axis < first.dims.len(), "joins along an axis that the operands have")?;
            let alike = |x: &Shape| {
                x.element == first.element && without(&x.dims, &[*axis]) == without(&first.dims, &[*axis])
            };
            want(
                operands.iter().all(|x| x.dims.len() == first.dims.len() && alike(x)),
                "joins arrays that are alike",
            )?;
            let mut shape = (*first).clone();
            let sum = operands.iter().try_fold(0usize, |sum, x| sum.checked_add(x.dims[*axis]));
            shape.dims[*axis] = sum.ok_or("grows beyond all bounds")?;
            Ok(shape)
        }
        _ => Err("is no instruction on layout".to_owned()),
    }
}

fn pad(low: &[usize], high: &[usize], operands: &[&Shape]) -> Result<Shape, String> {
    let [x, value] = take(operands)?;
    want(*value == Shape::scalar(x.element), "fills with one element of the operand's type")?;
    want(low.len() == x.dims.len() && high.len() == x.dims.len(), "widens every axis")?;
    let widened = low.iter().zip(high).zip(&x.dims);
    let widened = widened.map(|((low, high), n)| n.checked_add(*low)?.checked_add(*high));
    let dims = widened.collect::<Option<Vec<_>>>().ok_or("grows beyond all bounds")?;
    Ok(Shape::new(x.element, dims))
}

/// Holds a window that is found while the program runs to the array that it lies in.
fn window(x: &Shape, sizes: &[usize], starts: &[&Shape]) -> Result<(), String> {
    let fits = sizes.len() == x.dims.len() && sizes.iter().zip(&x.dims).all(|(size, n)| size <= n);
    want(fits, "takes a window that fits the operand")?;
    let whole = |start: &&Shape| **start == Shape::scalar(Element::S32);
    want(starts.len() == sizes.len() && starts.iter().all(whole), "starts at one s32 for each axis")
}

fn gather(dims: &Gather, operands: &[&Shape]) -> Result<Shape, String> {
    let [x, indices] = take(operands)?;
    let rank = x.dims.len();
    want(dims.slice_sizes.len() == rank, "cuts slices of as many axes as the operand has")?;
    want(
        dims.slice_sizes.iter().zip(&x.dims).all(|(size, n)| size <= n),
        "cuts slices that fit the operand",
    )?;
    want(all_below(&dims.collapsed_slice_dims, rank), "collapses axes that the operand has")?;
    want(
        dims.collapsed_slice_dims.iter().all(|&axis| dims.slice_sizes[axis] == 1),
        "collapses axes of size one",
    )?;
    let batch = batch_dims(indices, dims.index_vector_dim, &dims.start_index_map, rank)?;
    let slice = without(&dims.slice_sizes, &dims.collapsed_slice_dims);
    let result_rank = batch.len() + slice.len();
    want(
        dims.offset_dims.len() == slice.len() && all_below(&dims.offset_dims, result_rank),
        "gives every axis of a slice a place",
    )?;
    let (mut batch, mut slice) = (batch.into_iter(), slice.into_iter());
    let axis = |axis| if dims.offset_dims.contains(&axis) { slice.next() } else { batch.next() };
    let axes = (0..result_rank).map_while(axis).collect::<Vec<_>>();
    Ok(Shape::new(x.element, axes))
}

fn scatter(dims: &Scatter, operands: &[&Shape]) -> Result<Shape, String> {
    let [x, indices, updates] = take(operands)?;
    let rank = x.dims.len();
    want(updates.element == x.element, "takes updates of the operand's type")?;
    want(all_below(&dims.inserted_window_dims, rank), "inserts axes that the operand has")?;
    let batch = batch_dims(indices, dims.index_vector_dim, &dims.scatter_dims_to_operand_dims, rank)?;
    want(all_below(&dims.update_window_dims, updates.dims.len()), "names axes that the updates have")?;
    want(
        without(&updates.dims, &dims.update_window_dims) == batch,
        "takes as many updates as there are indices",
    )?;
    let window = dims.update_window_dims.iter().map(|&axis| updates.dims[axis]);
    let room = without(&x.dims, &dims.inserted_window_dims);
    want(
        window.len() == room.len() && window.zip(room).all(|(n, room)| n <= room),
        "takes updates that fit",
    )?;
    Ok(x.clone())
}

/// The axes of the indices but the one that holds coordinates.
fn batch_dims(indices: &Shape, vector: usize, map: &[usize], rank: usize) -> Result<Vec<usize>, String> {
    let whole = matches!(indices.element, Element::S32 | Element::U32);
    want(whole && vector <= indices.dims.len(), "takes indices in s32 or u32")?;
    let coordinates = indices.dims.get(vector).copied().unwrap_or(1);
    want(map.len() == coordinates && all_below(map, rank), "has an axis for each coordinate")?;
    Ok(without(&indices.dims, &[vector]))
}

fn dot(dims: &Dot, operands: &[&Shape]) -> Result<Shape, String> {
    let [a, b] = take(operands)?;
    let named = |x: &Shape, batch: &[usize], contracting: &[usize]| {
        let all = [batch, contracting].concat();
        (all_below(&all, x.dims.len())).then(|| all.iter().map(|&axis| x.dims[axis]).collect::<Vec<_>>())
    };
    let left = named(a, &dims.lhs_batch, &dims.lhs_contracting).ok_or("names axes of the left, each once")?;
    let right =
        named(b, &dims.rhs_batch, &dims.rhs_contracting).ok_or("names axes of the right, each once")?;
    want(left == right && dims.lhs_batch.len() == dims.rhs_batch.len(), "pairs axes of one length")?;
    want(a.element == b.element, "multiplies two operands of one type")?;
    let rest_a = without(&a.dims, &[&dims.lhs_batch[..], &dims.lhs_contracting].concat());
    let rest_b = without(&b.dims, &[&dims.rhs_batch[..], &dims.rhs_contracting].concat());
    Ok(Shape::new(dims.element, [&left[..dims.lhs_batch.len()], &rest_a, &rest_b].concat()))
}

/// Holds the computation that an instruction applies to what the instruction gives it.
fn called(
    op: &Op,
    computations: &[Computation],
    elements: &[Element],
    result: Element,
) -> Result<(), String> {
    let id = op.computation().ok_or("applies no computation")?;
    let computation = computations.get(id.0).ok_or("applies a computation that there is")?;
    let scalars = elements.iter().map(|&element| Type::Array(Shape::scalar(element))).collect::<Vec<_>>();
    let takes = computation.parameters().into_iter().eq(&scalars);
    want(
        takes && *computation.result() == Type::Array(Shape::scalar(result)),
        "applies a computation that takes single elements of its operands and gives one",
    )
}

fn group_len(groups: &[Vec<usize>]) -> Result<usize, String> {
    let len = groups.first().map(Vec::len).filter(|&len| len > 0).ok_or("is done by at least one group")?;
    want(groups.iter().all(|group| group.len() == len), "is done by groups of one size")?;
    Ok(len)
}

fn arrays<'a>(operands: &[&'a Type]) -> Result<Vec<&'a Shape>, String> {
    operands.iter().map(|ty| ty.array().ok_or("takes arrays, not tuples".to_owned())).collect()
}

fn take<'a, const N: usize>(operands: &[&'a Shape]) -> Result<[&'a Shape; N], String> {
    operands.try_into().map_err(|_| format!("takes {N} operands"))
}

fn want(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Whether the axes are all below `rank` and each is there once.
fn all_below(axes: &[usize], rank: usize) -> bool {
    axes.iter().all(|axis| *axis < rank) && (1..axes.len()).all(|i| !axes[..i].contains(&axes[i]))
}

/// The axes but the ones named.
fn without(dims: &[usize], named: &[usize]) -> Vec<usize> {
    let kept = dims.iter().enumerate().filter(|(axis, _)| !named.contains(axis));
    kept.map(|(_, &n)| n).collect()
}
