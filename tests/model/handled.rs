//! Models under handlers, wherever a model can be used: posteriors, bounds, costs, sub-models.

use relax_runtime::estimator::{Enumerate, by_name};
use relax_runtime::infer::check_unbiased_with;
use relax_runtime::model::Run;
use relax_runtime::prelude::*;

use crate::{assert_all_near, assert_near, assert_says, error, wet_lawn};

/// [`wet_lawn`] without its observation.
#[model]
fn lawn() {
    let rain = sample!(Bernoulli(0.2));
    let sprinkler = sample!(Bernoulli(if rain { 0.01 } else { 0.4 }));
    let p = match (rain, sprinkler) {
        (true, true) => 0.99,
        (true, false) => 0.8,
        (false, true) => 0.9,
        _ => 0.001,
    };
    let wet = sample!(Bernoulli(p));
}

/// Noisy readings of coins over tensors, some of which may be missing.
#[model]
fn readings(x: &Tensor) {
    let bias = param!(0.3);
    plate!(x.rows() => {
        let b = sample!(Bernoulli(logits = bias.broadcast_to(x.rows())));
        let far = &b * 1.5 - 0.25;
        observe!(Normal(far, 0.7), x);
        cost!(&b * 0.5);
    })
}

/// Of the guide's coin in a row of [`readings`], which starts from the prior.
fn entropy_of_a_coin() -> f64 {
    let p = 1.0 / (1.0 + (-0.3f64).exp());
    -(p * p.ln() + (1.0 - p) * (1.0 - p).ln())
}

/// The exact bound of a model with an automatic guide, and its gradients by name.
fn exact(model: &dyn Program, params: &ParamStore) -> Result<(f64, Vec<f64>)> {
    let (value, gradients): (f64, _) = exact_gradient(&Elbo::new(model), params)?;
    let mut numbers = Vec::new();
    for (_, gradient) in gradients {
        numbers.extend(gradient.to_vec()?.iter().map(|x| f64::from(*x)));
    }
    Ok((value, numbers))
}

#[test]
fn conditions_are_observations_everywhere() -> Result<()> {
    let given = condition(lawn(), "wet", true);
    let (by_handler, written) = (exact_posterior(&given)?, exact_posterior(&wet_lawn(true))?);
    assert_near(by_handler.log_evidence, written.log_evidence, 1e-12);
    assert_near(by_handler.mean("rain")?, written.mean("rain")?, 1e-12);

    // Training step by step, by exact gradients, in tensors or host numbers.
    let losses = |model: &dyn Program| -> Result<Vec<f64>> {
        let mut trainer = Trainer::new(1).estimator(Enumerate::default());
        let step = |_| Ok(trainer.step(&Elbo::new(model))?.loss);
        (0..50).map(step).collect()
    };
    assert_all_near(&losses(&given)?, &losses(&wet_lawn(true))?, 1e-5);
    check_unbiased_with(&given, |check| check.draws(4_000))?.verdict()
}

/// A site that the guide draws cannot be given by a handler as well.
#[test]
fn a_value_that_the_guide_draws_too_is_refused() {
    #[model]
    fn all() {
        let rain = sample!(Bernoulli(0.5));
        let sprinkler = sample!(Bernoulli(0.5));
        let wet = sample!(Bernoulli(0.5));
    }
    for model in [
        &condition(lawn(), "wet", true) as &dyn Program,
        &substitute(lawn(), "wet", true),
    ] {
        let guide = all();
        let fit = Svi::new(model).guide(&guide).steps(2).progress(false).run();
        assert_says(&error(fit), &["site `wet`", "the guide draws it, too"]);
    }
}

#[test]
fn masked_rows_are_as_if_they_were_not_there() -> Result<()> {
    let params = ParamStore::default();
    let x = Tensor::from_slice(&[0.1, 1.3, 0.7, -0.2]);
    let some = Tensor::from_slice(&[0.1, 0.7]);
    let keep = Tensor::from_slice(&[1.0, 0.0, 1.0, 0.0]);
    // The guide of a masked row stays, and has a prior no more: its bound is that of the guide alone.
    let (masked, gradient) = exact(&mask(readings(&x), &keep), &params)?;
    let (fewer, of_fewer) = exact(&readings(&some), &ParamStore::default())?;
    let entropy = entropy_of_a_coin();
    assert_near(masked, fewer - 2.0 * entropy, 1e-5);
    assert_near(gradient[0], of_fewer[0], 1e-5);

    let all = exact(&readings(&x), &params)?;
    assert_eq!(exact(&mask(readings(&x), true), &params)?, all);
    let none = exact(&mask(readings(&x), false), &params)?;
    assert_near(none.0, -4.0 * entropy, 1e-5);

    // What is masked may be impossible.
    let x = Tensor::from_slice(&[0.1, 1e30, 0.7, -1e30]);
    let (value, _) = exact(&mask(readings(&x), &keep), &params)?;
    assert_near(value, masked, 1e-5);
    check_unbiased_with(&mask(readings(&x), &keep), |check| check.draws(4_000))?.verdict()?;

    let three = Tensor::from_slice(&[1.0, 0.0, 1.0]);
    let run = Simulation::seeded(1).run(&mask(readings(&x), &three))?;
    assert_says(&error(run.trace.log_prob()), &["mask of shape [3]", "[4]"]);
    let run = Simulation::seeded(1).run(&mask(wet_lawn(true), &three))?;
    assert_says(
        &error(run.trace.log_prob()),
        &["mask of shape [3]", "no plate"],
    );
    Ok(())
}

