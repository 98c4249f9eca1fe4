//! Continuing from a checkpoint: bit for bit if settings and model are the same, and otherwise a refusal that names
//! both sides.

use std::fs;
use std::path::PathBuf;

use relax_runtime::infer::MeanFieldGuide;
use relax_runtime::optim::Rule;
use relax_runtime::prelude::*;
use tempfile::TempDir;

use crate::{assert_says, error};

/// A draw whose prior depends on another one.
#[model]
fn nested(x: &Tensor) {
    let w = sample!(Normal(Tensor::scalar(0.0), 1.5));
    plate!(x.rows() => {
        let z = sample!(Bernoulli(logits = &w));
        observe!(Normal(&z * 2.0 - 1.0, 0.7), x);
    })
}

/// The same by the estimator for black boxes, with a parameter.
#[model]
fn black_box(x: &Tensor) {
    let w = param!(Tensor::full([3], 0.1, &x.device()));
    let z = sample!(Normal(&w * 0.0, 1.0), estimator = "lax");
    let k = sample!(OneHotCategorical(logits = &z + &w));
    observe!(Normal(&k * 2.0 - &z, 0.5), x);
}

/// A continuous draw behind a comparison, which the plan gives `lax`.
#[model]
fn severed(x: &Tensor) {
    let z = sample!(Normal(x * 0.0, 1.0));
    observe!(Normal(z.gt(0.0) * 2.0, 0.5), x);
}

/// A parameter that starts from a draw.
#[model]
fn started(x: &Tensor) {
    let b = sample!(Bernoulli(logits = x * 0.0));
    let scale = param!(&b + 0.5);
    observe!(Normal(&b * &scale, 0.5), x);
}

/// Host values, some on one path only, whose sum is exact.
#[model]
fn host() {
    let rain = sample!(Bernoulli(0.2));
    let wet = match rain {
        true => 0.9,
        false => {
            let sprinkler = sample!(Bernoulli(0.4));
            if sprinkler { 0.8 } else { 0.05 }
        }
    };
    observe!(Bernoulli(wet), true, name = "grass");
}

#[test]
fn every_kind_of_model_goes_on_bit_for_bit() -> Result<()> {
    const STEPS: u64 = 24;
    let folder = TempDir::new().unwrap();
    let (path, end) = (folder.path().join("stop"), folder.path().join("end"));
    let x = Tensor::from_slice(&[1.0, 0.3, -0.7]);
    let models: [(&str, &dyn Program); 5] = [
        ("nested", &nested(&x)),
        ("black box", &black_box(&x)),
        ("severed", &severed(&x)),
        ("started", &started(&x)),
        ("host", &host()),
    ];
    for (name, model) in models {
        let run = |stop: Option<u64>| -> Result<_> {
            let objective = Elbo::new(model);
            let mut trainer = Trainer::new(3);
            let mut losses = Vec::new();
            for step in 0..STEPS {
                if stop == Some(step) {
                    trainer.save(&path)?;
                    trainer = Trainer::new(3);
                    trainer.resume(&path)?;
                }
                losses.push(trainer.step(&objective)?.loss);
            }
            trainer.save(&end)?;
            Ok((losses, fs::read(&end).unwrap()))
        };
        let (losses, bytes) = run(None)?;
        for stop in [1, 2, 9, STEPS - 1] {
            let (again, same) = run(Some(stop))?;
            assert_eq!(losses, again, "{name} stopped at {stop}");
            assert!(bytes == same, "{name} stopped at {stop} ends elsewhere");
        }
    }
    Ok(())
}

#[test]
fn a_fit_can_be_saved_and_continued() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fit");
    let x = Tensor::from_slice(&[1.0, 0.3, -0.7]);
    let model = nested(&x);
    let fit = |steps| {
        let svi = Svi::new(&model).draw_all().steps(steps).seed(5);
        svi.posterior_draws(3).progress(false).run()
    };
    let (whole, part) = (fit(12)?, fit(7)?);
    part.trainer().save(&path)?;
    let mut resumed = Trainer::new(5);
    resumed.resume(&path)?;
    let mut continued = part.into_trainer();
    for _ in 7..12 {
        let (one, other) = (
            continued.step(&Elbo::new(&model))?,
            resumed.step(&Elbo::new(&model))?,
        );
        assert_eq!(one.loss, other.loss);
    }
    for name in whole.params().names() {
        let value = |params: &ParamStore| params.get(&name).unwrap().to_vec();
        assert_eq!(value(continued.params())?, whole.param(&name)?);
        assert_eq!(value(resumed.params())?, whole.param(&name)?);
    }
    Ok(())
}

