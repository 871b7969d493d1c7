//! Writing a module: instructions one after another, each typed as it is written.

use std::collections::HashMap;

use crate::infer::infer;
use crate::{
    Alias, Binary, Compare, Computation, ComputationId, Dot, Element, Gather, Id, Instruction, Literal,
    Module, Op, Scatter, Shape, Type, Unary,
};

/// A module being written. Mistakes are the programmer's: they panic with a sentence that names the path.
#[derive(Default)]
pub struct Builder {
    computations: Vec<Computation>,
    body: Vec<Instruction>,
    inputs: Vec<String>,
    path: String,
}

impl Builder {
    /// An empty module.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// What instructions from here on are made of.
    pub fn at(&mut self, path: &str) {
        if self.path != path {
            path.clone_into(&mut self.path);
        }
    }

    /// The type of an instruction of the computation being written.
    pub fn ty(&self, id: Id) -> &Type {
        &self.body[id.0].ty
    }

    /// The shape of an instruction that gives one array.
    ///
    /// # Panics
    /// Where it gives several.
    pub fn shape(&self, id: Id) -> &Shape {
        self.ty(id).array().expect("an array and not a tuple is asked for its shape")
    }

    /// The axes of an instruction that gives one array.
    pub fn dims(&self, id: Id) -> &[usize] {
        &self.shape(id).dims
    }

    /// The type of the elements of an instruction that gives one array.
    pub fn element(&self, id: Id) -> Element {
        self.shape(id).element
    }

    /// Another argument of the module, bound under this name when it runs.
    pub fn input(&mut self, name: &str, shape: Shape) -> Id {
        assert!(!self.inputs.iter().any(|known| known == name), "two inputs are named {name}");
        self.inputs.push(name.to_owned());
        self.parameter(self.inputs.len() - 1, shape)
    }

    fn parameter(&mut self, number: usize, shape: Shape) -> Id {
        self.add(Op::Parameter(number), vec![], shape.into())
    }

    /// An instruction.
    pub fn push(&mut self, op: Op, operands: &[Id]) -> Id {
        let types = operands.iter().map(|id| self.ty(*id)).collect::<Vec<_>>();
        let ty = infer(&op, &types, &self.computations).unwrap_or_else(|reason| {
            let given = types.iter().map(|ty| ty.to_string()).collect::<Vec<_>>().join(", ");
            panic!("{} in `{}` {reason}; it was given ({given})", op.opcode(), self.path)
        });
        self.add(op, operands.to_vec(), ty)
    }

    fn add(&mut self, op: Op, operands: Vec<Id>, ty: Type) -> Id {
        self.body.push(Instruction { op, operands, ty, path: self.path.clone() });
        Id(self.body.len() - 1)
    }

    /// A computation over single elements, written by `build` from its parameters where there is none of that name yet.
    pub fn computation(
        &mut self,
        name: &str,
        parameters: &[Element],
        build: impl FnOnce(&mut Builder, &[Id]) -> Id,
    ) -> ComputationId {
        if let Some(known) = self.computations.iter().position(|known| known.name == name) {
            return ComputationId(known);
        }
        let scalars = parameters.iter().map(|&element| Shape::scalar(element).into()).collect();
        self.compute(name, scalars, build)
    }

    fn compute(
        &mut self,
        name: &str,
        parameters: Vec<Type>,
        build: impl FnOnce(&mut Builder, &[Id]) -> Id,
    ) -> ComputationId {
        let path = std::mem::take(&mut self.path);
        let outer = std::mem::take(&mut self.body);
        let number = |(number, ty)| self.add(Op::Parameter(number), vec![], ty);
        let ids = parameters.into_iter().enumerate().map(number).collect::<Vec<_>>();
        let root = build(self, &ids);
        let instructions = std::mem::replace(&mut self.body, outer);
        self.path = path;
        self.computations.push(Computation { name: name.to_owned(), instructions, root });
        ComputationId(self.computations.len() - 1)
    }

