//! What the compiler knows by name.

use hlo::{Element, Shape, Type};

use super::numbers::{floats, of_floats, of_whole};
use super::value::Value;

const TOP_K: &str = "AwsNeuronTopK";
/// The largest k that is documented.
const MOST: usize = 16384;

/// Refuses what is not executed here, and what the compiler is documented to refuse.
pub fn check(target: &str, config: &str, operands: &[&Type], ty: &Type) -> Result<(), String> {
    if target != TOP_K {
        return Err(format!("the custom call `{target}` is not known here"));
    }
    let k: usize = config.parse().map_err(|_| format!("{TOP_K} takes k as text, not `{config}`"))?;
    let (Some(x), [values, places]) = (operands.first().and_then(|ty| ty.array()), ty.arrays()) else {
        return Err(format!("{TOP_K} takes an array and gives two"));
    };
    let mut dims = x.dims.clone();
    let fits = match dims.last_mut() {
        Some(last) if (1..=MOST.min(*last)).contains(&k) => {
            *last = k;
            true
        }
        _ => false,
    };
    let typed = *values == Shape::new(x.element, &dims[..]) && *places == Shape::new(Element::U32, dims);
    let fine = fits && typed && x.element.is_float();
    if fine { Ok(()) } else { Err(format!("{TOP_K} of {k} is no {ty} for {x}")) }
}

/// The result of a call that was checked.
pub fn call(_: &str, config: &str, operands: &[Value], ty: &Type) -> Vec<Value> {
    let (x, k) = (&operands[0], config.parse::<usize>().expect("checked when the program was loaded"));
    let row = x.shape.dims.last().copied().expect("checked when the program was loaded");
    let (mut values, mut places) = (Vec::new(), Vec::new());
    for row in floats(x).chunks_exact(row) {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        values.extend(order[..k].iter().map(|&at| row[at]));
        places.extend(order[..k].iter().map(|&at| at as i64));
    }
    let shapes = ty.arrays();
    vec![of_floats(shapes[0].clone(), &values), of_whole(shapes[1].clone(), &places)]
}