#[test]
fn scales_multiply_the_model_and_not_the_guide() -> Result<()> {
    let (params, x) = (ParamStore::default(), Tensor::from_slice(&[0.1, 1.3]));
    let of = |factor| exact(&scale(readings(&x), factor), &params);
    let (once, twice, thrice) = (of(1.0)?, of(2.0)?, of(3.0)?);
    assert_eq!(once, exact(&readings(&x), &params)?);
    let entropy = 2.0 * entropy_of_a_coin();
    assert_near(twice.0 + entropy, 2.0 * (once.0 + entropy), 1e-5);
    // The gradient is linear in the factor.
    let wanted: Vec<f64> = once
        .1
        .iter()
        .zip(&thrice.1)
        .map(|(a, b)| (a + b) / 2.0)
        .collect();
    assert_all_near(&twice.1, &wanted, 1e-5);
    check_unbiased_with(&scale(readings(&x), 2.5), |check| check.draws(4_000))?.verdict()?;
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let run = Simulation::seeded(1).run(&scale(readings(&x), factor));
        assert_says(&error(run), &["scale", "positive and finite"]);
    }
    Ok(())
}

#[model]
fn seen(level: f64, x: f64) {
    observe!(Normal(level, 1.0), x);
}

/// A number, and a coin, of which an observation tells half as much as it would.
#[model]
fn tempered(x: f64) {
    let level = sample!(Normal(0.0, 1.0));
    call!(scale(seen(level, x), 0.5), name = "half");
}

#[model]
fn tempered_coin(x: f64) {
    let on = sample!(Bernoulli(0.3));
    call!(scale(seen(f64::from(u8::from(on)), x), 0.5), name = "half");
}

/// A half of a normal log-density is one of twice the variance, but for its constant.
#[test]
fn evidence_and_weights_are_of_the_scaled_model() -> Result<()> {
    let x: f64 = 1.5;
    let half = |gap: f64| -0.25 * gap * gap - 0.25 * std::f64::consts::TAU.ln();
    let log_evidence =
        -0.25 * std::f64::consts::TAU.ln() + 0.5 * 2.0_f64.ln() - 0.5 * 3.0_f64.ln() - x * x / 6.0;
    let fit = Svi::new(&tempered(x)).seed(1).run()?;
    let posterior = fit.posterior();
    assert_near(posterior.mean("level")?, x / 3.0, 0.08);
    assert_near(posterior.log_evidence().bound, log_evidence, 0.01);
    let weights = posterior.importance_weights()?;
    assert!(weights.pareto_k().is_none_or(|k| k < 0.7));

    let coin = tempered_coin(x);
    let exact = (0.3 * half(x - 1.0).exp() + 0.7 * half(x).exp()).ln();
    assert_near(exact_posterior(&coin)?.log_evidence, exact, 1e-6);
    for svi in [Svi::new(&coin), Svi::new(&coin).draw_all()] {
        let fit = svi.seed(1).posterior_draws(2_000).run()?;
        assert_near(fit.posterior().log_evidence().bound, exact, 0.01);
    }
    Ok(())
}

