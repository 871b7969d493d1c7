//! The fuzzer's seeds and whatever it found, run again through the function that the fuzzer calls.

#[test]
fn seeds_are_followed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/grammar");
    let files = std::fs::read_dir(folder).unwrap().map(|item| item.unwrap().path());
    let count = files.map(|path| text::entry::grammar(std::fs::read(path).unwrap().leak())).count();
    assert!(count >= 10);
}
