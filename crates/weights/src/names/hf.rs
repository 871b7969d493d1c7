//! Hugging Face's names, and the two ways in which gpt-oss's experts are stored.

use tensor::{DType, Shape, WeightInfo, WeightSource};

use super::{Every, Make, Recipe};

/// How to make the weight `name`, if what it takes is there.
pub(super) fn recipe(source: &dyn WeightSource, name: &str) -> Option<Recipe> {
    if let Some((stored, info)) = find(source, name) {
        return Some(Recipe { info, make: Make::Same { stored } });
    }
    let (layer, part) = name.split_once(".mlp.experts.")?;
    let (part, leaf) = part.rsplit_once('.')?;
    let (part, every) = match part {
        "gate_proj" => ("gate_up_proj", Every { start: 0, step: 2 }),
        "up_proj" => ("gate_up_proj", Every { start: 1, step: 2 }),
        "down_proj" => ("down_proj", Every { start: 0, step: 1 }),
        _ => return None,
    };
    let stored = format!("{layer}.mlp.experts.{part}");
    match leaf {
        "weight" => packed(source, &stored, every).or_else(|| transposed(source, &stored, every)),
        "bias" => columns(source, &format!("{stored}_bias"), every),
        _ => None,
    }
}

/// A stored tensor, with or without the prefix.
fn find(source: &dyn WeightSource, name: &str) -> Option<(String, WeightInfo)> {
    let prefixed = format!("model.{name}");
    match source.find(&prefixed) {
        Some(info) => Some((prefixed, info)),
        None => source.find(name).map(|info| (name.to_owned(), info)),
    }
}

/// MXFP4 as gpt-oss packs it: `_blocks` `[X, R, B, 16]` and `_scales` `[X, R, B]`.
fn packed(source: &dyn WeightSource, stored: &str, every: Every) -> Option<Recipe> {
    let (blocks, blocks_info) = find(source, &format!("{stored}_blocks"))?;
    let (scales, scales_info) = find(source, &format!("{stored}_scales"))?;
    let &[experts, rows, count, 16] = &*blocks_info.shape else { return None };
    let bytes = [blocks_info.dtype, scales_info.dtype] == [DType::U8; 2];
    if !bytes || *scales_info.shape != [experts, rows, count] || !rows.is_multiple_of(every.step) {
        return None;
    }
    let shape = Shape::from([experts, rows / every.step, count.checked_mul(32)?]);
    let info = WeightInfo { dtype: DType::MXFP4, shape };
    Some(Recipe { info, make: Make::Packed { blocks, scales, every } })
}

/// Dense experts as `transformers` keeps them: `[X, columns of the product, rows]`.
fn transposed(source: &dyn WeightSource, stored: &str, every: Every) -> Option<Recipe> {
    let (stored, info) = find(source, stored)?;
    let &[experts, inner, outer] = &*info.shape else { return None };
    if !info.dtype.is_float() || !outer.is_multiple_of(every.step) {
        return None;
    }
    let info = WeightInfo { dtype: info.dtype, shape: Shape::from([experts, outer / every.step, inner]) };
    Some(Recipe { info, make: Make::Transposed { stored, every } })
}

/// A bias for each expert: `[X, columns]`.
fn columns(source: &dyn WeightSource, stored: &str, every: Every) -> Option<Recipe> {
    let (stored, info) = find(source, stored)?;
    let &[experts, columns] = &*info.shape else { return None };
    if !info.dtype.is_float() || !columns.is_multiple_of(every.step) {
        return None;
    }
    let info = WeightInfo { dtype: info.dtype, shape: Shape::from([experts, columns / every.step]) };
    Some(Recipe { info, make: Make::Columns { stored, every } })
}
