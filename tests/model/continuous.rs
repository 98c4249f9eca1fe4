//! Continuous laws in programs: unbiased gradients, and posteriors with known answers.

use relax_runtime::dist::{Distribution, IntoDistribution};
use relax_runtime::estimator::{EvolutionStrategies, IntoEstimator, Lax, Rloo};
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error};

/// A program of one site whose law depends on a parameter, and one of a plate of them.
macro_rules! programs {
    ($($name:ident: |$theta:ident| $law:expr;)*) => {$(
        mod $name {
            use super::*;

            fn of($theta: &Tensor) -> Result<impl Distribution<Value = Tensor> + use<>> {
                ($law).into_distribution()
            }

            #[model]
            pub fn site() {
                let theta = param!(0.4);
                let x = sample!(of(&theta));
                cost!((&x * 0.3 - 0.2).tanh().sum_all());
            }

            #[model]
            fn plate(data: &Tensor) {
                let theta = param!(0.3);
                plate!(data.rows() => {
                    let x = sample!(of(&(&theta * data)));
                    cost!((&x * 0.3).tanh() * (data + 1.5));
                })
            }

            /// Each choice depends on the one before.
            #[model]
            fn turns() {
                let mut before = param!(0.3);
                for _ in 0..3 {
                    let x = sample!(of(&before));
                    cost!((&x * 0.3).tanh());
                    before = x.tanh() * 0.4 - 0.2;
                }
            }

            #[test]
            fn is_unbiased() -> Result<()> {
                for model in [&site() as &dyn Program, &turns()] {
                    unbiased(Check::new(&ExpectedCost::new(model)).draws(2_000))?;
                }
                let rows = Tensor::from_slice(&[0.4, -1.1, 1.6]);
                let model = plate(&rows);
                unbiased(Check::new(&ExpectedCost::new(&model)).draws(2_000))?;
                let plan = Minimize::new(&model).steps(2).run()?.plan().to_string();
                assert!(plan.contains("pathwise"), "{plan}");
                Ok(())
            }

        }
    )*};
}

/// Estimators that look at a law's density at one of some sites.
macro_rules! others {
    ($($name:ident: $($estimator:expr),+;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            let estimators = [$($estimator.into_estimator()),+];
            for estimator in estimators {
                let model = super::$name::site();
                let objective = ExpectedCost::new(&model);
                let check = Check::new(&objective).draws(2_000).warm_up(50);
                super::unbiased(check.site_estimator("x", estimator))?;
            }
            Ok(())
        }
    )*};
}

mod other_estimators {
    use super::*;

    others! {
        laplace: Rloo::default(), Lax::default(), EvolutionStrategies::default();
        gumbel: Rloo::default(), Lax::default();
        logistic: Rloo::default(), Lax::default(), EvolutionStrategies::default();
        cauchy: Rloo::default(), Lax::default(), EvolutionStrategies::default();
        student_t: Rloo::default(), Lax::default(), EvolutionStrategies::default();
        half_normal: Rloo::default(), Lax::default();
        half_cauchy: Rloo::default(), Lax::default();
        log_normal: Rloo::default(), Lax::default(), EvolutionStrategies::default();
        exponential: Rloo::default(), Lax::default();
        gamma: Rloo::default(), Lax::default(), EvolutionStrategies::default();
        inverse_gamma: Rloo::default(), Lax::default(), EvolutionStrategies::default();
        beta: Rloo::default(), Lax::default(), EvolutionStrategies::default();
    }
}

/// A width that is learned: what a score function cannot see.
#[model]
fn width(read: bool) {
    let high = param!(1.5, positive);
    let x = sample!(Uniform(0.0, &high));
    if read {
        x.item()?;
    }
    cost!((&x - 1.0).square());
}

#[test]
fn supports_that_move_take_no_score_function() -> Result<()> {
    let plan = Minimize::new(&width(false))
        .steps(2)
        .run()?
        .plan()
        .to_string();
    assert!(plan.contains("pathwise"), "{plan}");
    let refused = [
        Reinforce::default().into_estimator(),
        Lax::default().into_estimator(),
    ];
    for estimator in refused {
        let model = width(false);
        let asked = Minimize::new(&model).site_estimator("x", estimator);
        let found = error(asked.steps(2).run().map(|_| ()));
        assert_says(&found, &["`x`", "support moves", "pathwise"]);
    }
    let found = error(Minimize::new(&width(true)).steps(2).run().map(|_| ()));
    assert_says(&found, &["`x`", "support moves", "host"]);
    Ok(())
}

fn unbiased(check: Check<'_>) -> Result<()> {
    let table = check.run()?;
    println!("{table}");
    table.verdict()
}

