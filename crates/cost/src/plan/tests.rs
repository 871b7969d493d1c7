//! Bills, held against sums done by hand.

use super::*;

/// A machine of 1000 tokens per second, so 3.6 million per hour, 2628 million per month.
fn demand(millions: f64, utilisation: f64) -> Demand {
    Demand { tokens_per_month: 1e6 * millions, machine: Machine { tokens_per_s: 1000.0, utilisation } }
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6 * b.abs().max(1e-3), "{a} is not {b}");
}

fn plan(text: &str) -> Plan {
    let plan: Plan = toml::from_str(text).expect("a plan");
    plan.check().expect("a good plan");
    plan
}

#[test]
fn an_hour_used_is_an_hour_paid() {
    let hourly = plan("kind = 'hourly'\nusd_per_hour = 3.6");
    near(hourly.average(&demand(100.0, 1.0)), 1.0);
    near(hourly.marginal(&demand(100.0, 1.0)), 1.0);
    near(hourly.average(&demand(100.0, 0.25)), 4.0);
    let spot = plan("kind = 'spot'\nusd_per_hour = 1.8\nlost = 0.1");
    near(spot.average(&demand(100.0, 1.0)), 0.5 / 0.9);
}

#[test]
fn reserved_machines_are_paid_whole_and_their_next_token_is_free() {
    let reserved = plan("kind = 'reserved'\nusd_per_hour = 1");
    near(reserved.average(&demand(1314.0, 1.0)), 730.0 / 1314.0);
    assert_eq!(reserved.marginal(&demand(1314.0, 1.0)), 0.0);
    near(reserved.average(&demand(2628.0, 1.0)), 730.0 / 2628.0);
    near(reserved.marginal(&demand(2628.0, 1.0)), 730.0);
    near(reserved.average(&demand(2628.0, 0.5)), 2.0 * 730.0 / 2628.0);
}

#[test]
fn a_machine_of_ones_own_costs_its_annuity_and_its_power() {
    let text =
        "kind = 'owned'\ncapex_usd = 87600\nyears = 4\nresidual = 0.2\nkw = 2\npue = 1.5\nusd_per_kwh = 0.1";
    let Plan::Owned(owned) = plan(text) else { panic!("it is owned") };
    near(owned.usd_per_hour_standing(), 87600.0 * 0.8 / 4.0 / 8760.0);
    near(owned.usd_per_hour_power(), 0.3);
    let full = Plan::Owned(owned.clone());
    near(full.average(&demand(2628.0, 1.0)), 2.3 * 730.0 / 2628.0);
    near(full.marginal(&demand(1000.0, 1.0)), 0.3 / 3.6);
    // 10 % for one year on all of the price: 110 are paid at the end for 100.
    let year = Owned { years: 1.0, residual: 0.0, interest: 0.1, opex_usd_per_year: 8760.0, ..owned.clone() };
    near(year.usd_per_hour_standing(), 11.0 + 1.0);
    // What is sold for its whole price costs the interest alone.
    near(Owned { years: 4.0, residual: 1.0, interest: 0.1, ..owned }.usd_per_hour_standing(), 1.0);
}

#[test]
fn a_promise_is_paid_and_volume_is_cheaper() {
    let text = "kind = 'committed'\nusd_per_hour = 3.6\nusd_per_month = 500\ntiers = [{from_usd = 1000, discount = 0.1}, {from_usd = 2000, discount = 0.5}]";
    let committed = plan(text);
    near(committed.usd_per_month(&demand(100.0, 1.0)), 500.0);
    assert_eq!(committed.marginal(&demand(100.0, 1.0)), 0.0, "below the promise a token is free");
    near(committed.average(&demand(800.0, 1.0)), 1.0);
    near(committed.marginal(&demand(800.0, 1.0)), 1.0);
    near(committed.usd_per_month(&demand(3000.0, 1.0)), 1000.0 + 900.0 + 500.0);
    near(committed.marginal(&demand(3000.0, 1.0)), 0.5);
}

#[test]
fn a_share_ends_at_its_cap() {
    let text = "kind = 'revenue_share'\nshare = 0.2\nusd_per_million = 5\ncap_usd = 1000\npaid_usd = 900\nmachines = {kind = 'hourly', usd_per_hour = 3.6}";
    let share = plan(text);
    near(share.marginal(&demand(50.0, 1.0)), 2.0);
    near(share.usd_per_month(&demand(100.0, 1.0)), 100.0 + 100.0);
    near(share.marginal(&demand(100.0, 1.0)), 1.0);
    near(share.average(&demand(200.0, 1.0)), 1.5);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, sentence) in [
        ("kind = 'hourly'\nusd_per_hour = -1", "usd_per_hour is -1"),
        ("kind = 'spot'\nusd_per_hour = 1\nlost = 1", "lost is 1"),
        ("kind = 'owned'\ncapex_usd = 1\nyears = 0\nkw = 1\nusd_per_kwh = 1", "years is 0"),
        (
            "kind = 'committed'\nusd_per_hour = 1\nusd_per_month = 1\ntiers = [{from_usd = 2, discount = 0.1}, {from_usd = 2, discount = 0.2}]",
            "rising",
        ),
        ("kind = 'hourly'\nusd_per_hour = nan", "usd_per_hour is NaN"),
    ] {
        let plan: Plan = toml::from_str(text).expect("it can be read");
        let reason = plan.check().expect_err("it is refused");
        assert!(reason.contains(sentence), "{reason}");
    }
}
