//! Ways to pay, as data. What a month costs is not a line through zero: reserved hours are paid whether they are used or
//! not, commitments too, and a share of revenue may end at a cap. So there are two figures, the average and the marginal.

use serde::Deserialize;

use crate::{Kind, Price};

/// Hours of a month: a twelfth of a year.
const HOURS_PER_MONTH: f64 = 8760.0 / 12.0;

/// A way to pay for machines, or for what they earn.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Plan {
    /// Each hour that is used, at one price.
    Hourly {
        /// US dollars per hour of one machine.
        usd_per_hour: f64,
    },
    /// Whole machines, used or not.
    Reserved {
        /// US dollars per hour of one machine.
        usd_per_hour: f64,
    },
    /// Hours that may be taken away.
    Spot {
        /// US dollars per hour of one machine.
        usd_per_hour: f64,
        /// The share of the work that is lost and done again.
        #[serde(default)]
        lost: f64,
    },
    /// Machines of one's own.
    Owned(Owned),
    /// A sum promised for each month, with discounts by volume.
    Committed(Committed),
    /// A share of what tokens earn, on top of another plan.
    RevenueShare(Share),
}

/// A machine of one's own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owned {
    /// US dollars that it costs.
    pub capex_usd: f64,
    /// Years that it serves.
    pub years: f64,
    /// The share of its price that it is sold for at the end.
    #[serde(default)]
    pub residual: f64,
    /// What capital costs per year, as a share.
    #[serde(default)]
    pub interest: f64,
    /// US dollars per year for housing and care.
    #[serde(default)]
    pub opex_usd_per_year: f64,
    /// Kilowatts while it works.
    pub kw: f64,
    /// Kilowatts of the whole house over those of the machine.
    #[serde(default = "one")]
    pub pue: f64,
    /// US dollars per kilowatt-hour.
    pub usd_per_kwh: f64,
}

/// A sum promised for each month.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Committed {
    /// The list price, US dollars per hour of one machine.
    pub usd_per_hour: f64,
    /// US dollars per month that are paid in any case.
    pub usd_per_month: f64,
    /// Discounts, each on what is spent at list prices beyond its volume.
    #[serde(default)]
    pub tiers: Vec<Tier>,
}

/// A discount by volume.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// US dollars per month at list prices from which on it holds.
    pub from_usd: f64,
    /// The share that is not paid.
    pub discount: f64,
}

/// A share of what tokens earn.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The share.
    pub share: f64,
    /// US dollars that a million tokens earn.
    pub usd_per_million: f64,
    /// US dollars after which no more is shared.
    pub cap_usd: Option<f64>,
    /// US dollars that were shared before this month.
    #[serde(default)]
    pub paid_usd: f64,
    /// How the machines are paid for.
    pub machines: Box<Plan>,
}

/// What a machine does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Tokens per second while it works.
    pub tokens_per_s: f64,
    /// The share of paid hours in which it works.
    pub utilisation: f64,
}

/// What is asked of machines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// Tokens of a month.
    pub tokens_per_month: f64,
    /// What one machine does.
    pub machine: Machine,
}

fn one() -> f64 {
    1.0
}

impl Demand {
    /// What is asked of machines that do so much; as much as one of them does where nobody says.
    pub fn of(machine: Machine, tokens_per_month: Option<f64>) -> Demand {
        let full = machine.tokens_per_s * machine.utilisation * 3600.0 * HOURS_PER_MONTH;
        Demand { tokens_per_month: tokens_per_month.unwrap_or(full), machine }
    }

    /// Machine-hours in which the work is done.
    fn work_hours(&self) -> f64 {
        self.tokens_per_month / (self.machine.tokens_per_s * 3600.0)
    }

    /// Machine-hours that are paid where hours are paid one by one: some are spent waiting.
    fn paid_hours(&self) -> f64 {
        self.work_hours() / self.machine.utilisation
    }

