//! The seam where a grammar holds an answer to its form. The engine asks which tokens may come next while the device
//! works; what they mean is another's business.

use std::fmt;

/// What may come next in one answer.
pub trait Grammar: Send {
    /// Sets one bit per token id that may come next; all bits are clear before. None set means that nothing may follow.
    /// An error ends the sequence with its sentence.
    fn mask(&mut self, mask: &mut [u32]) -> Result<(), String>;

    /// Goes on behind a token that the mask allowed.
    fn accept(&mut self, token: u32) -> Result<(), String>;

    /// Whether nothing may follow, so that the answer is complete.
    fn is_complete(&self) -> bool;

    /// The same state once more, for another answer.
    fn fork(&self) -> Box<dyn Grammar>;
}

impl Clone for Box<dyn Grammar> {
    fn clone(&self) -> Self {
        self.fork()
    }
}

impl fmt::Debug for dyn Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grammar {{ complete: {} }}", self.is_complete())
    }
}

/// A grammar at work on one sequence, with the mask of its next token.
#[derive(Debug)]
pub(crate) struct Form {
    grammar: Box<dyn Grammar>,
    mask: Vec<u32>,
    /// Whether the mask is that of the next token.
    ready: bool,
    fault: Option<String>,
}

impl Form {
    /// At its beginning, over so many token ids.
    pub(crate) fn new(grammar: Box<dyn Grammar>, vocab: u32) -> Form {
        Form { grammar, mask: vec![0; vocab.div_ceil(32) as usize], ready: false, fault: None }
    }

    /// The mask of the next token, once it is there.
    pub(crate) fn mask(&self) -> Option<&[u32]> {
        self.ready.then_some(&*self.mask)
    }

    /// Makes the mask.
    pub(crate) fn prepare(&mut self) {
        if !self.ready && self.fault.is_none() {
            self.mask.fill(0);
            self.fault = self.grammar.mask(&mut self.mask).err();
            self.ready = self.fault.is_none();
        }
    }

    /// Goes on behind a token.
    pub(crate) fn accept(&mut self, token: u32) {
        self.ready = false;
        if self.fault.is_none() {
            self.fault = self.grammar.accept(token).err();
        }
    }

    /// Whether nothing may follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.grammar.is_complete() || self.ready && self.mask.iter().all(|&bits| bits == 0)
    }

    /// What went wrong, once.
    pub(crate) fn take_fault(&mut self) -> Option<String> {
        self.fault.take()
    }
}
