//! What was measured, kept as lines of text in the user's cache directory.
//!
//! A file belongs to one identity and says which. Whatever cannot be read as such a file is as good as none: the
//! machine is measured again and the file replaced.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use simd::Isa;

use super::{Measured, PATTERNS, Rates, Subject, Unit};

/// The first line; another form of file gets another number.
const HEADER: &str = "polysilicon measurements 1";
/// A file is a few hundred bytes.
const BYTES_MAX: u64 = 64 << 10;
/// More threads than any machine has cores.
const THREADS_MAX: usize = 1 << 16;
/// Above any rate per second, in bytes or operations.
const RATE_MAX: f64 = 1e18;

/// Where files are kept: `polysilicon` below `XDG_CACHE_HOME` or `~/.cache`.
pub fn directory() -> Option<PathBuf> {
    let absolute = |variable: &str| {
        let path = PathBuf::from(std::env::var_os(variable)?);
        path.is_absolute().then_some(path)
    };
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Some(cache?.join("polysilicon"))
}

/// What was measured under this identity.
pub fn read(directory: &Path, identity: &str) -> Option<Measured> {
    let path = directory.join(file_name(identity));
    // Opening a pipe would wait for its writer.
    if !fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    fs::File::open(&path).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    parse(&text).filter(|measured| measured.identity == identity)
}

/// Keeps it: a reader finds the file before or the file after, whole.
pub fn write(directory: &Path, measured: &Measured) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let name = file_name(&measured.identity);
    let new = directory.join(format!(".{name}.{}", std::process::id()));
    // A process of this number may have left one behind.
    let _ = fs::remove_file(&new);
    let mut file = fs::File::create_new(&new)?;
    let written = file.write_all(print(measured).as_bytes());
    let kept = written.and_then(|()| fs::rename(&new, directory.join(name)));
    if kept.is_err() {
        let _ = fs::remove_file(&new);
    }
    kept
}

/// A name per identity (FNV-1a): a home directory may be shared by many machines.
fn file_name(identity: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!("cpu-{:016x}.txt", identity.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

fn print(measured: &Measured) -> String {
    let Measured { identity, isa, cores, quiet, bandwidth, peaks } = measured;
    let mut text = format!("{HEADER}\nidentity {identity}\nisa {isa}\ncores {cores}\nquiet {quiet}\n");
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a string takes any text");
    bandwidth.iter().for_each(|(threads, rate)| line(format_args!("bandwidth {threads} {rate:.0}")));
    for (unit, rates) in peaks {
        rates.iter().for_each(|(threads, rate)| line(format_args!("{unit} {threads} {rate:.0}")));
    }
    text
}

fn parse(text: &str) -> Option<Measured> {
    let mut lines = text.strip_prefix(HEADER)?.strip_prefix('\n')?.lines();
    let mut fact = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let identity = fact("identity")?.to_owned();
    let isa = fact("isa")?.parse::<Isa>().ok()?;
    let cores = fact("cores")?.parse().ok().filter(|cores| (1..=THREADS_MAX).contains(cores))?;
    let quiet = fact("quiet")?.parse().ok()?;
    let mut measured = Measured { identity, isa, cores, quiet, bandwidth: Rates::default(), peaks: vec![] };
    for line in lines {
        let mut words = line.split(' ');
        let (name, threads, rate) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let sound = (1..=THREADS_MAX).contains(&threads) && (1.0..RATE_MAX).contains(&rate);
        if !sound || words.next().is_some() {
            return None;
        }
        measured.rates_of(subject(name)?).raise(threads, rate);
    }
    // Every unit has its rates, or it would not be there.
    (measured.bandwidth.iter().next().is_some() && measured.peak(Unit::F32).is_some()).then_some(measured)
}

/// What a line is about.
fn subject(name: &str) -> Option<Subject> {
    match name {
        "bandwidth" => Some(Subject::Read(PATTERNS[0])),
        _ => name.parse().ok().map(Subject::Multiply),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Measured {
        let rates = |rates: &[(usize, f64)]| Rates(rates.to_vec());
        Measured {
            identity: "a chip, of a kind 6/1/2".to_owned(),
            isa: Isa::Avx2,
            cores: 2,
            quiet: true,
            bandwidth: rates(&[(1, 17.5e9), (2, 34e9)]),
            peaks: vec![(Unit::F32, rates(&[(1, 2.5e11), (2, 5e11)])), (Unit::Int8, rates(&[(2, 1e12)]))],
        }
    }

    /// A folder that is gone when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("polysilicon-{name}-{}", std::process::id()));
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_kept_is_found_again_by_its_identity_alone() {
        let (folder, sample) = (Folder::new("kept"), sample());
        assert_eq!(read(&folder.0, &sample.identity), None);
        write(&folder.0, &sample).unwrap();
        write(&folder.0, &sample).unwrap();
        assert_eq!(read(&folder.0, &sample.identity), Some(sample.clone()));
        assert_eq!(read(&folder.0, "another chip"), None);
        let other = folder.0.join(file_name("another chip"));
        fs::rename(folder.0.join(file_name(&sample.identity)), other).unwrap();
        assert_eq!(read(&folder.0, "another chip"), None, "a file says whose it is");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn what_is_no_file_of_ours_is_none() {
        let folder = Folder::new("hostile");
        let path = folder.0.join(file_name(&sample().identity));
        fs::create_dir_all(&path).unwrap();
        assert_eq!(read(&folder.0, &sample().identity), None, "a folder");
        fs::remove_dir(&path).unwrap();
        for bytes in [&b""[..], b"\xff\xfe", &[b'x'; 1 << 20]] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(&folder.0, &sample().identity), None);
        }
        assert!(write(&path, &sample()).is_err(), "a file is no directory");
    }

    #[test]
    fn every_line_must_be_sound() {
        let text = print(&sample());
        assert!(parse(&text).is_some());
        for line in [
            "f32 0 5",
            "f32 1",
            "f32 1 nan",
            "f32 1 inf",
            "f32 1 -1",
            "f32 1 1e30",
            "f32 1 2 3",
            "f64 1 2",
            "f32 99999999999 2",
            "",
            " ",
        ] {
            assert_eq!(parse(&format!("{text}{line}\n")), None, "{line:?}");
        }
        for left_out in ["polysilicon", "identity", "isa", "cores", "quiet", "bandwidth", "f32"] {
            let few = text.lines().filter(|line| !line.starts_with(left_out));
            assert_eq!(parse(&few.map(|line| format!("{line}\n")).collect::<String>()), None, "{left_out}");
        }
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0..200usize, byte in any::<u8>(), cut in 0..400usize) {
            let mut bytes = print(&sample()).into_bytes();
            bytes.truncate(cut);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _ = parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
