//! The closed list of instructions: what our modules are made of, and no more.

use crate::{ComputationId, Element, Literal, Shape, Type};

/// One instruction's operation. Operands are instructions before it in its computation; what is fixed when the module
/// is built stands here. Shapes of operands of one element-wise instruction are equal: broadcasts are instructions.
#[derive(Clone, PartialEq, Debug)]
pub enum Op {
    /// The computation's argument of this number.
    Parameter(usize),
    /// A known array.
    Constant(Literal),
    /// One argument, element by element.
    Unary(Unary),
    /// Two arguments of one shape, element by element.
    Binary(Binary),
    /// Two arguments of one shape, giving `pred`.
    Compare(Compare),
    /// `(pred, a, b)`: `a` where true, else `b`.
    Select,
    /// The same values in another type: to the nearest, ties to even; towards zero for whole numbers.
    Convert(Element),
    /// The same bits as another type of the same width.
    Bitcast(Element),
    /// `0, 1, 2, ...` along one axis of this shape, repeated along the others.
    Iota {
        /// The result.
        shape: Shape,
        /// The axis that counts.
        dimension: usize,
    },
    /// The same elements under other axes.
    Reshape(Vec<usize>),
    /// Axis `i` of the operand becomes axis `dimensions[i]` of the result; along all others it is repeated.
    Broadcast {
        /// Axes of the result.
        dims: Vec<usize>,
        /// Where the operand's axes go, in rising order.
        dimensions: Vec<usize>,
    },
    /// Axis `i` of the result is axis `order[i]` of the operand.
    Transpose(Vec<usize>),
    /// Elements `starts[i]..limits[i]` of each axis.
    Slice {
        /// First element kept, per axis.
        starts: Vec<usize>,
        /// Element behind the last one kept, per axis.
        limits: Vec<usize>,
    },
    /// `(operand, value)`: so many of the value before and behind the elements of each axis.
    Pad {
        /// How many in front, per axis.
        low: Vec<usize>,
        /// How many behind, per axis.
        high: Vec<usize>,
    },
    /// `(operand, starts..)`: elements of these many along each axis, from where whole numbers without axes say. A start
    /// from which it would not fit is moved to where it just does.
    DynamicSlice(Vec<usize>),
    /// `(operand, update, starts..)`: the operand with the update in the place of as many elements, found as above.
    DynamicUpdateSlice,
    /// The operands one behind another along this axis.
    Concatenate(usize),
    /// `(operand, indices)`: slices of the operand, one per index.
    Gather(Gather),
    /// `(operand, indices, updates)`: the operand with slices replaced. The computation takes the old element and the
    /// new one; ours gives the new one.
    Scatter(Scatter),
    /// `(operand, initial)`: these axes folded by the computation, starting from the initial value.
    Reduce {
        /// Axes that go.
        dimensions: Vec<usize>,
        /// Takes two elements and gives one.
        computation: ComputationId,
    },
    /// The product of two arrays, summed over the contracted axes. The result has the batch axes, then the rest of the
    /// left, then the rest of the right.
    Dot(Dot),
    /// The operands ordered together along one axis, equals in the order they had. The computation takes two elements
    /// of each operand and says whether the first of each comes first.
    Sort {
        /// The axis.
        dimension: usize,
        /// Says what comes first.
        computation: ComputationId,
    },
    /// The body applied to its operand, and to what it gives, as long as the condition says so.
    While {
        /// Takes what the body takes and gives one `pred`.
        condition: ComputationId,
        /// Gives what it takes.
        body: ComputationId,
    },
    /// Something the compiler knows by name.
    CustomCall {
        /// The name.
        target: String,
        /// What the target wants to know.
        config: String,
        /// What it gives.
        ty: Type,
    },
    /// The operands of all ranks of a group folded by the computation; every rank gets the result.
    AllReduce {
        /// Ranks that belong together.
        groups: Vec<Vec<usize>>,
        /// Takes two elements and gives one.
        computation: ComputationId,
    },
    /// The operands of all ranks of a group one behind another; every rank gets the result.
    AllGather {
        /// The axis that grows.
        dimension: usize,
        /// Ranks that belong together.
        groups: Vec<Vec<usize>>,
    },
    /// All operands as one.
    Tuple,
    /// One of several results.
    GetTupleElement(usize),
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[allow(missing_docs, reason = "the names are XLA's")]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name {
            $($variant,)*
        }

