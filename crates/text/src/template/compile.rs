//! From a template's source to metered instructions.
//!
//! minijinja counts steps but not memory. Here its instructions that make text or lists without a limit (`+`, `*`, `~`, `[]`)
//! are replaced by calls of functions that ask the budget first, and text outside tags is emitted as a value, so that
//! it goes through the formatter, which asks too.

use std::collections::BTreeMap;

use minijinja::machinery::{CodeGenerator, Instruction, Instructions, Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind, Value};

/// The functions of [`super::dialect`] that stand for operators; no template can name or replace them.
pub(super) const ADD: &str = "+";
/// See [`ADD`].
pub(super) const MULTIPLY: &str = "*";
/// See [`ADD`].
pub(super) const CONCATENATE: &str = "~";
/// `[a, b]`; see [`ADD`].
pub(super) const LIST: &str = "[]";
/// `(a, b)`; see [`ADD`].
pub(super) const TUPLE: &str = "()";
/// `{a: b}`, keys and values in turn; see [`ADD`].
pub(super) const MAP: &str = "{}";

const NAME: &str = "chat template";

pub(super) struct Program<'a> {
    pub(super) main: Instructions<'a>,
    /// Always empty: blocks are refused. Evaluation wants to borrow it.
    pub(super) blocks: BTreeMap<&'a str, Instructions<'a>>,
}

pub(super) fn compile(source: &str) -> Result<Program<'_>, Error> {
    let tree = parse(source, NAME, syntax()?)?;
    let mut generator = CodeGenerator::new(NAME, source);
    generator.compile_stmt(&tree);
    let (main, blocks) = generator.finish();
    Ok(Program { main: metered(source, &main)?, blocks })
}

fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()
}

/// The same program, asking the budget.
fn metered<'a>(source: &'a str, program: &Instructions<'a>) -> Result<Instructions<'a>, Error> {
    let instructions = || (0..).map_while(|index| program.get(index));
    // Where each instruction starts once plain text takes two: load it, emit it.
    let mut starts = vec![0u32];
    for instruction in instructions() {
        let width = if matches!(instruction, Instruction::EmitRaw(_)) { 2 } else { 1 };
        starts.push(starts[starts.len() - 1] + width);
    }
    let moved = |target: u32| starts.get(target as usize).copied().unwrap_or(target);
    let mut out = Instructions::new(NAME, source);
    for (index, instruction) in (0..).zip(instructions()) {
        let line = program.get_line(index).and_then(|line| u16::try_from(line).ok()).unwrap_or(0);
        let replacement = match instruction.clone() {
            Instruction::EmitRaw(text) => {
                out.add_with_line(Instruction::LoadConst(Value::from(text)), line);
                Instruction::Emit
            }
            Instruction::Add => Instruction::CallFunction(ADD, Some(2)),
            Instruction::Mul => Instruction::CallFunction(MULTIPLY, Some(2)),
            Instruction::StringConcat => Instruction::CallFunction(CONCATENATE, Some(2)),
            Instruction::BuildList(count) => Instruction::CallFunction(LIST, narrow(count)?),
            Instruction::BuildTuple(count) => Instruction::CallFunction(TUPLE, narrow(count)?),
            Instruction::BuildMap(pairs) => Instruction::CallFunction(MAP, narrow(Some(2 * pairs))?),
            Instruction::Iterate(target) => Instruction::Iterate(moved(target)),
            Instruction::Jump(target) => Instruction::Jump(moved(target)),
            Instruction::JumpIfFalse(target) => Instruction::JumpIfFalse(moved(target)),
            Instruction::JumpIfFalseOrPop(target) => Instruction::JumpIfFalseOrPop(moved(target)),
            Instruction::JumpIfTrueOrPop(target) => Instruction::JumpIfTrueOrPop(moved(target)),
            Instruction::BuildMacro(name, target, flags) => {
                Instruction::BuildMacro(name, moved(target), flags)
            }
            Instruction::CallBlock(_)
            | Instruction::LoadBlocks
            | Instruction::Include(_)
            | Instruction::ExportLocals => {
                let reason = "block, extends, include and import are not allowed in a chat template";
                let error = Error::new(ErrorKind::SyntaxError, reason);
                return Err(error);
            }
            other => other,
        };
        out.add_with_line(replacement, line);
    }
    Ok(out)
}

/// A count of arguments; `None` where it is known only when the template runs.
fn narrow(count: Option<usize>) -> Result<Option<u16>, Error> {
    let too_long =
        |_| Error::new(ErrorKind::SyntaxError, "a list with more than 65535 entries is written out");
    count.map(u16::try_from).transpose().map_err(too_long)
}

/// Keeps minijinja from multiplying constants while it compiles, where no budget is asked: a factor of 1 that it cannot
/// know goes between. `*` before an argument is no multiplication and stays.
pub(super) fn without_constant_products(source: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(source.len());
    let mut copied = 0;
    let mut operand_before = false;
    for token in tokenize(source, false, syntax()?) {
        let (token, span) = token?;
        if operand_before && matches!(token, Token::Mul) {
            let end = span.end_offset as usize;
            out.push_str(source.get(copied..end).unwrap_or_default());
            out.push_str(" __one__ *");
            copied = end;
        }
        operand_before = !matches!(token, Token::ParenOpen | Token::Comma);
    }
    out.push_str(source.get(copied..).unwrap_or_default());
    Ok(out)
}

/// Makes `{% generation %}` blocks, with which Hugging Face marks an assistant's own words for training, into blocks
/// that do nothing. White space control and line numbers stay.
pub(super) fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start + 2);
        out.push_str(before);
        let end = tag.find("%}").unwrap_or(tag.len());
        let (inside, after) = tag.split_at(end);
        match inside.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+') {
            "generation" => out.push_str(&inside.replace("generation", "if true")),
            "endgeneration" => out.push_str(&inside.replace("endgeneration", "endif")),
            _ => out.push_str(inside),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}
