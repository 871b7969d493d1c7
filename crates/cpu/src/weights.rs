//! Weights as they are kept: read once, in parallel, each packed for what the graph does with it.

use std::sync::{Arc, Mutex, PoisonError};

use graph::{BackendError, Graph, WeightSpec, Weights};
use simd::LANES;
use tensor::{Buffer, DType, SourceError, Value, WeightInfo, WeightSource, blocks};

use crate::packed::{Layout, Packed, pack_strip};
use crate::roles::{self, Roles};
use crate::{NAME, no_memory};

/// Rows are read in pieces of about so many bytes, so that they are still in the core's cache when they are packed.
const PIECE: usize = 1 << 20;

/// All weights of a graph.
pub struct Loaded {
    /// In the order of the graph's.
    pub weights: Vec<Weight>,
    /// How each is kept.
    pub forms: Vec<Form>,
}

/// How a weight is kept, known before it is read.
#[derive(Clone, Copy)]
pub struct Form {
    info: WeightInfo,
    /// For products and tables: how many matrices, one or one for each expert, and the layout of each.
    matrices: Option<(usize, Layout)>,
    /// Whether as f32, for norms, biases and sinks.
    vector: bool,
    /// Whether as it is found, for everything else.
    plain: bool,
}

/// A weight in the forms that its readers want.
#[derive(Default)]
pub struct Weight {
    /// For products and tables: one matrix, or one for each expert.
    pub packed: Vec<Packed>,
    /// For norms, biases and sinks.
    vector: Option<Value>,
    /// For everything else.
    plain: Option<Value>,
}

/// The forms of a graph's weights, in their order.
pub fn forms(graph: &Graph) -> Result<Vec<Form>, BackendError> {
    let forms = graph.weights.iter().zip(roles::of_weights(graph));
    forms.map(|(spec, roles)| Form::of(spec.info, roles)).collect()
}

impl Form {
    /// The form of a weight with these roles.
    pub fn of(info: WeightInfo, roles: Roles) -> Result<Form, BackendError> {
        let matrices = roles.matrix.then(|| matrices(info.dtype, &info.shape)).transpose()?;
        Ok(Form { info, matrices, vector: roles.vector, plain: roles.plain })
    }

    /// The layout of a matrix.
    ///
    /// # Panics
    /// Where the weight is no matrix.
    pub fn layout(&self) -> Layout {
        self.matrices.expect("only matrices are multiplied and looked up").1
    }

    /// How many matrices it is.
    pub fn count(&self) -> usize {
        self.matrices.map_or(0, |(count, _)| count)
    }

    /// Bytes of all matrices, or `None` where they cannot be counted.
    fn packed_bytes(&self) -> Option<usize> {
        self.matrices.map_or(Some(0), |(count, layout)| count.checked_mul(layout.bytes()))
    }

    /// Bytes of its elements in a type, or `None` where they cannot be counted.
    fn bytes_as(&self, dtype: DType) -> Option<usize> {
        dtype.bytes_of(self.info.shape.elements()?)
    }

    /// Bytes that it takes; as many as there can be where they cannot be counted.
    pub fn bytes(&self) -> u64 {
        let others = [(self.vector, DType::F32), (self.plain, self.info.dtype)];
        let others = others.map(|(kept, dtype)| if kept { self.bytes_as(dtype) } else { Some(0) });
        let all = [self.packed_bytes(), others[0], others[1]];
        let sum = all.into_iter().try_fold(0, |sum: usize, bytes| sum.checked_add(bytes?));
        sum.map_or(u64::MAX, |bytes| bytes as u64)
    }
}

