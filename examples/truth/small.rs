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

/// A hidden Markov model of three states, of which colours are seen.
#[model]
fn three_states(seen: &[usize]) {
    let mut probs = [1.0 / 3.0; 3];
    for seen in seen {
        let state = sample!(Categorical(probs = &probs));
        observe!(Categorical(probs = COLOURS[state]), *seen);
        probs = MOVES[state];
    }
}

const MOVES: [[f64; 3]; 3] = [[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]];
const COLOURS: [[f64; 2]; 3] = [[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]];
const SEEN: [usize; 4] = [1, 0, 1, 0];

/// P(state at the end | colours), by the forward recursion.
fn last_state() -> [f64; 3] {
    let mut forward = [1.0 / 3.0; 3];
    for (time, &seen) in SEEN.iter().enumerate() {
        if time > 0 {
            forward = [0, 1, 2].map(|to| (0..3).map(|from| forward[from] * MOVES[from][to]).sum());
        }
        (0..3).for_each(|state| forward[state] *= COLOURS[state][seen]);
    }
    forward.map(|weight| weight / forward.iter().sum::<f64>())
}

/// Grade averages: Americans' end at 4, Indians' at 10, and the perfect ones are atoms of a distribution that
/// is continuous else.
#[model]
fn indian_gpa() {
    let american = sample!(Bernoulli(0.5));
    let best = if american { 4.0 } else { 10.0 };
    let perfect = sample!(Bernoulli(if american { 0.15 } else { 0.1 }));
    let gpa = match perfect {
        true => best,
        false => sample!(Uniform(0.0, best), name = "below"),
    };
    let _ = gpa;
}

pub(crate) fn all(table: &mut Table) -> Outcome<()> {
    let name = "three states";
    if table.wants(name) {
        let fit = table.fit(name, &three_states(&SEEN))?;
        let found = fit.posterior().means("state[3]")?;
        for (state, known) in last_state().into_iter().enumerate() {
            let what = format!("state {state} at the end");
            table.row(name, &what, (found[state], 0.0), &Known::Probability(known));
        }
    }
    let cases: [(&str, &dyn Program, &str, f64); 6] = [
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
        ("Indian GPA", &indian_gpa(), "perfect", 0.125),
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
