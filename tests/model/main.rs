//! The modelling language from the user's side: programs, handlers, training, exact answers.

mod averages;
mod chains;
mod checkpoint;
#[path = "../support/checkpoints.rs"]
mod checkpoints;
mod composed;
mod constraints;
mod continuous;
mod costs;
mod disk;
mod empty;
mod error_kinds;
mod errors;
mod exact;
mod excluded;
mod excluded_by_draws;
mod factor;
mod families;
mod first_values;
mod gaussian_guides;
mod given_others;
mod guides;
mod handled;
mod handlers;
mod host_chains;
mod joint;
mod joint_or_drawn;
mod joint_resumed;
mod language;
mod larger_data;
mod ledger;
mod limits;
mod points;
mod posterior;
mod predictive;
mod programs;
mod read_outside;
mod refused;
mod repeated;
mod resume;
mod saved_fit;
mod severed;
mod starts;
mod structured;
mod tied_rows;
mod totals;
mod training;
mod unbiased;
mod units;

use std::fmt::Debug;

use relax_runtime::model::Trace;
use relax_runtime::prelude::*;

/// A coin over tensors, with a prior that an observation moves.
#[model]
fn coin(heads: f64) {
    let fair = sample!(Bernoulli(Tensor::scalar(0.5)));
    let p = &fair * 0.5 + (1.0 - &fair) * 0.9;
    observe!(Bernoulli(p), heads, name = "toss");
}

/// Is the lawn wet because it rained, or because the sprinkler ran?
#[model]
fn wet_lawn(wet: bool) {
    let rain = sample!(Bernoulli(0.2));
    let sprinkler = sample!(Bernoulli(if rain { 0.01 } else { 0.4 }));
    let p = match (rain, sprinkler) {
        (true, true) => 0.99,
        (true, false) => 0.8,
        (false, true) => 0.9,
        _ => 0.001,
    };
    observe!(Bernoulli(p), wet);
}

/// A training run as small as it gets.
fn short<M: Program>(model: &M) -> Svi<'_> {
    let drawn = Svi::new(model).draw_all();
    drawn.steps(2).posterior_draws(3).progress(false)
}

/// The text of an error.
fn error<T: Debug>(result: Result<T>) -> String {
    result.expect_err("this should have failed").to_string()
}

/// Checks that a text contains all of some words.
fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{text}` does not say `{word}`");
    }
}

fn assert_near(found: f64, wanted: f64, tolerance: f64) {
    assert!(
        (found - wanted).abs() < tolerance,
        "{found} instead of {wanted}"
    );
}

fn assert_all_near(found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert_near(*found, *wanted, tolerance);
    }
}

fn names(trace: &Trace) -> Vec<&str> {
    trace.entries().iter().map(|e| &*e.name).collect()
}
