//! VIMCO, and bounds of several samples, against exact sums and integrals.

use std::rc::Rc;

use relax_runtime::estimator::{Estimator, LeftOut, Reinforce, Relax, Vimco, vimco};
use relax_runtime::infer::{
    Configure, Elbo, ExpectedCost, MeanFieldGuide, Objective, Trainer, exact_gradient,
};
use relax_runtime::model::ParamStore;
use relax_runtime::prelude::{Program, Svi};
use relax_runtime::{Device, Error, Key, Result, Tensor};

use crate::models;
use crate::settings::{DRAWS, ROWS, Setting, Values};
use crate::statistics::Moments;

const KINDS: [LeftOut; 2] = [LeftOut::Geometric, LeftOut::Arithmetic];
const PLATES: u64 = 60;

fn both() -> Vec<Rc<dyn Estimator>> {
    KINDS
        .map(|left_out| Rc::new(Vimco { left_out }) as Rc<dyn Estimator>)
        .to_vec()
}

/// Checks estimates of `setting` against exact sums over one row, and those against central
/// differences of their values.
fn check(one: &dyn Objective, setting: &Setting<'_>) -> Result<()> {
    const STEP: f32 = 1e-2;
    let params = ParamStore::default();
    exact_gradient(one, &params)?;
    setting.set(&params)?;
    let (value, gradient) = exact_gradient(one, &params)?;
    let gradient = setting.flat(&gradient, 1.0)?;
    let mut exact = gradient.iter();
    for (name, values) in setting.values {
        for i in 0..values.len() {
            let at = |sign: f32| {
                let mut moved = values.to_vec();
                moved[i] += sign * STEP;
                let parameter = params.parameter(name).unwrap();
                let shape = parameter.shape();
                parameter.set(Tensor::from_vec(moved, shape, &parameter.get().device())?)?;
                Ok::<_, Error>(exact_gradient(one, &params)?.0)
            };
            let difference = (at(1.0)? - at(-1.0)?) / f64::from(2.0 * STEP);
            let exact = exact.next().unwrap();
            let error = (exact - difference).abs();
            assert!(
                error < 1e-3 * (1.0 + exact.abs()),
                "{name}: {exact}, {difference}"
            );
        }
        setting.set(&params)?;
    }
    setting.check_against(value, &gradient, both())
}

/// Half as many calls, as each makes several draws.
fn single<'a>(objective: &'a dyn Objective, values: Values<'a>) -> Setting<'a> {
    Setting {
        calls: DRAWS / 2,
        ..Setting::single(objective, values)
    }
}

/// ln p(x, h) of a coin.
const LOG_JOINT: [f64; 2] = [-1.3, -0.4];

fn log_weight(h: usize, theta: f64) -> f64 {
    let sign = if h == 1 { -1.0 } else { 1.0 };
    LOG_JOINT[h] + (sign * theta).exp().ln_1p()
}

/// Every combination of three coins, with its probability.
fn combinations(theta: f64) -> impl Iterator<Item = ([usize; 3], f64)> {
    let p = 1.0 / (1.0 + (-theta).exp());
    (0..8).map(move |code| {
        let coins = [0, 1, 2].map(|k| code >> k & 1);
        let q = coins
            .map(|h| if h == 1 { p } else { 1.0 - p })
            .iter()
            .product();
        (coins, q)
    })
}

fn exact_bound(theta: f64) -> f64 {
    let value = |(coins, q): ([usize; 3], f64)| {
        let weights = coins.map(|h| log_weight(h, theta).exp());
        q * (weights.iter().sum::<f64>() / 3.0).ln()
    };
    combinations(theta).map(value).sum()
}