#[model]
fn sized(n: usize) {
    let w = param!(Tensor::zeros([n], &Device::cpu()));
    cost!((&w - 3.0).square().sum_all());
}

/// A checkpoint of a program after some steps.
fn saved(
    folder: &TempDir,
    trainer: Trainer,
    program: &dyn Program,
    steps: usize,
) -> Result<PathBuf> {
    let path = folder.path().join("checkpoint");
    let mut trainer = trainer;
    for _ in 0..steps {
        trainer.step(&ExpectedCost::new(program))?;
    }
    trainer.save(&path)?;
    Ok(path)
}

#[test]
fn parameters_of_another_shape_are_refused() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = saved(&folder, Trainer::new(1), &sized(7), 1)?;
    let mut trainer = Trainer::new(1);
    trainer.resume(&path)?;
    let text = error(trainer.step(&ExpectedCost::new(&sized(3))));
    assert_says(
        &text,
        &["site `w`", "resume.rs", "checkpoint", "[7]", "[3]"],
    );
    let before = trainer.params().get("w").unwrap().to_vec()?;
    assert_eq!(before.len(), 7);
    trainer.step(&ExpectedCost::new(&sized(7)))?;

    let (three, two) = (
        Tensor::zeros([3], &Device::cpu()),
        Tensor::zeros([2], &Device::cpu()),
    );
    let mut trainer = Trainer::new(1);
    trainer.step(&Elbo::new(&severed(&three)))?;
    trainer.save(&path)?;
    let mut trainer = Trainer::new(1);
    trainer.resume(&path)?;
    let text = error(trainer.step(&Elbo::new(&severed(&two))));
    assert_says(&text, &["site `z`", "`z.loc`", "[3]", "[2]"]);
    Ok(())
}

#[test]
fn memory_goes_to_the_same_rule_only() -> Result<()> {
    fn with(rule: impl Rule + 'static) -> Trainer {
        Trainer::new(1).optimizer(rule)
    }
    let folder = TempDir::new().unwrap();
    let path = saved(&folder, with(Adam::new(0.01)), &sized(2), 5)?;
    let adam = "Adam with betas 0.9 and 0.999";
    for (mut other, name) in [
        (with(RmsProp::new(0.01)), "RMSprop"),
        (with(Sgd::new(0.01)), "SGD"),
        (
            with(Adam::new(0.01).betas(0.9, 0.99)),
            "betas 0.9 and 0.99;",
        ),
    ] {
        let text = error(other.resume(&path));
        assert_says(&text, &["checkpoint `", adam, name]);
        assert_eq!(other.steps_taken(), 0);
        assert!(other.params().names().is_empty());
    }
    // Another rate is a schedule.
    let mut slower = with(Adam::new(0.001));
    slower.resume(&path)?;
    slower.step(&ExpectedCost::new(&sized(2)))?;
    // Another rule starts without memory, where that is asked for.
    let mut resumed = with(Adam::new(0.01));
    resumed.resume(&path)?;
    let mut other = resumed.optimizer(RmsProp::new(0.01));
    let report = other.step(&ExpectedCost::new(&sized(2)))?;
    assert!(report.loss.is_finite());
    // Where nothing was moved there is nothing to remember.
    let path = saved(&folder, with(Adam::new(0.01)), &sized(2), 0)?;
    with(Sgd::new(0.01)).resume(&path)
}

#[model]
fn layered(layer: &Linear) {
    let b = sample!(Bernoulli(
        logits = layer.forward(&Tensor::ones([2], &Device::cpu()))
    ));
    cost!((&b - 0.3).square().sum_all());
}

#[test]
fn what_was_trained_is_saved_or_named() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let layer = Linear::zeros(2, 2, &Device::cpu())?.named("layer");
    let mut trainer = Trainer::new(1);
    trainer.save(&path)?;
    trainer.step(&ExpectedCost::new(&layered(&layer)))?;
    let before = fs::read(&path).unwrap();
    let text = error(trainer.save(&path));
    assert_says(
        &text,
        &["checkpoint `", "`layer.", "was trained", "`layers`"],
    );
    assert!(fs::read(&path).unwrap() == before, "the old file stays");

    let nameless = Linear::zeros(2, 2, &Device::cpu())?;
    let mut other = Trainer::new(1);
    other.step(&ExpectedCost::new(&layered(&nameless)))?;
    let text = error(other.save(&path));
    assert_says(
        &text,
        &["without a name was trained", "`named`", "`layers`"],
    );

    // Shared weights come once, however often they are given.
    let parameters = [layer.parameters(), layer.parameters()].concat();
    trainer.layers(parameters).save(&path)?;
    let text = error(Trainer::new(1).resume(&path));
    assert_says(
        &text,
        &["`layer.bias`", "the trainer does not have", "`layers`"],
    );
    let mut given = Trainer::new(1).layers(layer.parameters());
    given.resume(&path)?;
    assert_eq!(given.steps_taken(), 1);
    Ok(())
}

