//! A discrete law with a relaxation of its own.

use super::*;

fn of(logits: &Tensor) -> Result<Binomial<Tensor>> {
    Binomial::logits(4, logits)
}

fn of_number(logits: f64) -> Result<Binomial<f64>> {
    Binomial::logits(4, logits)
}

fn number(x: usize) -> f64 {
    x as f64
}

programs!();

plans!(
    "Binomial, relax, 1: discrete: free-form network",
    host: "Binomial, relax, 1: discrete, cost a black box: free-form network"
);

#[test]
fn other_estimators_are_unbiased() -> Result<()> {
    let independent = Relax {
        coupling: Coupling::Independent,
        ..Relax::sum()
    };
    let all = [
        Relax::sum().into_estimator(),
        independent.into_estimator(),
        Rebar::default().into_estimator(),
        MuProp::default().into_estimator(),
        DoubleCv::default().into_estimator(),
        Rloo::default().into_estimator(),
        Enumerate::default().into_estimator(),
        IndeCateR.into_estimator(),
    ];
    check_all(&turns(), &all)?;
    check_all(&plate(&rows()), &all)
}

/// Formulas for coins, whose choices have one number each, too, are not for it.
#[test]
fn formulas_for_coins_are_refused() {
    for estimator in [
        Disarm.into_estimator(),
        Arms::default().into_estimator(),
        Rodeo::default().into_estimator(),
    ] {
        let run = Minimize::new(&site()).estimator(estimator).steps(2).run();
        let error = run.unwrap_err().to_string();
        assert!(error.contains("for Bernoulli sites"), "{error}");
    }
}

#[model]
fn halved() {
    let n = sample!(Binomial::logits(4, 0.8));
    observe!(Bernoulli(0.5_f64.powi(n as i32)), true);
}

#[test]
fn its_guide_finds_the_posterior() -> Result<()> {
    let fit = Svi::new(&halved()).draw_all().steps(3_000).seed(1).run()?;
    let (found, wanted) = (
        fit.posterior().mean("n")?,
        exact_posterior(&halved())?.mean("n")?,
    );
    assert!((found - wanted).abs() < 0.05, "{found} {wanted}");
    let marginal = fit.posterior().marginal("n")?;
    assert_eq!(marginal.len(), 5);
    assert!((marginal.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-5);
    Ok(())
}
