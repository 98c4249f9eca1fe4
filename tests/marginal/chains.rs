//! Chains by the forward recursion, host control flow included.

use relax_runtime::infer::{exact_posterior_up_to, marginalise};
use relax_runtime::model::ParamStore;
use relax_runtime::prelude::*;

use crate::{assert_near, log_evidence, log_sum_exp};

const MOVES: [[f64; 3]; 3] = [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.2, 0.2, 0.6]];
const MEANS: [f64; 3] = [-1.0, 0.0, 2.0];

/// A path with some changes.
fn path(length: usize) -> Vec<f64> {
    (0..length).map(|t| 2.0 * (t as f64 * 0.7).sin()).collect()
}

/// Three states, of which host code reads each.
#[model]
fn hidden_markov(seen: &[f64]) {
    let mut probs = [0.5, 0.3, 0.2];
    for x in seen {
        let state = sample!(Categorical(probs = probs));
        observe!(Normal(MEANS[state], 1.0), *x);
        probs = MOVES[state];
    }
}

/// The same by tensors.
#[model]
fn hidden_markov_tensors(seen: &[f64]) {
    let moves = Tensor::from_vec(
        MOVES.iter().flatten().map(|&p| p as f32).collect(),
        [3, 3],
        &Device::cpu(),
    )?;
    let means = Tensor::from_slice(&MEANS.map(|x| x as f32));
    let mut probs = Tensor::from_slice(&[0.5, 0.3, 0.2]);
    for x in seen {
        let state = sample!(OneHotCategorical(probs = &probs));
        observe!(Normal((&state * &means).sum_all(), 1.0), *x);
        probs = (state.unsqueeze(-1) * &moves).sum(0);
    }
}

fn forward(seen: &[f64]) -> f64 {
    let density = |x: f64, mean: f64| -0.5 * (x - mean).powi(2) - 0.5 * std::f64::consts::TAU.ln();
    let mut alpha: Vec<f64> = (0..3)
        .map(|k| [0.5, 0.3, 0.2_f64][k].ln() + density(seen[0], MEANS[k]))
        .collect();
    for &x in &seen[1..] {
        alpha = (0..3)
            .map(|k| {
                let from: Vec<f64> = (0..3).map(|j| alpha[j] + MOVES[j][k].ln()).collect();
                log_sum_exp(&from) + density(x, MEANS[k])
            })
            .collect();
    }
    log_sum_exp(&alpha)
}

#[test]
fn a_chain_of_host_values_has_the_evidence_of_the_forward_recursion() -> Result<()> {
    for length in [1, 2, 12, 150] {
        let seen = path(length);
        let wanted = forward(&seen);
        assert_near(
            log_evidence(hidden_markov(&seen))?,
            wanted,
            1e-4 * wanted.abs(),
        );
    }
    Ok(())
}

#[test]
fn a_chain_of_tensors_has_the_evidence_of_the_forward_recursion() -> Result<()> {
    for length in [1, 2, 12, 60] {
        let seen = path(length);
        let wanted = forward(&seen);
        assert_near(
            log_evidence(hidden_markov_tensors(&seen))?,
            wanted,
            1e-4 * wanted.abs(),
        );
    }
    Ok(())
}

/// Two chains, whose sum is seen.
#[model]
fn factorial(seen: &[f64]) {
    let (mut a, mut b) = (false, false);
    for x in seen {
        let up = sample!(Bernoulli(if a { 0.8 } else { 0.3 }));
        let on = sample!(Bernoulli(if b { 0.9 } else { 0.2 }));
        (a, b) = (up, on);
        observe!(Normal(f64::from(up) + 2.0 * f64::from(on), 0.5), *x);
    }
}

#[test]
fn chains_that_meet_are_summed_over_together() -> Result<()> {
    let seen = path(7);
    let exact =
        exact_posterior_up_to(&factorial(&seen), &ParamStore::default(), 1 << 20)?.log_evidence;
    assert_near(log_evidence(factorial(&seen))?, exact, 1e-4);
    Ok(())
}

/// How many pairs of brackets a text of a recursive grammar has, S → ( S ) S | nothing.
#[model]
fn pairs(depth: usize) -> usize {
    let opens = sample!(Bernoulli(if depth > 0 { 0.6 } else { 0.0 }));
    if opens {
        let inside = call!(pairs(depth - 1));
        let after = call!(pairs(depth - 1));
        1 + inside + after
    } else {
        0
    }
}

#[model]
fn text_of(length: usize) {
    let pairs = call!(pairs(3));
    for at in 0..7 {
        observe!(Bernoulli(if at < pairs { 0.9 } else { 0.2 }), at < length);
    }
}

