//! Several answers to one prompt, of which the best are wanted.

use crate::stream::Prompt;
use crate::{Error, Model, Receipt, Sampling};

impl Model {
    /// Makes `drawn` answers to a prompt and gives the `best` of them, those of the highest mean log-probability, the best
    /// first. Waits for all of them.
    ///
    /// ```
    /// let model = polysilicon::Model::open("embedded")?.load()?;
    /// let sampling = polysilicon::Sampling::default().temperature(1.0).max_tokens(8).ignore_end(true);
    /// let best = model.generate_best("The cat", &sampling, 2, 4)?;
    /// assert!(best.len() == 2 && best[0].logprob >= best[1].logprob);
    /// # Ok::<(), polysilicon::Error>(())
    /// ```
    pub fn generate_best(
        &self,
        prompt: impl Into<Prompt>,
        sampling: &Sampling,
        best: u32,
        drawn: u32,
    ) -> Result<Vec<Receipt>, Error> {
        if !(1..=drawn).contains(&best) {
            let sentence = format!("the best {best} of {drawn} answers are no answers; ask for 1 to {drawn}");
            return Err(Error::Word(sentence));
        }
        let mut streams = self.generate_answers(prompt, sampling, drawn)?;
        // They are made together, so they are read together: one that nobody reads would wait.
        let mut open = streams.iter_mut().collect::<Vec<_>>();
        while !open.is_empty() {
            let mut failure = None;
            open.retain_mut(|stream| match stream.next() {
                Some(Ok(_)) => true,
                Some(Err(error)) => {
                    failure = Some(error);
                    false
                }
                None => false,
            });
            failure.map_or(Ok(()), Err)?;
        }
        let receipts = streams.iter().map(|stream| stream.receipt().cloned().ok_or(Error::Stopped));
        let mut receipts = receipts.collect::<Result<Vec<_>, _>>()?;
        let mean = |receipt: &Receipt| receipt.logprob / f64::from(receipt.completion_tokens.max(1));
        // Among equals the first goes first: the sort is stable.
        receipts.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
        receipts.truncate(best as usize);
        Ok(receipts)
    }
}
