//! Arrays as bytes: of their own, or lent by a tensor on the device.

use std::ptr::NonNull;
use std::rc::Rc;

use hlo::Shape;
use tensor::{Buffer, Element};

/// An array. Clones share its bytes.
#[derive(Clone)]
pub struct Value {
    pub shape: Shape,
    data: Rc<Data>,
}

enum Data {
    Owned(Buffer),
    Lent(Lent),
}

/// Bytes of a tensor that a program is given while it runs.
#[derive(Clone, Copy)]
pub struct Lent {
    start: NonNull<u8>,
    len: usize,
    /// Whether a result takes this place, so that the bytes may be changed.
    ours: bool,
}

impl Lent {
    /// Bytes of a tensor.
    ///
    /// # Safety
    /// They must be initialized, and stay for as long as any value made of them; nobody else may write them meanwhile,
    /// nor read them where they are `ours`.
    pub unsafe fn new(start: NonNull<u8>, len: usize, ours: bool) -> Lent {
        Lent { start, len, ours }
    }
}

impl Value {
    /// Zeros.
    pub fn zeroed(shape: Shape) -> Value {
        let bytes = shape.bytes().expect("a decoded module's shapes can be counted");
        Value { shape, data: Rc::new(Data::Owned(Buffer::zeroed(bytes))) }
    }

    /// A copy of these bytes.
    pub fn of_bytes(shape: Shape, bytes: &[u8]) -> Value {
        let mut value = Value::zeroed(shape);
        value.bytes_mut().copy_from_slice(bytes);
        value
    }

    /// A tensor's bytes, which are as many as the shape asks for.
    pub fn lent(shape: Shape, lent: Lent) -> Value {
        assert_eq!(shape.bytes(), Some(lent.len), "a tensor's size was checked before the program started");
        Value { shape, data: Rc::new(Data::Lent(lent)) }
    }

    /// The same bytes under another shape of the same size.
    pub fn reshaped(self, shape: Shape) -> Value {
        Value { shape, data: self.data }
    }

    pub fn bytes(&self) -> &[u8] {
        match &*self.data {
            Data::Owned(buffer) => buffer.as_slice(),
            // SAFETY: `Lent::new` was promised that the bytes are there, and nobody else writes them. We write them
            // only through a value that is not shared, so not while this borrow lasts.
            Data::Lent(lent) => unsafe { std::slice::from_raw_parts(lent.start.as_ptr(), lent.len) },
        }
    }

    /// The bytes as values of `T`, where they lie so that this is possible.
    pub fn view<T: Element>(&self) -> Option<&[T]> {
        // SAFETY: any bytes are values of T, as `Element` promises.
        let (before, middle, after) = unsafe { self.bytes().align_to::<T>() };
        (before.is_empty() && after.is_empty()).then_some(middle)
    }

    /// This value with bytes that may be changed: the same place where nobody shares it and it is ours, else a copy.
    pub fn unshared(mut self) -> Value {
        let in_place = match Rc::get_mut(&mut self.data) {
            Some(Data::Owned(_)) => true,
            Some(Data::Lent(lent)) => lent.ours,
            None => false,
        };
        if in_place { self } else { Value::of_bytes(self.shape.clone(), self.bytes()) }
    }

    /// The bytes of a value that nobody shares.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match Rc::get_mut(&mut self.data).expect("only what is not shared is changed") {
            Data::Owned(buffer) => buffer.as_mut_slice(),
            Data::Lent(lent) => {
                assert!(lent.ours, "only a place that a result takes is changed");
                // SAFETY: as in `bytes`; being unshared and ours, nobody else reads them either.
                unsafe { std::slice::from_raw_parts_mut(lent.start.as_ptr(), lent.len) }
            }
        }
    }

    /// Whether the bytes lie at this place.
    pub fn lies_at(&self, start: NonNull<u8>) -> bool {
        matches!(&*self.data, Data::Lent(lent) if lent.start == start)
    }
}
