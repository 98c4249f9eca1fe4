//! Enumeration against posteriors computed by hand, and exact gradients against differences.

use relax_runtime::infer::Objective;
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, coin, error};

#[model]
fn lawn(wet: bool) {
    let rain = sample!(Bernoulli(0.2));
    let sprinkler = sample!(Bernoulli(if rain { 0.01 } else { 0.4 }));
    let p = match (rain, sprinkler) {
        (true, true) => 0.99,
        (true, false) => 0.8,
        (false, true) => 0.9,
        (false, false) => 0.0,
    };
    observe!(Bernoulli(p), wet);
}

#[test]
fn the_sprinkler_has_its_textbook_posterior() -> Result<()> {
    // p(rain, sprinkler, wet), by hand.
    let (tt, tf, ft) = (0.2 * 0.01 * 0.99, 0.2 * 0.99 * 0.8, 0.8 * 0.4 * 0.9);
    let evidence: f64 = tt + tf + ft;
    let posterior = exact_posterior(&lawn(true))?;
    assert_near(posterior.log_evidence, evidence.ln(), 1e-12);
    assert_near(posterior.mean("rain")?, (tt + tf) / evidence, 1e-12);
    assert_near(posterior.mean("sprinkler")?, (tt + ft) / evidence, 1e-12);
    let marginal = posterior.marginal("rain")?;
    assert_near(marginal.iter().map(|(_, p)| p).sum(), 1.0, 1e-12);
    let dry = exact_posterior(&lawn(false))?;
    assert_near(dry.log_evidence, (1.0 - evidence).ln(), 1e-12);
    Ok(())
}

#[test]
fn sites_on_some_paths_only_are_counted_where_they_appear() -> Result<()> {
    #[model]
    fn urns(seen: usize) {
        let first = sample!(Bernoulli(0.25));
        let probs = if first {
            let tilt = sample!(Categorical([0.5, 0.3, 0.2]));
            let p = 0.1 + 0.2 * tilt as f64;
            vec![p, 1.0 - p]
        } else {
            vec![0.6, 0.4]
        };
        observe!(Categorical(probs), seen);
    }
    let joint = [0.25 * 0.5 * 0.1, 0.25 * 0.3 * 0.3, 0.25 * 0.2 * 0.5];
    let through: f64 = joint.iter().sum();
    let evidence = through + 0.75 * 0.6;
    let posterior = exact_posterior(&urns(0))?;
    assert_near(posterior.log_evidence, evidence.ln(), 1e-12);
    assert_near(posterior.mean("first")?, through / evidence, 1e-12);
    let marginal = posterior.marginal("tilt")?;
    for ((value, p), joint) in marginal.iter().zip(joint) {
        assert_near(*p, joint / evidence, 1e-12);
        assert_near(joint / evidence, *p, 1e-12);
        assert_eq!(value.len(), 1);
    }
    let mean = (joint[1] + 2.0 * joint[2]) / through;
    assert_near(posterior.index_means("tilt")?[0], mean, 1e-12);
    Ok(())
}

#[test]
fn learned_numbers_are_where_the_caller_says() -> Result<()> {
    #[model]
    fn learned() {
        let bias = param!(Tensor::scalar(0.0));
        let b = sample!(Bernoulli(logits = &bias));
        observe!(Bernoulli(&b * 0.5 + 0.25), 1.0, name = "seen");
    }
    let by_hand = |p: f64| {
        let evidence = p * 0.75 + (1.0 - p) * 0.25;
        (evidence.ln(), p * 0.75 / evidence)
    };
    let params = ParamStore::default();
    for (bias, p) in [(None, 0.5), (Some(3.0_f32.ln()), 0.75)] {
        if let Some(bias) = bias {
            params.all()[0].1.set(Tensor::scalar(bias))?;
        }
        let posterior = exact_posterior_at(&learned(), &params)?;
        let (log_evidence, mean) = by_hand(p);
        assert_near(posterior.log_evidence, log_evidence, 1e-6);
        assert_near(posterior.mean("b")?, mean, 1e-6);
    }
    let initial = exact_posterior(&learned())?;
    assert_near(initial.mean("b")?, by_hand(0.5).1, 1e-6);
    Ok(())
}

#[test]
fn tensors_plates_and_one_hots_are_enumerated() -> Result<()> {
    #[model]
    fn rows() {
        plate!(2, {
            let b = sample!(Bernoulli(Tensor::scalar(0.3)));
            let p = &b * 0.8 + 0.1;
            observe!(Bernoulli(p), Tensor::from_slice(&[1.0, 0.0]), name = "data");
        });
        let kind = sample!(OneHotCategorical(Tensor::from_slice(&[0.5, 0.25, 0.25])));
        let level = (&kind * Tensor::from_slice(&[0.2, 0.4, 0.8])).sum_all();
        observe!(Bernoulli(level), 1.0, name = "signal");
    }
    let posterior = exact_posterior(&rows())?;
    let (hit, miss) = (0.3 * 0.9, 0.7 * 0.1);
    let (missed, quiet) = (0.3 * 0.1, 0.7 * 0.9);
    let means = posterior.means("b")?;
    assert_near(means[0], hit / (hit + miss), 1e-5);
    assert_near(means[1], missed / (missed + quiet), 1e-5);
    let signal: f64 = 0.5 * 0.2 + 0.25 * 0.4 + 0.25 * 0.8;
    let means = posterior.means("kind")?;
    assert_near(means[2], 0.25 * 0.8 / signal, 1e-5);
    assert_eq!(posterior.marginal("b")?.len(), 4);
    let evidence = signal.ln() + (hit + miss).ln() + (missed + quiet).ln();
    assert_near(posterior.log_evidence, evidence, 1e-5);
    assert_says(
        &error(posterior.mean("kind")),
        &["`kind` holds 3 numbers", "`means`"],
    );
    Ok(())
}

