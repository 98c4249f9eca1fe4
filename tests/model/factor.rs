//! Factors: terms of the log-probability that belong to no distribution.

use relax_runtime::estimator::Enumerate;
use relax_runtime::infer::Posterior;
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error};

/// A coin and what is seen of it, as an observation.
#[model]
fn observed() {
    let rain = sample!(Bernoulli(0.3));
    observe!(Bernoulli(if rain { 0.9 } else { 0.2 }), true);
}

/// The same as a likelihood of one's own.
#[model]
fn weighed() {
    let rain = sample!(Bernoulli(0.3));
    factor!(f64::ln(if rain { 0.9 } else { 0.2 }));
}

/// Neighbours that like to be equal: the energy of a ring of spins.
#[model]
fn ring(strength: f64) {
    let mut spins = Vec::new();
    for _ in 0..4 {
        let up = sample!(Bernoulli(0.5));
        spins.push(if up { 1.0 } else { -1.0 });
    }
    let energy: f64 = (0..4).map(|i| spins[i] * spins[(i + 1) % 4]).sum();
    factor!(strength * energy, name = "energy");
}

#[test]
fn a_factor_counts_as_an_observation_does() -> Result<()> {
    let (one, other) = (exact_posterior(&observed())?, exact_posterior(&weighed())?);
    assert_near(other.mean("rain")?, one.mean("rain")?, 1e-9);
    assert_near(other.mean("rain")?, 0.27 / 0.41, 1e-6);

    let svi = |model: &dyn Program| {
        let svi = Svi::new(model).estimator(Enumerate::default());
        svi.steps(300).seed(1).run()
    };
    let (one, other) = (svi(&observed())?, svi(&weighed())?);
    assert_eq!(
        one.posterior().mean("rain")?,
        other.posterior().mean("rain")?
    );
    let evidence = other.posterior().log_evidence();
    assert_near(evidence.elbo, 0.41_f64.ln(), 5e-3);
    Ok(())
}

#[test]
fn energies_have_their_partition_function() -> Result<()> {
    let strength = 0.5_f64;
    let model = ring(strength);
    let params = ParamStore::default();
    let posterior = Posterior::draw(&Elbo::new(&model), &params, 1, 20_000)?;
    // Eigenvalues of the transfer matrix.
    let (even, odd) = (2.0 * strength.cosh(), 2.0 * strength.sinh());
    let wanted = (even.powi(4) + odd.powi(4)).ln() - 16.0_f64.ln();
    assert_near(posterior.log_evidence().bound, wanted, 0.03);
    check_unbiased(&model)?.verdict()
}

/// Coins of rows with their log-weights.
#[model]
fn rows(log_weights: &Tensor) {
    plate!(log_weights.rows() => {
        let b = sample!(Bernoulli(logits = log_weights.zeros_like()));
        factor!(&b * log_weights);
    })
}

#[test]
fn rows_have_factors_of_their_own() -> Result<()> {
    let log_weights = Tensor::from_slice(&[1.0, -2.0, 0.5]);
    let model = rows(&log_weights);
    let fit = Svi::new(&model).steps(1_500).seed(1).run()?;
    for (found, logit) in fit.posterior().means("b")?.iter().zip([1.0_f64, -2.0, 0.5]) {
        assert_near(*found, 1.0 / (1.0 + (-logit).exp()), 0.03);
    }
    check_unbiased(&model)?.verdict()
}

fn log_weight(model: &impl Model) -> Result<f64> {
    let run = Simulation::seeded(2).run(model)?;
    run.trace.get("factor")?.weighted_log_prob()
}

#[test]
fn handlers_weigh_it() -> Result<()> {
    let log_weights = Tensor::from_slice(&[1.0, -2.0, 0.5]);
    let plain = log_weight(&rows(&log_weights))?;
    assert!(plain != 0.0);
    assert_near(
        log_weight(&scale(rows(&log_weights), 0.5))?,
        0.5 * plain,
        1e-6,
    );
    let rows_left = Tensor::from_slice(&[0.0, 0.0, 0.0]);
    assert_eq!(log_weight(&mask(rows(&log_weights), &rows_left))?, 0.0);
    Ok(())
}

