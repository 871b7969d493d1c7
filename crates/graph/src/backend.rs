//! The two traits a device implements. Their verbs are about graphs; none names an operation.

use std::any::Any;
use std::io::{Read, Write};
use std::sync::Arc;

use tensor::{DType, SourceError, WeightSource};

use crate::{Bucket, Feed, Fetch, Graph, GroupId, PageId, PlanReport, ProgramId, ProgramSpec, StepId};

/// A device that can hold weights and run programs.
pub trait Backend: Send + Sync {
    /// What the device can do.
    fn caps(&self) -> &Caps;

    /// Whether this is no device but an emulation of one: what it says of time is simulated.
    fn is_emulated(&self) -> bool {
        false
    }

    /// The most tokens of a prompt that one step should take, where the device has reason to want another number than others:
    /// a step reads all weights and launches all kernels, however few its tokens.
    fn chunk(&self) -> Option<u32> {
        None
    }

    /// Reads and packs the weights of a graph, once; executors share them.
    fn load(&self, graph: &Graph, source: &dyn WeightSource) -> Result<Arc<dyn Weights>, BackendError>;

    /// Makes ready what steps up to a bucket need beside weights, and tells how many parts of it are done, and of how many:
    /// kernels, where those are compiled. What is not made here is made when a step first needs it.
    fn prepare(&self, graph: &Graph, bucket: &Bucket, tell: &Tell<'_>) -> Result<(), BackendError> {
        let _ = (graph, bucket, tell);
        Ok(())
    }

    /// What a graph takes whose steps are no larger than the bucket, known before anyone reads its weights.
    fn needs(&self, graph: &Graph, bucket: &Bucket) -> Result<Needs, BackendError> {
        Ok(Needs { weight_bytes: graph.weight_bytes(), work_bytes: graph.value_bytes(bucket) })
    }

    /// Makes room for states and work, within the budget.
    fn open(
        &self,
        graph: &Graph,
        weights: Arc<dyn Weights>,
        budget: &Budget,
    ) -> Result<Box<dyn Executor>, BackendError>;
}

/// Hears how many of how many are done.
pub type Tell<'a> = dyn Fn(u64, u64) + Sync + 'a;

/// Weights as one backend packed them.
pub trait Weights: Send + Sync + Any {
    /// Bytes of device memory they take.
    fn bytes(&self) -> u64;
}

impl dyn Weights {
    /// The weights as the backend `device` packed them, or an error where another did.
    pub fn packed_by<T: Weights>(self: Arc<Self>, device: &'static str) -> Result<Arc<T>, BackendError> {
        let any: Arc<dyn Any + Send + Sync> = self;
        any.downcast().map_err(|_| BackendError::Unsupported {
            device,
            what: "these weights".to_owned(),
            reason: "another device packed them; load them with this one".to_owned(),
        })
    }
}

/// Runs the steps of one graph on one device.
pub trait Executor: Send {
    /// Pages that fit the budget, per group; page 0 of each is the bin.
    fn pages(&self) -> &[u32];

    /// Makes a program for all steps that a bucket holds.
    fn compile(&mut self, spec: &ProgramSpec) -> Result<ProgramId, BackendError>;

    /// Drops a program that no step in flight runs; its id is not used again.
    fn forget(&mut self, program: ProgramId);

    /// Starts a step. At most two are in flight.
    fn launch(&mut self, program: ProgramId, feed: &Feed<'_>) -> Result<StepId, BackendError>;

    /// Waits for a step and fetches what it gave.
    fn finish(&mut self, step: StepId, fetch: &mut Fetch) -> Result<(), BackendError>;

    /// Writes pages of a group: for each state, for each page, its slots as dense little-endian values of the state's
    /// type. The same bytes on every device.
    fn export(&self, group: GroupId, pages: &[PageId], out: &mut dyn Write) -> Result<(), BackendError>;

    /// Reads what `export` wrote.
    fn import(&mut self, group: GroupId, pages: &[PageId], from: &mut dyn Read) -> Result<(), BackendError>;

    /// What a program does, kernel by kernel: in a step as large as its bucket, or, of a timed program that has run, in
    /// the last step.
    fn report(&self, program: ProgramId) -> PlanReport;
}

/// What a device can do.
#[derive(Clone, Debug)]
pub struct Caps {
    /// The name users give, `cpu`.
    pub name: &'static str,
    /// What it is, in words.
    pub description: String,
    /// Types that keys and values may be kept in, the default first.
    pub kv: Vec<DType>,
    /// Which buckets programs are made for.
    pub buckets: BucketPolicy,
    /// Whether a launch returns while its step still runs. Where it does not, launching ahead would only keep tokens
    /// waiting, and the engine does not.
    pub overlap: bool,
    /// Whether prefill and decode may share a step.
    pub mixed_steps: bool,
    /// Whether a sequence's tokens are the same bits whatever else is in the batch.
    pub batch_invariant: bool,
    /// Bytes of memory, where known.
    pub memory_bytes: Option<u64>,
}

/// Which buckets a device wants programs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketPolicy {
    /// Programs cost nothing: one for each shape met.
    Exact,
    /// One for each count of tokens, sequences and rows met; tables are rounded up to a power of two of pages. For
    /// kernels that read true lengths, to which a wider table costs nothing, while a new program for every page that
    /// a sequence grows by would.
    RoundedPages,
    /// Counts are rounded up to powers of two.
    PowersOfTwo,
}