#[test]
fn what_cannot_be_enumerated_is_refused() {
    #[model]
    fn continuous() {
        let x = sample!(Normal(0.0, 1.0));
        observe!(Normal(x, 1.0), 1.0);
    }
    #[model]
    fn large(size: usize) {
        let bits = sample!(Bernoulli(logits = Tensor::zeros([size], &Device::cpu())));
        observe!(Normal(bits.sum_all(), 1.0), 1.0);
    }
    #[model]
    fn impossible() {
        let _b = sample!(Bernoulli(0.5));
        observe!(Bernoulli(0.0), true, name = "miracle");
    }
    assert_says(
        &error(exact_posterior(&continuous())),
        &["site `x`", "continuous"],
    );
    assert_says(
        &error(exact_posterior(&large(40))),
        &["site `bits`", "use `Svi`"],
    );
    assert_says(&error(exact_posterior(&impossible())), &["impossible"]);
}

/// Compares the exact gradient with central differences of the enumerated objective.
fn check_gradient(objective: &dyn Objective) -> Result<()> {
    const STEP: f32 = 1.0 / 64.0;
    let params = ParamStore::default();
    // The first evaluation creates the parameters; move them off their symmetric start.
    exact_gradient(objective, &params)?;
    for (place, (_, parameter)) in params.all().into_iter().enumerate() {
        let value = parameter.get();
        let shift = (0..value.len()).map(|i| 0.3 * (1.0 + i as f32 - place as f32));
        let shift = Tensor::from_vec(shift.collect(), value.shape(), &Device::cpu())?;
        parameter.set((&value + shift).detach())?;
    }
    let (_, gradient) = exact_gradient(objective, &params)?;
    assert!(!params.all().is_empty());
    for (name, parameter) in params.all() {
        let found = gradient.iter().find(|(p, _)| p.key() == parameter.key());
        let found = found
            .unwrap_or_else(|| panic!("{name} has no gradient"))
            .1
            .to_vec()?;
        let value = parameter.get().detach();
        let start = value.to_vec()?;
        for (i, found) in found.iter().enumerate() {
            let at = |by: f32| -> Result<f64> {
                let mut moved = start.clone();
                moved[i] += by;
                parameter.set(Tensor::from_vec(moved, value.shape(), &Device::cpu())?)?;
                Ok(exact_gradient(objective, &params)?.0)
            };
            let wanted = (at(STEP)? - at(-STEP)?) / f64::from(2.0 * STEP);
            parameter.set(value.clone())?;
            assert_near(f64::from(*found), wanted, 1e-3 * (1.0 + wanted.abs()));
        }
    }
    Ok(())
}

#[test]
fn the_exact_gradient_of_an_expected_cost_is_its_slope() -> Result<()> {
    #[model]
    fn costly() {
        let theta = param!([0.2, -0.5]);
        let b = sample!(Bernoulli(logits = &theta));
        let chosen = sample!(Categorical(
            logits = Tensor::stack(&[&theta.sum_all(), &b.sum_all()], 0)
        ));
        let bonus = if chosen.to_bool()? { 2.0 } else { -1.0 };
        let late = sample!(Bernoulli(if bonus > 0.0 { 0.9 } else { 0.3 }));
        cost!((&b * &theta).sum_all().square() * bonus);
        cost!(if late { bonus } else { 0.5 });
    }
    check_gradient(&ExpectedCost::new(&costly()))
}

#[test]
fn the_exact_gradient_of_the_evidence_bound_is_its_slope() -> Result<()> {
    check_gradient(&Elbo::new(&coin(1.0)))?;
    check_gradient(&Elbo::new(&lawn(false)))?;

    #[model]
    fn learned() {
        let w = param!([0.4, -0.2]);
        plate!(2, {
            let b = sample!(Bernoulli(logits = &w));
            observe!(
                Bernoulli(logits = &b * 2.0 + &w),
                Tensor::from_slice(&[1.0, 0.0]),
                name = "x"
            );
        });
    }
    #[model]
    fn guide() {
        let v = param!([0.1, 0.3]);
        plate!(2, {
            let _b = sample!(Bernoulli(logits = &v));
        });
    }
    let (model, guide) = (learned(), guide());
    check_gradient(&Elbo::new(&model))?;
    check_gradient(&Elbo::new(&model).guide(&guide))
}
