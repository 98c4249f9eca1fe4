//! Small programs whose posteriors are known exactly.

use relax_runtime::prelude::*;

use crate::program::Outcome;
use crate::table::{Known, Table};

/// Two coins, not both heads.
#[model]
fn two_coins() {
    let first = sample!(Bernoulli(0.5));
    let second = sample!(Bernoulli(0.5));
    observe!(Bernoulli(if first && second { 0.0 } else { 1.0 }), true);
}

/// Is the lawn wet because it rained, or because the sprinkler ran?
#[model]
fn sprinkler() {
    let rain = sample!(Bernoulli(0.2));
    let sprinkler = sample!(Bernoulli(if rain { 0.01 } else { 0.4 }));
    let p = match (rain, sprinkler) {
        (true, true) => 0.99,
        (true, false) => 0.8,
        (false, true) => 0.9,
        (false, false) => 0.001,
    };
    observe!(Bernoulli(p), true);
}

/// Grass: rain and sprinkler both follow the clouds, and each wets it nine times of ten.
#[model]
fn grass() {
    let cloudy = sample!(Bernoulli(0.5));
    let rain = sample!(Bernoulli(if cloudy { 0.8 } else { 0.2 }));
    let sprinkler = sample!(Bernoulli(if cloudy { 0.1 } else { 0.5 }));
    let mut wet = false;
    if rain {
        let by_rain = sample!(Bernoulli(0.9));
        wet |= by_rain;
    }
    if sprinkler {
        let by_sprinkler = sample!(Bernoulli(0.9));
        wet |= by_sprinkler;
    }
    observe!(Bernoulli(if wet { 1.0 } else { 0.0 }), true);
}

/// Mary called: did a burglar set the alarm off that woke her?
#[model]
fn burglar_alarm() {
    let earthquake = sample!(Bernoulli(0.0001));
    let burglary = sample!(Bernoulli(0.001));
    let alarm = earthquake || burglary;
    let phone_works = sample!(Bernoulli(if earthquake { 0.7 } else { 0.99 }));
    let mary_wakes = sample!(Bernoulli(match (alarm, earthquake) {
        (true, true) => 0.8,
        (true, false) => 0.6,
        (false, _) => 0.2,
    }));
    let called = mary_wakes && phone_works;
    observe!(Bernoulli(if called { 1.0 } else { 0.0 }), true);
}

/// Causes that each bring their effects about with a probability of its own.
#[model]
fn noisy_or() {
    let often = |cause: bool| if cause { 0.8 } else { 0.1 };
    let first = sample!(Bernoulli(0.5));
    let second = sample!(Bernoulli(0.5));
    let one = sample!(Bernoulli(often(first)));
    let two_by_first = sample!(Bernoulli(often(first)));
    let two_by_second = sample!(Bernoulli(often(second)));
    let two = two_by_first || two_by_second;
    let by_one = sample!(Bernoulli(often(one)));
    let by_two = sample!(Bernoulli(often(two)));
    let by_second = sample!(Bernoulli(often(second)));
    let any = by_one || by_two || by_second;
    let effect = sample!(Bernoulli(if any { 1.0 } else { 0.0 }));
}

pub(crate) fn all(table: &mut Table) -> Outcome<()> {
    let cases: [(&str, &dyn Program, &str, f64); 5] = [
        ("two coins", &two_coins(), "first", 1.0 / 3.0),
        ("sprinkler", &sprinkler(), "rain", 0.357_305),
        ("grass", &grass(), "rain", 509.0 / 719.0),
        (
            "burglar alarm",
            &burglar_alarm(),
            "burglary",
            2_969_983.0 / 992_160_802.0,
        ),
        ("noisy or", &noisy_or(), "effect", 130_307.0 / 160_000.0),
    ];
    for (name, model, site, p) in cases {
        if !table.wants(name) {
            continue;
        }
        let fit = table.fit(name, model)?;
        let found = (fit.posterior().mean(site)?, 0.0);
        table.row(name, site, found, &Known::Probability(p));
    }
    Ok(())
}