impl Weight {
    /// A weight in its form.
    pub fn of(value: Value, form: &Form) -> Weight {
        let mut weight = Weight::default();
        if let Some((matrices, layout)) = form.matrices {
            let source = value.data.as_slice::<u8>();
            let each = layout.rows * layout.row_bytes();
            let one = |place: usize| Packed::of(layout, &source[place * each..(place + 1) * each]);
            weight.packed = (0..matrices).map(one).collect();
        }
        if form.vector {
            weight.vector = Some(Value::f32s(value.shape, &value.to_f32()));
        }
        if form.plain {
            weight.plain = Some(value);
        }
        weight
    }

    /// The matrix, where the weight is one.
    pub fn matrix(&self) -> &Packed {
        &self.packed[0]
    }

    /// The bytes for a reader that wants this type.
    pub fn plain(&self, dtype: DType) -> &[u8] {
        let vector = self.vector.as_ref().filter(|vector| vector.dtype == dtype);
        let value = vector.or(self.plain.as_ref()).expect("a weight is loaded for all that reads it");
        value.data.as_slice()
    }

    fn bytes(&self) -> u64 {
        let packed = self.packed.iter().map(|packed| packed.view().bytes.len()).sum::<usize>();
        let others = [&self.vector, &self.plain].into_iter().flatten().map(|value| value.data.len());
        (packed + others.sum::<usize>()) as u64
    }
}

impl Weights for Loaded {
    fn bytes(&self) -> u64 {
        self.weights.iter().map(Weight::bytes).sum()
    }
}

impl Loaded {
    /// Reads and packs what the graph reads, on all threads of the current pool.
    pub fn load(graph: &Graph, source: &dyn WeightSource) -> Result<Loaded, BackendError> {
        let forms = forms(graph)?;
        let mut rooms = vec![];
        for (spec, form) in graph.weights.iter().zip(&forms) {
            rooms.push(Room::of(spec, form)?);
        }
        let bytes = forms.iter().try_fold(0, |sum: usize, form| sum.checked_add(form.packed_bytes()?));
        let bytes = bytes.ok_or_else(|| no_memory("the weights", usize::MAX))?;
        // One stretch of memory for all, which the system backs by huge pages from end to end.
        let mut all = Buffer::try_zeroed(bytes).ok_or_else(|| no_memory("the weights", bytes))?;
        let (mut tasks, mut rest) = (vec![], all.as_mut_slice());
        for (room, spec) in rooms.iter_mut().zip(&graph.weights) {
            tasks.extend(room.tasks(spec, &mut rest));
        }
        run(tasks, source)?;
        let (all, mut at) = (Arc::new(all), 0);
        let weights = rooms.into_iter().map(|room| room.filled(&all, &mut at)).collect();
        Ok(Loaded { weights, forms })
    }
}

/// Does all tasks. Each thread takes the next, so that all are busy to the end and files are read from front to back.
fn run(tasks: Vec<Task<'_>>, source: &dyn WeightSource) -> Result<(), SourceError> {
    let tasks = Mutex::new(tasks.into_iter());
    let tasks = || tasks.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        let mut scratch = vec![];
        loop {
            let Some(task) = tasks().next() else { return Ok(()) };
            if let Err(error) = task.run(source, &mut scratch) {
                // The others stop too.
                *tasks() = vec![].into_iter();
                return Err(error);
            }
        }
    };
    rayon::broadcast(|_| work()).into_iter().collect()
}

/// How many matrices a shape is, and the layout of one.
fn matrices(dtype: DType, shape: &[usize]) -> Result<(usize, Layout), BackendError> {
    let unsupported = || BackendError::Unsupported {
        device: NAME,
        what: format!("a weight {dtype}{shape:?}"),
        reason: "its rows are not whole blocks of a type that this device multiplies".to_owned(),
    };
    let (matrices, rows, cols) = match *shape {
        [rows, cols] => (1, rows, cols),
        [matrices, rows, cols] => (matrices, rows, cols),
        _ => return Err(unsupported()),
    };
    Ok((matrices, Layout::of(dtype, rows, cols).ok_or_else(unsupported)?))
}

/// Room for a weight in its forms.
struct Room {
    /// Of each matrix.
    layouts: Vec<Layout>,
    vector: Option<Value>,
    plain: Option<Value>,
}