#[test]
fn parameters_of_one_name_are_refused() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let layer = Parameter::new(Tensor::zeros([2], &Device::cpu())).named("w");
    let mut trainer = Trainer::new(1).layers(vec![layer]);
    trainer.step(&ExpectedCost::new(&sized(2)))?;
    assert_says(&error(trainer.save(&path)), &["two parameters", "`w`"]);
    Ok(())
}

#[model]
fn renamed(n: usize) {
    let v = param!(Tensor::zeros([n], &Device::cpu()));
    cost!((&v - 3.0).square().sum_all());
}

/// A name that has changed must not give a fresh parameter.
#[test]
fn a_renamed_parameter_is_refused() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = saved(&folder, Trainer::new(1), &sized(2), 5)?;
    let resumed = || {
        let mut trainer = Trainer::new(1);
        trainer.resume(&path)?;
        Ok::<_, Error>(trainer)
    };
    let program = renamed(2);
    let mut trainer = resumed()?;
    for _ in 0..2 {
        let text = error(trainer.step(&ExpectedCost::new(&program)));
        assert_says(&text, &["no parameter `v`", "no use for its `w`"]);
        assert_eq!(trainer.params().get("v").unwrap().to_vec()?, [0.0, 0.0]);
    }
    // One that is new on purpose is added first.
    let trainer = &mut resumed()?;
    trainer
        .params()
        .insert("v", &Tensor::zeros([2], &Device::cpu()))?;
    trainer.step(&ExpectedCost::new(&program)).map(drop)
}

/// A parameter that only some runs come by may be new after resuming.
#[test]
fn parameters_on_other_paths_may_be_new() -> Result<()> {
    #[model]
    fn paths() {
        let common = param!(0.1);
        let left = sample!(Bernoulli(0.5));
        if left {
            let a = param!(0.2);
            cost!((&a - 1.0).square() + &common);
        } else {
            let b = param!(0.3);
            cost!((&b - 1.0).square() + &common);
        }
    }
    let folder = TempDir::new().unwrap();
    let program = paths();
    for seed in 0..8 {
        let path = saved(&folder, Trainer::new(seed), &program, 1)?;
        let mut trainer = Trainer::new(seed);
        trainer.resume(&path)?;
        for _ in 0..8 {
            trainer.step(&ExpectedCost::new(&program))?;
        }
        assert_eq!(trainer.params().names(), ["a", "b", "common"]);
    }
    Ok(())
}

/// Going back forgets what came after.
#[test]
fn an_earlier_state_replaces_a_later_one() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = saved(&folder, Trainer::new(1), &sized(2), 3)?;
    let mut trainer = Trainer::new(1);
    for _ in 0..5 {
        trainer.step(&ExpectedCost::new(&renamed(2)))?;
    }
    trainer.resume(&path)?;
    assert_eq!(trainer.params().names(), ["w"]);
    let again = folder.path().join("again");
    trainer.save(&again)?;
    assert!(fs::read(path).unwrap() == fs::read(again).unwrap());
    Ok(())
}

#[test]
fn a_site_of_another_kind_is_refused() -> Result<()> {
    #[model]
    fn kind(discrete: bool) {
        let p = param!(0.2);
        if discrete {
            let z = sample!(Bernoulli(logits = &p), name = "z");
            cost!((&z - 0.3).square(), name = "c");
        } else {
            let z = sample!(Normal(&p, 1.0), name = "z", estimator = "lax");
            cost!((&z - 0.3).square(), name = "c");
        }
    }
    let folder = TempDir::new().unwrap();
    for (then, now, what) in [(true, false, "is discrete"), (false, true, "is continuous")] {
        let path = saved(&folder, Trainer::new(1), &kind(then), 2)?;
        let mut trainer = Trainer::new(1);
        trainer.resume(&path)?;
        let text = error(trainer.step(&ExpectedCost::new(&kind(now))));
        assert_says(&text, &["site `z`", "checkpoint", what]);
    }
    Ok(())
}

