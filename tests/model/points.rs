//! Points: choices that are certain, and the guide that learns their place.

use relax_runtime::estimator::Enumerate;
use relax_runtime::infer::{DeltaGuide, FullRankGuide, Guide, StructuredGuide};
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error, short};

/// A choice of each support, with data.
#[model]
fn supports() {
    let p = sample!(Beta(Tensor::scalar(2.0), 3.0));
    observe!(Binomial(10, &p), 7.0, name = "heads");
    let w = sample!(Dirichlet(Tensor::from_slice(&[2.0, 3.0, 4.0])));
    let of = |k: usize| w.index(-1, k).ln();
    factor!(of(0) + of(1) + of(2) * 2.0, name = "seen");
    let rate = sample!(Gamma(Tensor::scalar(3.0), 2.0));
    observe!(Poisson(&rate), 4.0, name = "count");
    let rows = Tensor::from_slice(&[1.0, -2.0]);
    plate!(2 => {
        let x = sample!(Normal(Tensor::zeros([2], &Device::cpu()), 1.0));
        observe!(Normal(&x, 0.5), &rows);
    });
}

#[test]
fn points_lie_where_the_joint_density_is_largest() -> Result<()> {
    let model = supports();
    let fit = Svi::new(&model)
        .guide(&DeltaGuide)
        .seed(1)
        .progress(false)
        .run()?;
    let found = fit.posterior();
    assert_near(found.mean("p")?, 8.0 / 13.0, 1e-3);
    for (found, exact) in found.means("w")?.iter().zip([2.0, 3.0, 5.0]) {
        assert_near(*found, exact / 10.0, 1e-3);
    }
    assert_near(found.mean("rate")?, 6.0 / 3.0, 2e-3);
    for (found, seen) in found.means("x")?.iter().zip([1.0, -2.0]) {
        assert_near(*found, seen * 4.0 / 5.0, 1e-3);
    }
    let plan = fit.plan().to_string();
    assert!(plan.contains("p: guided by a point of its own"), "{plan}");
    Ok(())
}

/// A number of which a coin says where it was drawn.
#[model]
fn two_places() {
    let x = sample!(Normal(Tensor::scalar(0.3), 2.0));
    let side = sample!(Bernoulli(Tensor::scalar(0.4)));
    observe!(Normal(&x + &side * 2.0, 1.0), 2.5);
}

/// The coin is summed out: the point has the largest evidence.
#[test]
fn coins_are_not_points() -> Result<()> {
    let log_density = |x: f64| {
        let seen = |mean: f64| (-0.5 * (2.5 - mean).powi(2)).exp();
        (0.6 * seen(x) + 0.4 * seen(x + 2.0)).ln() - 0.5 * ((x - 0.3) / 2.0).powi(2)
    };
    let grid = (0..8_000).map(|i| -4.0 + 0.001 * f64::from(i));
    let exact = grid.max_by(|a, b| log_density(*a).total_cmp(&log_density(*b)));
    let exact = exact.expect("a grid of points");
    let model = two_places();
    let by_sum = Svi::new(&model).guide(&DeltaGuide);
    let by_sum = by_sum.seed(1).progress(false).run()?;
    assert_near(by_sum.posterior().mean("x")?, exact, 0.002);
    let svi = Svi::new(&model)
        .guide(&DeltaGuide)
        .estimator(Enumerate::default());
    let found = svi.seed(1).progress(false).run()?;
    // The point follows the draws of the coin, and trembles with them.
    assert_near(found.posterior().mean("x")?, exact, 0.05);
    // P(side | x), of which the density of the data alone tells.
    let x = found.posterior().mean("x")?;
    let odds = |mean: f64| (-0.5 * (2.5 - mean).powi(2)).exp();
    let exact = 0.4 * odds(x + 2.0) / (0.4 * odds(x + 2.0) + 0.6 * odds(x));
    assert_near(found.posterior().mean("side")?, exact, 0.02);
    Ok(())
}

/// Host code cannot tell how a point is to move.
#[test]
fn points_that_host_code_reads_are_refused() {
    #[model]
    fn numbers() {
        let p = sample!(Beta(2.0, 3.0));
        observe!(Bernoulli(p), true);
    }
    let model = numbers();
    let refused = error(short(&model).guide(&DeltaGuide).run());
    assert_says(&refused, &["`p`", "read by host code"]);
}

/// Choices that are certain, of host numbers and of tensors, in a plate and by themselves.
#[model]
fn certain() {
    let a = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let b = sample!(Delta(&a * 2.0));
    let c = sample!(Delta(0.5));
    plate!(2 => {
        let d = sample!(Delta(Tensor::from_slice(&[1.0, -1.0])));
        observe!(Normal(&d + &b + c, 1.0), Tensor::from_slice(&[2.0, 0.0]));
    });
}

#[test]
fn what_is_certain_stays_so() -> Result<()> {
    let model = certain();
    // b + ½ is seen twice, as 1: a has precision 1 + 8, and mean 2/9.
    let evidence = {
        let (n, seen) = (2.0_f64, 0.5_f64);
        let log_det = (1.0 + 4.0 * n).ln();
        let square = n * seen * seen - (2.0 * n * seen).powi(2) / (1.0 + 4.0 * n);
        -0.5 * (square + log_det + n * std::f64::consts::TAU.ln())
    };
    for guide in [&StructuredGuide as &dyn Guide, &FullRankGuide] {
        let svi = Svi::new(&model).guide(guide).seed(1);
        let found = svi.posterior_draws(5_000).progress(false).run()?;
        let found = found.posterior();
        assert_near(found.mean("a")?, 2.0 / 9.0, 0.02);
        assert_near(found.mean("b")?, 4.0 / 9.0, 0.04);
        assert_near(found.log_evidence().elbo, evidence, 0.01);
        assert_eq!(found.means("d")?, [1.0, -1.0]);
    }
    check_unbiased(&model)?.verdict()
}
