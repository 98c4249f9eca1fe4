//! Spike and slab (Mitchell and Beauchamp 1988): a slope that is 0, or present with a law of its own. The program makes
//! the slope's choice only if its coin is on.
//!
//! Slopes and noise are normal, so evidence and posterior are known in closed form.

use relax_runtime::prelude::*;

use crate::known::{fit, log_normal, log_sum_exp, near};
use crate::program::Outcome;

const X: [f32; 8] = [-1.5, -1.0, -0.6, -0.1, 0.3, 0.7, 1.1, 1.6];
const Y: [f32; 8] = [-2.0, 0.1, -1.2, 0.4, 0.5, 0.2, 1.3, 1.2];

#[model]
fn slab(x: &Tensor, y: &Tensor) {
    let on = sample!(Bernoulli(0.3));
    let mean = if on {
        let slope = sample!(Normal(Tensor::scalar(0.0), 2.0));
        slope * x
    } else {
        x.zeros_like()
    };
    observe!(Normal(mean, 1.0), y);
}

pub(crate) fn run() -> Outcome<()> {
    let fit = fit(&slab(&Tensor::from_slice(&X), &Tensor::from_slice(&Y)))?;
    let posterior = fit.posterior();
    let sum =
        |a: [f32; 8], b: [f32; 8]| -> f64 { a.iter().zip(b).map(|(&a, b)| f64::from(a * b)).sum() };
    let precision = 0.25 + sum(X, X);
    let slope = sum(X, Y) / precision;
    let off: f64 = Y.iter().map(|&y| log_normal(y.into(), 0.0, 1.0)).sum();
    let on = off + 0.5 * slope * slope * precision - 0.5 * (4.0 * precision).ln();
    let (off, on) = (off + f64::ln(0.7), on + f64::ln(0.3));
    let evidence = log_sum_exp(&[off, on]);
    near("ln p(y)", posterior.log_evidence().elbo, evidence, 0.01)?;
    near("P(on)", posterior.mean("on")?, (on - evidence).exp(), 0.02)?;
    near(
        "slope, where there is one",
        posterior.mean("slope")?,
        slope,
        0.05,
    )
}
