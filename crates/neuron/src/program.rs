//! A module loaded, with the tensors that its inputs and outputs are bound to.

use graph::{
    BackendError, Feed, Fetch, Graph, Inputs, Op, Place, PlanReport, ProgramSpec, Row, Sampled, Sampler,
};
use hlo::Shape;

use crate::emit::{Emitted, GREEDY, Given, LOGITS, lower};
use crate::states::States;
use crate::weights::Loaded;
use crate::{Device, unsupported};

/// A program of one bucket.
pub(crate) struct Program<D: Device> {
    pub(crate) spec: ProgramSpec,
    pub(crate) report: PlanReport,
    program: D::Program,
    /// What each input of the module is bound to.
    inputs: Vec<Bound<D>>,
    /// What each output of the module is bound to.
    outputs: Vec<Made<D>>,
    filled: Vec<i32>,
}

enum Bound<D: Device> {
    Weight(usize),
    Scales(usize),
    State(usize),
    /// What the host writes before each step.
    Fed(Given, D::Tensor),
}

enum Made<D: Device> {
    State(usize),
    /// What the host may read after each step, by its name.
    Own {
        name: String,
        shape: Shape,
        tensor: D::Tensor,
    },
}

impl<D: Device> Program<D> {
    pub(crate) fn load(
        device: &mut D,
        graph: &Graph,
        spec: &ProgramSpec,
        emitted: Emitted,
    ) -> Result<Program<D>, BackendError> {
        let Emitted { module, inputs } = emitted;
        let program = device.load(&module)?;
        let mut bound = vec![];
        for ((given, name), ty) in inputs.into_iter().zip(&module.inputs).zip(module.entry().parameters()) {
            bound.push(match given {
                Given::Main(Place::Weight(weight)) => Bound::Weight(weight),
                Given::Scales(Place::Weight(weight)) => Bound::Scales(weight),
                Given::Main(Place::State(state)) => Bound::State(state),
                given => Bound::Fed(given, device.allocate(name, ty.array().expect("inputs are arrays"))?),
            });
        }
        let mut outputs = vec![];
        for (name, shape) in module.outputs.iter().zip(module.entry().result().arrays()) {
            let state = graph.states.iter().position(|state| state.name == *name);
            outputs.push(match state {
                Some(state) => Made::State(state),
                None => Made::Own {
                    name: name.clone(),
                    shape: shape.clone(),
                    tensor: device.allocate(name, shape)?,
                },
            });
        }
        let report = PlanReport::of(&lower(graph, &spec.bucket), &spec.bucket, &Op::to_string);
        Ok(Program { spec: spec.clone(), report, program, inputs: bound, outputs, filled: vec![] })
    }

    /// Writes what the step is given.
    pub(crate) fn feed(&mut self, device: &mut D, inputs: &Inputs<'_>) -> Result<(), BackendError> {
        for bound in &mut self.inputs {
            let Bound::Fed(given, tensor) = bound else { continue };
            match *given {
                Given::Main(Place::Input(input)) => {
                    inputs.fill(input, &mut self.filled);
                    device.write(tensor, None, 0, &bytes(&self.filled, i32::to_le_bytes))?;
                }
                Given::Patch(number) => {
                    device.write(tensor, None, 0, &bytes(inputs.feed.patches[number], f32::to_le_bytes))?
                }
                Given::Main(place) | Given::Scales(place) => {
                    return Err(unsupported("main".to_owned(), format!("it takes {place:?}")));
                }
            }
        }
        Ok(())
    }

