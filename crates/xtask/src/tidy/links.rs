//! Links between the documents lead somewhere.

use super::House;
use crate::tree::Tree;

/// Every relative link in a Markdown file names a file or a folder of the tree.
pub fn check(house: &House) -> Vec<String> {
    let documents = house.tree.texts().filter(|(file, _)| file.path.ends_with(".md"));
    documents.flat_map(|(file, text)| faults(&house.tree, &file.path, text)).collect()
}

fn faults(tree: &Tree, path: &str, text: &str) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut faults = Vec::new();
    for (line, target) in links(text) {
        let file = target.split('#').next().unwrap_or(target);
        if !resolve(folder, file).is_some_and(|found| tree.has(&found)) {
            faults.push(format!("{path}:{line}: the link to `{target}` leads nowhere"));
        }
    }
    faults
}

/// The targets of links within the repository, with their lines, outside of code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if !fenced {
            let prose = line.split('`').step_by(2);
            found.extend(prose.flat_map(targets).map(|target| (at + 1, target)));
        }
    }
    found
}

/// What stands between `](` and `)`, unless it leads out of the repository or stays on the page.
fn targets(prose: &str) -> impl Iterator<Item = &str> {
    let all = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    all.filter(|target| !target.contains("://") && !target.starts_with("mailto:") && !target.starts_with('#'))
}

/// The path from the root that a link means; `None` where it leaves the repository.
fn resolve(folder: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    if link.starts_with('/') {
        return None;
    }
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Vec<String> {
        check(&House::of(&[("docs/a.md", text), ("docs/b.md", ""), ("src/lib.rs", "")]))
    }

    #[test]
    fn links_that_resolve_pass() {
        assert!(check_text("[b](b.md) [top](#top) [b](b.md#part) [s](../src) [c](../src/lib.rs)").is_empty());
        assert!(
            check_text("[out](https://example.com) `[code](nowhere.md)`\n```\n[x](nowhere.md)\n```\n")
                .is_empty()
        );
    }

    #[test]
    fn links_that_do_not_are_named_with_their_line() {
        assert_eq!(check_text("ok\n[x](c.md)"), ["docs/a.md:2: the link to `c.md` leads nowhere"]);
        assert_eq!(check_text("[`code`](c.md)").len(), 1);
        assert_eq!(check_text("[x](../../outside.md) [y](/src)").len(), 2);
    }
}
