//! A module loaded, with the tensors that its inputs and outputs are bound to.

use graph::{
    BackendError, Fetch, Graph, Input, Inputs, Largest, Op, Part, Place, PlanReport, ProgramSpec, Sampled,
    Sampler, parts,
};
use hlo::{Module, Shape};

use crate::emit::{CHOSEN, Emitted, Given, LOGITS, SAMPLED, TOP, lower};
use crate::rows::{WISH, Wanted, Wish};
use crate::states::States;
use crate::weights::Loaded;
use crate::{Device, unsupported};

/// Most steps launched and not yet finished; each has a slot of its own, and takes what the other's left.
pub(crate) const SLOTS: usize = 2;

/// A program of one bucket.
pub(crate) struct Program<D: Device> {
    pub(crate) spec: ProgramSpec,
    pub(crate) report: PlanReport,
    slots: [Slot<D>; SLOTS],
    /// What the host may read after each step: names and shapes.
    own: Vec<(String, Shape)>,
    vocab: u32,
    /// What part of each tap a rank has.
    taps: Vec<Part>,
    filled: Vec<i32>,
}

/// What one step uses while the next is made ready.
struct Slot<D: Device> {
    /// What the host writes before each step.
    fed: Vec<(Given, D::Tensor)>,
    /// What the host may read after it, in the order of [`Program::own`].
    own: Vec<D::Tensor>,
    bound: D::Bound,
}

/// Tensors that all programs of an executor share.
pub(crate) struct Shared<'a, D: Device> {
    pub(crate) weights: &'a Loaded<D>,
    pub(crate) states: &'a States<D>,
    /// Of each slot, the tokens that its step chooses.
    pub(crate) sampled: &'a [D::Tensor; SLOTS],
}

impl<D: Device> Program<D> {
    pub(crate) fn load(
        device: &mut D,
        graph: &Graph,
        spec: &ProgramSpec,
        emitted: &Emitted,
        shared: &Shared<'_, D>,
    ) -> Result<Program<D>, BackendError> {
        let program = device.load(&emitted.module)?;
        let mut slot = |slot| Slot::new(device, graph, &program, emitted, shared, slot);
        let slots = [slot(0)?, slot(1)?];
        let report = PlanReport::of(&lower(graph, &spec.bucket), &spec.bucket, &Op::to_string);
        let own = own(&emitted.module, graph).map(|(name, shape)| (name.to_owned(), shape.clone()));
        let taps = spec.taps.iter().map(|name| graph.part_of(name)).collect();
        let (spec, own, vocab) = (spec.clone(), own.collect(), graph.vocab);
        Ok(Program { spec, report, slots, own, vocab, taps, filled: vec![] })
    }

    /// Writes what the step in a slot is given.
    pub(crate) fn feed(
        &mut self,
        device: &mut D,
        slot: usize,
        inputs: &Inputs<'_>,
    ) -> Result<(), BackendError> {
        for (given, tensor) in &mut self.slots[slot].fed {
            match *given {
                Given::Main(Place::Input(input)) => {
                    inputs.fill(input, &mut self.filled);
                    device.write(tensor, None, 0, &bytes(&self.filled, i32::to_le_bytes))?;
                }
                Given::Patch(number) => {
                    device.write(tensor, None, 0, &bytes(inputs.feed.patches[number], f32::to_le_bytes))?
                }
                Given::Wishes => {
                    let rows = inputs.feed.rows.iter().map(|row| Wish::of(row).unwrap_or(Wish::LIKELIEST));
                    let mut wishes = rows.flat_map(|wish| wish.numbers()).collect::<Vec<_>>();
                    wishes.resize(self.spec.bucket.rows as usize * WISH, 0.0);
                    device.write(tensor, None, 0, &bytes(&wishes, f32::to_le_bytes))?;
                }
                given => return Err(unsupported("main".to_owned(), format!("it takes {given:?}"))),
            }
        }
        Ok(())
    }

    /// Begins the step in a slot.
    pub(crate) fn start(&self, device: &mut D, slot: usize) -> Result<D::Run, BackendError> {
        device.start(&self.slots[slot].bound)
    }

