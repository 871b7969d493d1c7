//! Kernels that were loaded, which programs and executors share, and those that a model will need.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use graph::{BackendError, Bucket, Graph, ProgramSpec, Tell};
use rayon::prelude::*;

use crate::driver::{Driver, KernelId};
use crate::launch::sources;
use crate::options::Options;
use crate::source::Source;
use crate::weights::Form;
use crate::{fault, program::Program};

/// The kernels of one driver.
#[derive(Default)]
pub(crate) struct Kernels {
    known: Mutex<HashMap<Source, KernelId>>,
}

impl Kernels {
    /// The kernels of these texts; those that are new are compiled side by side, and each is told of.
    pub fn load<'a>(
        &self,
        driver: &Arc<dyn Driver>,
        sources: impl Iterator<Item = &'a Source>,
        tell: &Tell<'_>,
    ) -> Result<Vec<KernelId>, BackendError> {
        let sources = sources.collect::<Vec<_>>();
        let new = {
            let known = self.known();
            let new = sources.iter().copied().filter(|source| !known.contains_key(source));
            new.collect::<BTreeSet<_>>()
        };
        let (total, done) = (new.len() as u64, AtomicU64::new(0));
        let load = |source: &Source| {
            let loaded = driver.load(source).map_err(fault)?;
            tell(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            Ok::<_, BackendError>((source.clone(), loaded))
        };
        let loaded = new.into_par_iter().map(load).collect::<Result<Vec<_>, _>>()?;
        let mut known = self.known();
        known.extend(loaded);
        Ok(sources.iter().map(|source| known[*source]).collect())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Source, KernelId>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The texts that steps up to a bucket launch: steps of one token for each of so many sequences, and steps of so many tokens
/// of one. Texts do not depend on how long contexts are.
pub(crate) fn needed(
    graph: &Graph,
    forms: &[Form],
    most: &Bucket,
    options: &Options,
) -> Result<BTreeSet<Source>, BackendError> {
    let powers = |most: u32| (0..=most.max(1).next_power_of_two().ilog2()).map(|power| 1 << power);
    let decode = powers(most.seqs).map(|seqs| Bucket { tokens: seqs, seqs, queries: 1, rows: seqs, ..*most });
    let prefill = powers(most.tokens).map(|tokens| Bucket { tokens, seqs: 1, queries: 0, rows: 1, ..*most });
    let buckets = decode.chain(prefill).collect::<Vec<_>>();
    let texts = |bucket: Bucket| {
        let program = Program::new(graph, forms, &ProgramSpec { bucket, ..ProgramSpec::default() }, options)?;
        Ok::<_, BackendError>(sources(&program.lowered.launches).cloned().collect())
    };
    let texts = buckets.into_par_iter().map(texts).collect::<Result<Vec<BTreeSet<_>>, _>>()?;
    Ok(texts.into_iter().flatten().collect())
}
