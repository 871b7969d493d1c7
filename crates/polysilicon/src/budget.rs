//! Whether a model fits the memory it may take, found out before its weights are read, and what of it would fit.

use std::fmt;

use engine::limits::CHUNK;
use graph::{Backend, BackendError, Budget, Graph};
use tensor::DType;
use weights::{Mix, Target};

use crate::open::PAGE_LEN;
use crate::{Builder, Error, table};

/// Types to fall back to, the widest first.
const SMALLER: [Target; 6] = [
    Target::One(DType::Q8_0),
    Target::One(DType::Q6_K),
    Target::Mix(Mix::Q5_K_M),
    Target::Mix(Mix::Q4_K_M),
    Target::Mix(Mix::Q3_K_M),
    Target::Mix(Mix::Q2_K),
];

/// A model that does not fit, and what would.
#[derive(Clone, Debug, PartialEq)]
pub struct Shortage {
    /// The device.
    pub device: &'static str,
    /// Bytes of weights, work space and two pages of keys and values, without which there is no step.
    pub needed: u64,
    /// Bytes of weights among them.
    pub weights: u64,
    /// Bytes that may be taken.
    pub available: u64,
    /// The longest context that fits, halving what was asked for.
    pub context: Option<u32>,
    /// The widest type that fits, and the bytes of weights in it.
    pub target: Option<(Target, u64)>,
    /// Bytes that hold the model as it is with room for a short context.
    pub enough: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [needed, weights, available] =
            [self.needed, self.weights, self.available].map(|n| table::bytes(n as f64));
        let context = self.context.map(|tokens| format!("--context {tokens}, "));
        let target = self.target.map(|(target, bytes)| {
            format!("--quantize {target} ({} of weights), ", table::bytes(bytes as f64))
        });
        write!(
            f,
            "{} needs {needed} for weights ({weights}), work space and two pages of keys and values, and may take \
             {available}; what fits: {}{}or the model as it is with --memory {}MiB",
            self.device,
            context.unwrap_or_default(),
            target.unwrap_or_default(),
            self.enough.div_ceil(1 << 20)
        )
    }
}

impl Builder {
    /// Refuses a budget that does not hold weights, work space and two pages.
    pub(crate) fn check(&self, backend: &dyn Backend, graph: &Graph) -> Result<(), Error> {
        let context = self.context_asked()?;
        match (self.holds(backend, graph, context), self.bytes(backend.caps())) {
            (Err(BackendError::Memory { device, needed, .. }), Some(available)) => {
                let whole = |&context: &u32| self.holds(backend, graph, context).is_ok_and(|holds| holds);
                let mut shorter = std::iter::successors(Some(context / 2), |context| Some(context / 2));
                let least = context.min(CHUNK);
                Err(Error::Memory(Box::new(Shortage {
                    device,
                    needed,
                    weights: backend.needs(graph, &self.budget(backend, graph, context).bucket)?.weight_bytes,
                    available,
                    context: shorter.by_ref().take_while(|&context| context >= PAGE_LEN).find(whole),
                    target: self.smaller(backend, graph, least),
                    enough: needed
                        .saturating_add(graph.pages_bytes(&self.budget(backend, graph, least).pages)),
                })))
            }
            (held, _) => Ok(held.map(|_| ())?),
        }
    }

    /// Whether a whole context fits; an error where not even two pages do.
    fn holds(&self, backend: &dyn Backend, graph: &Graph, context: u32) -> Result<bool, BackendError> {
        let budget = self.budget(backend, graph, context);
        let taken = backend.needs(graph, &budget.bucket)?.bytes();
        Ok(budget.fit(graph, taken, backend.caps().name)? == budget.pages)
    }

    fn budget(&self, backend: &dyn Backend, graph: &Graph, context: u32) -> Budget {
        self.facts(backend, graph, context).budget(self.bytes(backend.caps()))
    }

    /// The widest type narrower than the weights' own in which a context of so many tokens fits, and the bytes of
    /// weights in it.
    fn smaller(&self, backend: &dyn Backend, graph: &Graph, context: u32) -> Option<(Target, u64)> {
        SMALLER.into_iter().find_map(|target| {
            let smaller = self.opened.graph_in(target, graph.states.first()?.dtype).ok()?;
            let fits = smaller.weight_bytes() < graph.weight_bytes()
                && self.holds(backend, &smaller, context).ok()?;
            fits.then(|| (target, smaller.weight_bytes()))
        })
    }
}
