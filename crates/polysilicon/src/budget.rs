//! Whether a model fits the memory it may take, found out before its weights are read, and what of it would fit.

use std::fmt;

use engine::{Facts, limits::CHUNK};
use graph::{Backend, BackendError, Graph, Needs};
use tensor::DType;
use weights::{Mix, Target};

use crate::open::PAGE_LEN;
use crate::{Builder, Error, numbers};

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
            [self.needed, self.weights, self.available].map(|n| numbers::bytes(n as f64));
        let context = self.context.map(|tokens| format!("--context {tokens}, "));
        let target = self.target.map(|(target, bytes)| {
            format!("--quantize {target} ({} of weights), ", numbers::bytes(bytes as f64))
        });
        let or = if context.is_some() || target.is_some() { "or " } else { "" };
        write!(
            f,
            "{} needs {needed} for weights ({weights}), work space and two pages of keys and values, and may take \
             {available}; what fits: {}{}{or}the model as it is with --memory {}MiB",
            self.device,
            context.unwrap_or_default(),
            target.unwrap_or_default(),
            self.enough.div_ceil(1 << 20)
        )
    }
}

/// A model with what it takes besides keys and values, for contexts of one length.
struct Sized<'a> {
    graph: &'a Graph,
    facts: Facts,
    needs: Needs,
    device: &'static str,
}

impl Sized<'_> {
    /// Pages of each group within so many bytes; an error where not even two fit.
    fn pages(&self, bytes: Option<u64>) -> Result<Vec<u32>, BackendError> {
        self.facts.budget(bytes).fit(self.graph, self.needs.bytes(), self.device)
    }

    /// Whether a sequence of so many tokens fits within so many bytes.
    fn holds(&self, tokens: u32, bytes: u64) -> bool {
        let pages = self.pages(Some(bytes)).ok();
        pages
            .and_then(|pages| self.facts.context_within(&pages).ok())
            .is_some_and(|context| context >= tokens)
    }

    /// The fewest bytes within which a sequence of so many tokens fits.
    fn enough(&self, tokens: u32) -> u64 {
        let least = self.needs.bytes();
        let (mut low, mut high) =
            (least, least.saturating_add(self.graph.pages_bytes(&self.facts.budget(None).pages)));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.holds(tokens, middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        high
    }
}

impl Builder {
    /// Refuses so many bytes, where anyone says how many, if they do not hold weights, work space and two pages.
    pub(crate) fn check(
        &self,
        backend: &dyn Backend,
        graph: &Graph,
        bytes: Option<u64>,
    ) -> Result<(), Error> {
        let context = self.context_asked()?;
        let asked = self.sized(backend, graph, context)?;
        match (asked.pages(bytes), bytes) {
            (Err(BackendError::Memory { device, needed, .. }), Some(available)) => {
                let least = context.min(CHUNK);
                let mut shorter = std::iter::successors(Some(context / 2), |context| Some(context / 2))
                    .take_while(|&context| context >= PAGE_LEN);
                let fits = |&context: &u32| {
                    let shorter = self.sized(backend, graph, context);
                    shorter.is_ok_and(|shorter| shorter.holds(context, available))
                };
                Err(Error::Memory(Box::new(Shortage {
                    device,
                    needed,
                    weights: asked.needs.weight_bytes,
                    available,
                    context: shorter.find(fits),
                    target: self.smaller(backend, graph, least, available),
                    enough: asked.enough(least),
                })))
            }
            (pages, _) => Ok(pages.map(|_| ())?),
        }
    }

    fn sized<'a>(
        &self,
        backend: &dyn Backend,
        graph: &'a Graph,
        context: u32,
    ) -> Result<Sized<'a>, BackendError> {
        let facts = self.facts(backend, graph, context);
        let needs = backend.needs(graph, &facts.budget(None).bucket)?;
        Ok(Sized { graph, facts, needs, device: backend.caps().name })
    }

    /// The widest type narrower than the weights' own in which a sequence of so many tokens fits, and the bytes of
    /// weights in it.
    fn smaller(
        &self,
        backend: &dyn Backend,
        graph: &Graph,
        tokens: u32,
        bytes: u64,
    ) -> Option<(Target, u64)> {
        let context = self.context_asked().ok()?;
        SMALLER.into_iter().find_map(|target| {
            let smaller = self.opened.graph_in(target, graph.states.first()?.dtype).ok()?;
            let fits = smaller.weight_bytes() < graph.weight_bytes()
                && self.sized(backend, &smaller, context).ok()?.holds(tokens, bytes);
            fits.then(|| (target, smaller.weight_bytes()))
        })
    }
}
