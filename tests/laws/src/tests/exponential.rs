//! A continuous law whose draws have no derivative.

use super::*;

fn of(log_rate: &Tensor) -> Result<Exponential<Tensor>> {
    Exponential::of_log_rate(log_rate)
}

fn of_number(log_rate: f64) -> Result<Exponential<f64>> {
    Exponential::of_log_rate(log_rate)
}

fn number(x: f64) -> f64 {
    x
}

programs!();

plans!(
    "Exponential, rloo, 4: continuous without a derivative of its draws: leave-one-out baseline of 4 draws",
    host: "Exponential, rloo, 4: continuous without a derivative of its draws: leave-one-out baseline of 4 draws"
);

#[test]
fn estimators_that_need_a_derivative_are_refused() {
    for (estimator, problem) in [
        (
            Pathwise.into_estimator(),
            "no derivative by its parameters; use `rloo`",
        ),
        (
            Lax::default().into_estimator(),
            "differentiable in their parameters; use `rloo`",
        ),
    ] {
        let model = site();
        let minimize = Minimize::new(&model).site_estimator("x", estimator);
        let error = minimize.steps(2).run().unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

/// A waiting time of twice the rate: the posterior is exponential, too.
#[model]
fn waited() {
    let x = sample!(Exponential::of_log_rate(0.0));
    observe!(Bernoulli((-x).exp()), true);
}

#[test]
fn its_guide_finds_the_posterior() -> Result<()> {
    let fit = Svi::new(&waited()).draw_all().steps(3_000).seed(1).run()?;
    let found = fit.posterior().mean("x")?;
    assert!((found - 0.5).abs() < 0.03, "{found}");
    Ok(())
}
