//! The chips that modules are compiled for, as AWS documents them.

/// A kind of chip. Figures are of one logical core, which is what a program runs on and what its memory is counted by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The compiler's word for it.
    pub name: &'static str,
    /// Logical cores of a chip.
    pub cores: u32,
    /// Physical cores in a logical one; the compiler's flag and the runtime's setting must be equal.
    pub physical: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes per second from memory.
    pub bandwidth: f64,
    /// Multiplications and additions per second of dense bf16.
    pub bf16: f64,
    /// Bytes per second from a chip to others.
    pub link: f64,
}

const GIB: u64 = 1 << 30;

/// Sources: the architecture pages of the Neuron SDK's documentation, figures of a chip divided by its logical cores.
/// On Trainium2 and 3 each logical core owns one bank of memory. For Trainium3 the guide to NKI says 4.7 TB/s where
/// its architecture page says 4.9; the smaller stands here.
pub const TARGETS: [Target; 4] = [
    Target {
        name: "inf2",
        cores: 2,
        physical: 1,
        memory_bytes: 16 * GIB,
        bandwidth: 410e9,
        bf16: 95e12,
        link: 192e9,
    },
    Target {
        name: "trn1",
        cores: 2,
        physical: 1,
        memory_bytes: 16 * GIB,
        bandwidth: 410e9,
        bf16: 95e12,
        link: 384e9,
    },
    Target {
        name: "trn2",
        cores: 4,
        physical: 2,
        memory_bytes: 24 * GIB,
        bandwidth: 725e9,
        bf16: 166.75e12,
        link: 1.28e12,
    },
    Target {
        name: "trn3",
        cores: 4,
        physical: 2,
        memory_bytes: 36 * GIB,
        bandwidth: 1175e9,
        bf16: 167.75e12,
        link: 2.56e12,
    },
];

impl Target {
    /// The chip of a name.
    pub fn named(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Bytes per second that a core sends to others of so many ranks: its share of the chip's links, or of the chip's
    /// memory where all ranks are on one chip.
    pub fn link_of_core(&self, ranks: u32) -> f64 {
        if ranks > self.cores { self.link / f64::from(self.cores) } else { self.bandwidth }
    }

    /// What the compiler is called with to turn a module into a program, word by word.
    pub fn flags(&self, module: &str, program: &str) -> Vec<String> {
        let physical = self.physical.to_string();
        let words = [
            "compile",
            module,
            "--framework",
            "XLA",
            "--target",
            self.name,
            "--output",
            program,
            "--model-type",
            "transformer",
            "--auto-cast",
            "none",
            "--logical-nc-config",
            &physical,
        ];
        words.map(str::to_owned).to_vec()
    }
}
