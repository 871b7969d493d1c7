//! Core operations: what expansions are made of.

use graph::{BackendError, BinaryOp, CompareOp, Op, ReduceOp, UnaryOp, ValueId};
use tensor::{DType, MAX_AXES, Shape};

use super::{Lowering, c_type, format};
use crate::launch::Arg;
use crate::source::Source;

/// A value as `map.cu` walks it.
pub(super) struct Walk {
    pub arg: Arg,
    pub ctype: &'static str,
    /// Elements to the next along each axis of the shape that is walked.
    pub strides: Vec<usize>,
    /// The first element.
    pub first: usize,
}

impl Lowering<'_> {
    pub(super) fn core(
        &mut self,
        op: &Op,
        args: &[ValueId],
        results: &[ValueId],
    ) -> Result<(), BackendError> {
        let out = results[0];
        match op {
            Op::Cast(to) => self.mapped(&cast(self.dtype(args[0]), *to), args, out),
            Op::Iota { axis, .. } => {
                let missing = MAX_AXES - self.shape(out).len();
                self.mapped(&format!("axis[{}]", missing + usize::from(*axis)), args, out)
            }
            Op::Broadcast(_) => self.mapped("a", args, out),
            Op::Reshape(_) => {
                let (ctype, count) = self.flat(out)?;
                self.copy(self.arg(out), self.arg(args[0]), ctype, count);
                Ok(())
            }
            Op::AllReduce { ranks: 1 } | Op::AllGather { ranks: 1, .. } => self.mapped("a", args, out),
            Op::Transpose(order) => self.transpose(order, args[0], out),
            Op::Slice { axis, start, .. } => self.slice(usize::from(*axis), *start as usize, args[0], out),
            Op::Concat { axis } => self.concat(usize::from(*axis), args, out),
            Op::Gather => self.gather(args, out),
            Op::Unary(op) => self.mapped(unary(*op), args, out),
            Op::Binary(op) => self.mapped(binary(*op, self.dtype(args[0])), args, out),
            Op::Compare(CompareOp::Equal) => self.mapped("a == b", args, out),
            Op::Compare(CompareOp::Less) => self.mapped("a < b", args, out),
            Op::Compare(CompareOp::LessEqual) => self.mapped("a <= b", args, out),
            Op::Select => self.mapped("a ? b : c", args, out),
            Op::Reduce(reduce) => self.reduce(*reduce, args[0], out),
            Op::Matmul { transposed } => self.matmul(*transposed, args, out),
            Op::Dequantize => self.dequantize(args[0], out),
            Op::Softmax => {
                let (rows, width) = self.rows(args[0]);
                let source = Source::new("softmax").with("WIDTH", width);
                let args = vec![self.arg(out), self.arg(args[0]), Arg::Int(rows as i64)];
                self.push_rows(source, rows, width, args);
                Ok(())
            }
            Op::TopK(k) => self.top_k(*k, false, args, results),
            Op::StateRead => self.state_read(args, out),
            Op::StateWrite => self.state_write(args),
            Op::AllReduce { ranks } => {
                self.all_reduce(*ranks as usize, args[0], out);
                Ok(())
            }
            Op::AllGather { axis, ranks } => {
                self.all_gather(usize::from(*axis), *ranks as usize, args[0], out);
                Ok(())
            }
            _ => Err(self.refuse("it has no kernel and no expansion")),
        }
    }

    /// Elements one behind another.
    pub(super) fn copy(&mut self, to: Arg, from: Arg, ctype: &'static str, count: usize) {
        let walk = |arg| Walk { arg, ctype, strides: vec![1], first: 0 };
        self.map("a", &[count], walk(to), vec![walk(from)]);
    }

    /// An expression of arguments that are repeated to the result's shape.
    fn mapped(&mut self, expression: &str, args: &[ValueId], out: ValueId) -> Result<(), BackendError> {
        let shape = self.shape(out);
        let whole = self.walk(out, strides(&shape, &shape));
        let args = args.iter().map(|&arg| self.walk(arg, strides(&self.shape(arg), &shape))).collect();
        self.map(expression, &shape, whole, args);
        Ok(())
    }

    fn walk(&self, value: ValueId, strides: Vec<usize>) -> Walk {
        Walk { arg: self.arg(value), ctype: c_type(self.dtype(value)), strides, first: 0 }
    }

    pub(super) fn map(&mut self, expression: &str, shape: &[usize], out: Walk, args: Vec<Walk>) {
        let count = shape.iter().product::<usize>();
        let lined_up = |of: &[usize], fill: usize| {
            let missing = std::iter::repeat_n(fill, MAX_AXES - of.len());
            missing.chain(of.iter().copied()).map(|n| n as i32).collect::<Vec<_>>()
        };
        let nothing = || Walk { arg: Arg::Table(0), ctype: "int", strides: vec![], first: 0 };
        let walks = [out].into_iter().chain(args).chain(std::iter::repeat_with(nothing)).take(4);
        let walks = walks.collect::<Vec<_>>();
        let mut table = lined_up(shape, 1);
        walks.iter().for_each(|walk| table.extend(lined_up(&walk.strides, 0)));
        table.extend(walks.iter().map(|walk| walk.first as i32));
        let bytes = table.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
        let table = self.entry(&bytes);
        let mut source = Source::new("map").with("EXPRESSION", expression);
        for (name, walk) in ["OUT", "A", "B", "C"].into_iter().zip(&walks) {
            source = source.with(name, walk.ctype);
        }
        let mut args = walks.iter().map(|walk| walk.arg).collect::<Vec<_>>();
        args.extend([Arg::Table(table), Arg::Int(count as i64)]);
        self.push_each(source, count, args);
    }

    /// The type and number of what a value is moved in: its elements, or the bytes of its blocks.
    fn flat(&self, value: ValueId) -> Result<(&'static str, usize), BackendError> {
        let (dtype, count) = (self.dtype(value), self.count(value));
        let units = if dtype.is_block() { dtype.bytes_of(count) } else { Some(count) };
        units.map(|units| (c_type(dtype), units)).ok_or_else(|| self.refuse("its blocks are not whole"))
    }

    fn transpose(&mut self, order: &[u8], from: ValueId, out: ValueId) -> Result<(), BackendError> {
        let (shape, own) = (self.shape(out), self.shape(from));
        let all = dense(&own);
        let turned = order.iter().map(|&axis| all[usize::from(axis)]).collect();
        let (out, from) = (self.walk(out, dense(&shape)), self.walk(from, turned));
        self.map("a", &shape, out, vec![from]);
        Ok(())
    }

    fn slice(&mut self, axis: usize, start: usize, from: ValueId, out: ValueId) -> Result<(), BackendError> {
        let (shape, own) = (self.shape(out), self.shape(from));
        let all = dense(&own);
        let first = start * all[axis];
        let (out, from) = (self.walk(out, dense(&shape)), Walk { first, ..self.walk(from, all) });
        self.map("a", &shape, out, vec![from]);
        Ok(())
    }

    fn concat(&mut self, axis: usize, args: &[ValueId], out: ValueId) -> Result<(), BackendError> {
        let all = dense(&self.shape(out));
        let mut first = 0;
        for &arg in args {
            let shape = self.shape(arg);
            let to = Walk { first, ..self.walk(out, all.clone()) };
            let from = self.walk(arg, dense(&shape));
            self.map("a", &shape, to, vec![from]);
            first += shape[axis] * all[axis];
        }
        Ok(())
    }

    fn gather(&mut self, args: &[ValueId], out: ValueId) -> Result<(), BackendError> {
        let (table, ids) = (args[0], args[1]);
        let row = self.shape(table).iter().skip(1).product::<usize>();
        let bytes =
            self.dtype(table).bytes_of(row).ok_or_else(|| self.refuse("its rows are not whole blocks"))?;
        let (unit, size) = match bytes {
            n if n.is_multiple_of(16) => ("uint4", 16),
            n if n.is_multiple_of(4) => ("u32", 4),
            _ => ("u8", 1),
        };
        let rows = self.count(ids);
        let source = Source::new("gather").with("UNIT", unit).with("UNITS", bytes / size);
        let previous = self.previous(ids);
        let args = vec![self.arg(out), self.arg(table), self.arg(ids), previous, Arg::Int(rows as i64)];
        self.push_rows(source, rows, bytes / size, args);
        Ok(())
    }

    fn reduce(&mut self, op: ReduceOp, x: ValueId, out: ValueId) -> Result<(), BackendError> {
        let (rows, width) = self.rows(x);
        let fold = match op {
            ReduceOp::Sum => "SUM",
            ReduceOp::Mean => "MEAN",
            ReduceOp::Max => "MAX",
        };
        let source = Source::new("reduce").with("WIDTH", width).with(fold, 1);
        let args = vec![self.arg(out), self.arg(x), Arg::Int(rows as i64)];
        self.push_rows(source, rows, width, args);
        Ok(())
    }

    fn matmul(&mut self, transposed: bool, args: &[ValueId], out: ValueId) -> Result<(), BackendError> {
        let (left, right, whole) = (self.shape(args[0]), self.shape(args[1]), self.shape(out));
        let [m, n] = [left[left.len() - 2], left[left.len() - 1]];
        let source = Source::new("matmul").with("M", m).with("N", n).with("O", whole[whole.len() - 1]);
        let source = source.with("TRANSPOSED", u8::from(transposed));
        let source = source.with("SHARED", u8::from(right.len() == 2));
        let count = self.count(out);
        let args = vec![self.arg(out), self.arg(args[0]), self.arg(args[1]), Arg::Int(count as i64)];
        self.push_warps(source, count, args);
        Ok(())
    }

    fn dequantize(&mut self, x: ValueId, out: ValueId) -> Result<(), BackendError> {
        let count = self.count(out);
        let source = Source::new("dequantize").with("FORMAT", format(self.dtype(x)));
        let args = vec![self.arg(out), self.arg(x), Arg::Int(count as i64)];
        self.push_each(source, count.div_ceil(32), args);
        Ok(())
    }

    pub(super) fn top_k(
        &mut self,
        k: u32,
        route: bool,
        args: &[ValueId],
        results: &[ValueId],
    ) -> Result<(), BackendError> {
        let (rows, width) = self.rows(args[0]);
        let source = Source::new("top_k").with("WIDTH", width).with("K", k).with("ROUTE", u8::from(route));
        let args = vec![self.arg(results[0]), self.arg(results[1]), self.arg(args[0]), Arg::Int(rows as i64)];
        self.push_rows(source, rows, width, args);
        Ok(())
    }

    fn state_read(&mut self, args: &[ValueId], out: ValueId) -> Result<(), BackendError> {
        let pages = self.count(args[1]);
        let page = self.page_len * self.axes_from(args[0], 2).iter().product::<usize>();
        let source = Source::new("state_read").with("FORMAT", format(self.dtype(args[0]))).with("PAGE", page);
        let args = vec![self.arg(out), self.arg(args[0]), self.arg(args[1]), Arg::Int(pages as i64)];
        self.push_each(source, pages * page.div_ceil(32), args);
        Ok(())
    }

    fn state_write(&mut self, args: &[ValueId]) -> Result<(), BackendError> {
        let (tokens, dtype) = (self.count(args[1]), self.dtype(args[0]));
        if !(dtype.is_float() || dtype == DType::Q8_0) {
            return Err(self.refuse(format!("states are kept in f32, f16, bf16 or q8_0, not in {dtype}")));
        }
        let slot = self.axes_from(args[0], 2).iter().product::<usize>();
        let source = Source::new("state_write").with("FORMAT", format(dtype)).with("SLOT", slot);
        let args = vec![self.arg(args[0]), self.arg(args[1]), self.arg(args[2]), Arg::Int(tokens as i64)];
        self.push_rows(source, tokens, slot.div_ceil(32), args);
        Ok(())
    }
}

