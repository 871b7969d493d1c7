//! Where two runs of one graph part: what tells which operation of a device is wrong.

use std::fmt;

use graph::Fetch;
use tensor::ErrorStats;

/// The first value that differs between two runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// Its name.
    pub name: String,
    /// How far apart the two are.
    pub stats: ErrorStats,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.stats)
    }
}

/// Compares the taps of two runs, `names` being what was tapped in the order in which it is made. Everything before
/// the first divergence agrees within `nmse`, so the operation that made this value is the one to look at.
pub fn first_divergence(names: &[String], got: &Fetch, want: &Fetch, nmse: f64) -> Option<Divergence> {
    assert_eq!([got.taps.len(), want.taps.len()], [names.len(); 2], "both runs tap every name");
    let mut pairs = names.iter().zip(got.taps.iter().zip(&want.taps));
    pairs.find_map(|(name, ((got_shape, got), (want_shape, want)))| {
        assert_eq!(got_shape, want_shape, "`{name}` has one shape on every device");
        let stats = ErrorStats::new(got, want);
        (!stats.within(nmse)).then(|| Divergence { name: name.clone(), stats })
    })
}
