//! Splits the text of a Rust file into code and comments, without parsing it.
//!
//! Rules that look for words must not trip over a word in a sentence or a string. A scanner that knows comments,
//! strings and characters is enough for that, and it reads the whole tree in milliseconds.

/// One text as two layers of the same lines: what belongs to the other layer, or to neither, is blank.
#[derive(Default)]
pub struct Layers {
    /// Code without comments and without the contents of string and character literals.
    pub code: String,
    /// Comments of every kind, with their slashes.
    pub comments: String,
}

/// Splits a text. Whatever it holds, every line comes back in both layers.
pub fn split(text: &str) -> Layers {
    let mut layers = Layers::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (kind, len) = next(rest);
        let (piece, later) = rest.split_at(len);
        put(&mut layers.code, piece, matches!(kind, Kind::Code));
        put(&mut layers.comments, piece, matches!(kind, Kind::Comment));
        rest = later;
    }
    layers
}

enum Kind {
    Code,
    Comment,
    Literal,
}

/// Appends a piece, or as many blanks, with its line ends.
fn put(layer: &mut String, piece: &str, shown: bool) {
    if shown {
        layer.push_str(piece);
    } else {
        layer.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
    }
}

/// The kind and the length of the piece that a text begins with; the length is never 0.
fn next(rest: &str) -> (Kind, usize) {
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment(rest));
    }
    if let Some(len) = raw_string(rest).or_else(|| string(rest)).or_else(|| character(rest)) {
        return (Kind::Literal, len);
    }
    // A whole word at a time, so that the last letter of a name is never taken for the prefix of a literal.
    let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    let first = rest.chars().next().map_or(0, char::len_utf8);
    (Kind::Code, word.max(first))
}

/// Whether a character may stand inside a name.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let body = ["br", "cr", "r"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let inside = body.trim_start_matches('#');
    let hashes = body.len() - inside.len();
    let inside = inside.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let len = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(rest.len() - inside.len() + len)
}

fn string(rest: &str) -> Option<usize> {
    let inside = ["b\"", "c\"", "\""].iter().find_map(|start| rest.strip_prefix(start))?;
    let start = rest.len() - inside.len();
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(start + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// A character literal; `None` for a lifetime, which begins alike.
fn character(rest: &str) -> Option<usize> {
    let inside = ["b'", "'"].iter().find_map(|start| rest.strip_prefix(start))?;
    let start = rest.len() - inside.len();
    let mut chars = inside.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        return chars.find(|&(_, c)| c == '\'').map(|(at, _)| start + at + 1);
    }
    chars.next().filter(|&(_, c)| c == '\'').map(|(at, _)| start + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let layers = split(text);
        assert_eq!(layers.code.lines().count(), text.lines().count());
        assert_eq!(layers.comments.lines().count(), text.lines().count());
        layers.code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_of_every_kind_leave_the_code() {
        assert_eq!(
            code("let a; // word\nlet b; /* word /* nested\n */ word */ let c;"),
            "let a; let b; let c;"
        );
        let layers = split("/// says why\nfn f() {}");
        assert_eq!(layers.comments.lines().next(), Some("/// says why"));
    }

    #[test]
    fn literals_are_blank() {
        assert_eq!(code(r#"f("word \" // still", b"w", 'w', b'\'', '\u{1F600}', 'é');"#), "f( , , , , , );");
        assert_eq!(code("f(r##\"a \"# word\"##, br\"\\\", cr#\"x\"#);"), "f( , , );");
        assert_eq!(code("let s = \"never closed"), "let s =");
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        assert_eq!(
            code("fn f<'a>(x: &'a str, r#fn: u8) -> &'static str"),
            "fn f<'a>(x: &'a str, r#fn: u8) -> &'static str"
        );
        assert_eq!(code("for bar in 'outer"), "for bar in 'outer");
    }
}
