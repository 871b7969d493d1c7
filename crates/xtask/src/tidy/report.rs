//! Numbers about the text itself: no rule by themselves, but worth watching from change to change.

use std::fmt::Write;

use super::House;
use super::sizes::{MAX_FUNCTION_LINES, long_functions};
use crate::source::Source;

/// A few lines for a reader.
pub fn text(house: &House) -> String {
    let mut lengths: Vec<(usize, &str)> =
        house.tree.rust().map(|(file, source)| (source.code.lines().count(), &*file.path)).collect();
    lengths.sort_unstable();
    let counts =
        house.tree.rust().map(|(_, source)| Counts::of(source)).fold(Counts::default(), Counts::plus);
    let mut out = String::new();
    let mut say = |line: String| writeln!(out, "{line}").expect("writing to a string cannot fail");
    say(format!(
        "  {} files, {} crates, {} Rust files",
        house.tree.files.len(),
        house.crates.len(),
        lengths.len()
    ));
    if let (Some((median, _)), Some((longest, path))) = (lengths.get(lengths.len() / 2), lengths.last()) {
        say(format!("  lines of a Rust file: median {median}, longest {longest} ({path})"));
    }
    let share = percent(counts.comments, counts.code + counts.comments);
    say(format!("  lines: {} code, {} comment ({share:.0} %)", counts.code, counts.comments));
    let per_thousand = percent(counts.expects, counts.product) * 10.0;
    say(format!("  outside tests: {} lines of code, {per_thousand:.1} expects per thousand", counts.product));
    let long = long_functions(house);
    say(format!(
        "  functions: {}, of which {} over {MAX_FUNCTION_LINES} lines",
        counts.functions,
        long.len()
    ));
    for (path, function) in long {
        say(format!("    {path}:{} {} ({} lines)", function.line, function.name, function.lines));
    }
    out
}

/// Sums over files.
#[derive(Default, Debug, PartialEq)]
struct Counts {
    code: usize,
    comments: usize,
    product: usize,
    expects: usize,
    functions: usize,
}

impl Counts {
    fn of(source: &Source) -> Counts {
        let filled = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).count();
        Counts {
            code: filled(&source.code),
            comments: filled(&source.comments),
            product: source.product_lines().filter(|(_, line)| !line.trim().is_empty()).count(),
            expects: source.product_lines().filter(|(_, line)| line.contains(".expect(")).count(),
            functions: source.functions().len(),
        }
    }

    fn plus(self, other: Counts) -> Counts {
        Counts {
            code: self.code + other.code,
            comments: self.comments + other.comments,
            product: self.product + other.product,
            expects: self.expects + other.expects,
            functions: self.functions + other.functions,
        }
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_what_they_hold() {
        let text = "//! why\n\nfn f() { g().expect(\"so\"); } // and why\n#[cfg(test)]\nfn t() { g().expect(\"so\"); }\n";
        let wanted = Counts { code: 3, comments: 2, product: 1, expects: 1, functions: 2 };
        assert_eq!(Counts::of(&Source::new(text)), wanted);
    }

    #[test]
    fn an_empty_house_has_a_report() {
        assert!(super::text(&House::of(&[])).contains("0 Rust files"));
        assert!(super::text(&House::of(&[("a.rs", "fn f() {}\n")])).contains("median 1, longest 1 (a.rs)"));
    }
}
