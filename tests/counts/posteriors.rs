//! Posteriors with known answers by the automatic guide.

use relax_runtime::prelude::*;

/// Each of a Poisson number survives with probability ½: the posterior of nothing lost is Poisson, too, at
/// half the rate.
#[model]
fn poisson() {
    let n = sample!(Poisson(6.0));
    observe!(Bernoulli(0.5_f64.powi(n as i32)), true);
}

/// Binomial as well, with half the odds.
#[model]
fn binomial() {
    let n = sample!(Binomial(8, 0.6));
    observe!(Bernoulli(0.5_f64.powi(n as i32)), true);
}

#[model]
fn geometric() {
    let n = sample!(Geometric(0.3));
    observe!(Bernoulli(0.5_f64.powi(n as i32)), true);
}

/// A mixture of Poisson numbers remains one, whose weights say how likely each component leaves nothing.
#[model]
fn mixed() {
    let n = sample!(Mixture(
        [0.4, 0.6],
        [Poisson::rate(2.0), Poisson::rate(8.0)]
    ));
    observe!(Bernoulli(0.5_f64.powi(n as i32)), true);
}

/// Either none, or as many as a Poisson number says: the same of two families.
#[model]
fn of_families() {
    let n = sample!(Mixture(
        [0.3, 0.7],
        (DiscreteUniform::new(0, 1), Poisson::rate(6.0))
    ));
    observe!(Bernoulli(0.5_f64.powi(n as i32)), true);
}

#[test]
fn mixtures_of_counts_get_their_posteriors() -> Result<()> {
    let likely = [0.4 * (-1.0_f64).exp(), 0.6 * (-4.0_f64).exp()];
    let wanted = [
        (&mixed() as &dyn Program, likely, [1.0, 4.0]),
        (
            &of_families(),
            [0.3 * 0.75, 0.7 * (-3.0_f64).exp()],
            [1.0 / 3.0, 3.0],
        ),
    ];
    for (model, likely, means) in wanted {
        let evidence = likely[0] + likely[1];
        let mean = (likely[0] * means[0] + likely[1] * means[1]) / evidence;
        let fit = Svi::new(model).draw_all().steps(4_000).seed(1).run()?;
        let posterior = fit.posterior();
        let found = posterior.mean("n")?;
        assert!((found - mean).abs() < 0.04 * (1.0 + mean), "{found} {mean}");
        let found = posterior.log_evidence().elbo;
        assert!(
            (found - evidence.ln()).abs() < 0.02,
            "{found} {}",
            evidence.ln()
        );
    }
    Ok(())
}

#[test]
fn automatic_guides_find_conjugate_posteriors() -> Result<()> {
    let odds = 0.5 * 0.6 / 0.4;
    let fails = 0.5 * 0.7;
    for (model, wanted, evidence) in [
        (&poisson() as &dyn Program, 3.0, -3.0),
        (&binomial(), 8.0 * odds / (1.0 + odds), 8.0 * (0.7_f64).ln()),
        (
            &geometric(),
            fails / (1.0 - fails),
            (0.3_f64 / (1.0 - fails)).ln(),
        ),
    ] {
        let fit = Svi::new(model).draw_all().steps(4_000).seed(1).run()?;
        let posterior = fit.posterior();
        let found = posterior.mean("n")?;
        assert!(
            (found - wanted).abs() < 0.04 * (1.0 + wanted),
            "{found} {wanted}"
        );
        let found = posterior.log_evidence().elbo;
        assert!((found - evidence).abs() < 0.02, "{found} {evidence}");
    }
    Ok(())
}

/// Zeros of two origins, and a table whose values the guide has to tell from each other.
#[model]
fn inflated_range() {
    let n = sample!(ZeroInflated(0.3, DiscreteUniform::new(0, 3)));
    observe!(Normal(n as f64, 1.2), 3.0);
}

#[test]
fn inflated_tables_get_their_posteriors() -> Result<()> {
    let model = inflated_range();
    let exact = exact_posterior(&model)?;
    let fit = Svi::new(&model).draw_all().steps(4_000).seed(1).run()?;
    let found = fit.posterior().log_evidence().elbo;
    let evidence = exact.log_evidence;
    assert!((found - evidence).abs() < 0.02, "{found} {evidence}");
    Ok(())
}

/// When the rate of counts changed.
#[model]
fn change_point(counts: &[usize]) {
    let at = sample!(DiscreteUniform(1, 9));
    for (i, count) in counts.iter().enumerate() {
        observe!(Poisson(if i < at { 4.0 } else { 2.0 }), *count);
    }
}

#[test]
fn a_range_gets_its_posterior() -> Result<()> {
    let model = change_point(&[5, 3, 4, 2, 5, 1, 3, 2, 1, 2]);
    let exact = exact_posterior(&model)?;
    let fit = Svi::new(&model).draw_all().steps(4_000).seed(1).run()?;
    let found = fit.posterior().marginal("at")?;
    assert_eq!(found.len(), 9);
    for ((value, p), (other, q)) in exact.marginal("at")?.iter().zip(&found) {
        assert_eq!(value, other);
        assert!((p - q).abs() < 0.03, "{value:?}: {p} {q}");
    }
    Ok(())
}

#[test]
fn counts_with_a_last_value_are_enumerated() -> Result<()> {
    let exact = exact_posterior(&binomial())?;
    let odds = 0.5 * 0.6 / 0.4;
    let wanted = 8.0 * odds / (1.0 + odds);
    assert!((exact.mean("n")? - wanted).abs() < 1e-5);
    let error = exact_posterior(&poisson()).unwrap_err().to_string();
    assert!(error.contains("Poisson has no last value"), "{error}");
    Ok(())
}
