//! Holds a header's claims against each other and against the file.

use tensor::{File, Shape};

use super::dtype;
use super::header::{self, Claim};
use crate::error::{FileError, show};
use crate::limits;
use crate::stored::{Entry, elements};

/// The tensors of a file, every claim checked, in the order of their data.
pub(super) fn check(name: &str, file: &File) -> Result<Vec<(String, Entry)>, FileError> {
    let (tensors, data) = header::read(name, file)?;
    let mut tensors: Vec<(String, Claim)> = tensors.into_iter().collect();
    tensors.sort_unstable_by(|a, b| (a.1.offsets, &a.0).cmp(&(b.1.offsets, &b.0)));

    let damaged = |offset, reason| FileError::Damaged { file: name.to_owned(), offset, reason };
    let len = file.len() - data;
    let mut covered = 0;
    let mut entries = Vec::with_capacity(tensors.len());
    for (tensor, claim) in tensors {
        let (begin, end) = claim.offsets;
        let at = data.saturating_add(begin);
        let fault = |reason: &str| {
            damaged(at, format!("tensor `{}` (bytes {begin} to {end} of the data) {reason}", show(&tensor)))
        };
        if begin > end {
            return Err(fault("ends before it begins"));
        }
        if end > len {
            return Err(fault(&format!(
                "runs past the end of the data, which has {len} bytes: the file was cut short"
            )));
        }
        if begin < covered {
            return Err(fault("overlaps the tensor before it"));
        }
        if begin > covered {
            return Err(fault(&format!("leaves a gap: the tensor before it ends at {covered}")));
        }
        covered = end;
        let entry = entry(&claim, at).map_err(|reason| fault(&reason))?;
        entries.push((tensor, entry));
    }
    if covered != len {
        return Err(damaged(data + covered, format!("{} bytes belong to no tensor", len - covered)));
    }
    Ok(entries)
}

/// One tensor's claim held against itself.
fn entry(claim: &Claim, offset: u64) -> Result<Entry, String> {
    let mut axes = Vec::with_capacity(claim.shape.len());
    for &axis in &claim.shape {
        axes.push(usize::try_from(axis).map_err(|_| format!("has an axis of {axis}"))?);
    }
    let shape = Shape::new(&axes);
    let bytes = claim.offsets.1 - claim.offsets.0;
    if claim.dtype.len() as u64 > limits::NAME_BYTES {
        return Err(format!("has a type whose name has {} bytes", claim.dtype.len()));
    }
    let (kind, bits) = dtype::parse(&claim.dtype);
    let overflow = || format!("has the shape {shape}, whose size overflows");
    let elements = elements(&shape).ok_or_else(overflow)? as u64;
    if let Some(bits) = bits {
        let total = elements.checked_mul(bits).ok_or_else(overflow)?;
        if !total.is_multiple_of(8) || total / 8 != bytes {
            return Err(format!("has {bytes} bytes, which are not {} of shape {shape}", claim.dtype));
        }
    }
    Ok(Entry { kind, shape, file: 0, offset, bytes })
}