programs! {
    laplace: |theta| Laplace::new(theta, 0.7);
    gumbel: |theta| Gumbel::new(theta, theta.exp());
    logistic: |theta| Logistic::new(theta, 0.7);
    cauchy: |theta| Cauchy::new(theta, 0.7);
    student_t: |theta| StudentT::new((theta + 0.5).exp(), theta, 0.7);
    half_normal: |theta| HalfNormal::new(theta.exp());
    half_cauchy: |theta| HalfCauchy::new(theta.exp());
    log_normal: |theta| LogNormal::new(theta, 0.7);
    exponential: |theta| Exponential::new(theta.exp());
    gamma: |theta| Gamma::new(theta.exp(), (theta * 0.5).exp());
    inverse_gamma: |theta| InverseGamma::new((theta + 1.0).exp(), theta.exp());
    beta: |theta| Beta::new(theta.exp(), 1.5);
    uniform: |theta| Uniform::new(theta, theta + theta.exp());
}

/// Shares of three whose parameters depend on one another's.
#[model]
fn shares() {
    let theta = param!([0.4, -0.3, 0.1]);
    let x = sample!(Dirichlet(theta.exp()));
    cost!((&x * Tensor::from_slice(&[1.0, -0.5, 2.0])).sum(-1).tanh());
}

#[model]
fn vectors() {
    let theta = param!([0.4, -0.3]);
    let matrix = param!(Tensor::eye(2, &Device::cpu()) * 0.7);
    let x = sample!(MultivariateNormal(&theta, matrix.tril(0)));
    cost!((&x * Tensor::from_slice(&[1.0, -0.5])).sum(-1).tanh());
}

#[test]
fn laws_of_vectors_are_unbiased() -> Result<()> {
    for model in [&shares() as &dyn Program, &vectors()] {
        let objective = ExpectedCost::new(model);
        unbiased(Check::new(&objective).draws(2_000))?;
        for estimator in [
            Rloo::default().into_estimator(),
            Lax::default().into_estimator(),
        ] {
            let check = Check::new(&objective).draws(2_000).warm_up(50);
            unbiased(check.site_estimator("x", estimator))?;
        }
    }
    Ok(())
}

/// Waits of a rate, whose posterior is a Gamma.
#[model]
fn waits(times: &[f64]) {
    let rate = sample!(Gamma(2.0, 1.0));
    for time in times {
        observe!(Exponential(rate), *time);
    }
}

#[test]
fn the_rate_of_waits_has_its_gamma_posterior() -> Result<()> {
    let times = [0.5, 0.2, 0.9, 0.4];
    let fit = Svi::new(&waits(&times)).steps(2_000).seed(1).run()?;
    let (shape, rate) = (6.0, 1.0 + times.iter().sum::<f64>());
    assert_near(fit.posterior().mean("rate")?, shape / rate, 0.03);
    Ok(())
}

/// The same over tensors: the bound is the evidence, since the guide has the posterior's family.
#[model]
fn waits_of_tensors(times: &Tensor) {
    let rate = sample!(Gamma(Tensor::scalar(2.0), 1.0));
    plate!(times.rows() => {
        observe!(Exponential(&rate), times);
    })
}

#[test]
fn the_bound_of_a_conjugate_model_is_its_evidence() -> Result<()> {
    let times = [0.5_f32, 0.2, 0.9, 0.4];
    let total: f64 = times.iter().map(|&t| f64::from(t)).sum();
    // ∫ r⁴ e^(−r t) r e^(−r) dr = Γ(6)/(1 + t)⁶
    let evidence = 120_f64.ln() - 6.0 * (1.0 + total).ln();
    let data = Tensor::from_slice(&times);
    let fit = Svi::new(&waits_of_tensors(&data))
        .steps(3_000)
        .seed(1)
        .run()?;
    assert_near(fit.posterior().mean("rate")?, 6.0 / (1.0 + total), 0.03);
    assert_near(fit.posterior().log_evidence().elbo, evidence, 0.02);
    Ok(())
}

#[model]
fn coins(heads: &[bool]) {
    let p = sample!(Beta(2.0, 1.0));
    for head in heads {
        observe!(Bernoulli(p), *head);
    }
}

#[model]
fn flat_coins(heads: &[bool]) {
    let p = sample!(Uniform(0.0, 1.0));
    for head in heads {
        observe!(Bernoulli(p), *head);
    }
}

#[test]
fn the_bias_of_a_coin_has_its_beta_posterior() -> Result<()> {
    let heads = [true, true, false, true];
    let fit = Svi::new(&coins(&heads)).steps(2_000).seed(1).run()?;
    assert_near(fit.posterior().mean("p")?, 5.0 / 7.0, 0.02);
    let fit = Svi::new(&flat_coins(&heads)).steps(2_000).seed(1).run()?;
    assert_near(fit.posterior().mean("p")?, 4.0 / 6.0, 0.02);
    Ok(())
}

/// Categories of unknown shares.
#[model]
fn dice(throws: &Tensor) {
    let p = sample!(Dirichlet(Tensor::from_slice(&[1.0, 2.0, 1.0])));
    plate!(throws.rows() => {
        observe!(Categorical(p.unsqueeze(0)), throws);
    })
}