    /// A loop over some values: `body` makes the next ones as long as `condition` gives true for those there are. What
    /// they give is written when this is called, not when the loop runs.
    pub fn repeat(
        &mut self,
        name: &str,
        first: &[Id],
        condition: impl FnOnce(&mut Builder, &[Id]) -> Id,
        body: impl FnOnce(&mut Builder, &[Id]) -> Vec<Id>,
    ) -> Vec<Id> {
        let tuple = self.push(Op::Tuple, first);
        let (ty, count, unique) = (self.ty(tuple).clone(), first.len(), self.computations.len());
        let parts =
            |b: &mut Builder, tuple: Id| (0..count).map(|place| b.part(tuple, place)).collect::<Vec<_>>();
        let condition = self.compute(&format!("{name}_condition_{unique}"), vec![ty.clone()], |b, tuple| {
            let parts = parts(b, tuple[0]);
            condition(b, &parts)
        });
        let body = self.compute(&format!("{name}_body_{unique}"), vec![ty], |b, tuple| {
            let parts = parts(b, tuple[0]);
            let next = body(b, &parts);
            b.push(Op::Tuple, &next)
        });
        let last = self.push(Op::While { condition, body }, &[tuple]);
        parts(self, last)
    }

    /// The computation that applies one operation to two elements.
    pub fn fold(&mut self, op: Binary, element: Element) -> ComputationId {
        let name = format!("{}_{element}", op.word());
        self.computation(&name, &[element; 2], |b, ab| b.binary(op, ab[0], ab[1]))
    }

    /// The module whose results these are, each with its name; what no result needs is left out, inputs too. `aliases`
    /// are the results that take an input's place, by the names of both.
    pub fn finish(mut self, name: &str, outputs: &[(&str, Id)], aliases: &[(&str, &str)]) -> Module {
        assert!(!outputs.is_empty(), "a module gives at least one result");
        self.at("");
        // The compiler wants a result that is an argument as it came, and a single result, behind a copy.
        let single = outputs.len() == 1;
        let copied = |b: &mut Builder, id: Id| {
            let bare = matches!(b.body[id.0].op, Op::Parameter(_));
            if bare || single { b.unary(Unary::Copy, id) } else { id }
        };
        let ids = outputs.iter().map(|(_, id)| copied(&mut self, *id)).collect::<Vec<_>>();
        let root = if single { ids[0] } else { self.push(Op::Tuple, &ids) };
        let root = self.prune(root);
        let outputs = outputs.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
        let place = |names: &[String], name: &str| {
            let place = names.iter().position(|known| known == name);
            place.unwrap_or_else(|| panic!("there is no {name} to alias"))
        };
        let alias = |(output, input): &(&str, &str)| Alias {
            output: place(&outputs, output),
            input: place(&self.inputs, input),
        };
        let aliases = aliases.iter().map(alias).collect();
        let entry = Computation { name: "main".to_owned(), instructions: self.body, root };
        self.computations.push(entry);
        Module {
            name: name.to_owned(),
            computations: self.computations,
            inputs: self.inputs,
            outputs,
            aliases,
        }
    }

    /// Leaves out what the root does not need, and numbers what is left anew.
    fn prune(&mut self, root: Id) -> Id {
        let mut needed = vec![false; self.body.len()];
        needed[root.0] = true;
        for (place, instruction) in self.body.iter().enumerate().rev() {
            if needed[place] {
                instruction.operands.iter().for_each(|operand| needed[operand.0] = true);
            }
        }
        let (mut places, mut inputs) = (HashMap::new(), vec![]);
        for (place, mut instruction) in std::mem::take(&mut self.body).into_iter().enumerate() {
            if !needed[place] {
                continue;
            }
            if let Op::Parameter(number) = &mut instruction.op {
                inputs.push(std::mem::take(&mut self.inputs[*number]));
                *number = inputs.len() - 1;
            }
            instruction.operands.iter_mut().for_each(|operand| *operand = places[operand]);
            places.insert(Id(place), Id(self.body.len()));
            self.body.push(instruction);
        }
        self.inputs = inputs;
        places[&root]
    }
}

/// Instructions by name.
#[allow(missing_docs, reason = "each is documented at the variant of `Op` that it pushes")]
impl Builder {
    pub fn constant(&mut self, literal: Literal) -> Id {
        self.push(Op::Constant(literal), &[])
    }

    pub fn unary(&mut self, op: Unary, x: Id) -> Id {
        self.push(Op::Unary(op), &[x])
    }

