//! GGUF twins of goldens: other names, permuted rows, divisors for the scaled frequencies, packed experts; the same
//! logits.

use std::path::Path;
use std::sync::Arc;

use models::{Config, Options};
use polysilicon_tests::golden::{Golden, root};
use polysilicon_tests::prefill::Prefill;
use tensor::{Access, DType, ErrorStats, WeightSource};
use weights::{Gguf, GgufLayout, Renamed};

/// Normalised squared error where the twin holds the golden's very values.
const NMSE: f64 = 1e-9;

#[test]
fn twins_give_the_logits_of_their_goldens() {
    let mut faults = vec![];
    let mut files = std::fs::read_dir(root().join("goldens-gguf"))
        .expect("the twins are part of the repository")
        .map(|entry| entry.expect("readable").path())
        .collect::<Vec<_>>();
    files.sort();
    assert!(files.len() >= 8, "only {} twins were found", files.len());
    for path in files {
        if let Err(fault) = check(&path) {
            faults.push(format!("{}: {fault}", path.display()));
        }
    }
    assert!(faults.is_empty(), "twins fail:\n{}", faults.join("\n"));
}

fn check(path: &Path) -> Result<(), String> {
    let golden = Golden::open(&root().join("goldens").join(path.file_stem().expect("a name")));
    let file = Gguf::open(path, Access::Read).map_err(|error| error.to_string())?;
    let config = Config::from_gguf(&file).map_err(|error| error.to_string())?;
    let layout = GgufLayout {
        arch: file.metadata().str("general.architecture").map_err(|error| error.to_string())?.to_owned(),
        heads: config.count("num_attention_heads").map_err(|error| error.to_string())? as usize,
        kv_heads: config.count("num_key_value_heads").map_err(|error| error.to_string())? as usize,
    };
    let source: Arc<dyn WeightSource> = Arc::new(Renamed::gguf(Arc::new(file), layout));
    let options = Options { kv: DType::F32, page_len: 16 };
    let graph = models::describe("twin", &config, &options, &&*source).map_err(|error| error.to_string())?;
    let context = golden.ids.len() as u32;
    let mut run =
        Prefill::open(&reference::Reference::new(), &graph, &*source, context).map_err(|e| e.to_string())?;
    let fetch = run.feed(&golden.ids, &[]).map_err(|error| error.to_string())?;
    let stats = ErrorStats::new(&fetch.logits, &golden.logits);
    if stats.within(NMSE) { Ok(()) } else { Err(stats.to_string()) }
}
