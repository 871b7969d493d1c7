//! A module that uses every kind of instruction: printed, encoded and decoded, and damaged in every way.

use hlo::{Binary, Builder, Compare, DecodeError, Dot, Element, Literal, Module, Op, Shape, Type, Unary};
use proptest::prelude::*;

/// One of everything.
fn everything() -> Module {
    let mut b = Builder::new();
    let x = b.input("x", Shape::new(Element::F32, [2, 3]));
    let w = b.input("w", Shape::new(Element::BF16, [4, 3]));
    let ids = b.input("ids", Shape::new(Element::S32, [2]));
    let cache = b.input("cache.must_alias_input", Shape::new(Element::BF16, [8, 4]));
    b.at("layers.0.linear");
    let narrow = b.convert(x, Element::BF16);
    let dims = Dot {
        lhs_contracting: vec![1],
        rhs_contracting: vec![1],
        lhs_batch: vec![],
        rhs_batch: vec![],
        element: Element::F32,
    };
    let y = b.dot(dims, narrow, w);
    b.at("layers.0.act");
    let most = b.reduce(Binary::Maximum, y, 1, Literal::f32(f32::NEG_INFINITY));
    let most = b.broadcast(most, &[2, 4], &[0]);
    let y = b.binary(Binary::Subtract, y, most);
    let y = b.unary(Unary::Exponential, y);
    let sum = b.reduce(Binary::Add, y, 1, Literal::f32(0.0));
    let sum = b.broadcast(sum, &[2, 4], &[0]);
    let y = b.binary(Binary::Divide, y, sum);
    b.at("layers.0.cache");
    let narrow = b.convert(y, Element::BF16);
    let cache = b.replace_rows(cache, ids, narrow);
    let read = b.rows(cache, ids);
    let read = b.convert(read, Element::F32);
    b.at("");
    let half = b.slice(read, 1, 0, 2);
    let other = b.slice(read, 1, 2, 4);
    let turned = b.concatenate(&[other, half], 1);
    let turned = b.transpose(turned, &[1, 0]);
    let flat = b.reshape(turned, &[8]);
    let count = b.iota(Shape::new(Element::S32, [8]), 0);
    let four = b.constant(Literal::s32(4));
    let four = b.broadcast(four, &[8], &[]);
    let low = b.compare(Compare::Lt, count, four);
    let zeros = b.constant(Literal::f32s(&[0.0, -0.5, 1e-30, f32::INFINITY, 0.0, 0.0, 1.0, 2.0]));
    let chosen = b.select(low, flat, zeros);
    let first = b.computation("first", &[Element::F32, Element::F32, Element::S32, Element::S32], |b, p| {
        b.compare(Compare::Gt, p[0], p[1])
    });
    let sorted = b.push(Op::Sort { dimension: 0, computation: first }, &[chosen, count]);
    let ids = b.part(sorted, 1);
    let ty = Type::Tuple(vec![Shape::new(Element::F32, [2]), Shape::new(Element::U32, [2])]);
    let call = Op::CustomCall { target: "AwsNeuronTopK".to_owned(), config: "2".to_owned(), ty };
    let top = b.push(call, &[chosen]);
    let top = b.part(top, 0);
    let add = b.fold(Binary::Add, Element::F32);
    let groups = vec![vec![0, 1], vec![2, 3]];
    let top = b.push(Op::AllReduce { groups: groups.clone(), computation: add }, &[top]);
    let top = b.push(Op::AllGather { dimension: 0, groups }, &[top]);
    b.at("loop");
    let value = b.constant(Literal::f32(0.5));
    let wide = b.push(Op::Pad { low: vec![1], high: vec![2] }, &[top, value]);
    let (nought, three, one) = (b.constant(Literal::s32(0)), Literal::s32(3), Literal::s32(1));
    let looped = b.repeat(
        "turns",
        &[nought, wide],
        |b, values| {
            let end = b.constant(three);
            b.compare(Compare::Lt, values[0], end)
        },
        |b, values| {
            let cut = b.push(Op::DynamicSlice(vec![2]), &[values[1], values[0]]);
            let bits = b.bitcast(cut, Element::U32);
            let cut = b.bitcast(bits, Element::F32);
            let next = b.push(Op::DynamicUpdateSlice, &[values[1], cut, values[0]]);
            let one = b.constant(one);
            vec![b.binary(Binary::Add, values[0], one), next]
        },
    );
    let outputs = [("top", top), ("ids", ids), ("x_again", x), ("cache", cache), ("looped", looped[1])];
    b.finish("everything", &outputs, &[("cache", "cache.must_alias_input")])
}

#[test]
fn text_is_as_reviewed() {
    insta::assert_snapshot!(everything().to_string());
}

#[test]
fn what_is_encoded_is_decoded() {
    let module = everything();
    assert_eq!(Module::decode(&module.encode()).unwrap(), module);
}

#[test]
fn one_result_is_a_copy_and_no_tuple() {
    let mut b = Builder::new();
    let x = b.input("x", Shape::scalar(Element::F32));
    let module = b.finish("one", &[("y", x)], &[("y", "x")]);
    assert_eq!(module.entry().result(), &Type::Array(Shape::scalar(Element::F32)));
    assert_eq!(Module::decode(&module.encode()).unwrap(), module);
}

#[test]
#[should_panic(expected = "add in `layers.3` takes two operands of one type; it was given (f32[2], f32[3])")]
fn a_mistake_names_its_path() {
    let mut b = Builder::new();
    let x = b.input("x", Shape::new(Element::F32, [2]));
    let y = b.input("y", Shape::new(Element::F32, [3]));
    b.at("layers.3");
    b.binary(Binary::Add, x, y);
}

#[test]
fn claims_are_held_against_what_is_so() {
    let mut module = everything();
    let entry = module.computations.last_mut().unwrap();
    let add = entry.instructions.iter().position(|it| it.op == Op::Binary(Binary::Subtract)).unwrap();
    entry.instructions[add].ty = Type::Array(Shape::new(Element::F32, [4, 2]));
    let error = Module::decode(&module.encode()).unwrap_err();
    assert!(matches!(&error, DecodeError::Instruction { .. }));
    assert!(error.to_string().contains("gives f32[2,4] and claims f32[4,2]"), "{error}");
}

#[test]
fn an_alias_fits_and_is_alone() {
    let mut module = everything();
    module.aliases[0].input = 0;
    assert!(Module::decode(&module.encode()).is_err());
    let mut module = everything();
    module.aliases.push(module.aliases[0]);
    assert!(Module::decode(&module.encode()).is_err());
}

proptest! {
    /// Damage is an error or another module, and never a panic.
    #[test]
    fn damage_is_survived(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let mut bytes = everything().encode();
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = Module::decode(&bytes).map(|module| module.to_string());
        let _ = Module::decode(&bytes[..cut.index(bytes.len())]);
    }
}