    /// Whole machines that hold the work.
    fn machines(&self) -> f64 {
        // So much short of a whole one is a rounding error.
        (self.paid_hours() / HOURS_PER_MONTH - 1e-9).ceil().max(0.0)
    }
}

/// Plans that need more than a price, each with what it needs and a line of a file that says so.
const EXAMPLES: [(&str, &str, &str); 4] = [
    (
        "spot",
        "usd_per_hour, and lost if work is lost with the machine (a share)",
        "plans.ours = { kind = \"spot\", usd_per_hour = 2.5, lost = 0.1 }",
    ),
    (
        "owned",
        "capex_usd, years, kw and usd_per_kwh, and residual, interest, opex_usd_per_year and pue where they are known",
        "plans.ours = { kind = \"owned\", capex_usd = 250000, years = 4, residual = 0.1, interest = 0.08, kw = 10.2, pue = 1.3, usd_per_kwh = 0.09 }",
    ),
    (
        "committed",
        "usd_per_hour and usd_per_month, and tiers where volume is cheaper",
        "plans.ours = { kind = \"committed\", usd_per_hour = 55.04, usd_per_month = 30000, tiers = [{ from_usd = 50000, discount = 0.1 }] }",
    ),
    (
        "revenue_share",
        "share, usd_per_million and machines (a plan), and cap_usd where it ends",
        "plans.ours = { kind = \"revenue_share\", share = 0.2, usd_per_million = 0.6, cap_usd = 1000000, machines = { kind = \"hourly\", usd_per_hour = 55.04 } }",
    ),
];

impl Plan {
    /// How hours of a price are paid for: one by one where they can be given back, else all of them.
    pub fn of(price: &Price) -> Plan {
        let usd_per_hour = price.usd_per_hour;
        match price.kind {
            Kind::OnDemand | Kind::Given => Plan::Hourly { usd_per_hour },
            Kind::Spot => Plan::Spot { usd_per_hour, lost: 0.0 },
            _ => Plan::Reserved { usd_per_hour },
        }
    }

    /// What a kind of plan needs that no list of prices has, and a line of a file that says so; `None` where it is no such kind.
    pub fn example(kind: &str) -> Option<(&'static str, &'static str)> {
        let found = EXAMPLES.iter().find(|(name, ..)| *name == kind);
        found.map(|(_, needs, file)| (*needs, *file))
    }

    /// US dollars of a month.
    pub fn usd_per_month(&self, demand: &Demand) -> f64 {
        match self {
            Plan::Hourly { usd_per_hour } => usd_per_hour * demand.paid_hours(),
            Plan::Reserved { usd_per_hour } => usd_per_hour * HOURS_PER_MONTH * demand.machines(),
            Plan::Spot { usd_per_hour, lost } => usd_per_hour * demand.paid_hours() / (1.0 - lost),
            Plan::Owned(owned) => owned.usd_per_month(demand),
            Plan::Committed(committed) => committed.usd_per_month(demand),
            Plan::RevenueShare(share) => share.usd_per_month(demand),
        }
    }

    /// US dollars per million tokens: the month's bill over the month's tokens.
    pub fn average(&self, demand: &Demand) -> f64 {
        1e6 * self.usd_per_month(demand) / demand.tokens_per_month
    }

    /// US dollars that the next million tokens of the month add to its bill.
    pub fn marginal(&self, demand: &Demand) -> f64 {
        let more = Demand { tokens_per_month: demand.tokens_per_month + 1e6, ..*demand };
        self.usd_per_month(&more) - self.usd_per_month(demand)
    }

