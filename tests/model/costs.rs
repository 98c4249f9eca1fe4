//! Costs beside a posterior: they move it wherever it is drawn, weighted, saved or enumerated, but are no evidence.

use relax_runtime::infer::MeanFieldGuide;
use relax_runtime::prelude::*;
use tempfile::TempDir;

use crate::{assert_near, assert_says, error};

#[model]
fn taxed_coin() {
    let b = sample!(Bernoulli(0.5));
    cost!(if b { 2.0 } else { 0.0 });
}

#[model]
fn tilted() {
    let x = sample!(Normal(Tensor::scalar(0.0), 1.0));
    cost!(&x);
}

fn svi(model: &dyn Program) -> Svi<'_> {
    Svi::new(model).seed(3).progress(false)
}

/// 1/(1 + e²).
const TAXED: f64 = 0.119_202_922;

#[test]
fn a_posterior_is_weighted_by_what_its_draws_pay() -> Result<()> {
    let model = taxed_coin();
    let exact = exact_posterior(&model)?;
    assert_near(exact.mean("b")?, TAXED, 1e-6);
    assert_near(exact.log_evidence, 0.0, 1e-6);
    let fit = svi(&model).run()?;
    assert_near(fit.posterior().mean("b")?, TAXED, 0.02);
    assert!(fit.verdict().findings.is_empty(), "{}", fit.verdict());

    let model = tilted();
    let fit = svi(&model).run()?;
    assert_near(fit.posterior().mean("x")?, -1.0, 0.03);
    assert_near(fit.posterior().sd("x")?, 1.0, 0.15);
    assert!(fit.verdict().findings.is_empty(), "{}", fit.verdict());
    let chained = svi(&model).steps(200).hmc(true).run()?;
    assert!(chained.posterior().mixing().is_some());
    assert_near(chained.posterior().mean("x")?, -1.0, 0.12);

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fit");
    fit.save(&path)?;
    let loaded = svi(&model).load(&path)?;
    let weighted = |fit: &Fit| fit.posterior().weighted()?.mean("x");
    assert_eq!(weighted(&loaded)?, weighted(&fit)?);
    Ok(())
}

/// Weights of draws far from what costs make of the posterior: of a guide at the prior.
#[test]
fn weights_count_costs_and_the_evidence_does_not() -> Result<()> {
    let drawn = |model: &dyn Program| {
        Posterior::draw(
            &Elbo::new(model).guide(&MeanFieldGuide),
            &ParamStore::default(),
            5,
            4_000,
        )
    };
    let posterior = drawn(&taxed_coin())?;
    assert_near(posterior.weighted()?.mean("b")?, TAXED, 0.02);
    assert_near(posterior.log_evidence().bound, 0.0, 1e-6);
    Ok(())
}

#[model]
fn taxed_rows(kind: &'static str) {
    let b = plate!(2, {
        let b = sample!(Bernoulli(Tensor::from_slice(&[0.5, 0.5])));
        if kind == "inside" {
            cost!(&b * 2.0);
        }
        b
    });
    match kind {
        "outside" => cost!(b.sum_all() * 2.0),
        "constant" => cost!(7.0),
        _ => {}
    }
}

/// Rows keep weights of their own beside a cost that is the same for all draws; what draws pay ties rows together.
#[test]
fn costs_tie_rows_together() -> Result<()> {
    let drawn = |kind| {
        let model = taxed_rows(kind);
        let objective = Elbo::new(&model).guide(&MeanFieldGuide);
        Posterior::draw(&objective, &ParamStore::default(), 5, 4_000)
    };
    let rows = |kind| Ok::<_, Error>(drawn(kind)?.importance_weights()?.rows().len());
    assert_eq!((rows("none")?, rows("constant")?), (2, 2));
    assert_eq!((rows("inside")?, rows("outside")?), (1, 1));
    for kind in ["inside", "outside"] {
        let means = drawn(kind)?.weighted()?.means("b")?;
        assert_near(means[0], TAXED, 0.03);
        assert_near(means[1], TAXED, 0.03);
    }
    Ok(())
}

/// A cost outside a plate whose rows stand for others of a larger data set.
#[test]
fn a_cost_beside_a_sample_of_rows_has_no_weights() -> Result<()> {
    #[model]
    fn sampled() {
        let b = plate!(2, of = 10 => {
            let b = sample!(Bernoulli(Tensor::from_slice(&[0.5, 0.5])));
            b
        });
        cost!(b.sum_all(), name = "tax");
    }
    #[model]
    fn guide() {
        plate!(2, of = 10 => {
            let b = sample!(Bernoulli(Tensor::from_slice(&[0.4, 0.6])));
        });
    }
    let (model, guide) = (sampled(), guide());
    let objective = Elbo::new(&model).guide(&guide);
    let posterior = Posterior::draw(&objective, &ParamStore::default(), 5, 50)?;
    assert_says(
        &error(posterior.importance_weights()),
        &["does not count exactly once"],
    );
    Ok(())
}
