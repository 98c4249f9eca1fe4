//! A continuous law.

use super::*;

fn of(loc: &Tensor) -> Result<Laplace<Tensor>> {
    Laplace::new(loc, 0.7)
}

fn of_number(loc: f64) -> Result<Laplace<f64>> {
    Laplace::new(loc, 0.7)
}

fn number(x: f64) -> f64 {
    x
}

programs!();

plans!(
    "Laplace, pathwise, 1: continuous, draw differentiable in its parameters",
    host: "Laplace, lax, 1: continuous, cost a black box: network on the draw"
);

#[test]
fn other_estimators_are_unbiased() -> Result<()> {
    for estimator in [
        Rloo::default().into_estimator(),
        Lax::default().into_estimator(),
        EvolutionStrategies::default().into_estimator(),
    ] {
        let model = site();
        let objective = ExpectedCost::new(&model);
        let check = Check::new(&objective).draws(1_500);
        expect_unbiased(check.site_estimator("x", estimator))?;
    }
    Ok(())
}

/// The mean of the posterior, by a sum over a grid.
#[test]
fn its_guide_finds_the_posterior() -> Result<()> {
    let fit = Svi::new(&host()).draw_all().steps(3_000).seed(1).run()?;
    let (mut sum, mut mean) = (0.0, 0.0);
    for x in (-4_000..4_000).map(|i| f64::from(i) * 1e-3) {
        let log_p = -(x - 0.3_f64).abs() / 0.7 - 0.5 * (0.5 - 0.8 * x).powi(2);
        sum += log_p.exp();
        mean += log_p.exp() * x;
    }
    let found = fit.posterior().mean("x")?;
    assert!((found - mean / sum).abs() < 0.08, "{found} {}", mean / sum);
    Ok(())
}