/// A hidden choice has its prior for a guide, and neither adds to the bound nor biases it.
#[test]
fn hidden_choices_are_drawn_from_their_priors() -> Result<()> {
    #[model]
    fn pair() {
        let p = param!(0.4);
        let a = sample!(Bernoulli(logits = &p));
        let b = sample!(Bernoulli(logits = &a * 1.5 - &p));
        observe!(Normal(&a + &b * 2.0, 0.8), 1.0);
    }
    #[model]
    fn guide_of_all() {
        let p = param!(0.4);
        let q = param!(-0.2);
        let a = sample!(Bernoulli(logits = &q));
        let b = sample!(Bernoulli(logits = &a * 1.5 - &p));
    }
    #[model]
    fn guide_of_one() {
        let q = param!(-0.2);
        let a = sample!(Bernoulli(logits = &q));
    }
    let params = ParamStore::default();
    let (written, all, hidden, one) = (
        pair(),
        guide_of_all(),
        block(pair(), |name| name == "b"),
        guide_of_one(),
    );
    let wanted = exact_gradient(&Elbo::new(&written).guide(&all), &params)?;
    let found = exact_gradient(&Elbo::new(&hidden).guide(&one), &params)?;
    assert_near(found.0, wanted.0, 1e-6);
    let numbers = |gradients: &[(Parameter, Tensor)]| -> Result<Vec<f32>> {
        gradients
            .iter()
            .map(|(_, gradient)| gradient.item())
            .collect()
    };
    let (mut found, mut wanted) = (numbers(&found.1)?, numbers(&wanted.1)?);
    found.sort_by(f32::total_cmp);
    wanted.sort_by(f32::total_cmp);
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_near(f64::from(*found), f64::from(*wanted), 1e-5);
    }

    // With relaxed costs, several estimators, and the automatic guide.
    for estimator in ["relax", "relax-relaxed-cost", "rebar", "rloo", "rodeo"] {
        let known = by_name(estimator)?;
        Check::new(&Elbo::new(&hidden).guide(&one))
            .estimator(known.clone())
            .draws(4_000)
            .run()?
            .verdict()?;
        check_unbiased_with(&hidden, |check| check.estimator(known.clone()).draws(4_000))?
            .verdict()?;
    }
    Ok(())
}

/// Inside a model that calls it, a model under a handler has its own names.
#[test]
fn handlers_know_the_names_of_their_own_model() -> Result<()> {
    #[model]
    fn two() {
        call!(condition(lawn(), "wet", true), name = "left");
        call!(lawn(), name = "right");
    }
    let exact = exact_posterior(&two())?;
    assert_near(
        exact.mean("left/rain")?,
        exact_posterior(&wet_lawn(true))?.mean("rain")?,
        1e-12,
    );
    assert_near(exact.mean("right/rain")?, 0.2, 1e-12);
    let outside = condition(two(), "right/wet", true);
    let exact = exact_posterior(&outside)?;
    assert_near(exact.mean("right/rain")?, exact.mean("left/rain")?, 1e-12);

    #[model]
    fn wrong() {
        call!(condition(lawn(), "left/wet", true), name = "left");
    }
    let run = Simulation::seeded(1).run(&wrong());
    assert_says(&error(run), &["`left/wet`", "`rain`, `sprinkler`, `wet`"]);
    Ok(())
}

#[test]
fn costs_are_minimised_under_handlers() -> Result<()> {
    #[model]
    fn toll() {
        let logit = param!(0.0);
        let shift = param!(0.5);
        let b = sample!(Bernoulli(logits = logit));
        cost!((b - shift).square());
    }
    let fixed = substitute(toll(), "shift", 0.1);
    let trained = Minimize::new(&fixed)
        .steps(600)
        .optimizer(Adam::new(0.05))
        .progress(false)
        .run()?;
    let logit = trained.params().parameter("logit").expect("it is there");
    assert!(logit.get().item()? < -2.0);
    assert!(trained.params().parameter("shift").is_none());
    check_unbiased_with(&scale(fixed, 3.0), |check| check.draws(4_000))?.verdict()
}

/// Masks of outer and of inner rows around one site.
#[test]
fn masks_of_outer_and_inner_rows_meet_in_the_outer_ones() -> Result<()> {
    #[model]
    fn nested(x: &Tensor) {
        plate!(3 => {
            plate!(3 => {
                observe!(Normal(Tensor::zeros([3, 3], &Device::cpu()), 1.0), x);
            })
        })
    }
    let x = Tensor::from_slice(&[1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).reshape([3, 3]);
    let outer = Tensor::from_slice(&[1.0, 0.0, 0.0]);
    let inner = Tensor::full([3, 3], 1.0, &Device::cpu());
    let log_prob = |run: Run<()>| run.trace.log_prob();
    let once = log_prob(Simulation::seeded(1).run(&mask(nested(&x), &outer))?)?;
    let both = log_prob(Simulation::seeded(1).run(&mask(mask(nested(&x), &outer), &inner))?)?;
    let swapped = log_prob(Simulation::seeded(1).run(&mask(mask(nested(&x), &inner), &outer))?)?;
    assert_near(both, once, 1e-6);
    assert_near(swapped, once, 1e-6);
    let half = Tensor::from_slice(&[1.0, 0.5, 0.0]);
    let refused = error(
        Simulation::seeded(1)
            .run(&mask(nested(&x), &half))
            .map(drop),
    );
    assert_says(&refused, &["mask", "0.5", "`scale`"]);
    Ok(())
}
