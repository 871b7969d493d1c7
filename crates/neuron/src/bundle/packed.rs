//! Opening a bundle. Nothing in its manifest is taken on trust: numbers are bounded, files lie in the folder, and a
//! program is used for the very module that it was made of.

use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use graph::{Bucket, Graph, RANKS_MAX};
use serde_json::Value;

use super::write::{graph_sum, sum};
use super::{FORMAT, MANIFEST};
use crate::{Dialect, Narrow, Options, Precision, Target};
use neuronx::{Neff, NeffError};

/// Most bytes of a manifest: a large model's has a few thousand weights.
const MANIFEST_MAX: u64 = 64 << 20;
/// Most programs of a bundle.
const PROGRAMS_MAX: usize = 4096;
/// Most groups of states.
const GROUPS_MAX: usize = 64;

/// A bundle that was opened.
#[derive(Clone, Debug)]
pub struct Packed {
    folder: PathBuf,
    target: &'static Target,
    ranks: u32,
    options: Options,
    model: String,
    graph_sum: String,
    page_len: u32,
    pages: Vec<u32>,
    programs: Vec<Program>,
}

#[derive(Clone, Debug)]
struct Program {
    name: String,
    bucket: Bucket,
    module: PathBuf,
    program: PathBuf,
    /// None where it was compiled elsewhere, after the manifest was written.
    program_sum: Option<String>,
}

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It has no manifest, or one that cannot be read.
    #[error("{}: {error}; name a folder that `polysilicon compile` wrote to its end", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The manifest is not what one is.
    #[error("{}: {reason}; make the bundle again with `polysilicon compile`", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// It is another model's.
    #[error(
        "the bundle {} is of {theirs}, whose graph is another than that of {ours} on {ranks} ranks: it differs in shapes, in the type of keys and values, or in the version that made it; compile this model",
        folder.display()
    )]
    Model {
        /// The bundle.
        folder: PathBuf,
        /// Its model.
        theirs: String,
        /// The model to be run.
        ours: String,
        /// Its ranks.
        ranks: u32,
    },
    /// No program was made of this module.
    #[error(
        "no program of the bundle {} was made of the module {module}; this version writes it differently, or its bucket was not asked for: compile the model again",
        folder.display()
    )]
    NoProgram {
        /// The bundle.
        folder: PathBuf,
        /// The module's sum.
        module: String,
    },
    /// A program is not there, not whole, or for other cores.
    #[error("{}: {reason}; run compile.sh in the bundle's folder where it was not run, else make it again", path.display())]
    Program {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Packed {
    /// Reads the manifest of a folder.
    pub fn open(folder: &Path) -> Result<Packed, BundleError> {
        let path = folder.join(MANIFEST);
        let unread = |error| BundleError::Manifest { path: path.clone(), error };
        if !fs::metadata(&path).map_err(unread)?.is_file() {
            return Err(BundleError::Form { path, reason: "it is no file".to_owned() });
        }
        let file = fs::File::open(&path).map_err(unread)?;
        let mut text = vec![];
        file.take(MANIFEST_MAX + 1).read_to_end(&mut text).map_err(unread)?;
        if text.len() as u64 > MANIFEST_MAX {
            let reason = format!("it has more than {MANIFEST_MAX} bytes");
            return Err(BundleError::Form { path, reason });
        }
        Packed::parse(folder, &text).map_err(|reason| BundleError::Form { path, reason })
    }

    /// What a manifest says.
    fn parse(folder: &Path, text: &[u8]) -> Result<Packed, String> {
        let manifest: Value =
            serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let field = Field { value: &manifest, path: "" };
        if field.at("format")?.number(0..=u64::MAX)? != FORMAT {
            return Err(format!("it is of another format than {FORMAT}, which this version reads"));
        }
        let target = field.at("target")?.text()?;
        let target =
            Target::named(target).ok_or_else(|| format!("{target} is no chip that is known here"))?;
        let precision = match field.at("precision")?.text()? {
            "bf16" => Precision::Bf16,
            "f32" => Precision::F32,
            other => return Err(format!("precision {other} is not known here")),
        };
        let narrow = match field.at("weights_in")?.text()? {
            "" => None,
            name => Some(name.parse::<Narrow>().map_err(|error| error.to_string())?),
        };
        let mut programs = vec![];
        for place in 0..field.at("programs")?.list(PROGRAMS_MAX)?.len() {
            programs.push(program(&field.at("programs")?, place)?);
        }
        let mut pages = vec![];
        for count in field.at("pages")?.list(GROUPS_MAX)? {
            // Two is the least, and slots are counted in 31 bits.
            pages.push(Field { value: count, path: "pages" }.number(2..=i32::MAX as u64)? as u32);
        }
        Ok(Packed {
            folder: folder.to_owned(),
            target,
            ranks: field.at("ranks")?.number(1..=RANKS_MAX.into())? as u32,
            options: Options { narrow, ..Options::new(precision, Dialect::Neuron) },
            model: field.at("model")?.text()?.to_owned(),
            graph_sum: field.at("graph_sum")?.text()?.to_owned(),
            page_len: field.at("page_len")?.number(1..=4096)? as u32,
            pages,
            programs,
        })
    }

    /// The chip it was made for.
    pub fn target(&self) -> &'static Target {
        self.target
    }

    /// How many logical cores run it together.
    pub fn ranks(&self) -> u32 {
        self.ranks
    }

    /// How its modules were written.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Pages of each group's pool, which its programs were made for.
    pub fn pages(&self) -> &[u32] {
        &self.pages
    }

    /// The largest steps: positions of a sequence, sequences that decode together, tokens of a prompt in one piece.
    pub fn most(&self) -> [u32; 3] {
        let of = |count: fn(&Bucket) -> u32| {
            self.programs.iter().map(|program| count(&program.bucket)).max().unwrap_or(0)
        };
        let decoding = |bucket: &Bucket| if bucket.queries == 1 { bucket.seqs } else { 0 };
        [of(|bucket| bucket.pages).saturating_mul(self.page_len), of(decoding), of(|bucket| bucket.tokens)]
    }

    /// What programs there are, by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.programs.iter().map(|program| program.name.as_str())
    }

    /// The smallest bucket in which a step of these counts runs, where there is one.
    pub fn bucket(&self, step: &Bucket) -> Option<Bucket> {
        let fitting = self.programs.iter().map(|program| program.bucket).filter(|bucket| bucket.holds(step));
        fitting.min_by_key(|bucket| (bucket.tokens, bucket.seqs, bucket.pages, bucket.rows))
    }

    /// Refuses a model that it was not made of. The graph is that of one rank.
    pub fn check(&self, graph: &Graph) -> Result<(), BundleError> {
        let alike = graph_sum(graph) == self.graph_sum && graph.groups.len() == self.pages.len();
        match alike {
            true => Ok(()),
            false => Err(BundleError::Model {
                folder: self.folder.clone(),
                theirs: self.model.clone(),
                ours: graph.name.clone(),
                ranks: graph.ranks,
            }),
        }
    }

    /// The program that was made of a module, byte for byte.
    pub fn program(&self, module: &[u8]) -> Result<PathBuf, BundleError> {
        let same = |program: &&Program| {
            let path = self.folder.join(&program.module);
            let whole = fs::metadata(&path).is_ok_and(|it| it.is_file() && it.len() == module.len() as u64);
            whole && fs::read(path).is_ok_and(|found| found == module)
        };
        let none = || BundleError::NoProgram { folder: self.folder.clone(), module: sum(module) };
        let program = self.programs.iter().find(same).ok_or_else(none)?;
        let path = self.folder.join(&program.program);
        let wrong = |reason: String| BundleError::Program { path: path.clone(), reason };
        let neff = Neff::of_file(&path).map_err(|error: NeffError| wrong(error.to_string()))?;
        if neff.logical != self.target.physical {
            let reason = format!("it is for logical cores of {}, not {}", neff.logical, self.target.physical);
            return Err(wrong(reason));
        }
        if let Some(wanted) = &program.program_sum {
            let found = fs::read(&path).map_err(|error| wrong(error.to_string()))?;
            if sum(&found) != *wanted {
                return Err(wrong(
                    "it is not what the manifest says it is: it was damaged or replaced".to_owned(),
                ));
            }
        }
        Ok(path)
    }
}