/// In expectation over all combinations, signals times scores and the direct derivative are the
/// derivative of the bound.
#[test]
fn signals_are_unbiased() -> Result<()> {
    const STEP: f64 = 1e-4;
    let theta = 0.6_f64;
    let p = 1.0 / (1.0 + (-theta).exp());
    let difference = (exact_bound(theta + STEP) - exact_bound(theta - STEP)) / (2.0 * STEP);
    for left_out in KINDS {
        let mut expectation = 0.0;
        for (coins, q) in combinations(theta) {
            let log_weights = coins.map(|h| log_weight(h, theta) as f32);
            let signals = vimco(&Tensor::from_slice(&log_weights), left_out)?.to_vec()?;
            let weights = coins.map(|h| log_weight(h, theta).exp());
            let total: f64 = weights.iter().sum();
            for ((h, signal), weight) in coins.iter().zip(signals).zip(weights) {
                let score = *h as f64 - p;
                expectation += q * (f64::from(signal) - weight / total) * score;
            }
        }
        assert!(
            (expectation - difference).abs() < 1e-5,
            "{expectation}, {difference}"
        );
    }
    Ok(())
}

/// The signal of a sample is what the bound loses without it: by hand.
#[test]
fn signals_by_hand() -> Result<()> {
    let log_weights = Tensor::from_slice(&[1.0, 2.0, 4.0]).reshape([3, 1]);
    let [a, b, c] = [1.0_f64, 2.0, 4.0].map(f64::exp);
    let (geometric, arithmetic) = ((b * c).sqrt(), 0.5 * (b + c));
    for (left_out, mean) in KINDS.into_iter().zip([geometric, arithmetic]) {
        let found = vimco(&log_weights, left_out)?;
        assert_eq!(found.shape()[..], [3, 1]);
        let expected = ((a + b + c) / (mean + b + c)).ln();
        assert!((f64::from(found.to_vec()?[0]) - expected).abs() < 1e-5);
    }
    let one = vimco(&Tensor::from_slice(&[1.0]), LeftOut::Geometric).unwrap_err();
    assert!(one.to_string().contains("at least two"), "{one}");
    Ok(())
}

#[test]
fn a_bound_of_one_sample_is_the_evidence_lower_bound() -> Result<()> {
    let program = models::sprinkler();
    let value =
        |objective: &Elbo<'_>| Ok::<_, Error>(exact_gradient(objective, &ParamStore::default())?.0);
    let elbo = Elbo::new(&program);
    let (one, three) = (
        value(&elbo.clone().samples(1))?,
        value(&elbo.clone().samples(3))?,
    );
    assert_eq!(one, value(&elbo)?);
    assert!(three < one - 0.01, "{three}, {one}");
    Ok(())
}

#[test]
fn an_automatic_guide() -> Result<()> {
    let (one, many) = (models::mixture(1), models::mixture(ROWS));
    let (one, many) = (
        Elbo::new(&one).guide(&MeanFieldGuide).samples(2),
        Elbo::new(&many).guide(&MeanFieldGuide).samples(2),
    );
    let values: Values<'_> = &[("k.logits", &[0.3, -0.9, 0.7]), ("s.logits", &[-0.5, 0.8])];
    let setting = Setting {
        calls: PLATES,
        ..Setting::rows(&many, values)
    };
    check(&one, &setting)
}

#[test]
fn a_guide_with_a_subsampled_model() -> Result<()> {
    const OF: usize = 5_000;
    let (model, guide) = (models::pair_model(1, OF), models::pair_guide(1, OF));
    let one = Elbo::new(&model).guide(&guide).samples(3);
    let (model, guide) = (models::pair_model(ROWS, OF), models::pair_guide(ROWS, OF));
    let many = Elbo::new(&model).guide(&guide).samples(3);
    let values: Values<'_> = &[
        ("first", &[0.9]),
        ("second", &[-0.8]),
        ("slope", &[-0.7]),
        ("weight", &[1.2]),
    ];
    let setting = Setting {
        weight: 1.0,
        calls: PLATES,
        ..Setting::rows(&many, values)
    };
    check(&one, &setting)
}

#[test]
fn a_plate_in_a_plate() -> Result<()> {
    let (one, many) = (models::nested_mixture(1), models::nested_mixture(ROWS));
    let (one, many) = (
        Elbo::new(&one).guide(&MeanFieldGuide).samples(2),
        Elbo::new(&many).guide(&MeanFieldGuide).samples(2),
    );
    let values: Values<'_> = &[("a.logits", &[0.5]), ("b.logits", &[-0.6, 0.2])];
    let setting = Setting {
        calls: PLATES,
        ..Setting::rows(&many, values)
    };
    check(&one, &setting)
}

