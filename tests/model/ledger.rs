//! The variance ledger, with rivals, during training.

use relax_runtime::estimator::{
    Cost, Enumerate, Estimate, Estimator, LeftOut, Rloo, SiteClass, SiteState, SiteTask, Vimco,
};
use relax_runtime::infer::Recording;
use relax_runtime::prelude::*;

/// Coins that can be relaxed, a choice that exists on some paths only, and a continuous one.
#[model]
fn mixed() {
    let theta = param!(Tensor::from_slice(&[0.4, -0.3]));
    let shift = param!(0.2);
    let coins = sample!(Bernoulli(logits = &theta));
    let gate = sample!(Bernoulli(0.4));
    let x = sample!(Normal(&shift, 0.5));
    cost!((coins.sum_all() - 0.7).square() + (&x - 0.1).square());
    if gate {
        let kind = sample!(Categorical([0.2, 0.3, 0.5]));
        cost!([0.4, -0.5, 1.0][kind]);
    }
}

#[model]
fn toy() {
    let theta = param!(0.0);
    let b = sample!(Bernoulli(logits = &theta));
    cost!((&b - 0.45).square());
}

/// Losses and parameters of a training, bit by bit.
fn trained(model: &dyn Program, recording: Option<Recording>) -> Result<(Vec<u64>, Vec<u32>)> {
    let mut training = Minimize::new(model)
        .steps(120)
        .seed(3)
        .particles(2)
        .progress(false);
    if let Some(recording) = recording {
        training = training.record(recording);
    }
    let trained = training.run()?;
    let losses = trained.history.steps.iter().map(|step| step.loss.to_bits());
    let mut parameters = Vec::new();
    for (_, parameter) in trained.params().all() {
        let values = parameter.get().to_vec()?;
        parameters.extend(values.into_iter().map(f32::to_bits));
    }
    Ok((losses.collect(), parameters))
}

#[test]
fn a_ledger_with_rivals_does_not_touch_training() -> Result<()> {
    let recording = Recording::every(7)
        .fresh_draws(5)
        .rival(Relax::free_form())
        .rival(Rebar::default())
        .rival(Enumerate::default())
        .rival(Reinforce::default());
    for model in [&mixed() as &dyn Program, &toy()] {
        assert_eq!(
            trained(model, None)?,
            trained(model, Some(recording.clone()))?
        );
    }
    Ok(())
}

#[test]
fn a_ledger_shows_estimators_side_by_side() -> Result<()> {
    let model = toy();
    let recording = Recording::every(100)
        .fresh_draws(400)
        .rival(Reinforce::without_baseline())
        .rival(Rloo::default())
        .rival(Enumerate::default());
    let trained = Minimize::new(&model)
        .estimator(Relax::sum())
        .steps(1_001)
        .seed(1)
        .progress(false)
        .record(recording)
        .run()?;
    let ledger = trained.ledger().expect("a ledger");
    let last: Vec<_> = ledger
        .site("b")
        .filter(|entry| entry.step == 1_000)
        .collect();
    let names: Vec<_> = last.iter().map(|entry| &*entry.estimator).collect();
    let expected = [
        "relax-sum",
        "reinforce-without-baseline",
        "rloo",
        "enumerate",
    ];
    assert_eq!(names, expected);
    let rivals: Vec<_> = last.iter().map(|entry| entry.rival).collect();
    assert_eq!(rivals, [false, true, true, true]);
    let [relax, reinforce, rloo, enumerate] = last[..] else {
        panic!("{ledger}");
    };
    let fresh = |entry: &relax_runtime::report::LedgerEntry| entry.fresh_variance.unwrap();
    // One site with two values: the sum over them varies by rounding at most.
    assert!(fresh(enumerate) < 1e-9 * fresh(reinforce), "{ledger}");
    assert!(fresh(relax) < fresh(reinforce), "{ledger}");
    assert!(fresh(rloo) < fresh(reinforce), "{ledger}");
    // The variance of f(b) (b − p), with f at 0 and at 1.
    let p = f64::from(trained.param("theta")?[0]);
    let p = 1.0 / (1.0 + (-p).exp());
    let [zero, one] = [0.45_f64.powi(2), 0.55_f64.powi(2)];
    let [at_zero, at_one] = [-zero * p, one * (1.0 - p)];
    let variance = p * (1.0 - p) * (at_one - at_zero).powi(2);
    let ratio = fresh(reinforce) / variance;
    assert!((0.8..1.25).contains(&ratio), "{ratio}");
    assert_eq!(reinforce.fit, None);
    assert!(relax.fit.is_some_and(|fit| fit <= 1.0), "{ledger}");
    assert!(relax.eta.is_some() && relax.temperature.is_some_and(|t| t > 0.0));
    let evaluations: Vec<_> = last.iter().map(|entry| entry.evaluations).collect();
    assert_eq!(evaluations[..2], [Some(2), Some(1)]);
    let csv = ledger.to_csv()?;
    assert!(csv.starts_with("step,site,estimator,rival,running_variance,fresh_variance"));
    assert_eq!(csv.lines().count(), 1 + ledger.entries.len());
    assert!(
        ledger
            .to_json()?
            .starts_with("{\"entries\":[{\"step\":0,\"site\":\"b\"")
    );
    assert!(ledger.to_string().contains("rloo (rival)"));
    Ok(())
}

