//! In what form weights lie in the chip's memory.

use graph::{BackendError, Graph, WeightSpec, Weights};
use hlo::{Element, Shape};
use tensor::{DType, SourceError, WeightInfo, WeightSource, blocks};

use crate::parts::{Run, runs};
use crate::{Device, Options, Precision};

/// Bytes of a weight that are read and packed at once.
const PIECE: usize = 16 << 20;

/// Weights on a device.
pub(crate) struct Loaded<D: Device> {
    /// In the order of the graph's weights.
    pub(crate) tensors: Vec<D::Tensor>,
    bytes: u64,
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
        for spec in &graph.weights {
            let form = Form::of(&spec.info, options);
            let shape = form.shape(&spec.info);
            let mut tensor = device.allocate(&spec.name, &shape)?;
            let bytes = shape.bytes().ok_or_else(|| SourceError::TooLarge { name: spec.name.clone() })?;
            load_one(spec, form, source, device, &mut tensor)?;
            loaded.tensors.push(tensor);
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

/// Bytes of all weights of a graph on one rank.
pub(crate) fn bytes(graph: &Graph, options: &Options) -> u64 {
    let bytes = |info| Form::of(info, options).shape(info).bytes().unwrap_or(usize::MAX) as u64;
    graph.weights.iter().map(|weight| bytes(&weight.info)).fold(0, u64::saturating_add)
}

fn load_one<D: Device>(
    spec: &WeightSpec,
    form: Form,
    source: &dyn WeightSource,
    device: &mut D,
    tensor: &mut D::Tensor,
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
            let packed = form.pack(&whole, &piece);
            for taker in &takers {
                let (cut, row) = taker.cut(&packed, packed.len() / count, form.element().bytes());
                let offset = (taker.to + first - rows.start) * row;
                for rank in &taker.ranks {
                    device.write(tensor, *rank, offset, &cut)?;
                }
            }
        }
    }
    Ok(())
}

/// The form of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it was found.
    Found(Element),
    /// Unpacked and rounded to this type.
    Unpacked(Element),
}

impl Form {
    /// The form of a weight. Matrices have the type that products are computed in; vectors (norms, biases) stay as
    /// they were found, since nothing is gained by rounding them.
    pub fn of(info: &WeightInfo, options: &Options) -> Form {
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
        match found {
            Some(found) if found == factor || info.shape.len() < 2 => Form::Found(found),
            _ => Form::Unpacked(factor),
        }
    }

    /// Type and axes in the chip's memory.
    pub fn shape(&self, info: &WeightInfo) -> Shape {
        Shape::new(self.element(), &info.shape[..])
    }

    /// Type in the chip's memory.
    pub fn element(&self) -> Element {
        let (Form::Found(element) | Form::Unpacked(element)) = *self;
        element
    }

    /// Rows of a weight, as they were found, in this form.
    pub fn pack(&self, info: &WeightInfo, found: &[u8]) -> Vec<u8> {
        let Form::Unpacked(element) = self else { return found.to_vec() };
        let mut values = vec![0.0; found.len() / info.dtype.block_bytes() * info.dtype.block_len()];
        blocks::decode(info.dtype, found, &mut values);
        let mut packed = vec![0; values.len() * element.bytes()];
        let dtype = if *element == Element::BF16 { DType::BF16 } else { DType::F32 };
        blocks::encode(dtype, &values, &mut packed);
        packed
    }
}
