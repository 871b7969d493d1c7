//! What an instruction gives: an array of elements, or several.

use std::fmt;

/// The type of an array's elements. The list holds what the compiler is documented to take; no 64-bit type is in it,
/// since the chips have none.
#[allow(missing_docs, reason = "the names are XLA's")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Element {
    Pred,
    S8,
    U8,
    S32,
    U32,
    F16,
    BF16,
    F32,
    /// Four bits of exponent, three of mantissa, with infinities: at most 240.
    F8E4M3,
    /// Four bits of exponent, three of mantissa, without infinities: at most 448.
    F8E4M3FN,
    F8E5M2,
}

impl Element {
    /// Every type.
    pub const ALL: [Element; 11] = [
        Element::Pred,
        Element::S8,
        Element::U8,
        Element::S32,
        Element::U32,
        Element::F16,
        Element::BF16,
        Element::F32,
        Element::F8E4M3,
        Element::F8E4M3FN,
        Element::F8E5M2,
    ];

    /// Name in text, number in `xla_data.proto`, bytes.
    const fn facts(self) -> (&'static str, i32, usize) {
        match self {
            Element::Pred => ("pred", 1, 1),
            Element::S8 => ("s8", 2, 1),
            Element::U8 => ("u8", 6, 1),
            Element::S32 => ("s32", 4, 4),
            Element::U32 => ("u32", 8, 4),
            Element::F16 => ("f16", 10, 2),
            Element::BF16 => ("bf16", 16, 2),
            Element::F32 => ("f32", 11, 4),
            Element::F8E4M3 => ("f8e4m3", 28, 1),
            Element::F8E4M3FN => ("f8e4m3fn", 20, 1),
            Element::F8E5M2 => ("f8e5m2", 19, 1),
        }
    }

    /// The name that HLO text has for it.
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// Its number in `xla_data.proto`.
    pub const fn number(self) -> i32 {
        self.facts().1
    }

    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        self.facts().2
    }

    /// Whether it holds numbers with a fraction.
    pub const fn is_float(self) -> bool {
        !matches!(self, Element::Pred | Element::S8 | Element::U8 | Element::S32 | Element::U32)
    }

    /// The type of a number in `xla_data.proto`.
    pub fn of_number(number: i32) -> Option<Element> {
        Element::ALL.into_iter().find(|element| element.number() == number)
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An array: type of its elements and axes, outermost first.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Shape {
    /// Type of the elements.
    pub element: Element,
    /// Axes, outermost first.
    pub dims: Vec<usize>,
}

impl Shape {
    /// An array of these axes.
    pub fn new(element: Element, dims: impl Into<Vec<usize>>) -> Shape {
        Shape { element, dims: dims.into() }
    }

    /// One element without axes.
    pub fn scalar(element: Element) -> Shape {
        Shape::new(element, [])
    }

    /// The same axes of another type.
    pub fn of(&self, element: Element) -> Shape {
        Shape::new(element, &self.dims[..])
    }

    /// How many elements; `None` where that overflows.
    pub fn elements(&self) -> Option<usize> {
        self.dims.iter().try_fold(1usize, |product, &n| product.checked_mul(n))
    }

    /// How many bytes; `None` where that overflows.
    pub fn bytes(&self) -> Option<usize> {
        self.elements()?.checked_mul(self.element.bytes())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.element, commas(&self.dims))
    }
}

/// What an instruction gives. Tuples are not nested.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// One array.
    Array(Shape),
    /// Several.
    Tuple(Vec<Shape>),
}

impl Type {
    /// The array, where it is one.
    pub fn array(&self) -> Option<&Shape> {
        match self {
            Type::Array(shape) => Some(shape),
            Type::Tuple(_) => None,
        }
    }

    /// The arrays, be it one or several.
    pub fn arrays(&self) -> &[Shape] {
        match self {
            Type::Array(shape) => std::slice::from_ref(shape),
            Type::Tuple(shapes) => shapes,
        }
    }
}

impl From<Shape> for Type {
    fn from(shape: Shape) -> Type {
        Type::Array(shape)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Array(shape) => write!(f, "{shape}"),
            Type::Tuple(shapes) => write!(f, "({})", commas(shapes)),
        }
    }
}

/// Values with commas between, as HLO text writes lists.
pub(crate) fn commas<T: fmt::Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}