/// Deep choices show where all choices above them are made alone.
#[test]
fn choices_of_a_recursive_model_are_all_found() -> Result<()> {
    let exact = exact_posterior_up_to(&text_of(3), &ParamStore::default(), 1 << 20)?.log_evidence;
    for seed in 0..20 {
        let run = Simulation::seeded(seed).run(&marginalise(text_of(3)))?;
        assert_near(run.trace.log_prob()?, exact, 1e-6);
    }
    Ok(())
}

/// Each choice depends on the two before it, and how many there are on the first.
#[model]
fn second_order() {
    let many = sample!(Bernoulli(0.4));
    let (mut a, mut b) = (false, true);
    for t in 0..if many { 9 } else { 5 } {
        let c = sample!(Bernoulli(match (a, b) {
            (true, true) => 0.9,
            (true, false) => 0.3,
            (false, true) => 0.6,
            (false, false) => 0.2,
        }));
        observe!(Bernoulli(if c { 0.8 } else { 0.25 }), t % 3 == 0);
        (a, b) = (b, c);
    }
}

#[test]
fn chains_of_changing_length_are_summed_over() -> Result<()> {
    let exact = exact_posterior(&second_order())?.log_evidence;
    assert_near(log_evidence(second_order())?, exact, 1e-6);
    Ok(())
}

/// A sum or product of two numbers, or one of them, whose value is seen as it is.
#[model]
fn expression(value: usize) {
    let kind = sample!(Categorical([0.2, 0.2, 0.2, 0.2, 0.2]));
    let found = if kind < 2 {
        let left = sample!(Categorical([0.4, 0.3, 0.3]));
        let right = sample!(Categorical([0.4, 0.3, 0.3]));
        match kind {
            0 => left + 1 + right + 1,
            _ => (left + 1) * (right + 1),
        }
    } else {
        kind - 1
    };
    observe!(Bernoulli(if found == value { 1.0 } else { 0.0 }), true);
}

/// Nothing is left to chance where all combinations are few.
#[test]
fn observations_of_few_paths_are_summed_over() -> Result<()> {
    for value in 1..=9 {
        let Ok(exact) = exact_posterior(&expression(value)) else {
            assert!(log_evidence(expression(value)).is_err(), "{value}");
            continue;
        };
        assert_near(log_evidence(expression(value))?, exact.log_evidence, 1e-6);
    }
    Ok(())
}

/// Stages of a disease of many patients, which go up by one or stay: most pairs of states no run comes to.
#[model]
fn staged(readings: &[Vec<f64>], states: usize) {
    for of_patient in readings {
        let mut stage = 0;
        for &reading in of_patient {
            let mut p = vec![0.0; states];
            p[stage] = 0.7;
            p[(stage + 1).min(states - 1)] += 0.3;
            let next = sample!(Categorical(p), name = "stage");
            stage = next;
            observe!(Normal(stage as f64, 0.7), reading);
        }
    }
}

#[test]
fn states_that_lie_behind_others_are_closed() -> Result<()> {
    const STATES: usize = 8;
    let reading = |patient: usize, t: usize| 0.4 * t as f64 + ((patient * 7 + t * t) as f64).sin();
    let of_patient = |patient: usize| (0..12).map(|t| reading(patient, t)).collect();
    let readings: Vec<Vec<f64>> = (0..40).map(of_patient).collect();
    let of_chain = |readings: &Vec<f64>| {
        let mut log = vec![f64::NEG_INFINITY; STATES];
        log[0] = 0.0;
        for reading in readings {
            let after = |to: usize| {
                let from = |from: usize| match (from == to, from + 1 == to, to + 1 == STATES) {
                    (true, _, true) => log[from],
                    (true, ..) => log[from] + 0.7_f64.ln(),
                    (_, true, _) => log[from] + 0.3_f64.ln(),
                    _ => f64::NEG_INFINITY,
                };
                let terms = (to.saturating_sub(1)..=to).map(from);
                let terms: Vec<f64> = terms.filter(|log| log.is_finite()).collect();
                if terms.is_empty() {
                    return f64::NEG_INFINITY;
                }
                let apart = (reading - to as f64) / 0.7;
                let density =
                    -0.5 * apart * apart - 0.7_f64.ln() - 0.5 * std::f64::consts::TAU.ln();
                log_sum_exp(&terms) + density
            };
            log = (0..STATES).map(after).collect();
        }
        log_sum_exp(&log)
    };
    let wanted: f64 = readings.iter().map(of_chain).sum();
    assert_near(log_evidence(staged(&readings, STATES))?, wanted, 1e-6);
    Ok(())
}
