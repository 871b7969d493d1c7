//! Instructions over constants, by what they give.

use hlo::{Builder, Element, Id, Literal, Shape, Unary};

use super::{Bench, Lab};

/// What an instruction over constants gives, converted to f32.
pub fn eval(build: impl Fn(&mut Builder) -> Id) -> Vec<f32> {
    eval_on("trn2", build)
}

/// The same on a chip.
pub fn eval_on(chip: &str, build: impl Fn(&mut Builder) -> Id) -> Vec<f32> {
    let mut b = Builder::new();
    let made = build(&mut b);
    let made = b.convert(made, Element::F32);
    // Programs take at least one argument, as those of the engine do.
    let x = b.input("x", Shape::new(Element::F32, [1]));
    let x = b.unary(Unary::Copy, x);
    let module = b.finish("eval", &[("y", made), ("x", x)], &[]);
    let lab = Lab::with(&[("chip", chip)]);
    let runtime = lab.runtime();
    let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff_for(&module, chip));
    match bench.run() {
        Err(error) if error.status() == Some(nrt::Status::ExecCompletedWithNumErr) => {}
        outcome => outcome.unwrap(),
    }
    bench.read("y")
}

pub fn f32s(b: &mut Builder, dims: &[usize], values: &[f32]) -> Id {
    let bytes = super::bytes(values);
    b.constant(Literal::new(Shape::new(Element::F32, dims), bytes))
}

pub fn s32s(b: &mut Builder, dims: &[usize], values: &[i32]) -> Id {
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    b.constant(Literal::new(Shape::new(Element::S32, dims), bytes))
}

/// `0, 1, 2, ...` in this shape.
pub fn count(b: &mut Builder, dims: &[usize]) -> Id {
    let n = dims.iter().product::<usize>();
    f32s(b, dims, &(0..n).map(|x| x as f32).collect::<Vec<_>>())
}
