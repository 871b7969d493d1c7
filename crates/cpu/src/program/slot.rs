//! Where a kernel finds a value, worked out before it runs.

use graph::{Place, Plan, ValueId};
use tensor::{DType, Shape};

use crate::hazards::{Access, Region, Split};

/// A value of a plan as kernels see it: rows of its leading axis.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Where it is.
    pub place: Place,
    /// Type of its elements.
    pub dtype: DType,
    /// Its axes; none of a state, which knows its own.
    pub shape: Shape,
}

impl Slot {
    /// The slot of a value of a bound plan.
    pub fn of(plan: &Plan, value: ValueId) -> Slot {
        let (ty, place) = (plan.ty(value), plan.place(value));
        Slot { place, dtype: ty.dtype, shape: ty.dims.shape().unwrap_or(Shape::from([])) }
    }

    /// Elements of the leading axis; 1 where there is no axis.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Elements of one row.
    pub fn row(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Elements of the innermost axis.
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// How a kernel that splits by rows reads it.
    pub fn read_by_rows(&self) -> Option<Access> {
        self.access(Split::Rows(self.rows()), false)
    }

    /// How a kernel reads it that splits in a way of its own.
    pub fn read(&self) -> Option<Access> {
        self.access(Split::Other, false)
    }

    /// How a kernel that splits by rows writes it.
    pub fn written_by_rows(&self) -> Option<Access> {
        self.access(Split::Rows(self.rows()), true)
    }

    /// How a kernel writes it that splits in a way of its own.
    pub fn written(&self) -> Option<Access> {
        self.access(Split::Other, true)
    }

    /// Inputs, weights and constants change in no step.
    fn access(&self, split: Split, writes: bool) -> Option<Access> {
        let region = match self.place {
            Place::Arena { offset } => {
                let bytes = self.dtype.bytes_of(self.len()).unwrap_or(0);
                Region::Work(offset..offset + bytes)
            }
            Place::State(state) => Region::State(state),
            _ => return None,
        };
        Some(Access { region, split, writes })
    }
}