    /// Replaces the tokens of the step in a slot.
    pub(crate) fn correct(
        &mut self,
        device: &mut D,
        slot: usize,
        tokens: &[i32],
    ) -> Result<(), BackendError> {
        let fed = self.slots[slot].fed.iter_mut();
        for (_, tensor) in fed.filter(|(given, _)| *given == Given::Main(Place::Input(Input::Tokens))) {
            device.write(tensor, None, 0, &bytes(tokens, i32::to_le_bytes))?;
        }
        Ok(())
    }

    /// What each row of the step in a slot became: the likeliest token as the device found it where that is all that is
    /// asked for, else what is drawn here, from the row's largest logits where they decide it, or from all. Says whether
    /// the device, where it chose too, chose the same.
    pub(crate) fn sample(
        &self,
        device: &mut D,
        slot: usize,
        rows: &[Wanted],
        sampler: &mut Sampler,
        fetch: &mut Fetch,
    ) -> Result<bool, BackendError> {
        let mut agrees = true;
        if rows.is_empty() {
            return Ok(agrees);
        }
        let mut floats =
            |name| Ok::<_, BackendError>(numbers(&self.words(device, slot, name)?, f32::from_le_bytes));
        let [_, logits, normalisers] = CHOSEN;
        let (logits, normalisers) = (floats(logits)?, floats(normalisers)?);
        let drawn = rows.iter().any(|row| !matches!(row, Wanted::Greedy));
        let largest = if drawn { floats(TOP[0])? } else { vec![] };
        let ids = |words: Vec<[u8; 4]>| numbers(&words, u32::from_le_bytes);
        let tokens = ids(self.words(device, slot, CHOSEN[0])?);
        let whose = if drawn { ids(self.words(device, slot, TOP[1])?) } else { vec![] };
        let most = self.shape(TOP[0]).dims[1];
        for (place, row) in rows.iter().enumerate() {
            let normaliser = normalisers[place];
            let kept = match row {
                Wanted::Greedy => {
                    fetch.sampled.push(Sampled { id: tokens[place], logprob: logits[place] - normaliser });
                    continue;
                }
                Wanted::Guessed(kept) | Wanted::Drawn(kept) => kept.row(),
            };
            let of_row = place * most..(place + 1) * most;
            let (ids, logits) = (&whose[of_row.clone()], &largest[of_row]);
            let known = Largest { ids, logits, vocab: self.vocab, normaliser };
            if !sampler.sample_largest(&known, &kept, fetch) {
                sampler.sample(&self.logits(device, slot, place)?, &kept, fetch);
            }
            agrees &= !row.is_chosen_there() || fetch.sampled.last().is_some_and(|it| it.id == tokens[place]);
        }
        Ok(agrees)
    }

    /// The values that were asked for by name.
    pub(crate) fn taps(&self, device: &mut D, slot: usize, fetch: &mut Fetch) -> Result<(), BackendError> {
        for (number, &part) in self.taps.iter().enumerate() {
            let name = format!("tap.{number}");
            let (shape, tensor) = (self.shape(&name), self.tensor(slot, &name));
            let mut parts = vec![];
            for rank in parts::sources(part, device.ranks()) {
                let mut held = vec![0; shape.bytes().expect("typed: it can be counted")];
                device.read(tensor, rank, 0, &mut held)?;
                parts.push(held);
            }
            let (dims, whole) = parts::joined(part, &shape.dims, shape.element.bytes(), &parts);
            fetch.taps.push((tensor::Shape::new(&dims), numbers(&words(&whole), f32::from_le_bytes)));
        }
        Ok(())
    }

    fn logits(&self, device: &mut D, slot: usize, row: usize) -> Result<Vec<f32>, BackendError> {
        let mut held = vec![0; self.shape(LOGITS).dims[1] * 4];
        device.read(self.tensor(slot, LOGITS), 0, row * held.len(), &mut held)?;
        Ok(numbers(&words(&held), f32::from_le_bytes))
    }

