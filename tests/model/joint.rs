//! Joint sums: exact steps of programs with few combinations, in host numbers and over tensors.

use relax_runtime::estimator::Enumerate;
use relax_runtime::infer::{Gradients, MeanFieldGuide, Objective, Recording};
use relax_runtime::model::Site;
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, coin, error};

/// Three coins that explain one observation.
#[model]
pub(crate) fn lawn(wet: bool) {
    let cloudy = sample!(Bernoulli(0.5));
    let sprinkler = sample!(Bernoulli(if cloudy { 0.1 } else { 0.5 }));
    let rain = sample!(Bernoulli(if cloudy { 0.8 } else { 0.2 }));
    let p = match (sprinkler, rain) {
        (false, false) => 0.01,
        (true, false) | (false, true) => 0.9,
        (true, true) => 0.99,
    };
    observe!(Bernoulli(p), wet);
}

/// Which choices there are depends on earlier ones, and so does what is observed.
#[model]
pub(crate) fn urns(seen: usize) {
    let first = sample!(Bernoulli(0.25));
    let probs = if first {
        let tilt = sample!(Categorical([0.5, 0.3, 0.2]));
        let p = 0.1 + 0.2 * tilt as f64;
        if tilt == 2 {
            let bonus = sample!(Bernoulli(logits = -0.7));
            cost!(if bonus { 0.4 } else { -1.1 });
        }
        vec![p, 1.0 - p]
    } else {
        observe!(Normal(0.3, 1.5), -0.4, name = "elsewhere");
        vec![0.6, 0.4]
    };
    observe!(Categorical(probs), seen);
}

#[model]
fn part(bias: f64) -> bool {
    let hit = sample!(Bernoulli(logits = bias));
    observe!(Bernoulli(if hit { 0.7 } else { 0.2 }), true, name = "seen");
    hit
}

/// Loops, sub-models in loops and beside each other, and a one-hot vector.
#[model]
pub(crate) fn nested(days: usize) {
    let mut hits = 0.0;
    for day in 0..days {
        let b = sample!(Bernoulli(0.3));
        if call!(part(0.5 * day as f64 - 0.3), name = "part") {
            hits += 1.0;
        }
        if b {
            observe!(Normal(loc = hits, scale = 0.8), 0.5);
        }
    }
    let last = call!(part(0.2), name = "last");
    let kind = sample!(OneHotCategorical([0.2, 0.5, 0.3]));
    let level = kind[0] - 0.4 * kind[1] + f64::from(u8::from(last));
    observe!(Normal(loc = level, scale = 1.0), 0.25);
    cost!((hits - level).powi(2));
}

/// Stops at the first success, or after three failures.
#[model]
fn geometric() {
    let mut failures = 0;
    while failures < 3 {
        let success = sample!(Bernoulli(0.4));
        if success {
            break;
        }
        failures += 1;
    }
    observe!(Normal(loc = failures as f64, scale = 1.0), 1.2);
}

/// Host values, a learned number and tensors together.
#[model]
pub(crate) fn mixed() {
    let theta = param!([0.2, -0.5]);
    let gate = sample!(Bernoulli(0.4));
    let b = sample!(Bernoulli(logits = &theta));
    let shift = if gate { 1.3 } else { -0.4 };
    observe!(Normal((&b * &theta).sum_all() + shift, 0.7), 0.6);
    cost!(if gate { 0.5 } else { 0.0 });
}

fn moved(params: &ParamStore) -> Result<()> {
    for (place, (_, parameter)) in params.all().into_iter().enumerate() {
        let value = parameter.get();
        let shift = (0..value.len()).map(|i| 0.4 * (1.0 + i as f32) - 0.3 * place as f32);
        let shift = Tensor::from_vec(shift.collect(), value.shape(), &Device::cpu())?;
        parameter.set((&value + shift).detach())?;
    }
    Ok(())
}

/// A trainer that has taken a step, with parameters off their symmetric start.
fn trainer(objective: &dyn Objective, seed: u64) -> Result<Trainer> {
    let mut trainer = Trainer::new(seed).estimator(Enumerate { largest: 4096 });
    trainer.step(objective)?;
    moved(trainer.params())?;
    Ok(trainer)
}

fn assert_close(found: &Gradients, objective: &dyn Objective, params: &ParamStore) -> Result<()> {
    const TOLERANCE: f64 = 1e-6;
    let (loss, gradient) = exact_gradient(objective, params)?;
    let scale = 1.0 + loss.abs();
    assert_near(found.loss, loss, TOLERANCE * scale);
    assert_eq!(found.parameters.len(), gradient.len());
    for (parameter, wanted) in gradient {
        let name = parameter.name().unwrap_or_default().to_owned();
        let key = parameter.key();
        let found = found.parameters.iter().find(|(p, _)| p.key() == key);
        let found = found.unwrap_or_else(|| panic!("{name}")).1.to_vec()?;
        for (found, wanted) in found.into_iter().zip(wanted.to_vec()?) {
            assert!(
                (f64::from(found) - f64::from(wanted)).abs() < TOLERANCE * scale,
                "{name}: {found} instead of {wanted}"
            );
        }
    }
    Ok(())
}

