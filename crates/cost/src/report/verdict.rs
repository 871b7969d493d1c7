//! What it all comes to, in a sentence.

use super::{Report, Row, usd};
use crate::results::Interval;

impl Report<'_> {
    /// What it all comes to, in a sentence: the cheapest within the limits, or that there is no winner, or that an API is
    /// cheaper.
    pub fn verdict(&self) -> String {
        let Some(best) = self.best() else {
            let reason = self.rows.first().and_then(|row| row.summary.refused.clone());
            return format!("No result: {}.", reason.unwrap_or_else(|| "nothing was measured".to_owned()));
        };
        let device = &best.results.setup.device;
        let Some(cost) = best.cost() else { return self.fastest() };
        if !cost.mid.is_finite() {
            let limits = self.terms.slo.map_or(String::new(), ToString::to_string);
            return format!(
                "No load kept a single answer within {limits}; ask for fewer at a time, or for less."
            );
        }
        let within = match self.terms.slo {
            Some(slo) => format!(
                "per million tokens of answers within {} ({:.0} % of them)",
                slo.name,
                100.0 * best.summary.good_share.unwrap_or(0.0)
            ),
            None => "per million tokens".to_owned(),
        };
        let mut sentence = format!(
            "{device} with {} is the cheapest here: ${} {within}, in and out together [${}, ${}], used {:.0} % of the time.",
            best.load(),
            usd(cost.mid),
            usd(cost.low),
            usd(cost.high),
            100.0 * self.terms.utilisation
        );
        sentence += &self.rival(best, &cost);
        sentence + &self.against_apis(best, &cost)
    }

    /// Where there is no price, what is fastest.
    fn fastest(&self) -> String {
        let rate = |row: &Row<'_>| row.summary.out_per_s.mid;
        let best = self.told().max_by(|a, b| rate(a).total_cmp(&rate(b)));
        best.map_or(String::new(), |best| {
            format!(
                "{} makes {:.1} tokens per second with {}; name a price with --price to know what they cost.",
                best.results.setup.device,
                rate(best),
                best.load()
            )
        })
    }

    /// How the cheapest of the other devices compares.
    fn rival(&self, best: &Row<'_>, cost: &Interval) -> String {
        let others = self.told().filter(|row| row.device != best.device);
        let rival = others.min_by(|a, b| a.cost_mid().total_cmp(&b.cost_mid()));
        let Some((rival, other)) = rival.and_then(|row| Some((row, row.cost()?))) else {
            return String::new();
        };
        let name = &rival.results.setup.device;
        match other.overlaps(cost) {
            true => format!(" Against {name} there is no winner: their ranges overlap."),
            false if !other.mid.is_finite() => format!(" {name} kept no answer within the limits."),
            false => format!(" Next is {name}, {:.0} % dearer.", 100.0 * (other.mid / cost.mid - 1.0)),
        }
    }

    /// Whether to use an API: the cheapest of the same mix.
    fn against_apis(&self, best: &Row<'_>, cost: &Interval) -> String {
        let share = best.summary.share_in();
        let cheapest = self.apis.iter().min_by(|a, b| a.blended(share).total_cmp(&b.blended(share)));
        let Some(api) = cheapest else { return String::new() };
        let charges = api.blended(share);
        let even = cost.mid * self.terms.utilisation / charges;
        let (provider, date, charges) = (&api.provider, api.date, usd(charges));
        if even > 1.0 {
            format!(
                " Use the API: {provider} charges ${charges} for the same mix ({date}), less than this machine costs in full use."
            )
        } else {
            format!(
                " It is cheaper than {provider} at ${charges} for the same mix ({date}) if it is used more than {:.0} % of the time.",
                100.0 * even
            )
        }
    }
}