    fn words(&self, device: &mut D, slot: usize, name: &str) -> Result<Vec<[u8; 4]>, BackendError> {
        let mut held = vec![0; self.shape(name).bytes().expect("typed: it can be counted")];
        device.read(self.tensor(slot, name), 0, 0, &mut held)?;
        Ok(words(&held))
    }

    fn place(&self, name: &str) -> usize {
        let place = self.own.iter().position(|(own, _)| own == name);
        place.unwrap_or_else(|| panic!("every program gives {name}"))
    }

    fn shape(&self, name: &str) -> &Shape {
        &self.own[self.place(name)].1
    }

    fn tensor(&self, slot: usize, name: &str) -> &D::Tensor {
        &self.slots[slot].own[self.place(name)]
    }
}

impl<D: Device> Slot<D> {
    fn new(
        device: &mut D,
        graph: &Graph,
        program: &D::Program,
        emitted: &Emitted,
        shared: &Shared<'_, D>,
        slot: usize,
    ) -> Result<Slot<D>, BackendError> {
        let Emitted { module, inputs: given } = emitted;
        let Shared { weights, states, sampled } = *shared;
        let (mut fed, mut own_tensors) = (vec![], vec![]);
        let shapes = module.entry().parameters();
        for ((given, name), ty) in given.iter().zip(&module.inputs).zip(shapes) {
            let is_shared = match given {
                Given::Main(place) | Given::Scales(place) => {
                    matches!(place, Place::Weight(_) | Place::State(_))
                }
                Given::Previous => true,
                Given::Patch(_) | Given::Wishes => false,
            };
            if !is_shared {
                fed.push((*given, device.allocate(name, ty.array().expect("inputs are arrays"))?));
            }
        }
        for (name, shape) in own(module, graph) {
            own_tensors.push(device.allocate(name, shape)?);
        }
        let mut of_fed = fed.iter();
        let input = |given: &Given| match *given {
            Given::Main(Place::Weight(place)) => &weights.tensors[place].elements,
            Given::Scales(Place::Weight(place)) => {
                let scales = weights.tensors[place].scales.as_ref();
                scales.expect("weights are loaded in the form in which modules take them")
            }
            Given::Main(Place::State(place)) => &states.tensors[place],
            Given::Previous => &sampled[(slot + 1) % SLOTS],
            _ => &of_fed.next().expect("one for each").1,
        };
        let inputs = given.iter().map(input).collect::<Vec<_>>();
        let mut of_own = own_tensors.iter();
        let output = |name: &String| match (state(graph, name), name.as_str()) {
            (Some(place), _) => &states.tensors[place],
            (None, SAMPLED) => &sampled[slot],
            _ => of_own.next().expect("one for each"),
        };
        let outputs = module.outputs.iter().map(output).collect::<Vec<_>>();
        let bound = device.bind(program, &inputs, &outputs)?;
        Ok(Slot { fed, own: own_tensors, bound })
    }
}

/// Results that belong to the program alone.
fn own<'a>(module: &'a Module, graph: &'a Graph) -> impl Iterator<Item = (&'a str, &'a Shape)> {
    let results = module.outputs.iter().zip(module.entry().result().arrays());
    let results = results.filter(|(name, _)| state(graph, name).is_none() && *name != SAMPLED);
    results.map(|(name, shape)| (name.as_str(), shape))
}

fn state(graph: &Graph, name: &str) -> Option<usize> {
    graph.states.iter().position(|state| state.name == name)
}

fn bytes<T: Copy>(values: &[T], of: impl Fn(T) -> [u8; 4]) -> Vec<u8> {
    values.iter().flat_map(|&value| of(value)).collect()
}

fn words(bytes: &[u8]) -> Vec<[u8; 4]> {
    bytes.chunks_exact(4).map(|word| [word[0], word[1], word[2], word[3]]).collect()
}

fn numbers<T>(words: &[[u8; 4]], of: impl Fn([u8; 4]) -> T) -> Vec<T> {
    words.iter().map(|&word| of(word)).collect()
}