        impl $name {
            /// Every one.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// XLA's word for it.
            pub const fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }

            pub(crate) fn of_word(word: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|op| op.word() == word)
            }
        }
    };
}

words! {
    /// Element by element, one argument.
    Unary {
        Copy = "copy",
        Negate = "negate",
        Exponential = "exponential",
        Log = "log",
        Sqrt = "sqrt",
        Sine = "sine",
        Cosine = "cosine",
        Tanh = "tanh",
        Floor = "floor",
    }
}

words! {
    /// Element by element, two arguments. Whole numbers divide towards zero.
    Binary {
        Add = "add",
        Subtract = "subtract",
        Multiply = "multiply",
        Divide = "divide",
        Maximum = "maximum",
        Minimum = "minimum",
        And = "and",
    }
}

words! {
    /// Comparisons.
    Compare {
        Eq = "EQ",
        Ne = "NE",
        Lt = "LT",
        Le = "LE",
        Gt = "GT",
        Ge = "GE",
    }
}

/// How slices are found and where their axes go. The last axis of the indices holds the coordinates of one slice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gather {
    /// Axes of the result that are axes of the slice; the others are axes of the indices.
    pub offset_dims: Vec<usize>,
    /// Axes of the operand, of slices of size one, that the result lacks.
    pub collapsed_slice_dims: Vec<usize>,
    /// The operand's axis of each coordinate.
    pub start_index_map: Vec<usize>,
    /// The axis of the indices that holds coordinates; as many as there are axes where each index is one coordinate.
    pub index_vector_dim: usize,
    /// Axes of a slice.
    pub slice_sizes: Vec<usize>,
}

/// Where updates go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scatter {
    /// Axes of the updates that are axes of a slice.
    pub update_window_dims: Vec<usize>,
    /// Axes of the operand, of slices of size one, that the updates lack.
    pub inserted_window_dims: Vec<usize>,
    /// The operand's axis of each coordinate.
    pub scatter_dims_to_operand_dims: Vec<usize>,
    /// As for [`Gather`].
    pub index_vector_dim: usize,
    /// Takes the old element and the new one.
    pub computation: ComputationId,
}

/// Which axes of a product go together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dot {
    /// Axes of the left that are summed over,
    pub lhs_contracting: Vec<usize>,
    /// and of the right.
    pub rhs_contracting: Vec<usize>,
    /// Axes of the left that stay, one for one with those of the right,
    pub lhs_batch: Vec<usize>,
    /// and of the right.
    pub rhs_batch: Vec<usize>,
    /// Type of the result, in which it is summed.
    pub element: Element,
}

impl Op {
    /// XLA's word for the operation.
    pub fn opcode(&self) -> &'static str {
        match self {
            Op::Parameter(_) => "parameter",
            Op::Constant(_) => "constant",
            Op::Unary(op) => op.word(),
            Op::Binary(op) => op.word(),
            Op::Compare(_) => "compare",
            Op::Select => "select",
            Op::Convert(_) => "convert",
            Op::Bitcast(_) => "bitcast-convert",
            Op::Iota { .. } => "iota",
            Op::Reshape(_) => "reshape",
            Op::Broadcast { .. } => "broadcast",
            Op::Transpose(_) => "transpose",
            Op::Slice { .. } => "slice",
            Op::Pad { .. } => "pad",
            Op::DynamicSlice(_) => "dynamic-slice",
            Op::DynamicUpdateSlice => "dynamic-update-slice",
            Op::Concatenate(_) => "concatenate",
            Op::Gather(_) => "gather",
            Op::Scatter(_) => "scatter",
            Op::Reduce { .. } => "reduce",
            Op::Dot(_) => "dot",
            Op::Sort { .. } => "sort",
            Op::While { .. } => "while",
            Op::CustomCall { .. } => "custom-call",
            Op::AllReduce { .. } => "all-reduce",
            Op::AllGather { .. } => "all-gather",
            Op::Tuple => "tuple",
            Op::GetTupleElement(_) => "get-tuple-element",
        }
    }

    /// The computation that it applies to elements, where it applies one.
    pub fn computation(&self) -> Option<ComputationId> {
        match self {
            Op::Scatter(Scatter { computation, .. })
            | Op::Reduce { computation, .. }
            | Op::Sort { computation, .. }
            | Op::AllReduce { computation, .. } => Some(*computation),
            _ => None,
        }
    }
}