/// Fewest pages of a table whose pages are rounded alone: sequences outgrow smaller ones too soon.
const PAGES_MIN: u32 = 16;

impl BucketPolicy {
    /// The bucket in which a step of these counts runs.
    pub fn round(self, step: Bucket) -> Bucket {
        match self {
            BucketPolicy::Exact => step,
            BucketPolicy::RoundedPages => {
                Bucket { pages: step.pages.next_power_of_two().max(PAGES_MIN), ..step }
            }
            BucketPolicy::PowersOfTwo => {
                let seqs = step.seqs.next_power_of_two();
                // One token each is worth a program of its own; other uniform steps come in every length.
                let (tokens, queries) = match step.queries {
                    1 => (seqs, 1),
                    _ => (step.tokens.next_power_of_two(), 0),
                };
                let (pages, rows) = (step.pages.next_power_of_two(), step.rows.next_power_of_two());
                Bucket { tokens, seqs, queries, pages, rows }
            }
        }
    }
}

/// What a graph takes beside its states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Bytes of its weights as the device keeps them.
    pub weight_bytes: u64,
    /// Bytes of work space of the largest step.
    pub work_bytes: u64,
}

impl Needs {
    /// All of them.
    pub fn bytes(&self) -> u64 {
        self.weight_bytes.saturating_add(self.work_bytes)
    }
}

/// What an executor may take.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Bytes for weights, states and work space together; the device's own memory where `None`.
    pub bytes: Option<u64>,
    /// The largest step there will be.
    pub bucket: Bucket,
    /// Pages wanted in each group, the bin included; fewer are given where the bytes do not suffice.
    pub pages: Vec<u32>,
}

impl Budget {
    /// Pages of each group that fit beside what is `taken` by weights and work space: as many as are wanted, or the
    /// same share of each, since all groups serve the same sequences.
    pub fn fit(&self, graph: &Graph, taken: u64, device: &'static str) -> Result<Vec<u32>, BackendError> {
        assert_eq!(self.pages.len(), graph.groups.len(), "a budget is made from the graph's groups");
        let page_bytes =
            (0..).map(|group| graph.page_bytes(GroupId(group))).take(self.pages.len()).collect::<Vec<_>>();
        let bytes = |pages: &dyn Fn(u32) -> u32| {
            let of_groups = self.pages.iter().zip(&page_bytes);
            of_groups.map(|(&wanted, &bytes)| u128::from(pages(wanted)) * u128::from(bytes)).sum::<u128>()
        };
        let least = |wanted: u32| wanted.max(2);
        let left = u128::from(self.bytes.unwrap_or(u64::MAX).saturating_sub(taken));
        let wanted = bytes(&least);
        let share = |pages: u32| match wanted <= left {
            true => least(pages),
            false => u32::try_from(u128::from(pages) * left / wanted).unwrap_or(pages),
        };
        let pages = self.pages.iter().map(|&pages| share(pages)).collect::<Vec<_>>();
        if pages.iter().all(|&pages| pages >= 2) {
            return Ok(pages);
        }
        let needed = u64::try_from(bytes(&|_| 2)).unwrap_or(u64::MAX).saturating_add(taken);
        let what = "weights, work space and two pages of keys and values";
        Err(BackendError::Memory { device, what, needed, available: self.bytes.unwrap_or(u64::MAX) })
    }
}

/// Why a device could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// Weights could not be read: the operator should look at the file.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Not enough memory: the caller may ask for less.
    #[error(
        "{device} needs {needed} bytes for {what}, and {available} are left; use --context or --memory to ask for less or allow more, or a smaller weight type"
    )]
    Memory {
        /// The device.
        device: &'static str,
        /// For what.
        what: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// The device cannot run this graph: another device can.
    #[error("{device} cannot run {what}: {reason}")]
    Unsupported {
        /// The device.
        device: &'static str,
        /// The node, type or bucket.
        what: String,
        /// Why not.
        reason: String,
    },
    /// A name that is no value of the graph.
    #[error("the graph has no value named `{name}`; `polysilicon show` lists the names")]
    NoValue {
        /// The name asked for.
        name: String,
    },
    /// The device failed.
    #[error("{device} failed: {reason}")]
    Device {
        /// The device.
        device: &'static str,
        /// What it said.
        reason: String,
    },
    /// Pages could not be written or read.
    #[error("pages could not be moved: {0}")]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_holds_the_step() {
        let step = Bucket { tokens: 5, seqs: 3, queries: 0, pages: 17, rows: 3 };
        assert_eq!(BucketPolicy::Exact.round(step), step);
        assert_eq!(BucketPolicy::RoundedPages.round(step), Bucket { pages: 32, ..step });
        let short = Bucket { pages: 1, ..step };
        assert_eq!(BucketPolicy::RoundedPages.round(short), Bucket { pages: 16, ..step });
        let all = Bucket { tokens: 8, seqs: 4, queries: 0, pages: 32, rows: 4 };
        assert_eq!(BucketPolicy::PowersOfTwo.round(step), all);
    }
}
