//! The fuzzer's seeds and whatever it found, run again through the function that it calls.

use std::path::PathBuf;

#[test]
fn config_json() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/config_json");
    let files = std::fs::read_dir(folder).expect("the seeds are part of the repository");
    let replay = |path: PathBuf| models::entry::config_json(&std::fs::read(path).expect("readable"));
    let count = files.map(|file| replay(file.expect("readable").path())).count();
    assert!(count >= 30, "only {count} seeds were found");
}
