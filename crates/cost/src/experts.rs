//! How many experts steps touch, where a device counts them: what is read of a mixture depends on it, and tokens do not choose
//! at random.

use graph::{Graph, Op, StepCounts};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::CostError;

/// Experts that steps touched, by how many tokens they had.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Experts(Vec<Touched>);

/// Steps of so many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Touched {
    /// Tokens of each, without padding.
    pub tokens: u32,
    /// How many steps.
    pub steps: u64,
    /// Experts that each touched, per layer on average.
    pub experts: f64,
}

impl Experts {
    /// Adds steps of so many tokens.
    pub fn add(&mut self, more: Touched) {
        let place = match self.0.binary_search_by_key(&more.tokens, |touched| touched.tokens) {
            Ok(place) => place,
            Err(place) => return self.0.insert(place, more),
        };
        let known = &mut self.0[place];
        let steps = known.steps.saturating_add(more.steps).max(1);
        known.experts += (more.experts - known.experts) * (more.steps as f64 / steps as f64);
        known.steps = steps;
    }

    /// Steps by their tokens, the fewest first.
    pub fn iter(&self) -> impl Iterator<Item = &Touched> {
        self.0.iter()
    }

    /// The same, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Touched> {
        self.0.iter_mut()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was counted beyond what had been counted before.
    #[must_use]
    pub fn since(&self, before: &Experts) -> Experts {
        let beyond = |now: &Touched| {
            let Some(then) = before.0.iter().find(|then| then.tokens == now.tokens) else {
                return Some(*now);
            };
            let steps = now.steps.checked_sub(then.steps).filter(|&steps| steps > 0)?;
            let sum = now.experts * now.steps as f64 - then.experts * then.steps as f64;
            Some(Touched { steps, experts: sum / steps as f64, ..*now })
        };
        Experts(self.0.iter().filter_map(beyond).collect())
    }

    /// Whether steps of so many tokens were counted.
    pub fn knows(&self, tokens: u32) -> bool {
        self.0.iter().any(|touched| touched.tokens == tokens)
    }

    /// What a step holds, with the experts that steps of as many tokens touched, where that was counted.
    pub fn fill(&self, counts: &StepCounts) -> StepCounts {
        let counted = self.0.iter().find(|touched| touched.tokens == counts.tokens);
        let experts_touched = counts.experts_touched.or(counted.map(|touched| touched.experts));
        StepCounts { experts_touched, ..counts.clone() }
    }

    /// All that was counted in a result that `bench` has written.
    pub fn read(name: &str, text: &str) -> Result<Experts, CostError> {
        let fail = |reason: String| CostError::File { file: name.to_owned(), reason };
        let value = serde_json::from_str(text).map_err(|error| fail(error.to_string()))?;
        let mut all = Experts::default();
        all.collect(&value).map_err(|error| fail(error.to_string()))?;
        if all.is_empty() {
            return Err(fail(
                "it tells of no experts; write it by `polysilicon bench MODEL --json FILE` of a model with a mixture of them, on the cpu"
                    .to_owned(),
            ));
        }
        match all
            .0
            .iter()
            .all(|touched| touched.steps > 0 && touched.experts.is_finite() && touched.experts > 0.0)
        {
            true => Ok(all),
            false => Err(fail("steps touched no experts, or less than none; write the file anew".to_owned())),
        }
    }

    /// Refuses what was counted of another model, as far as that shows; `name` is of the file.
    pub fn check(&self, name: &str, graph: &Graph) -> Result<(), CostError> {
        let mut experts = 0;
        graph.walk(&mut |_, op, args, _| {
            if let (Op::ExpertFfn { .. }, Some(count)) =
                (op, args.get(3).and_then(|gate| gate.dims[0].number()))
            {
                experts = experts.max(count);
            }
        });
        let fail = |reason: String| Err(CostError::File { file: name.to_owned(), reason });
        if experts == 0 {
            return fail("it tells of experts, and the model has none; leave it out".to_owned());
        }
        match self.0.iter().find(|touched| touched.experts > f64::from(experts)) {
            Some(Touched { experts: most, .. }) => fail(format!(
                "steps of it touched {most:.1} experts in a layer, and the model has {experts}: name a file of this model"
            )),
            None => Ok(()),
        }
    }

    /// Adds whatever stands under `experts`, however deep: results differ in where they keep it.
    fn collect(&mut self, value: &Value) -> Result<(), serde_json::Error> {
        match value {
            Value::Object(fields) => fields.iter().try_for_each(|(name, value)| match name.as_str() {
                "experts" => {
                    let counted = Vec::<Touched>::deserialize(value)?;
                    counted.into_iter().for_each(|touched| self.add(touched));
                    Ok(())
                }
                _ => self.collect(value),
            }),
            Value::Array(values) => values.iter().try_for_each(|value| self.collect(value)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tokens: u32, steps: u64, experts: f64) -> Touched {
        Touched { tokens, steps, experts }
    }

    fn counted(all: &[Touched]) -> Experts {
        let mut experts = Experts::default();
        all.iter().for_each(|&touched| experts.add(touched));
        experts
    }

    #[test]
    fn steps_of_as_many_tokens_are_one_line() {
        let experts = counted(&[of(4, 1, 8.0), of(1, 1, 2.0), of(4, 3, 12.0)]);
        assert_eq!(experts.iter().copied().collect::<Vec<_>>(), [of(1, 1, 2.0), of(4, 4, 11.0)]);
        assert_eq!(experts.since(&counted(&[of(4, 1, 8.0)])), counted(&[of(1, 1, 2.0), of(4, 3, 12.0)]));
        assert!(experts.since(&experts).is_empty());
    }

    #[test]
    fn a_step_is_filled_with_what_was_counted_of_such_steps_only() {
        let experts = counted(&[of(4, 1, 8.0)]);
        let filled = |tokens| experts.fill(&StepCounts { tokens, ..StepCounts::default() }).experts_touched;
        assert_eq!([filled(4), filled(5)], [Some(8.0), None]);
        let told = StepCounts { tokens: 4, experts_touched: Some(3.0), ..StepCounts::default() };
        assert_eq!(experts.fill(&told).experts_touched, Some(3.0), "it knows better itself");
    }

    #[test]
    fn results_of_both_kinds_are_read_and_others_refused() {
        let line = r#"[{"tokens": 4, "steps": 2, "experts": 8.5}]"#;
        let steps = format!(r#"{{"results": [{{"tokens": 4, "experts": {line}}}]}}"#);
        let served = format!(r#"{{"results": [{{"points": [{{"runs": [{{"experts": {line}}}]}}]}}]}}"#);
        for text in [steps, served] {
            assert_eq!(Experts::read("a", &text).expect("good"), counted(&[of(4, 2, 8.5)]));
        }
        let refused = |text: &str| Experts::read("a", text).expect_err("it is refused").to_string();
        assert!(refused("{}").contains("it tells of no experts"));
        assert!(refused("{").starts_with("a: "));
        assert!(
            refused(r#"{"experts": [{"tokens": 1, "steps": 0, "experts": 1.0}]}"#)
                .contains("write the file anew")
        );
        assert!(refused(r#"{"experts": [{"tokens": 1}]}"#).contains("missing field"));
    }
}