/// Without a plate around everything, the whole program has one weight.
#[test]
fn a_choice_that_rows_share() -> Result<()> {
    let program = models::shared_mixture();
    let objective = Elbo::new(&program).guide(&MeanFieldGuide).samples(2);
    let values: Values<'_> = &[("a.logits", &[0.5]), ("b.logits", &[-0.6, 0.2])];
    check(&objective, &single(&objective, values))
}

#[test]
fn host_coins() -> Result<()> {
    let program = models::sprinkler();
    let objective = Elbo::new(&program).guide(&MeanFieldGuide).samples(3);
    let values: Values<'_> = &[("rain.logits", &[0.4]), ("sprinkler.logits", &[-0.3])];
    check(&objective, &single(&objective, values))
}

#[test]
fn host_choices_on_some_paths() -> Result<()> {
    let program = models::paths();
    let objective = Elbo::new(&program).guide(&MeanFieldGuide).samples(2);
    let values: Values<'_> = &[
        ("kind[0].logits", &[0.3, -0.2, 0.1]),
        ("kind[1].logits", &[0.0, 0.4, -0.5]),
        ("step[0].logits", &[0.6]),
        ("step[1].logits", &[-0.2]),
    ];
    check(&objective, &single(&objective, values))
}

/// −E[ln (w₁ + w₂)/2] of x ~ N(0, 1), y = 1 ~ N(x, 1) under q = N(m, s), by the midpoint rule.
fn integral(m: f64, log_s: f64) -> f64 {
    const POINTS: usize = 240;
    const WIDEST: f64 = 7.0;
    let width = 2.0 * WIDEST / POINTS as f64;
    let tau = std::f64::consts::TAU.ln();
    let points: Vec<(f64, f64)> = (0..POINTS)
        .map(|i| {
            let e = (i as f64 + 0.5) * width - WIDEST;
            let x = m + log_s.exp() * e;
            let log_joint = -0.5 * (x * x + (1.0 - x).powi(2)) - tau;
            let log_q = -0.5 * (e * e + tau) - log_s;
            (
                (-0.5 * (e * e + tau)).exp() * width,
                (log_joint - log_q).exp(),
            )
        })
        .collect();
    let inner = |&(p, w): &(f64, f64)| {
        points
            .iter()
            .map(|&(q, v)| -p * q * (0.5 * (w + v)).ln())
            .sum::<f64>()
    };
    points.iter().map(inner).sum()
}

fn integral_gradient(m: f64, log_s: f64) -> [f64; 2] {
    const STEP: f64 = 1e-3;
    let by_m = integral(m + STEP, log_s) - integral(m - STEP, log_s);
    let by_s = integral(m, log_s + STEP) - integral(m, log_s - STEP);
    [by_m / (2.0 * STEP), by_s / (2.0 * STEP)]
}

#[test]
fn a_continuous_choice_of_the_host() -> Result<()> {
    let program = models::host_normal();
    let objective = Elbo::new(&program).guide(&MeanFieldGuide).samples(2);
    let values: Values<'_> = &[("x.loc", &[0.1]), ("x.log_scale", &[-0.2])];
    let setting = Setting {
        continuous: Some("x"),
        ..single(&objective, values)
    };
    setting.check_against(integral(0.1, -0.2), &integral_gradient(0.1, -0.2), both())
}

