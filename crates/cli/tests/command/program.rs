//! Runs the program.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What one run of the program left.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Standard output of a run that went well.
    #[track_caller]
    pub fn text(self) -> String {
        assert_eq!(self.status, 0, "{}", self.err);
        self.out
    }

    /// The one JSON value that a run printed.
    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.text()).expect("one JSON value")
    }

    /// The sentence of a run that failed.
    #[track_caller]
    pub fn sentence(self, status: i32) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let lines = self.err.lines().collect::<Vec<_>>();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines[0].strip_prefix("polysilicon: ").expect("the program says who speaks").to_owned()
    }
}

/// The program, away from the terminal and from the user's own hub cache.
pub fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polysilicon"));
    command.args(args).env_remove("COLUMNS").env("HF_HUB_CACHE", "no-such-cache");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub fn polysilicon(args: &[&str]) -> Ended {
    ended(program(args))
}

/// Runs it to its end on this input.
pub fn polysilicon_on(input: &str, args: &[&str]) -> Ended {
    let mut child = program(args).stdin(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A program that has ended reads no more.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    output(child.wait_with_output().expect("it ends"))
}

/// Runs a prepared command to its end.
pub fn ended(mut command: Command) -> Ended {
    output(command.output().expect("it starts"))
}

fn output(output: std::process::Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    let status = output.status.code().expect("no signal ended it");
    Ended { status, out: text(output.stdout), err: text(output.stderr) }
}

/// A file or folder of the workspace's `tests`.
pub fn fixture(path: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    root.join(path).to_str().expect("a path of this repository").to_owned()
}