/// Rows of a weight to read, and where they go.
struct Task<'a> {
    spec: &'a WeightSpec,
    first: usize,
    into: Into<'a>,
}

enum Into<'a> {
    Strips(Layout, &'a mut [u8]),
    Vector(&'a mut Value),
    Plain(&'a mut Value),
}

impl Room {
    fn of(spec: &WeightSpec, form: &Form) -> Result<Room, BackendError> {
        let too_large = || SourceError::TooLarge { name: spec.name.clone() };
        let zeroed = |dtype: DType| {
            let bytes = form.bytes_as(dtype).ok_or_else(too_large)?;
            let data = Buffer::try_zeroed(bytes).ok_or_else(|| no_memory("the weights", bytes))?;
            Ok::<_, BackendError>(Value { dtype, shape: form.info.shape, data })
        };
        Ok(Room {
            layouts: form.matrices.map_or(vec![], |(matrices, layout)| vec![layout; matrices]),
            vector: form.vector.then(|| zeroed(DType::F32)).transpose()?,
            plain: form.plain.then(|| zeroed(form.info.dtype)).transpose()?,
        })
    }

    /// What there is to do to fill it; matrices go into the next of `rest`.
    fn tasks<'a>(&'a mut self, spec: &'a WeightSpec, rest: &mut &'a mut [u8]) -> Vec<Task<'a>> {
        let mut tasks = vec![];
        for (place, &layout) in self.layouts.iter().enumerate() {
            let (matrix, behind) = std::mem::take(rest).split_at_mut(layout.bytes());
            *rest = behind;
            let strips = (PIECE / layout.strip_bytes().max(1)).max(1);
            for (piece, bytes) in matrix.chunks_mut((strips * layout.strip_bytes()).max(1)).enumerate() {
                let first = place * layout.rows + piece * strips * LANES;
                tasks.push(Task { spec, first, into: Into::Strips(layout, bytes) });
            }
        }
        tasks.extend(self.vector.as_mut().map(|value| Task { spec, first: 0, into: Into::Vector(value) }));
        tasks.extend(self.plain.as_mut().map(|value| Task { spec, first: 0, into: Into::Plain(value) }));
        tasks
    }

    /// The weight, once all is done; its matrices are in `all` from `at` on.
    fn filled(self, all: &Arc<Buffer>, at: &mut usize) -> Weight {
        let packed = self.layouts.into_iter().map(|layout| {
            let packed = Packed::within(layout, all, *at);
            *at += layout.bytes();
            packed
        });
        Weight { packed: packed.collect(), vector: self.vector, plain: self.plain }
    }
}

impl Task<'_> {
    /// Reads and packs, by way of bytes that are any.
    fn run(self, source: &dyn WeightSource, scratch: &mut Vec<u8>) -> Result<(), SourceError> {
        let Task { spec, first, into } = self;
        match into {
            Into::Plain(value) => source.read_rows(&spec.name, 0, value.data.as_mut_slice()),
            Into::Vector(value) => {
                let bytes = source.read(&spec.name)?;
                blocks::decode(spec.info.dtype, &bytes, value.data.as_mut_slice());
                Ok(())
            }
            Into::Strips(layout, strips) => {
                let count = strips.len() / layout.strip_bytes().max(1) * LANES;
                let bytes = count.min(layout.rows - first % layout.rows.max(1)) * layout.row_bytes();
                scratch.resize(scratch.len().max(bytes), 0);
                let bytes = &mut scratch[..bytes];
                source.read_rows(&spec.name, first, bytes)?;
                let rows = bytes.chunks((LANES * layout.row_bytes()).max(1));
                for (rows, strip) in rows.zip(strips.chunks_exact_mut(layout.strip_bytes().max(1))) {
                    pack_strip(&layout, rows, strip);
                }
                Ok(())
            }
        }
    }
}
