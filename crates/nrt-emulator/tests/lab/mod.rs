//! What the tests share: an emulator of their own each, and small programs.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

pub mod eval;

use std::time::Duration;

use hlo::{Binary, Builder, Element, Module, Shape};
use nrt::{Core, Library, Model, Options, Runtime, Tensor, TensorSet};
use nrt_emulator::Control;
use tempfile::TempDir;

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(60);

/// A copy of the emulator's library: the loader takes it for another library, so it is nobody else's.
pub struct Lab {
    pub options: Options,
    folder: TempDir,
}

impl Lab {
    pub fn new() -> Lab {
        let folder = TempDir::new().unwrap();
        let library = folder.path().join("libnrt.so.1");
        std::fs::copy(nrt_emulator::library_path(), &library).unwrap();
        Lab { options: Options { library: Some(library), ..Options::default() }, folder }
    }

    /// A lab with settings, which are made before the runtime starts.
    pub fn with(settings: &[(&str, &str)]) -> Lab {
        let lab = Lab::new();
        settings.iter().for_each(|(name, value)| lab.control().set(name, value));
        lab
    }

    pub fn control(&self) -> Control {
        Control::open(self.options.library.as_deref().unwrap())
    }

    pub fn library(&self) -> Library {
        Library::open(self.options.library.as_deref()).unwrap()
    }

    pub fn runtime(&self) -> Runtime {
        Runtime::open(&self.options).unwrap()
    }

    /// A module as the stand-in compiler packs it.
    pub fn neff(&self, module: &Module) -> Vec<u8> {
        self.neff_for(module, "trn2")
    }

    pub fn neff_for(&self, module: &Module, target: &str) -> Vec<u8> {
        let (from, to) = (self.folder.path().join("m.pb"), self.folder.path().join("m.neff"));
        std::fs::write(&from, module.encode()).unwrap();
        let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let arguments =
            ["compile", &path(&from), "--framework", "XLA", "--target", target, "--output", &path(&to)];
        nrt_emulator::compile(&arguments.map(str::to_owned)).unwrap();
        std::fs::read(&to).unwrap()
    }
}

pub fn f32s(dims: &[usize]) -> Shape {
    Shape::new(Element::F32, dims)
}

/// `sum = a + b`, four numbers each.
pub fn adding() -> Module {
    let mut b = Builder::new();
    let (x, y) = (b.input("a", f32s(&[4])), b.input("b", f32s(&[4])));
    let sum = b.binary(Binary::Add, x, y);
    b.finish("adding", &[("sum", sum)], &[])
}

/// Rows of a table replaced where the table lies, and the row that was asked for: `[8, 4]`.
pub fn replacing() -> Module {
    let mut b = Builder::new();
    let table = b.input("table.must_alias_input", f32s(&[8, 4]));
    let at = b.input("at", Shape::new(Element::S32, [2]));
    let rows = b.input("rows", f32s(&[2, 4]));
    let new = b.replace_rows(table, at, rows);
    let read = b.rows(new, at);
    b.finish("replacing", &[("table", new), ("read", read)], &[("table", "table.must_alias_input")])
}

/// A program on a core with a tensor bound to each name.
pub struct Bench {
    pub model: Model,
    pub inputs: TensorSet,
    pub outputs: TensorSet,
}

impl Bench {
    pub fn new(core: &Core, neff: &[u8]) -> Bench {
        let model = core.load(neff, None).unwrap();
        let (mut inputs, mut outputs) = (TensorSet::new(core).unwrap(), TensorSet::new(core).unwrap());
        for info in model.tensors() {
            match info.direction {
                nrt::Direction::Input => {
                    inputs.insert(&info.name, &core.allocate(&info.name, info.bytes).unwrap()).unwrap()
                }
                nrt::Direction::Output => {
                    let tensor = match inputs.tensor(&format!("{}.must_alias_input", info.name)) {
                        Some(aliased) => aliased.clone(),
                        None => core.allocate(&info.name, info.bytes).unwrap(),
                    };
                    outputs.insert(&info.name, &tensor).unwrap()
                }
            }
        }
        Bench { model, inputs, outputs }
    }

    pub fn write(&self, name: &str, values: &[f32]) {
        self.inputs.tensor(name).unwrap().write(0, &bytes(values)).unwrap();
    }

    pub fn write_whole(&self, name: &str, values: &[i32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.inputs.tensor(name).unwrap().write(0, &bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<f32> {
        read(self.outputs.tensor(name).unwrap())
    }

    pub fn run(&self) -> Result<(), nrt::Error> {
        self.model.execute(&self.inputs, &self.outputs, LONG)
    }
}

pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

pub fn read(tensor: &Tensor) -> Vec<f32> {
    let mut bytes = vec![0; tensor.bytes()];
    tensor.read(0, &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect()
}