#[test]
fn shares_of_categories_have_their_dirichlet_posterior() -> Result<()> {
    let throws = Tensor::from_slice(&[0.0, 0.0, 1.0, 2.0, 0.0]);
    let fit = Svi::new(&dice(&throws)).steps(2_000).seed(1).run()?;
    let found = fit.posterior().means("p")?;
    for (found, wanted) in found.iter().zip([4.0, 3.0, 2.0]) {
        assert_near(*found, wanted / 9.0, 0.02);
    }
    Ok(())
}

/// The scale of a Gaussian, whose square has an inverse-Gamma posterior.
#[model]
fn spread(data: &Tensor) {
    let variance = sample!(InverseGamma(Tensor::scalar(3.0), 2.0));
    plate!(data.rows() => {
        observe!(Normal(0.0, variance.sqrt()), data);
    })
}

#[test]
fn the_variance_of_gaussians_has_its_posterior() -> Result<()> {
    let data = Tensor::from_slice(&[0.5, -1.2, 0.3, 0.9, -0.4, 1.6]);
    let fit = Svi::new(&spread(&data)).steps(3_000).seed(1).run()?;
    let squares: f64 = data.to_vec()?.iter().map(|x| f64::from(x * x)).sum();
    let wanted = (2.0 + 0.5 * squares) / (3.0 + 3.0 - 1.0);
    assert_near(fit.posterior().mean("variance")?, wanted, 0.03);
    Ok(())
}

/// A line by two numbers whose posterior depends on both.
#[model]
fn line(x: &Tensor, y: &Tensor) {
    let w = sample!(MultivariateNormal(
        Tensor::zeros([2], &Device::cpu()),
        [[1.0, 0.0], [0.0, 1.0]]
    ));
    plate!(x.rows() => {
        observe!(Normal(w.index(-1, 0) + w.index(-1, 1) * x, 0.5), y);
    })
}

#[test]
fn normal_vectors_find_a_line() -> Result<()> {
    let x = [1.0_f64, 2.0, 3.0];
    let y = [0.9_f64, 2.1, 2.7];
    // Precision I + XᵀX/σ², mean by its inverse times Xᵀy/σ².
    let s = 4.0;
    let (a, b, d) = (
        1.0 + s * 3.0,
        s * x.iter().sum::<f64>(),
        1.0 + s * x.iter().map(|x| x * x).sum::<f64>(),
    );
    let r = [
        s * y.iter().sum::<f64>(),
        s * x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>(),
    ];
    let det = a * d - b * b;
    let wanted = [(d * r[0] - b * r[1]) / det, (a * r[1] - b * r[0]) / det];
    let narrow = |v: [f64; 3]| Tensor::from_slice(&v.map(|x| x as f32));
    let fit = Svi::new(&line(&narrow(x), &narrow(y)))
        .steps(4_000)
        .seed(1)
        .run()?;
    for (found, wanted) in fit.posterior().means("w")?.iter().zip(wanted) {
        assert_near(*found, wanted, 0.03);
    }
    Ok(())
}

/// Laws of the real line, whose posteriors are looked up on a grid.
#[model]
fn heavy(data: f64) {
    let x = sample!(StudentT(3.0, 0.3, 0.7));
    observe!(Normal(x, 0.8), data);
}

#[model]
fn tailed(data: f64) {
    let x = sample!(Cauchy(0.3, 0.7));
    observe!(Normal(x, 0.8), data);
}

#[test]
fn heavy_tails_have_their_posteriors() -> Result<()> {
    let data = 1.5;
    let posterior = |prior: &dyn Fn(f64) -> f64| {
        let (mut sum, mut mean) = (0.0, 0.0);
        for x in (-8_000..8_000).map(|i| f64::from(i) * 1e-3) {
            let p = prior(x) * (-0.5 * ((data - x) / 0.8).powi(2)).exp();
            sum += p;
            mean += p * x;
        }
        mean / sum
    };
    let square = |x: f64| ((x - 0.3) / 0.7).powi(2);
    let fit = Svi::new(&heavy(data)).steps(3_000).seed(1).run()?;
    let wanted = posterior(&|x| (1.0 + square(x) / 3.0).powi(-2));
    assert_near(fit.posterior().mean("x")?, wanted, 0.06);
    let fit = Svi::new(&tailed(data)).steps(3_000).seed(1).run()?;
    let wanted = posterior(&|x| 1.0 / (1.0 + square(x)));
    assert_near(fit.posterior().mean("x")?, wanted, 0.06);
    Ok(())
}

#[model]
fn wrong() {
    let x = sample!(Gamma(-1.0, 1.0));
    cost!(x);
}

#[test]
fn wrong_parameters_name_the_site() {
    let found = error(Svi::new(&wrong()).steps(2).run().map(|_| ()));
    assert_says(&found, &["`x`", "Gamma", "concentration"]);
}