    /// Holds every number against what it may be.
    pub(crate) fn check(&self) -> Result<(), String> {
        let amount = |what: &str, x: f64| hold(what, x, 0.0, f64::MAX);
        match self {
            Plan::Hourly { usd_per_hour } | Plan::Reserved { usd_per_hour } => {
                amount("usd_per_hour", *usd_per_hour)
            }
            Plan::Spot { usd_per_hour, lost } => {
                amount("usd_per_hour", *usd_per_hour)?;
                hold("lost", *lost, 0.0, 0.99)
            }
            Plan::Owned(owned) => {
                amount("capex_usd", owned.capex_usd)?;
                hold("years", owned.years, 0.1, 100.0)?;
                hold("residual", owned.residual, 0.0, 1.0)?;
                hold("interest", owned.interest, 0.0, 1.0)?;
                amount("opex_usd_per_year", owned.opex_usd_per_year)?;
                amount("kw", owned.kw)?;
                hold("pue", owned.pue, 1.0, 10.0)?;
                amount("usd_per_kwh", owned.usd_per_kwh)
            }
            Plan::Committed(committed) => {
                amount("usd_per_hour", committed.usd_per_hour)?;
                amount("usd_per_month", committed.usd_per_month)?;
                let rising = committed.tiers.windows(2).all(|pair| pair[0].from_usd < pair[1].from_usd);
                if !rising {
                    return Err("its tiers must begin at rising volumes".to_owned());
                }
                committed.tiers.iter().try_for_each(|tier| {
                    amount("from_usd", tier.from_usd)?;
                    hold("discount", tier.discount, 0.0, 1.0)
                })
            }
            Plan::RevenueShare(share) => {
                hold("share", share.share, 0.0, 1.0)?;
                amount("usd_per_million", share.usd_per_million)?;
                amount("cap_usd", share.cap_usd.unwrap_or(0.0))?;
                amount("paid_usd", share.paid_usd)?;
                match *share.machines {
                    // Nobody shares what is shared already; and so files cannot nest without end.
                    Plan::RevenueShare(_) => {
                        Err("its machines are paid for by a plan that is no share".to_owned())
                    }
                    ref machines => machines.check(),
                }
            }
        }
    }
}

fn hold(what: &str, x: f64, least: f64, most: f64) -> Result<(), String> {
    match (least..=most).contains(&x) {
        true => Ok(()),
        false => Err(format!("{what} is {x}, and must be from {least} to {most}")),
    }
}

impl Owned {
    /// US dollars per hour that one machine costs whether it works or not: an annuity over its years, of its price without
    /// what it is sold for at their end, and its care.
    pub fn usd_per_hour_standing(&self) -> f64 {
        let grown = (1.0 + self.interest).powf(self.years);
        let lost = self.capex_usd * (1.0 - self.residual / grown);
        let per_year = if self.interest > 0.0 {
            lost * self.interest * grown / (grown - 1.0)
        } else {
            lost / self.years
        };
        (per_year + self.opex_usd_per_year) / 8760.0
    }

    /// US dollars per hour of work that power costs.
    pub fn usd_per_hour_power(&self) -> f64 {
        self.kw * self.pue * self.usd_per_kwh
    }

    fn usd_per_month(&self, demand: &Demand) -> f64 {
        let standing = self.usd_per_hour_standing() * HOURS_PER_MONTH * demand.machines();
        standing + self.usd_per_hour_power() * demand.work_hours()
    }
}

impl Committed {
    fn usd_per_month(&self, demand: &Demand) -> f64 {
        let list = self.usd_per_hour * demand.paid_hours();
        let ends = self.tiers.iter().skip(1).map(|tier| tier.from_usd).chain([f64::INFINITY]);
        let saved = self
            .tiers
            .iter()
            .zip(ends)
            .map(|(tier, end)| tier.discount * (list.min(end) - tier.from_usd).max(0.0));
        (list - saved.sum::<f64>()).max(self.usd_per_month)
    }
}

impl Share {
    fn usd_per_month(&self, demand: &Demand) -> f64 {
        let shared = self.share * self.usd_per_million * demand.tokens_per_month / 1e6;
        let left = self.cap_usd.map_or(f64::INFINITY, |cap| (cap - self.paid_usd).max(0.0));
        self.machines.usd_per_month(demand) + shared.min(left)
    }
}

#[cfg(test)]
mod tests;