/// A surrogate of another size, or one in place of none.
#[test]
fn a_surrogate_of_another_shape_is_refused() -> Result<()> {
    #[model]
    fn coins(n: usize) {
        let b = sample!(Bernoulli(logits = Tensor::zeros([n], &Device::cpu())));
        cost!(f64::from((&b - 0.3).square().sum_all().item()?));
    }
    let folder = TempDir::new().unwrap();
    let with = |hidden| {
        Trainer::new(1).estimator(Relax {
            hidden,
            ..Relax::free_form()
        })
    };
    let path = saved(&folder, with(vec![10, 10]), &coins(3), 2)?;
    let resume = |trainer: Trainer| {
        let mut trainer = trainer;
        trainer.resume(&path)?;
        trainer.step(&ExpectedCost::new(&coins(3)))
    };
    resume(with(vec![10, 10]))?;
    assert_says(
        &error(resume(with(vec![12, 10]))),
        &["site `b`", "10", "12"],
    );
    assert_says(
        &error(resume(with(vec![10]))),
        &["site `b`", "has a parameter"],
    );
    Ok(())
}

/// Draws in a loop, between which races decide.
#[model]
fn rounds(count: usize) {
    let mut sum = Tensor::scalar(0.0);
    for _ in 0..count {
        let k = sample!(OneHotCategorical(
            logits = Tensor::full([5], 0.0, &Device::cpu())
        ));
        sum = sum + (&k * Tensor::from_slice(&[0.0, 0.3, -0.2, 1.0, 2.0])).sum_all();
    }
    observe!(Normal(sum, 0.5), 2.0);
}

/// A chain of choices, each with a law that depends on those before.
#[model]
fn chain(count: usize) {
    let mut sum = Tensor::scalar(0.0);
    for _ in 0..count {
        let slopes = Tensor::from_slice(&[0.1, -0.2, 0.3, -0.1, 0.2]);
        let k = sample!(OneHotCategorical(logits = &sum * slopes));
        sum = sum + (&k * Tensor::from_slice(&[0.0, 0.3, -0.2, 1.0, 2.0])).sum_all();
    }
    cost!((&sum - 2.0).square());
}

/// The last choice of a chain goes on with what it has learned when others come to follow it, after a resume or without
/// one, with an estimator that was chosen or one that a race found.
#[test]
fn a_choice_that_others_come_to_follow_goes_on() -> Result<()> {
    const STOP: u64 = 12;
    let folder = TempDir::new().unwrap();
    let (path, end) = (folder.path().join("stop"), folder.path().join("end"));
    let run = |stops: bool, budget: Option<usize>| -> Result<_> {
        let fresh = || match budget {
            Some(budget) => Trainer::new(3).budget(budget),
            None => Trainer::new(3),
        };
        let mut trainer = fresh();
        let (mut seen, mut first) = (Vec::new(), String::new());
        for step in 0..2 * STOP {
            if step == STOP {
                first = trainer.plan().to_string();
                if stops {
                    trainer.save(&path)?;
                    trainer = fresh();
                    trainer.resume(&path)?;
                }
            }
            let count = if step < STOP { 2 } else { 4 };
            let report = trainer.step(&ExpectedCost::new(&chain(count)))?;
            seen.push(report.loss);
        }
        trainer.save(&end)?;
        Ok((seen, fs::read(&end).unwrap(), first, trainer.plan()))
    };
    for budget in [None, Some(4)] {
        let (whole, resumed) = (run(false, budget)?, run(true, budget)?);
        assert_eq!(whole.0, resumed.0);
        assert!(whole.1 == resumed.1);
        assert_eq!(whole.2, resumed.2);
        let estimator = &whole.3.entries[1].estimator;
        assert!(whole.2.contains(estimator), "{}{}", whole.2, whole.3);
        assert_eq!(whole.3.entries[1].estimator, resumed.3.entries[1].estimator);
    }
    Ok(())
}

/// What a race has decided holds for a site of the same loop that only comes by after a resume.
#[test]
fn sites_that_come_later_take_what_a_race_has_decided() -> Result<()> {
    const STOP: u64 = 12;
    let folder = TempDir::new().unwrap();
    let (path, end) = (folder.path().join("stop"), folder.path().join("end"));
    let run = |stops: bool| -> Result<_> {
        let mut trainer = Trainer::new(3).budget(4);
        let mut seen = Vec::new();
        for step in 0..2 * STOP {
            if stops && step == STOP {
                trainer.save(&path)?;
                trainer = Trainer::new(3).budget(4);
                trainer.resume(&path)?;
            }
            let count = if step < STOP + 3 { 2 } else { 4 };
            let report = trainer.step(&Elbo::new(&rounds(count)).guide(&MeanFieldGuide))?;
            seen.push(report.loss);
        }
        assert!(trainer.plan().to_string().contains("raced"));
        trainer.save(&end)?;
        Ok((seen, fs::read(&end).unwrap()))
    };
    let (whole, resumed) = (run(false)?, run(true)?);
    assert_eq!(whole.0, resumed.0);
    assert!(whole.1 == resumed.1);
    Ok(())
}