/// Pathwise through the draws, with the importance weights as they are.
#[test]
fn a_differentiable_continuous_choice() -> Result<()> {
    const CALLS: u64 = 150;
    let program = models::tensor_normal(ROWS);
    let objective = Elbo::new(&program).guide(&MeanFieldGuide).samples(2);
    let mut trainer = Trainer::new(3);
    trainer.step(&objective)?;
    assert_eq!(trainer.plan().entries[0].estimator, "pathwise");
    let (m, log_s) = (0.1, -0.2);
    for (name, value) in [("x.loc", m), ("x.log_scale", log_s)] {
        let parameter = trainer.params().parameter(name).unwrap();
        parameter.set(parameter.get().detach().full_like(value))?;
    }
    let mut moments = Moments::new(2);
    for step in 0..CALLS {
        let found = trainer.gradients(
            &objective,
            Key {
                step,
                ..Key::new(9)
            },
        )?;
        assert_eq!(found.evaluations, 2);
        let mean = |name: &str| {
            let gradient = found
                .parameters
                .iter()
                .find(|(p, _)| p.name() == Some(name));
            gradient.unwrap().1.mean_all().item().map(f64::from)
        };
        moments.push(&[mean("x.loc")?, mean("x.log_scale")?]);
    }
    let agreement = moments.compare(&integral_gradient(m.into(), log_s.into()));
    println!("{agreement:?}");
    agreement.unwrap();
    Ok(())
}

#[test]
fn the_plan_takes_vimco_and_shares_evaluations() -> Result<()> {
    let program = models::mixture(5);
    let objective = Elbo::new(&program).guide(&MeanFieldGuide).samples(4);
    let mut trainer = Trainer::new(1);
    let report = trainer.step(&objective)?;
    assert_eq!(report.evaluations, 4);
    let plan = trainer.plan();
    for entry in &plan.entries {
        assert_eq!((entry.estimator, entry.evaluations), ("vimco", 4), "{plan}");
    }
    let mut tight = Trainer::new(1).budget(3);
    let error = tight.step(&objective).unwrap_err().to_string();
    assert!(error.contains("takes 4 evaluations"), "{error}");
    Ok(())
}

#[test]
fn objectives_and_estimators_that_do_not_fit_are_refused() -> Result<()> {
    let (model, costly) = (models::mixture(2), models::costly());
    let of = models::pair_model(4, 40);
    let loose = models::loose_subsample();
    let step = |trainer: Trainer, objective: &Elbo<'_>| {
        let mut trainer = trainer;
        trainer.step(objective).unwrap_err().to_string()
    };
    let bound = Elbo::new(&model).samples(2);
    for (error, problem) in [
        (
            step(Trainer::new(1).estimator(Relax::default()), &bound),
            "`relax` does not estimate bounds of several samples; use `vimco`",
        ),
        (
            step(Trainer::new(1).estimator(Reinforce::default()), &bound),
            "`reinforce` does not estimate",
        ),
        (
            step(
                Trainer::new(1).estimator(Vimco::default()),
                &Elbo::new(&model),
            ),
            "VIMCO is for bounds of several samples",
        ),
        (
            step(Trainer::new(1), &Elbo::new(&model).samples(0)),
            "samples: is 0",
        ),
        (
            step(Trainer::new(1), &Elbo::new(&costly).samples(2)),
            "is a cost",
        ),
        (
            step(Trainer::new(1), &Elbo::new(&of).samples(2)),
            "write a guide",
        ),
        (
            step(
                Trainer::new(1),
                &Elbo::new(&loose).guide(&models::loose_guide()).samples(2),
            ),
            "put all of model and guide into the plate",
        ),
    ] {
        assert!(error.contains(problem), "{error}");
    }
    let program = models::coins(Device::cpu(), 2, 2);
    let mut trainer = Trainer::new(1).estimator(Vimco::default());
    let error = trainer.step(&ExpectedCost::new(&program)).unwrap_err();
    assert!(matches!(error, Error::Site { .. }), "{error}");
    Ok(())
}

/// A tighter bound is closer to the evidence, and the posterior of a run weighs single draws.
#[test]
fn a_run_with_several_samples() -> Result<()> {
    let program = models::sprinkler();
    let fit = Svi::new(&program)
        .samples(5)
        .steps(600)
        .progress(false)
        .seed(2)
        .run()?;
    assert_eq!(fit.plan().entries[0].estimator, "vimco");
    let evidence = fit.posterior().log_evidence();
    assert!(evidence.elbo < evidence.bound, "{evidence:?}");
    let names: Vec<&str> = fit.posterior().sites().collect();
    assert_eq!(names, ["rain", "sprinkler"]);
    assert_eq!(fit.posterior().samples("rain")?.len(), 200);
    assert_eq!(program.model_name(), "sprinkler");
    Ok(())
}