/// Loss and gradient are those of the general enumeration, whatever the seed, and are counted.
#[test]
fn joint_steps_are_exact() -> Result<()> {
    let programs: [(&dyn Program, usize); 8] = [
        (&lawn(true), 8),
        (&urns(0), 5),
        (&urns(1), 5),
        (&nested(1), 2 * 2 * 2 * 3),
        (&nested(2), 4 * 4 * 2 * 3),
        (&geometric(), 4),
        (&mixed(), 8),
        (&coin(1.0), 2),
    ];
    let structured = programs.map(|(program, count)| (Elbo::new(program), count));
    let mean_field = structured
        .clone()
        .map(|(bound, count)| (bound.guide(&MeanFieldGuide), count));
    for (objective, combinations) in structured.into_iter().chain(mean_field) {
        let mut trainers = [trainer(&objective, 1)?, trainer(&objective, 2)?];
        let mut found = Vec::new();
        for (seed, trainer) in trainers.iter_mut().enumerate() {
            let gradients = trainer.gradients(&objective, Key::new(seed as u64))?;
            assert_close(&gradients, &objective, trainer.params())?;
            assert_eq!(gradients.evaluations, combinations);
            assert!(gradients.sites.iter().all(|site| site.variance == 0.0));
            assert!(gradients.sites.iter().all(|site| site.mean_square > 0.0));
            found.push(gradients);
        }
        assert_eq!(found[0].loss.to_bits(), found[1].loss.to_bits());
        let step = trainers[0].step(&objective)?;
        assert_eq!(step.loss.to_bits(), found[0].loss.to_bits());
        assert_eq!(step.evaluations, combinations);
        assert_eq!(step.sites.len(), found[0].sites.len());
    }
    Ok(())
}

/// By central differences, which know nothing of sums over combinations.
#[test]
fn joint_gradients_are_slopes() -> Result<()> {
    const STEP: f32 = 1.0 / 64.0;
    for program in [&urns(0) as &dyn Program, &nested(2), &mixed()] {
        let objective = Elbo::new(program);
        let mut trainer = trainer(&objective, 1)?;
        let gradients = trainer.gradients(&objective, Key::new(0))?;
        for (parameter, gradient) in gradients.parameters {
            let value = parameter.get().detach();
            for (i, found) in gradient.to_vec()?.into_iter().enumerate() {
                let mut at = |by: f32| -> Result<f64> {
                    let mut moved = value.to_vec()?;
                    moved[i] += by;
                    parameter.set(Tensor::from_vec(moved, value.shape(), &Device::cpu())?)?;
                    Ok(trainer.gradients(&objective, Key::new(0))?.loss)
                };
                let slope = (at(STEP)? - at(-STEP)?) / f64::from(2.0 * STEP);
                parameter.set(value.clone())?;
                assert_near(f64::from(found), slope, 1e-3 * (1.0 + slope.abs()));
            }
        }
    }
    Ok(())
}

/// The guide's logits are those of sites with the names that the general path gives.
#[test]
fn sites_have_their_full_names() -> Result<()> {
    let model = nested(2);
    let trainer = trainer(&Elbo::new(&model).guide(&MeanFieldGuide), 1)?;
    let expected = [
        "b[0].logits",
        "b[1].logits",
        "kind.logits",
        "last/hit.logits",
        "part[0]/hit.logits",
        "part[1]/hit.logits",
    ];
    assert_eq!(trainer.params().names(), expected);
    let mut sites: Vec<_> = trainer.plan().entries.into_iter().map(|e| e.site).collect();
    sites.sort();
    let expected = expected.map(|name| name.trim_end_matches(".logits").to_owned());
    assert_eq!(sites, expected);
    Ok(())
}

/// One descent to the optimum of the bound: no draw comes in between.
#[test]
fn training_reaches_the_same_optimum_from_any_seed() -> Result<()> {
    let model = lawn(true);
    let fit = |seed| {
        let svi = Svi::new(&model).estimator(Enumerate::default());
        svi.seed(seed).steps(400).progress(false).run()
    };
    let (one, two) = (fit(1)?, fit(2)?);
    let losses = |fit: &Fit| -> Vec<u64> {
        let losses = fit.history.steps.iter().map(|step| step.loss.to_bits());
        losses.collect()
    };
    assert_eq!(losses(&one), losses(&two));
    let falls = one.history.steps.windows(2);
    assert!(falls.filter(|pair| pair[1].loss > pair[0].loss).count() < 40);
    Ok(())
}