#[model]
fn guide_with_factor() {
    let rain = sample!(Bernoulli(0.5));
    factor!(if rain { -1.0 } else { 0.0 });
}

#[model]
fn in_a_plate() {
    plate!(2 => {
        factor!(-1.0);
    })
}

#[model]
fn impossible() {
    let rain = sample!(Bernoulli(0.5));
    factor!(if rain { 0.0 } else { f64::NEG_INFINITY });
}

#[test]
fn what_it_is_not_for_is_refused() {
    let guided = Svi::new(&weighed())
        .guide(&guide_with_factor())
        .steps(1)
        .run();
    assert_says(
        &error(guided),
        &["a guide cannot have factors", "in the model"],
    );
    let minimized = Minimize::new(&weighed()).steps(1).run();
    assert_says(
        &error(minimized),
        &["no observations or factors", "`cost!`"],
    );
    let hosts = Svi::new(&in_a_plate()).steps(1).run();
    assert_says(&error(hosts), &["a host number, -1", "plate"]);
    let never = Svi::new(&impossible()).draw_all().steps(50).run();
    let words = [
        "`factor`",
        "where `rain` is 0",
        "-inf",
        "weight of 0",
        "-50.0",
    ];
    assert_says(&error(never), &words);
}

/// A factor or a cost that is no number is so before any step, with which no learning rate has to do.
#[test]
fn what_is_no_number_is_named() {
    #[model]
    fn undefined() {
        let rain = sample!(Bernoulli(0.5));
        factor!(f64::NAN, name = "energy");
        factor!(if rain { -1.0 } else { 0.0 });
    }
    #[model]
    fn undefined_tensor() {
        let x = sample!(Normal(0.0, 1.0));
        factor!(Tensor::scalar((x - 1e6).sqrt() as f32), name = "energy");
    }
    #[model]
    fn priceless() {
        let _rain = sample!(Bernoulli(0.5));
        cost!(f64::NAN, name = "price");
    }
    let model = undefined();
    let run = |svi: Svi<'_>| error(svi.steps(3).progress(false).run());
    let drawn = || Svi::new(&model).draw_all();
    for said in [
        run(Svi::new(&model)),
        run(drawn()),
        run(drawn().samples(3)),
        run(drawn().estimator(Enumerate::default())),
        run(Svi::new(&undefined_tensor())),
    ] {
        let words = [
            "the factor `energy` (",
            "factor.rs:",
            "NaN at step 0",
            "no step was taken",
        ];
        assert_says(&said, &words);
        assert!(!said.contains("too large"), "{said}");
    }
    for said in [
        run(Svi::new(&model).marginalise()),
        error(exact_posterior(&model)),
    ] {
        assert_says(&said, &["`energy` (", "factor.rs:", "the factor is"]);
    }
    let paid = Minimize::new(&priceless()).steps(3).progress(false).run();
    assert_says(
        &error(paid),
        &["`price` (", "NaN at step 0", "what the model pays"],
    );
}

#[test]
fn bounds_of_several_samples_take_it() -> Result<()> {
    let model = weighed();
    let bound = Elbo::new(&model).samples(4);
    Check::new(&bound).draws(2_000).run()?.verdict()?;
    let params = ParamStore::default();
    let posterior = Posterior::draw(&Elbo::new(&model), &params, 1, 4_000)?;
    assert_near(posterior.log_evidence().bound, 0.41_f64.ln(), 0.02);
    Ok(())
}

#[test]
fn a_trace_tells_of_it() -> Result<()> {
    let run = Simulation::seeded(1).run(&ring(0.5))?;
    let entry = run.trace.get("energy")?;
    assert_eq!(entry.kind.to_string(), "factor");
    let found = entry.weighted_log_prob()?;
    assert!([2.0, 0.0, -2.0].contains(&found), "{found}");
    assert_near(run.trace.log_prob()?, found - 4.0 * 2.0_f64.ln(), 1e-9);
    assert!(run.trace.to_string().contains("factor"));
    Ok(())
}
