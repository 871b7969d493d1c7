//! A kernel to be compiled: its name and the macros that are baked in.

use std::fmt::Write as _;

/// A kernel's text is its macros, the prelude, and the file of its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// The file's name without its ending, which is the entry's too.
    pub kernel: &'static str,
    /// Names and what they stand for.
    pub macros: Vec<(&'static str, String)>,
}

impl Source {
    /// A kernel without macros yet.
    pub fn new(kernel: &'static str) -> Source {
        Source { kernel, macros: vec![] }
    }

    /// The kernel with one macro more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Source {
        self.macros.push((name, value.to_string()));
        self
    }

    /// What a compiler reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.macros {
            writeln!(text, "#define {name} {value}").expect("a string takes any text");
        }
        text + &kernels::cuda::text(self.kernel)
    }

    /// The kernel as reports name it, `linear[WIDTH 4096, FORMAT Q4_0]`.
    pub fn label(&self) -> String {
        let macros = self.macros.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>();
        match macros.len() {
            0 => self.kernel.to_owned(),
            _ => format!("{}[{}]", self.kernel, macros.join(", ")),
        }
    }
}

/// A number as C++ reads it, to the bit.
pub fn float(x: f32) -> String {
    match x {
        x if x.is_nan() => "NAN".to_owned(),
        x if x.is_infinite() => format!("({}INFINITY)", if x < 0.0 { "-" } else { "" }),
        x => format!("({x:?}f)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_stand_before_everything() {
        let source = Source::new("reduce").with("WIDTH", 7).with("SUM", "");
        assert!(source.text().starts_with("#define WIDTH 7\n#define SUM \n// "));
        assert_eq!(source.label(), "reduce[WIDTH 7, SUM ]");
    }

    #[test]
    fn floats_are_written_to_the_bit() {
        assert_eq!(float(0.1), "(0.1f)");
        assert_eq!(float(-1e-30), "(-1e-30f)");
        assert_eq!(float(f32::NEG_INFINITY), "(-INFINITY)");
    }
}
