//! Writing a whole graph: a main function, and layers that are functions called many times.

use std::ops::{Deref, DerefMut};
use std::panic::Location;

use crate::builder::{BuildError, Catalogue, FuncBuilder};
use crate::{Func, FuncId, Graph, Group, GroupId, Node, Op, Param, Part, StateSpec, Ty, ValueId, WeightSpec};

/// Builds a graph. Everything a [`FuncBuilder`] can do, it does to the main function.
pub struct GraphBuilder<'c> {
    main: FuncBuilder<'c>,
    catalogue: &'c dyn Catalogue,
    name: String,
    vocab: u32,
    funcs: Vec<Func>,
    groups: Vec<Group>,
}

impl<'c> GraphBuilder<'c> {
    /// An empty graph, whose weights are those of the catalogue and whose pages hold `page_len` positions.
    pub fn new(name: &str, vocab: u32, page_len: u32, catalogue: &'c dyn Catalogue) -> Self {
        GraphBuilder {
            main: FuncBuilder::new("main", page_len, Some(catalogue)),
            catalogue,
            name: name.to_owned(),
            vocab,
            funcs: vec![],
            groups: vec![],
        }
    }

    /// The group of this kind, made if it is new.
    pub fn group(&mut self, group: Group) -> GroupId {
        let found = self.groups.iter().position(|&g| g == group);
        let place = found.unwrap_or_else(|| {
            self.groups.push(group);
            self.groups.len() - 1
        });
        GroupId(place as u32)
    }

    /// Calls a layer: `body` describes it over parameters of the types of `args`, with weights and states named
    /// below `name`. Layers that come out alike become one function.
    #[track_caller]
    pub fn layer(
        &mut self,
        name: &str,
        args: &[ValueId],
        body: impl FnOnce(&mut FuncBuilder<'c>, &[ValueId]) -> Vec<ValueId>,
    ) -> Vec<ValueId> {
        let at = Location::caller();
        let mut layer = FuncBuilder::new("", self.main.page_len, Some(self.catalogue)).with_prefix(name);
        let params = args.iter().map(|&arg| layer.param(self.main.ty(arg))).collect::<Vec<_>>();
        let results = body(&mut layer, &params);
        let count = results.len();
        let (func, error) = layer.finish(results);
        if let Some(error) = error {
            self.main.error.get_or_insert(error);
        }
        let passed = self.arguments(name, &func, args);
        let types = func.tys(&func.results);
        let id = self.intern(func);
        let node = Node {
            op: Op::Call(id),
            args: passed,
            results: types.len() as u32,
            at,
            name: Some(name.to_owned()),
        };
        let results = self.main.push(node, &types);
        self.take_back_states(name, id, &results[count..]);
        results[..count].to_vec()
    }

    /// The graph, or the first thing that was wrong with it.
    pub fn finish(self, logits: ValueId) -> Result<Graph, BuildError> {
        let GraphBuilder { main, name, vocab, mut funcs, groups, catalogue, .. } = self;
        let page_len = main.page_len;
        let (func, error) = main.finish(vec![logits]);
        if let Some(error) = error {
            return Err(error);
        }
        let (mut weights, mut states) = (vec![], vec![]);
        for (param, ty) in func.params.iter().zip(func.param_types()) {
            match param {
                Param::Weight(name) => {
                    let dims = ty.dims.iter().filter_map(|dim| dim.number()).collect::<Vec<_>>();
                    let info =
                        catalogue.find(name, &dims).ok_or(BuildError::NoWeight { name: name.clone() })?;
                    weights.push(WeightSpec { name: name.clone(), info, part: Part::Whole });
                }
                Param::State(name, group) => states.push(StateSpec {
                    name: name.clone(),
                    group: *group,
                    dtype: ty.dtype,
                    slot: crate::Dims::new(&ty.dims[2..]),
                    part: Part::Whole,
                }),
                Param::Value | Param::Input(_) => {}
            }
        }
        let main = FuncId(funcs.len() as u32);
        funcs.push(func);
        Ok(Graph { name, funcs, main, weights, states, groups, page_len, vocab, ranks: 1 })
    }

    /// What main passes for each parameter of a layer: the arguments for values, its own parameters for the rest.
    fn arguments(&mut self, name: &str, func: &Func, args: &[ValueId]) -> Vec<ValueId> {
        let mut args = args.iter();
        let types = func.param_types();
        let mut passed = vec![];
        for ((param, &shard), ty) in func.params.iter().zip(&func.shards).zip(types) {
            passed.push(match param {
                Param::Value => {
                    *args.next().expect("a layer has as many value parameters as it was given arguments")
                }
                Param::Input(input) => self.main.input(*input),
                Param::Weight(weight) => {
                    self.main.add_param(Param::Weight(format!("{name}.{weight}")), ty, shard)
                }
                Param::State(state, group) => {
                    let state = self.main.add_state(&format!("{name}.{state}"), *group, ty, shard);
                    self.main.read(state)
                }
            });
        }
        passed
    }

    /// The states a layer returned are main's states from here on.
    fn take_back_states(&mut self, name: &str, id: FuncId, returned: &[ValueId]) {
        let names = self.funcs[id.index()].params.iter().filter_map(|param| match param {
            Param::State(state, _) => Some(format!("{name}.{state}")),
            _ => None,
        });
        for (full, &value) in names.zip(returned) {
            let mut order = self.main.func.params.iter().filter_map(|param| match param {
                Param::State(name, _) => Some(name),
                _ => None,
            });
            if let Some(place) = order.position(|name| *name == full) {
                self.main.states[place] = value;
            }
        }
    }

    fn intern(&mut self, mut func: Func) -> FuncId {
        let alike = |known: &Func| {
            (&known.params, &known.shards, &known.nodes, &known.results, &known.types)
                == (&func.params, &func.shards, &func.nodes, &func.results, &func.types)
        };
        let place = self.funcs.iter().position(alike).unwrap_or_else(|| {
            func.name = format!("layer_{}", (b'a' + (self.funcs.len() % 26) as u8) as char);
            self.funcs.push(func);
            self.funcs.len() - 1
        });
        FuncId(place as u32)
    }
}

impl<'c> Deref for GraphBuilder<'c> {
    type Target = FuncBuilder<'c>;

    fn deref(&self) -> &FuncBuilder<'c> {
        &self.main
    }
}

impl<'c> DerefMut for GraphBuilder<'c> {
    fn deref_mut(&mut self) -> &mut FuncBuilder<'c> {
        &mut self.main
    }
}

impl FuncBuilder<'_> {
    /// The function whose results are these and then its states.
    pub(crate) fn finish(mut self, results: Vec<ValueId>) -> (Func, Option<BuildError>) {
        self.func.results = results;
        self.func.results.extend(&self.states);
        (self.func, self.error)
    }
}

impl Func {
    /// The types of the parameters, in order.
    pub fn param_types(&self) -> Vec<Ty> {
        let mut types = vec![None; self.params.len()];
        for (value, node) in self.nodes_with_ids() {
            if let Op::Param(place) = node.op {
                types[place as usize] = Some(*self.ty(value));
            }
        }
        types.into_iter().map(|ty| ty.expect("every parameter has its node")).collect()
    }
}