fn unary(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Neg => "-a",
        UnaryOp::Exp => "expf(a)",
        UnaryOp::Sqrt => "sqrtf(a)",
        UnaryOp::Sin => "sinf(a)",
        UnaryOp::Cos => "cosf(a)",
        UnaryOp::Tanh => "tanhf(a)",
        UnaryOp::Erf => "erff(a)",
        UnaryOp::Sigmoid => "sigmoid(a)",
    }
}

fn binary(op: BinaryOp, dtype: DType) -> &'static str {
    match (op, dtype) {
        (BinaryOp::Add, _) => "a + b",
        (BinaryOp::Sub, _) => "a - b",
        (BinaryOp::Mul, _) => "a * b",
        (BinaryOp::Div, DType::I32) => "floor_div(a, b)",
        (BinaryOp::Div, _) => "a / b",
        (BinaryOp::Min, DType::I32) => "min(a, b)",
        (BinaryOp::Min, _) => "fminf(a, b)",
        (BinaryOp::Max, DType::I32) => "max(a, b)",
        (BinaryOp::Max, _) => "fmaxf(a, b)",
    }
}

fn cast(from: DType, to: DType) -> String {
    match (from, to) {
        (_, DType::Bool) => "to_f32(a) != 0.0f".to_owned(),
        (from, to) if to.is_float() || from.is_float() => format!("from_f32<{}>(to_f32(a))", c_type(to)),
        _ => "a".to_owned(),
    }
}

/// Elements to the next along each axis.
fn dense(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Elements to the next along each axis of a larger shape: none where an axis is repeated.
fn strides(own: &Shape, under: &Shape) -> Vec<usize> {
    let missing = std::iter::repeat_n(0, under.len() - own.len());
    let steps = dense(own).into_iter().zip(&own[..]).map(|(step, &len)| if len == 1 { 0 } else { step });
    missing.chain(steps).collect()
}
