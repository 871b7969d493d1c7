//! What the compiler knows by name: the largest of a row, and products of blocks under scales (MXFP8).

use hlo::{Dot, Element, Shape, Type};
use serde_json::Value as Json;

use super::numbers::{floats, of_floats, of_whole, whole};
use super::product;
use super::value::Value;

const TOP_K: &str = "AwsNeuronTopK";
const QUANTIZE: &str = "QuantizeMX";
/// The product of two operands that [`QUANTIZE`] packed.
pub const SCALED_DOT: &str = "__op$block_scaled_dot";
/// The largest k that is documented.
const MOST: usize = 16384;
/// Values under one scale.
const BLOCK: usize = 32;
/// Values of eight bits in a word.
const PACKED: usize = 4;

/// Whether a call is for Trainium3 alone.
pub fn is_scaled(target: &str) -> bool {
    [QUANTIZE, SCALED_DOT].contains(&target)
}

/// Refuses what is not executed here, and what the compiler is documented to refuse, by its codes.
pub fn check(target: &str, config: &str, operands: &[&Type], ty: &Type) -> Result<(), String> {
    let operands = operands.iter().map(|ty| ty.array()).collect::<Option<Vec<&Shape>>>();
    let operands = operands.ok_or_else(|| format!("{target} takes arrays"))?;
    match target {
        TOP_K => check_top_k(config, &operands, ty),
        QUANTIZE => check_quantize(config, &operands, ty),
        SCALED_DOT => check_scaled_dot(config, &operands, ty),
        _ => Err(format!("the custom call `{target}` is not known here")),
    }
}

/// The result of a call that was checked.
pub fn call(target: &str, config: &str, operands: &[Value], ty: &Type) -> Vec<Value> {
    match target {
        TOP_K => top_k(config, operands, ty),
        QUANTIZE => quantize(config, operands, ty),
        _ => vec![scaled_dot(config, operands, ty)],
    }
}

