//! The product never unwraps: what can fail is an error with a place, what cannot says why in an `expect`.

use super::House;
use crate::source::Source;

/// No `unwrap` outside tests.
pub fn check(house: &House) -> Vec<String> {
    house.tree.rust().flat_map(|(file, source)| faults(&file.path, source)).collect()
}

fn faults(path: &str, source: &Source) -> Vec<String> {
    let lines = source.product_lines().filter(|(_, code)| code.contains(".unwrap()"));
    lines
        .map(|(line, _)| {
            format!("{path}:{line}: unwrap outside tests; return an error, or argue in an expect")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tests_unwrap() {
        let text = "fn f() { g().unwrap_or(0); }\nfn h() { g().unwrap(); }\n#[cfg(test)]\nmod tests { fn t() { g().unwrap(); } }\n";
        let found = faults("a.rs", &Source::new(text));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a.rs:2: "));
    }
}
