//! In what form weights lie in the chip's memory.

use std::borrow::Cow;

use graph::parts::{Run, Taker, runs};
use graph::{BackendError, Graph, Part, Place, WeightSpec, Weights};
use hlo::{Element, Shape};
use tensor::{DType, SourceError, WeightInfo, WeightSource, blocks};

use crate::emit::{scale_input, weight_input};
use crate::narrow::{Narrow, part_mxfp4, part_q8_0};
use crate::uses::{Use, uses};
use crate::{Device, Dialect, Options, Precision};

/// Bytes of a weight that are read and packed at once.
const PIECE: usize = 16 << 20;

/// Weights on a device.
pub(crate) struct Loaded<D: Device> {
    /// In the order of the graph's weights.
    pub(crate) tensors: Vec<Held<D>>,
    bytes: u64,
}

/// A weight on a device.
pub(crate) struct Held<D: Device> {
    pub(crate) elements: D::Tensor,
    pub(crate) scales: Option<D::Tensor>,
}

impl<D: Device> Loaded<D> {
    /// Reads and packs every weight of a graph, in pieces.
    pub(crate) fn load(
        graph: &Graph,
        source: &dyn WeightSource,
        options: &Options,
        device: &mut D,
    ) -> Result<Loaded<D>, BackendError> {
        let mut loaded = Loaded { tensors: vec![], bytes: 0 };
        for (spec, form) in graph.weights.iter().zip(Form::all(graph, options)) {
            let bytes = form.bytes(&spec.info);
            let bytes = bytes.ok_or_else(|| SourceError::TooLarge { name: spec.name.clone() })?;
            let name = weight_input(spec);
            let elements = device.allocate(&name, &form.shape(&spec.info))?;
            let scales = form.scales(&spec.info);
            let scales = scales.map(|shape| device.allocate(&scale_input(&name), &shape)).transpose()?;
            let mut held = Held { elements, scales };
            load_one(spec, form, source, device, &mut held)?;
            loaded.tensors.push(held);
            loaded.bytes += bytes as u64 * u64::from(device.ranks());
        }
        Ok(loaded)
    }
}