fn check_top_k(config: &str, operands: &[&Shape], ty: &Type) -> Result<(), String> {
    let k: usize = config.parse().map_err(|_| format!("{TOP_K} takes k as text, not `{config}`"))?;
    let ([x], [values, places]) = (operands, ty.arrays()) else {
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

fn top_k(config: &str, operands: &[Value], ty: &Type) -> Vec<Value> {
    let (x, k) = (&operands[0], config.parse::<usize>().expect("checked when the program was loaded"));
    let row = x.shape.dims.last().copied().expect("checked when the program was loaded");
    let (mut values, mut places) = (Vec::new(), Vec::new());
    for row in floats(x).chunks_exact(row) {
        let mut order: Vec<usize> = (0..row.len()).collect();
        // The two zeros are equal, and the first of equals comes first.
        let key = |at: usize| row[at] + 0.0;
        order.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
        values.extend(order[..k].iter().map(|&at| row[at]));
        places.extend(order[..k].iter().map(|&at| at as i64));
    }
    let shapes = ty.arrays();
    vec![of_floats(shapes[0].clone(), &values), of_whole(shapes[1].clone(), &places)]
}

/// The type of eight bits that a config names, the exponent of its greatest power of two, and its greatest number.
fn narrow(config: &Json) -> Option<(Element, i32, f32)> {
    match config.as_str()? {
        "float8_e4m3fn" => Some((Element::F8E4M3FN, 8, 448.0)),
        "float8_e5m2" => Some((Element::F8E5M2, 15, 57344.0)),
        _ => None,
    }
}

fn check_quantize(config: &str, operands: &[&Shape], ty: &Type) -> Result<(), String> {
    let refused = |code: u32, why: &str| Err(format!("[NCC_EVRF{code:03}] {QUANTIZE}: {why}"));
    let Ok(config) = serde_json::from_str::<Json>(config) else {
        return refused(36, "its config is no JSON");
    };
    let [x] = operands else { return refused(37, "it takes one operand") };
    let Some((&width, outer)) = x.dims.split_last() else { return refused(38, "its operand has no axis") };
    let last = [-1, outer.len() as i64];
    match () {
        () if !config["dim"].as_i64().is_some_and(|dim| last.contains(&dim)) => {
            refused(38, "only the innermost axis is known here")
        }
        () if config["block_size"].as_u64().unwrap_or(32) != BLOCK as u64 => refused(39, "blocks are of 32"),
        () if config["scale_method"].as_str().unwrap_or("EMAX") != "EMAX" => {
            refused(40, "the method is not EMAX")
        }
        () if ![Element::BF16, Element::F16].contains(&x.element) => refused(41, "it takes bf16 and f16"),
        () if narrow(&config["dtype"]).is_none() => refused(42, "its dtype is not known"),
        () if ty.arrays().len() != 2 => refused(57, "it gives two results"),
        () if !width.is_multiple_of(PACKED) => refused(58, "the axis is no multiple of 4"),
        () if !width.is_multiple_of(BLOCK) => refused(58, "rows of whole blocks are taken here"),
        () => {
            let along = |n| Shape::new(Element::U32, [outer, &[n]].concat());
            let wanted = [along(width / PACKED), along(width / BLOCK).of(Element::U8)];
            if ty.arrays() == wanted { Ok(()) } else { refused(42, "its results are of other shapes") }
        }
    }
}

/// Each block under the power of two with which its largest value just fits: `2^(floor(log2 max) - emax)`.
fn quantize(config: &str, operands: &[Value], ty: &Type) -> Vec<Value> {
    let config: Json = serde_json::from_str(config).expect("checked when the program was loaded");
    let (element, emax, most) = narrow(&config["dtype"]).expect("checked when the program was loaded");
    let (mut values, mut exponents) = (Vec::new(), Vec::new());
    for block in floats(&operands[0]).chunks_exact(BLOCK) {
        let largest = block.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        let power = (largest.to_bits() >> 23) as i32 - 127;
        let exponent = (power - emax).clamp(-127, 127);
        exponents.push(i64::from(exponent + 127));
        values.extend(block.iter().map(|x| (x / power_of_two(exponent)).clamp(-most, most)));
    }
    let shapes = ty.arrays();
    let packed = of_floats(Shape::new(element, [values.len()]), &values);
    vec![packed.reshaped(shapes[0].clone()), of_whole(shapes[1].clone(), &exponents)]
}

fn power_of_two(exponent: i32) -> f32 {
    2f64.powi(exponent) as f32
}

/// How the operands of a product go together: so many outer axes one for one, and the innermost summed over.
struct Pairing {
    batch: usize,
    element: Element,
}

fn pairing(config: &str, [lhs, rhs]: [&Shape; 2]) -> Result<Pairing, String> {
    let refused = |code: u32, why: &str| Err(format!("[NCC_EVRF{code:03}] {SCALED_DOT}: {why}"));
    let Ok(config) = serde_json::from_str::<Json>(config) else {
        return refused(49, "its config is no JSON");
    };
    let config = &config["scaled_dot_backend_config"];
    let list = |name: &str| {
        let numbers = config[name].as_array().map_or(&[][..], Vec::as_slice);
        numbers.iter().map(Json::as_u64).collect::<Option<Vec<u64>>>()
    };
    let lists = ["lhs_batch", "rhs_batch", "lhs_contracting", "rhs_contracting"];
    let lists = lists.map(|name| list(&format!("{name}_dimensions")));
    let [Some(lhs_batch), Some(rhs_batch), Some(lhs_sum), Some(rhs_sum)] = lists else {
        return refused(49, "its axes are no whole numbers");
    };
    let fits = |batch: &[u64], sum: &[u64], shape: &Shape| {
        let inner = shape.dims.len() as u64 - 1;
        batch.iter().copied().eq(0..batch.len() as u64) && (sum.is_empty() || *sum == [inner])
    };
    if !fits(&lhs_batch, &lhs_sum, lhs) || !fits(&rhs_batch, &rhs_sum, rhs) {
        return refused(55, "only outer axes for the batch and the innermost for the sum are known here");
    }
    let batch = lhs_batch.len();
    if batch != rhs_batch.len() || batch > lhs.dims.len() - 2 || batch > rhs.dims.len() - 2 {
        return refused(54, "its batch has axes that the operands have not");
    }
    if lhs.dims[..batch] != rhs.dims[..batch] {
        return refused(48, "the operands have batches of different sizes");
    }
    let Some((element, ..)) = narrow(&config["element_dtype"]) else {
        return refused(49, "its element type is not known");
    };
    Ok(Pairing { batch, element })
}

fn check_scaled_dot(config: &str, operands: &[&Shape], ty: &Type) -> Result<(), String> {
    let refused = |code: u32, why: &str| Err(format!("[NCC_EVRF{code:03}] {SCALED_DOT}: {why}"));
    let [lhs, rhs, lhs_scale, rhs_scale] = operands else { return refused(43, "it takes four operands") };
    if lhs.element != Element::U32 || rhs.element != Element::U32 {
        return refused(44, "its factors are no packed words");
    }
    let Some(result) = ty.array().filter(|it| [Element::F32, Element::BF16].contains(&it.element)) else {
        return refused(45, "it gives f32 or bf16");
    };
    if lhs.dims.len() < 2 || rhs.dims.len() < 2 {
        return refused(46 + u32::from(lhs.dims.len() >= 2), "its factors are no matrices");
    }
    let Pairing { batch, .. } = pairing(config, [lhs, rhs])?;
    let width = |shape: &Shape| shape.dims.last().copied().unwrap_or(0) * PACKED;
    if width(lhs) != width(rhs) || !width(lhs).is_multiple_of(BLOCK) {
        return refused(50, "the operands are not summed over the same whole blocks");
    }
    let rows = |shape: &Shape| shape.dims[..shape.dims.len() - 1].to_vec();
    let scales = |of: &Shape| Shape::new(Element::U8, [&rows(of)[..], &[width(of) / BLOCK]].concat());
    if **lhs_scale != scales(lhs) || **rhs_scale != scales(rhs) {
        return refused(43, "its scales are not one u8 for each block");
    }
    let dims = [&rows(lhs)[..], &rows(rhs)[batch..]].concat();
    if result.dims == dims { Ok(()) } else { refused(64, "its result is of another shape") }
}

/// Every product of two numbers of eight bits under powers of two is exact in f32; sums are in f32.
fn scaled_dot(config: &str, operands: &[Value], ty: &Type) -> Value {
    let shape = ty.arrays()[0].clone();
    let [lhs, rhs] = [&operands[0], &operands[1]];
    let pairing = pairing(config, [&lhs.shape, &rhs.shape]).expect("checked when the program was loaded");
    let (lhs, rhs) = (unpacked(lhs, &operands[2], &pairing), unpacked(rhs, &operands[3], &pairing));
    let batch: Vec<usize> = (0..pairing.batch).collect();
    let dims = Dot {
        lhs_contracting: vec![lhs.shape.dims.len() - 1],
        rhs_contracting: vec![rhs.shape.dims.len() - 1],
        lhs_batch: batch.clone(),
        rhs_batch: batch,
        element: shape.element,
    };
    product::dot(&lhs, &rhs, &dims, shape)
}

fn unpacked(words: &Value, scales: &Value, pairing: &Pairing) -> Value {
    let mut dims = words.shape.dims.clone();
    if let Some(last) = dims.last_mut() {
        *last *= PACKED;
    }
    let narrow = words.clone().reshaped(Shape::new(pairing.element, &dims[..]));
    let scales = whole(scales);
    let values = floats(&narrow);
    let values = values.chunks_exact(BLOCK).zip(&scales).flat_map(|(block, &exponent)| {
        let scale = power_of_two(exponent as i32 - 127);
        block.iter().map(move |x| x * scale)
    });
    of_floats(Shape::new(Element::F32, dims), &values.collect::<Vec<_>>())
}