fn program(programs: &Field<'_>, place: usize) -> Result<Program, String> {
    let path = format!("programs[{place}]");
    let field = Field { value: &programs.value[place], path: &path };
    let counts = field.at("bucket")?;
    // Whatever is computed from two of them fits 64 bits.
    let count = |key: &str, least: u64| counts.at(key)?.number(least..=1 << 24).map(|n| n as u32);
    let bucket = Bucket {
        tokens: count("tokens", 1)?,
        seqs: count("seqs", 1)?,
        queries: count("queries", 0)?,
        pages: count("pages", 1)?,
        rows: count("rows", 0)?,
    };
    Ok(Program {
        name: field.at("name")?.text()?.to_owned(),
        bucket,
        module: field.at("module")?.file()?,
        program: field.at("program")?.file()?,
        program_sum: match &field.value["program_sum"] {
            Value::Null => None,
            _ => Some(field.at("program_sum")?.text()?.to_owned()),
        },
    })
}

/// A value of the manifest, and where it stands.
struct Field<'a> {
    value: &'a Value,
    path: &'a str,
}

impl<'a> Field<'a> {
    /// A part of an object. Errors name the innermost place.
    fn at(&self, key: &'a str) -> Result<Field<'a>, String> {
        let value = self.value.get(key).ok_or_else(|| format!("{} lacks `{key}`", self.place()))?;
        Ok(Field { value, path: key })
    }

    fn place(&self) -> String {
        if self.path.is_empty() { "the manifest".to_owned() } else { format!("`{}`", self.path) }
    }

    fn text(&self) -> Result<&'a str, String> {
        self.value.as_str().ok_or_else(|| format!("{} is no text", self.place()))
    }

    fn number(&self, within: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
        let number = self.value.as_u64().filter(|n| within.contains(n));
        let wanted = || format!("{} is no number from {} to {}", self.place(), within.start(), within.end());
        number.ok_or_else(wanted)
    }

    fn list(&self, most: usize) -> Result<&'a Vec<Value>, String> {
        let list = self.value.as_array().filter(|list| list.len() <= most);
        list.ok_or_else(|| format!("{} is no list of at most {most}", self.place()))
    }

    /// The name of a file in the folder itself.
    fn file(&self) -> Result<PathBuf, String> {
        let path = PathBuf::from(self.text()?);
        let mut parts = path.components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(_)), None) => Ok(path),
            _ => Err(format!("{} is no name of a file in the bundle's folder", self.place())),
        }
    }
}