impl<D: Device> Weights for Loaded<D> {
    fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn load_one<D: Device>(
    spec: &WeightSpec,
    form: Form,
    source: &dyn WeightSource,
    device: &mut D,
    held: &mut Held<D>,
) -> Result<(), BackendError> {
    let too_large = || SourceError::TooLarge { name: spec.name.clone() };
    let whole = spec.whole();
    let row_bytes = whole.row_bytes().ok_or_else(too_large)?;
    whole.shape.rows().ok_or_else(too_large)?;
    let at_once = (PIECE / row_bytes.max(1)).max(1);
    for Run { rows, takers } in runs(spec, device.ranks()) {
        for first in rows.clone().step_by(at_once) {
            let count = at_once.min(rows.end - first);
            let mut piece = vec![0; count * row_bytes];
            source.read_rows(&spec.name, first, &mut piece)?;
            let packed = WholeRows::of(form, &whole, &piece);
            for taker in &takers {
                let [elements, scales] = packed.cut(taker, count);
                let row = taker.to + first - rows.start;
                for rank in &taker.ranks {
                    device.write(&mut held.elements, *rank, row * (elements.len() / count), &elements)?;
                    if let Some(held) = &mut held.scales {
                        device.write(held, *rank, row * (scales.len() / count), &scales)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Whole rows, so far as they can be packed before they are cut: a scale is of what a rank has of a row.
enum WholeRows {
    /// In their form.
    Rows([Vec<u8>; 2]),
    /// Values in f32, and the form that they are to have.
    Values(Vec<u8>, Form),
}

impl WholeRows {
    fn of(form: Form, whole: &WeightInfo, found: &[u8]) -> WholeRows {
        match form {
            // What is found in blocks of MXFP4 is taken as it is, and never cut across a row.
            Form::Found(_) | Form::Unpacked(_) | Form::Narrow(Narrow::Mxfp4, _) => {
                WholeRows::Rows(form.pack(whole, found))
            }
            Form::Narrow(..) => {
                let values = decoded(whole, found);
                WholeRows::Values(values.iter().flat_map(|value| value.to_le_bytes()).collect(), form)
            }
        }
    }

    /// What a rank has of so many rows: elements, and scales.
    fn cut(&self, taker: &Taker, count: usize) -> [Cow<'_, [u8]>; 2] {
        match self {
            WholeRows::Rows([elements, scales]) => {
                let (elements, _) = taker.cut(elements, elements.len() / count);
                [elements, Cow::Borrowed(scales)]
            }
            WholeRows::Values(values, form) => {
                let (values, row) = taker.cut(values, values.len() / count);
                let info = WeightInfo { dtype: DType::F32, shape: [count, row / 4].into() };
                form.pack(&info, &values).map(Cow::Owned)
            }
        }
    }
}

fn decoded(info: &WeightInfo, found: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; found.len() / info.dtype.block_bytes() * info.dtype.block_len()];
    blocks::decode(info.dtype, found, &mut values);
    values
}

/// The form of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it was found.
    Found(Element),
    /// Unpacked and rounded to this type.
    Unpacked(Element),
    /// In fewer bits, with scales beside it.
    Narrow(Narrow, Dialect),
}

impl Form {
    /// The form of a weight. Matrices have the type that products are computed in, or a narrower one where products read
    /// them; vectors (norms, biases) stay as they were found, since nothing is gained by rounding them.
    pub(crate) fn of(info: &WeightInfo, of: Use, options: &Options) -> Form {
        let factor = match options.precision {
            Precision::Bf16 => Element::BF16,
            Precision::F32 => Element::F32,
        };
        let found = match info.dtype {
            DType::F32 => Some(Element::F32),
            DType::F16 => Some(Element::F16),
            DType::BF16 => Some(Element::BF16),
            _ => None,
        };
        let narrow = options.narrow.filter(|narrow| is_narrowed(*narrow, info, of));
        match (narrow, found) {
            (Some(narrow), _) => Form::Narrow(narrow, options.dialect),
            (None, Some(found)) if found == factor || info.shape.len() < 2 => Form::Found(found),
            _ => Form::Unpacked(factor),
        }
    }

    /// The forms of a graph's weights.
    pub fn all(graph: &Graph, options: &Options) -> Vec<Form> {
        let weights = graph.given().zip(uses(graph)).filter_map(|(place, of)| match place {
            Place::Weight(weight) => Some((weight, of)),
            _ => None,
        });
        weights.map(|(weight, of)| Form::of_weight(&graph.weights[weight], of, options)).collect()
    }

    /// The form of a weight, or of a rank's part of it. Blocks are not cut across a row: what is found in MXFP4 and is to
    /// be cut so is unpacked.
    pub(crate) fn of_weight(spec: &WeightSpec, of: Use, options: &Options) -> Form {
        let last = spec.info.shape.len().saturating_sub(1);
        let is_cut = matches!(spec.part, Part::Slice { axis, .. } if usize::from(axis) == last);
        let narrow = options.narrow.filter(|narrow| !(is_cut && *narrow == Narrow::Mxfp4));
        Form::of(&spec.info, of, &Options { narrow, ..*options })
    }

    /// Type and axes of its elements in the chip's memory.
    pub fn shape(&self, info: &WeightInfo) -> Shape {
        match *self {
            Form::Found(element) | Form::Unpacked(element) => Shape::new(element, &info.shape[..]),
            Form::Narrow(narrow, dialect) => narrow.elements(&info.shape, dialect),
        }
    }

    /// Type and axes of its scales, where it has some.
    pub fn scales(&self, info: &WeightInfo) -> Option<Shape> {
        let Form::Narrow(narrow, _) = self else { return None };
        Some(narrow.scales(&info.shape))
    }

    /// Bytes in the chip's memory; `None` where they cannot be counted.
    pub fn bytes(&self, info: &WeightInfo) -> Option<usize> {
        let scales = self.scales(info).map_or(Some(0), |scales| scales.bytes())?;
        self.shape(info).bytes()?.checked_add(scales)
    }

    /// Rows of a weight, as they were found, in this form: elements, and scales.
    pub fn pack(&self, info: &WeightInfo, found: &[u8]) -> [Vec<u8>; 2] {
        match self {
            Form::Found(_) => [found.to_vec(), vec![]],
            Form::Unpacked(element) => {
                let values = decoded(info, found);
                let mut packed = vec![0; values.len() * element.bytes()];
                let dtype = if *element == Element::BF16 { DType::BF16 } else { DType::F32 };
                blocks::encode(dtype, &values, &mut packed);
                [packed, vec![]]
            }
            Form::Narrow(Narrow::Mxfp4, _) => part_mxfp4(found),
            Form::Narrow(Narrow::Int8Blocks, _) if info.dtype == DType::Q8_0 => part_q8_0(found),
            Form::Narrow(narrow, _) => {
                narrow.pack(&decoded(info, found), info.shape.last().copied().unwrap_or(0))
            }
        }
    }
}

/// Bytes of all weights of a graph on one rank.
pub(crate) fn bytes(graph: &Graph, options: &Options) -> u64 {
    let weights = graph.weights.iter().zip(Form::all(graph, options));
    let bytes = weights.map(|(weight, form)| form.bytes(&weight.info).map_or(u64::MAX, |bytes| bytes as u64));
    bytes.fold(0, u64::saturating_add)
}

/// Whether a weight is stored in fewer bits: only products read it as their matrix, and embeddings as their table.
fn is_narrowed(narrow: Narrow, info: &WeightInfo, of: Use) -> bool {
    let width = info.shape.last().copied().unwrap_or(0);
    of.factor
        && info.shape.len() >= 2
        && narrow.takes(width)
        && match narrow {
            Narrow::Mxfp4 => info.dtype == DType::MXFP4,
            // Words of four values are read by products alone.
            Narrow::Mxfp8 => !of.other,
            _ => true,
        }
}
