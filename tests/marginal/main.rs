//! Discrete choices summed out exactly: evidence, its gradient, and posteriors, against sums over all combinations and
//! against recursions.

mod cases;
mod chains;
mod evidence;
mod given_up;
mod later;
mod mixed;
mod nodes;
mod posterior;
mod ranges;
mod rare;
mod rounds;
mod scopes;
mod severed;

use relax_runtime::infer::marginalise;
use relax_runtime::model::Model;
use relax_runtime::prelude::*;

/// ln p(x), with all choices summed out.
fn log_evidence<M: Model>(model: M) -> Result<f64> {
    let run = Simulation::seeded(1).run(&marginalise(model))?;
    run.trace.log_prob()
}

fn assert_near(found: f64, wanted: f64, within: f64) {
    assert!((found - wanted).abs() < within, "{found}, not {wanted}");
}

/// ln Σ eˣ.
fn log_sum_exp(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}
