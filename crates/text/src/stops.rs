//! Stop strings over streamed text: nothing of a stop string is ever shown, and nothing is held back longer than it
//! could still become one.

use crate::TextError;

/// Most stop strings of a request.
pub const MAX_STOPS: usize = 64;
/// Longest stop string, bytes.
pub const MAX_STOP_BYTES: usize = 4096;

/// Watches streamed text for the first of several stop strings.
///
/// The first to be complete wins; of two that end together, the longer. The outcome depends on the text alone, not on
/// how it was cut into pieces.
#[derive(Debug, Clone, Default)]
pub struct Stops {
    stops: Vec<Stop>,
    /// The end of the text so far that may be the beginning of a stop string.
    held: String,
    matched: Option<usize>,
}

/// What one piece of text led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// Text that may be shown now.
    pub text: String,
    /// The index of the stop string that was found, if one was; all text after it is dropped.
    pub stop: Option<usize>,
}

impl Stops {
    /// Watches for `stops`, at most [`MAX_STOPS`], none empty or longer than [`MAX_STOP_BYTES`].
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<Self, TextError> {
        let refuse = |reason: String| Err(TextError::Stops { reason });
        if stops.len() > MAX_STOPS {
            return refuse(format!("{} were given, more than the {MAX_STOPS} allowed", stops.len()));
        }
        for (index, stop) in stops.iter().enumerate() {
            match stop.as_ref().len() {
                0 => return refuse(format!("number {index} is empty")),
                1..=MAX_STOP_BYTES => {}
                bytes => return refuse(format!("number {index} has {bytes} bytes, over {MAX_STOP_BYTES}")),
            }
        }
        let stops = stops.iter().map(|stop| Stop::new(stop.as_ref())).collect();
        Ok(Self { stops, held: String::new(), matched: None })
    }

    /// Takes the next piece of text. After a stop was found all further text is dropped.
    pub fn push(&mut self, piece: &str) -> Passed {
        if self.matched.is_some() {
            return Passed { text: String::new(), stop: self.matched };
        }
        let before = self.held.len();
        self.held.push_str(piece);
        for (offset, byte) in piece.bytes().enumerate() {
            if let Some((index, length)) = self.step(byte) {
                self.matched = Some(index);
                self.held.truncate(before + offset + 1 - length);
                return Passed { text: std::mem::take(&mut self.held), stop: self.matched };
            }
        }
        let partial = self.stops.iter().map(|stop| stop.matched).max().unwrap_or(0);
        let text = self.held.drain(..self.held.len() - partial).collect();
        Passed { text, stop: None }
    }

    /// Ends the text: what was held back is no stop string after all.
    pub fn finish(self) -> String {
        self.held
    }

    /// Advances every stop string by one byte; the index and length of the longest that is now complete.
    fn step(&mut self, byte: u8) -> Option<(usize, usize)> {
        let mut found: Option<(usize, usize)> = None;
        for (index, stop) in self.stops.iter_mut().enumerate() {
            let length = stop.bytes.len();
            if stop.step(byte) && found.is_none_or(|(_, longest)| length > longest) {
                found = Some((index, length));
            }
        }
        found
    }
}

/// One stop string as the automaton of Knuth, Morris and Pratt: a byte costs constant time on average.
#[derive(Debug, Clone)]
struct Stop {
    bytes: Vec<u8>,
    /// For each prefix, the length of the longest shorter prefix that is also its suffix.
    borders: Vec<usize>,
    /// How many bytes of the stop string the text now ends with.
    matched: usize,
}

impl Stop {
    fn new(stop: &str) -> Self {
        let bytes = stop.as_bytes().to_vec();
        let mut borders = vec![0; bytes.len()];
        let mut border = 0;
        for at in 1..bytes.len() {
            while border > 0 && bytes[at] != bytes[border] {
                border = borders[border - 1];
            }
            border += usize::from(bytes[at] == bytes[border]);
            borders[at] = border;
        }
        Self { bytes, borders, matched: 0 }
    }

    /// True where the text now ends with the whole stop string; the stream ends there, so there is no next step.
    fn step(&mut self, byte: u8) -> bool {
        while self.matched > 0 && self.bytes[self.matched] != byte {
            self.matched = self.borders[self.matched - 1];
        }
        self.matched += usize::from(self.bytes[self.matched] == byte);
        self.matched == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: the shortest beginning of the text that ends with a stop string.
    fn naive(text: &str, stops: &[String]) -> (String, Option<usize>) {
        for end in 0..=text.len() {
            let ending = |stop: &&String| text.as_bytes()[..end].ends_with(stop.as_bytes());
            let longest = stops.iter().filter(ending).map(String::len).max();
            if let Some(length) = longest {
                let index = stops.iter().position(|stop| stop.len() == length && ending(&stop));
                return (text[..end - length].to_owned(), index);
            }
        }
        (text.to_owned(), None)
    }

    proptest! {
        #[test]
        fn any_cutting_finds_what_the_whole_text_holds(
            text in "[abé]{0,40}",
            stops in prop::collection::vec("[abé]{1,5}", 0..5),
            cuts in prop::collection::vec(0usize..41, 0..12),
        ) {
            let mut watch = Stops::new(&stops).unwrap();
            let mut shown = String::new();
            let mut found = None;
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| text.is_char_boundary(cut)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            for cut in cuts.windows(2) {
                let passed = watch.push(&text[cut[0]..cut[1]]);
                shown += &passed.text;
                found = passed.stop;
            }
            shown += &watch.finish();
            prop_assert_eq!((shown, found), naive(&text, &stops));
        }
    }

    #[test]
    fn holds_back_only_what_may_become_a_stop() {
        let mut stops = Stops::new(&["</tool>"]).unwrap();
        assert_eq!(stops.push("a </to").text, "a ");
        assert_eq!(stops.push("p <").text, "</top ");
        assert_eq!(stops.push("/tool> more"), Passed { text: String::new(), stop: Some(0) });
        assert_eq!(stops.push("more"), Passed { text: String::new(), stop: Some(0) });
        assert_eq!(stops.finish(), "");
    }

    #[test]
    fn refuses_stops_that_cannot_be_watched() {
        assert!(Stops::new(&[""]).is_err());
        assert!(Stops::new(&["x".repeat(MAX_STOP_BYTES + 1)]).is_err());
        assert!(Stops::new(&["x"; MAX_STOPS + 1]).is_err());
    }
}