/// The relaxed cost at a low temperature is the cost.
#[test]
fn a_surrogate_of_the_cost_explains_it() -> Result<()> {
    let model = toy();
    let estimator = Rebar {
        eta: 1.0,
        temperature: 1e-3,
        ..Rebar::default()
    };
    let trained = Minimize::new(&model)
        .steps(1)
        .progress(false)
        .estimator(estimator)
        .record(Recording::every(1))
        .run()?;
    let ledger = trained.ledger().expect("a ledger");
    let fit = ledger.entries[0].fit.expect("a fit");
    assert!(fit > 0.99, "{ledger}");
    Ok(())
}

/// An estimator of one's own that fails after a few steps.
#[derive(Debug)]
struct Fragile {
    estimates_left: std::cell::Cell<u32>,
}

impl Estimator for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }
    fn valid_for(&self, _: SiteClass) -> std::result::Result<String, String> {
        Ok("always".into())
    }
    fn evaluations(&self, _: SiteClass) -> usize {
        1
    }
    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        match self.estimates_left.get() {
            0 => Err(Error::Model("out of estimates".into())),
            left => {
                self.estimates_left.set(left - 1);
                relax_runtime::estimator::reinforce(task.problem, cost, 0.0)
            }
        }
    }
}

#[test]
fn a_rival_that_fails_drops_out_and_training_goes_on() -> Result<()> {
    let model = toy();
    let fragile = Fragile {
        estimates_left: 20.into(),
    };
    let recording = Recording::every(50).fresh_draws(2).rival(fragile);
    let trained_alone = trained(&model, None)?;
    assert_eq!(trained_alone, trained(&model, Some(recording))?);

    let fragile = Fragile {
        estimates_left: 20.into(),
    };
    let recording = Recording::every(50).fresh_draws(2).rival(fragile);
    let trained = Minimize::new(&model)
        .steps(120)
        .progress(false)
        .record(recording);
    let trained = trained.run()?;
    let ledger = trained.ledger().expect("a ledger");
    // The fresh draws of step 0 take two estimates.
    let [failure] = &ledger.failures[..] else {
        panic!("{ledger}");
    };
    assert_eq!((failure.step, failure.site.as_deref()), (18, Some("b")));
    assert!(
        ledger
            .to_string()
            .contains("step 18: fragile failed: site `b`")
    );
    assert!(failure.problem.contains("out of estimates"), "{ledger}");
    Ok(())
}

/// Fails at a draw that is rare enough for one step, but not for many.
#[model]
fn brittle() {
    let theta = param!(0.0);
    let b = sample!(Bernoulli(logits = &theta));
    let worn = sample!(Bernoulli(0.02));
    let broken = sample!(Bernoulli(if worn { 2.0 } else { 0.5 }));
    cost!((&b - 0.45).square() + if broken { 1.0 } else { 0.0 });
}

#[test]
fn a_fresh_draw_that_fails_is_noted_once() -> Result<()> {
    let model = brittle();
    let trained = Minimize::new(&model)
        .steps(1)
        .progress(false)
        .record(Recording::every(1).fresh_draws(400))
        .run()?;
    let ledger = trained.ledger().expect("a ledger");
    let [failure] = &ledger.failures[..] else {
        panic!("{ledger}");
    };
    assert_eq!((&failure.site, &failure.estimator), (&None, &None));
    assert!(failure.problem.contains("`broken`"), "{ledger}");
    assert!(ledger.entries[0].fresh_variance.is_some());
    Ok(())
}

#[test]
fn wrong_settings_of_ledgers_are_errors() {
    let model = toy();
    let error = Minimize::new(&model).record(Recording::every(0)).run();
    assert!(error.unwrap_err().to_string().contains("at least 1"));
}

#[model]
fn lawn() {
    let rain = sample!(Bernoulli(0.3));
    observe!(Bernoulli(if rain { 0.8 } else { 0.1 }), true);
}

#[model]
fn forecast() {
    let theta = param!(0.2);
    let _rain = sample!(Bernoulli(logits = &theta), name = "rain");
}

/// The estimate of a bound is the sum over its samples, and so is the variance; a rival that is not
/// for bounds stays away.
#[test]
fn a_bound_of_several_samples_has_a_ledger() -> Result<()> {
    let (model, guide) = (lawn(), forecast());
    let run = |steps| {
        let training = Svi::new(&model).guide(&guide).samples(2);
        training.steps(steps).seed(4).progress(false)
    };
    let recording = Recording::every(1).fresh_draws(4_000);
    let arithmetic = Vimco {
        left_out: LeftOut::Arithmetic,
    };
    let recording = recording.rival(Rloo::default()).rival(arithmetic);
    let fit = run(1).record(recording.clone()).run()?;
    let ledger = fit.ledger().expect("a ledger");
    let names: Vec<_> = ledger
        .entries
        .iter()
        .map(|entry| &*entry.estimator)
        .collect();
    assert_eq!(names, ["vimco", "vimco-arithmetic"]);
    assert_eq!(ledger.entries[0].evaluations, Some(2));
    // Samples that agree have no signals. Those that differ always give the same gradient.
    let p = 1.0 / (1.0 + (-0.2_f64).exp());
    let [dry, wet] = [0.7 * 0.1 / (1.0 - p), 0.3 * 0.8 / p];
    let signal = |other: f64| (0.5 * (dry + wet) / other).ln();
    let gradient = signal(dry) * (1.0 - p) - signal(wet) * p;
    let differ = 2.0 * p * (1.0 - p);
    let variance = differ * (1.0 - differ) * gradient * gradient;
    let ratio = ledger.entries[0].fresh_variance.expect("a variance") / variance;
    assert!((0.95..1.05).contains(&ratio), "{ratio}");

    let recording = recording.fresh_draws(3);
    let with = run(30).record(recording).run()?;
    assert_eq!(run(30).run()?.param("theta")?, with.param("theta")?);
    Ok(())
}