    /// Runs the module, and waits.
    pub(crate) fn run(
        &self,
        device: &mut D,
        weights: &Loaded<D>,
        states: &States<D>,
    ) -> Result<(), BackendError> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for bound in &self.inputs {
            inputs.push(match bound {
                Bound::Weight(place) => &weights.tensors[*place].elements,
                Bound::Scales(place) => {
                    let scales = weights.tensors[*place].scales.as_ref();
                    scales.expect("weights are loaded in the form in which modules take them")
                }
                Bound::State(place) => &states.tensors[*place],
                Bound::Fed(_, tensor) => tensor,
            });
        }
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for made in &self.outputs {
            outputs.push(match made {
                Made::State(place) => &states.tensors[*place],
                Made::Own { tensor, .. } => tensor,
            });
        }
        let bound = device.bind(&self.program, &inputs, &outputs)?;
        let run = device.start(&bound)?;
        device.wait(run).map(|_| ())
    }

    /// What each row became: the likeliest token as the device found it where that is all that is asked for, else what
    /// is drawn here from the row's logits.
    pub(crate) fn sample(
        &self,
        device: &mut D,
        feed: &Feed<'_>,
        sampler: &mut Sampler,
        fetch: &mut Fetch,
    ) -> Result<(), BackendError> {
        let mut greedy = [const { vec![] }; GREEDY.len()];
        if feed.rows.iter().any(is_greedy) {
            for (words, name) in greedy.iter_mut().zip(GREEDY) {
                *words = self.words(device, name)?;
            }
        }
        let [tokens, logits, normalisers] = greedy;
        for (place, row) in feed.rows.iter().enumerate() {
            if is_greedy(row) {
                let id = u32::from_le_bytes(tokens[place]);
                let logprob = f32::from_le_bytes(logits[place]) - f32::from_le_bytes(normalisers[place]);
                fetch.sampled.push(Sampled { id, logprob });
            } else {
                sampler.sample(&self.logits(device, place)?, row, fetch);
            }
        }
        Ok(())
    }

    /// The values that were asked for by name.
    pub(crate) fn taps(&self, device: &mut D, fetch: &mut Fetch) -> Result<(), BackendError> {
        for number in 0..self.spec.taps.len() {
            let name = format!("tap.{number}");
            let values = self.words(device, &name)?.into_iter().map(f32::from_le_bytes).collect();
            let (shape, _) = self.own(&name);
            fetch.taps.push((tensor::Shape::new(&shape.dims), values));
        }
        Ok(())
    }

    fn logits(&self, device: &mut D, row: usize) -> Result<Vec<f32>, BackendError> {
        let (shape, tensor) = self.own(LOGITS);
        let mut held = vec![0; shape.dims[1] * 4];
        device.read(tensor, 0, row * held.len(), &mut held)?;
        Ok(words(&held).into_iter().map(f32::from_le_bytes).collect())
    }

    fn words(&self, device: &mut D, name: &str) -> Result<Vec<[u8; 4]>, BackendError> {
        let (shape, tensor) = self.own(name);
        let mut held = vec![0; shape.bytes().expect("typed: it can be counted")];
        device.read(tensor, 0, 0, &mut held)?;
        Ok(words(&held))
    }

    fn own(&self, name: &str) -> (&Shape, &D::Tensor) {
        let named = |made: &'_ &Made<D>| matches!(made, Made::Own { name: own, .. } if own == name);
        match self.outputs.iter().find(named) {
            Some(Made::Own { shape, tensor, .. }) => (shape, tensor),
            _ => panic!("every program gives {name}"),
        }
    }
}

/// Whether a row wants the likeliest token and nothing more.
fn is_greedy(row: &Row<'_>) -> bool {
    let adjusted = !row.sampling.penalties.is_none() || !row.bias.is_empty() || row.mask.is_some();
    row.sampling.temperature <= 0.0 && !adjusted && row.top == 0 && !row.logits
}

fn bytes<T: Copy>(values: &[T], of: impl Fn(T) -> [u8; 4]) -> Vec<u8> {
    values.iter().flat_map(|&value| of(value)).collect()
}

fn words(bytes: &[u8]) -> Vec<[u8; 4]> {
    bytes.chunks_exact(4).map(|word| [word[0], word[1], word[2], word[3]]).collect()
}