    pub fn binary(&mut self, op: Binary, a: Id, b: Id) -> Id {
        self.push(Op::Binary(op), &[a, b])
    }

    pub fn compare(&mut self, op: Compare, a: Id, b: Id) -> Id {
        self.push(Op::Compare(op), &[a, b])
    }

    pub fn select(&mut self, which: Id, a: Id, b: Id) -> Id {
        self.push(Op::Select, &[which, a, b])
    }

    /// As it is where it has that type already.
    pub fn convert(&mut self, x: Id, element: Element) -> Id {
        if self.element(x) == element { x } else { self.push(Op::Convert(element), &[x]) }
    }

    pub fn bitcast(&mut self, x: Id, element: Element) -> Id {
        self.push(Op::Bitcast(element), &[x])
    }

    pub fn iota(&mut self, shape: Shape, dimension: usize) -> Id {
        self.push(Op::Iota { shape, dimension }, &[])
    }

    /// As it is where it has that shape already.
    pub fn reshape(&mut self, x: Id, dims: &[usize]) -> Id {
        if self.dims(x) == dims { x } else { self.push(Op::Reshape(dims.to_vec()), &[x]) }
    }

    /// As it is where it has that shape already.
    pub fn broadcast(&mut self, x: Id, dims: &[usize], dimensions: &[usize]) -> Id {
        if self.dims(x) == dims {
            return x;
        }
        self.push(Op::Broadcast { dims: dims.to_vec(), dimensions: dimensions.to_vec() }, &[x])
    }

    pub fn transpose(&mut self, x: Id, order: &[usize]) -> Id {
        self.push(Op::Transpose(order.to_vec()), &[x])
    }

    /// Elements `start..limit` along one axis.
    pub fn slice(&mut self, x: Id, axis: usize, start: usize, limit: usize) -> Id {
        let mut limits = self.dims(x).to_vec();
        let mut starts = vec![0; limits.len()];
        (starts[axis], limits[axis]) = (start, limit);
        self.push(Op::Slice { starts, limits }, &[x])
    }

    pub fn concatenate(&mut self, parts: &[Id], axis: usize) -> Id {
        self.push(Op::Concatenate(axis), parts)
    }

    /// Rows of the first axis, `(table: [N, ..], ids: [I..]) -> [I.., ..]`.
    pub fn rows(&mut self, table: Id, ids: Id) -> Id {
        let (rank, batch) = (self.dims(table).len(), self.dims(ids).len());
        let mut slice_sizes = self.dims(table).to_vec();
        slice_sizes[0] = 1;
        let dims = Gather {
            offset_dims: (batch..batch + rank - 1).collect(),
            collapsed_slice_dims: vec![0],
            start_index_map: vec![0],
            index_vector_dim: batch,
            slice_sizes,
        };
        self.push(Op::Gather(dims), &[table, ids])
    }

    /// The table with rows of the first axis replaced, `(table: [N, ..], ids: [I], rows: [I, ..])`.
    pub fn replace_rows(&mut self, table: Id, ids: Id, rows: Id) -> Id {
        let element = self.element(table);
        let computation = self.computation(&format!("second_{element}"), &[element; 2], |_, ab| ab[1]);
        let dims = Scatter {
            update_window_dims: (1..self.dims(rows).len()).collect(),
            inserted_window_dims: vec![0],
            scatter_dims_to_operand_dims: vec![0],
            index_vector_dim: 1,
            computation,
        };
        self.push(Op::Scatter(dims), &[table, ids, rows])
    }

    /// One axis folded, starting from `initial`.
    pub fn reduce(&mut self, op: Binary, x: Id, axis: usize, initial: Literal) -> Id {
        let computation = self.fold(op, self.element(x));
        let initial = self.constant(initial);
        self.push(Op::Reduce { dimensions: vec![axis], computation }, &[x, initial])
    }

    pub fn dot(&mut self, dims: Dot, a: Id, b: Id) -> Id {
        self.push(Op::Dot(dims), &[a, b])
    }

    pub fn part(&mut self, tuple: Id, place: usize) -> Id {
        self.push(Op::GetTupleElement(place), &[tuple])
    }
}