/// Costs may change from step to step: nothing is remembered of them.
#[test]
fn every_step_runs_the_program_anew() -> Result<()> {
    use std::cell::Cell;
    use std::rc::Rc;
    #[model]
    fn paid(runs: &Rc<Cell<usize>>) {
        let b = sample!(Bernoulli(0.5));
        runs.set(runs.get() + 1);
        cost!(if b { runs.get() as f64 } else { 0.0 });
    }
    let runs = Rc::new(Cell::new(0));
    let model = paid(&runs);
    let objective = Elbo::new(&model);
    let mut trainer = Trainer::new(1).estimator(Enumerate::default());
    let first = trainer.step(&objective)?.loss;
    let before = runs.get();
    let second = trainer.step(&objective)?.loss;
    assert_eq!(runs.get(), before + 2);
    assert!(second > first + 0.5, "{first} {second}");
    Ok(())
}

/// Rivals have draws of their own; training stays as it is.
#[test]
fn a_ledger_records_joint_sums() -> Result<()> {
    let model = lawn(true);
    let run = |recording: Option<Recording>| {
        let mut svi = Svi::new(&model).estimator(Enumerate::default()).seed(2);
        if let Some(recording) = recording {
            svi = svi.record(recording);
        }
        svi.steps(21).progress(false).run()
    };
    let recording = Recording::every(10).fresh_draws(50);
    let recording = recording
        .rival(Reinforce::default())
        .rival(Enumerate::default());
    let (plain, recorded) = (run(None)?, run(Some(recording))?);
    for (name, parameter) in plain.params().all() {
        let other = recorded.params().get(&name).expect("a parameter");
        assert_eq!(parameter.get().to_vec()?, other.to_vec()?);
    }
    let ledger = recorded.ledger().expect("a ledger");
    let rain: Vec<_> = ledger
        .site("rain")
        .filter(|entry| entry.step == 20)
        .collect();
    let lanes: Vec<_> = rain.iter().map(|e| (&*e.estimator, e.rival)).collect();
    assert_eq!(
        lanes,
        [
            ("enumerate", false),
            ("reinforce", true),
            ("enumerate", true)
        ]
    );
    assert_eq!(rain[0].fresh_variance, Some(0.0));
    assert_eq!(rain[0].evaluations, Some(8));
    // A rival sums over its own site alone.
    assert!(rain[1].fresh_variance > rain[2].fresh_variance);
    assert!(rain[2].fresh_variance > Some(1e-6), "{ledger}");
    Ok(())
}

#[test]
fn the_check_of_gradients_works_with_enumeration() -> Result<()> {
    for program in [&lawn(true) as &dyn Program, &urns(0), &mixed()] {
        let objective = Elbo::new(program);
        let check = Check::new(&objective).estimator(Enumerate::default());
        check.draws(400).run()?.verdict()?;
    }
    Ok(())
}

#[test]
fn errors_in_joint_sums_name_the_site() {
    #[model]
    fn impossible() {
        let dry = sample!(Bernoulli(0.5));
        observe!(Bernoulli(if dry { 0.0 } else { 0.4 }), true, name = "wet");
    }
    // The macro would refuse it.
    let twice = || {
        relax_runtime::plumbing::model("twice", |context| {
            let site = |name| Site::new(name, file!(), line!());
            if context.sample(site("a"), Bernoulli::probs(0.5))? {
                context.observe(site("x"), Bernoulli::probs(0.5), true)?;
                context.observe(site("x"), Bernoulli::probs(0.5), true)?;
            }
            Ok(())
        })
    };
    #[model]
    fn wrong() {
        let a = sample!(Bernoulli(0.5));
        let _b = sample!(Bernoulli(if a { 1.5 } else { 0.5 }));
    }
    #[model]
    fn growing() {
        let a = sample!(Bernoulli(0.5));
        let probs = if a {
            vec![0.2, 0.8]
        } else {
            vec![0.2, 0.3, 0.5]
        };
        let _k = sample!(Categorical(probs));
    }
    #[model]
    fn outside() {
        let a = sample!(Bernoulli(0.5));
        observe!(
            Categorical([0.5, 0.5]),
            if a { 2_usize } else { 1 },
            name = "k"
        );
    }
    // More than one seed: the draw that looks for sites comes by the error or not.
    for seed in 0..4 {
        let step = |program: &dyn Program| {
            let mut trainer = Trainer::new(seed).estimator(Enumerate::default());
            error(trainer.step(&Elbo::new(program)))
        };
        assert_says(
            &step(&impossible()),
            &["`wet` (", "joint.rs", "inf", "step 0"],
        );
        assert_says(&step(&twice()), &["site `x`", "second site"]);
        assert_says(&step(&wrong()), &["site `b`", "1.5"]);
        assert_says(&step(&growing()), &["site `k`", "`k.logits", "shape"]);
        // Another choice would fit the value.
        assert_says(&step(&outside()), &["`k` (", "joint.rs", "probability 0"]);
    }
}
