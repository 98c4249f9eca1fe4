//! Fits that are saved, loaded, continued and judged.

use std::fs;
use std::path::Path;

use relax_runtime::infer::{Ending, Finding, FullRankGuide, Guide, MeanFieldGuide, Trend};
use relax_runtime::prelude::*;
use tempfile::TempDir;

use crate::{assert_near, assert_says, error, wet_lawn};

#[model]
fn level(data: &[f64]) {
    let width = param!(0.5, positive);
    let high = sample!(Bernoulli(0.5));
    let mean = sample!(Normal(if high { 2.0 } else { -1.0 }, 1.0));
    for &x in data {
        observe!(Normal(Tensor::scalar(0.0) + mean, &width), x);
    }
}

const DATA: [f64; 3] = [1.2, 0.4, 2.2];

fn svi<M: Program>(model: &M) -> Svi<'_> {
    Svi::new(model).seed(5).posterior_draws(50).progress(false)
}

/// Weights that differ little have a tail, too, whose shape means nothing.
#[test]
fn a_guide_close_to_its_posterior_raises_no_alarm() -> Result<()> {
    #[model]
    fn spins() {
        let mut last = None;
        for _ in 0..6 {
            let spin = sample!(Bernoulli(0.5));
            if let Some(last) = last {
                factor!(if last == spin { 1.2 } else { 0.0 }, name = "bond");
            }
            last = Some(spin);
        }
    }
    let model = spins();
    for seed in 0..3 {
        let fit = svi(&model).seed(seed).posterior_draws(200).run()?;
        let verdict = fit.verdict();
        assert!(verdict.is_good(), "{verdict}");
        assert!(verdict.effective_samples.unwrap().0 > 198.0, "{verdict}");
    }
    Ok(())
}

/// Everything that a trainer holds, as bytes.
fn state(trainer: &Trainer, folder: &Path) -> Result<Vec<u8>> {
    let path = folder.join("state");
    trainer.save(&path)?;
    Ok(fs::read(path).unwrap())
}

#[test]
fn a_fit_that_was_stopped_goes_on_bit_for_bit() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fit");
    let model = level(&DATA);
    let whole = svi(&model).steps(120).run()?;
    let part = svi(&model).steps(70).run()?;
    part.save(&path)?;
    let resumed = svi(&model).steps(50).resume(&path)?.run()?;
    let loaded = svi(&model).load(&path)?;
    assert_eq!(loaded.trainer().steps_taken(), 70);
    let from_loaded = svi(&model)
        .steps(50)
        .trainer_from(loaded.into_trainer())
        .run()?;
    let in_memory = svi(&model)
        .steps(50)
        .trainer_from(part.into_trainer())
        .run()?;
    let wanted = state(whole.trainer(), folder.path())?;
    for (name, fit) in [
        ("resumed", resumed),
        ("loaded", from_loaded),
        ("in memory", in_memory),
    ] {
        assert!(state(fit.trainer(), folder.path())? == wanted, "{name}");
        for site in ["high", "mean"] {
            let (found, wanted) = (fit.posterior().means(site)?, whole.posterior().means(site)?);
            assert_eq!(found, wanted, "{name}, {site}");
        }
        let losses = |fit: &Fit| fit.history.steps.last().map(|report| report.loss);
        assert_eq!(losses(&fit), losses(&whole), "{name}");
    }
    Ok(())
}

#[test]
fn a_loaded_fit_is_the_one_that_was_saved() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fit");
    let model = level(&DATA);
    let fit = svi(&model).steps(150).run()?;
    fit.save(&path)?;
    let loaded = svi(&model).load(&path)?;
    assert_eq!(
        (loaded.ending(), loaded.trend()),
        (fit.ending(), fit.trend())
    );
    assert_eq!(loaded.ending(), Ending::Steps(150));
    assert_eq!(loaded.verdict(), fit.verdict());
    assert_eq!(loaded.plan().to_string(), fit.plan().to_string());
    assert_eq!(loaded.param("width")?, fit.param("width")?);
    assert!(loaded.history.steps.is_empty());
    let draws = |fit: &Fit| -> Result<Vec<f64>> {
        let values = fit.posterior().samples("mean")?;
        values.iter().map(|value| Ok(value.to_f64s()?[0])).collect()
    };
    assert_eq!(draws(&loaded)?, draws(&fit)?);
    assert_eq!(
        loaded.posterior().log_evidence(),
        fit.posterior().log_evidence()
    );
    let predicted = |fit: &Fit| fit.predictive(&model, 20)?.means("x[1]");
    assert_eq!(predicted(&loaded)?, predicted(&fit)?);
    // Saved again, it still knows how it ended.
    loaded.save(&path)?;
    assert_eq!(svi(&model).load(&path)?.ending(), Ending::Steps(150));
    Ok(())
}

/// The rows of a guide written by hand, and a cost without a posterior.
#[test]
fn other_guides_and_costs_are_loaded_too() -> Result<()> {
    #[model]
    fn guide() {
        let p = param!(0.3, unit);
        let high = sample!(Bernoulli(p));
        let at = param!(0.0);
        let mean = sample!(Normal(at, 1.0));
    }
    #[model]
    fn cost() {
        let logit = param!(0.0);
        let b = sample!(Bernoulli(logits = logit));
        cost!((b - 0.45).square());
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fit");
    let (model, guide) = (level(&DATA), guide());
    let fit = svi(&model).guide(&guide).steps(30).run()?;
    fit.save(&path)?;
    let loaded = svi(&model).guide(&guide).load(&path)?;
    assert_eq!(
        loaded.posterior().means("mean")?,
        fit.posterior().means("mean")?
    );
    // Another guide has other parameters.
    let wrong = svi(&model).guide(&MeanFieldGuide).load(&path);
    assert_says(&error(wrong), &["no parameter", "checkpoint"]);

    let program = cost();
    let minimize = || Minimize::new(&program).seed(2).progress(false);
    let trained = minimize().steps(40).run()?;
    trained.save(&path)?;
    let loaded = minimize().load(&path)?;
    assert_eq!(loaded.param("logit")?, trained.param("logit")?);
    let longer = minimize().steps(10).resume(&path)?.run()?;
    assert_eq!(longer.trainer().steps_taken(), 50);
    Ok(())
}

#[test]
fn files_that_are_no_fit_are_refused() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fit");
    let model = level(&DATA);
    let fit = svi(&model).steps(5).run()?;
    fit.trainer().save(&path)?;
    assert_says(&error(svi(&model).load(&path)), &["Fit::save", "resume"]);
    assert!(svi(&model).resume(&path).is_ok());
    fit.save(&path)?;
    assert_says(&error(svi(&model).seed(6).load(&path)), &["seed 5", "6"]);
    assert_says(
        &error(svi(&wet_lawn(true)).draw_all().load(&path)),
        &["checkpoint"],
    );
    assert_says(
        &error(svi(&model).load(folder.path().join("none"))),
        &["none"],
    );
    Ok(())
}

#[test]
fn a_settled_fit_that_follows_its_posterior_is_good() -> Result<()> {
    let model = wet_lawn(true);
    let fit = svi(&model).run()?;
    let verdict = fit.verdict();
    assert!(verdict.is_good(), "{verdict}");
    assert!(matches!(verdict.ending, Ending::Settled(_)));
    assert_says(
        &verdict.to_string(),
        &["settled after", "50 draws worth", "good"],
    );
    Ok(())
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() -> Result<()> {
    #[model]
    fn far() {
        let mean = sample!(Normal(0.0, 10.0));
        observe!(Normal(mean, 1.0), 9.0);
    }
    let model = far();
    let slow = Sgd::new(1e-3);
    let falling = svi(&model).optimizer(slow).steps(400).run()?;
    let Trend::Falling { gain, steps } = falling.trend() else {
        panic!("{:?}", falling.trend());
    };
    assert!(gain > 0.0);
    assert_eq!(steps, 100);
    let verdict = falling.verdict();
    assert!(matches!(verdict.findings[0], Finding::StillFalling { .. }));
    assert_says(&verdict.to_string(), &["still falling", "`steps`"]);
    let short = svi(&model).steps(10).run()?;
    assert!(
        short
            .verdict()
            .findings
            .contains(&Finding::FewSteps { steps: 10 })
    );

    // A guide that sees one of two far modes, or is much too narrow.
    #[model]
    fn narrow() {
        let mean = sample!(Normal(9.0, 0.2));
    }
    let guide = narrow();
    let fit = svi(&model)
        .guide(&guide)
        .posterior_draws(2_000)
        .steps(1)
        .run()?;
    let heavy = |finding: &Finding| matches!(finding, Finding::HeavyTail { .. });
    let verdict = fit.verdict();
    assert!(verdict.findings.iter().any(heavy), "{verdict}");
    assert_says(&verdict.to_string(), &["heavy tail", "another guide"]);

    // A guide that takes two numbers to be independent, whose sum is known less well than their difference: standard
    // deviations are .60, and those of the posterior .78.
    #[model]
    fn difference() {
        let a = sample!(Normal(0.0, 1.0));
        let b = sample!(Normal(0.0, 1.0));
        observe!(Normal(a - b, 0.75), 0.0);
    }
    let of_two = difference();
    let of = |guide: &dyn Guide, draws| svi(&of_two).guide(guide).posterior_draws(draws).run();
    let verdict = of(&MeanFieldGuide, 20_000)?.verdict();
    // Its draws are worth less than a fifth of them, too.
    let [
        Finding::FewEffective { .. },
        Finding::Narrow {
            guide, weighted, ..
        },
    ] = verdict.findings[..]
    else {
        panic!("{verdict}");
    };
    assert!(
        (guide - 0.6).abs() < 0.03 && (weighted - 0.78).abs() < 0.05,
        "{verdict}"
    );
    assert_says(
        &verdict.to_string(),
        &["standard deviation of `", "`weighted()`"],
    );
    let verdict = of(&FullRankGuide, 20_000)?.verdict();
    assert!(verdict.is_good(), "{verdict}");

    // Where draws are worth little, and the tail is light.
    #[model]
    fn wide() {
        let mean = sample!(Normal(0.0, 50.0));
    }
    let guide = wide();
    let fit = svi(&model)
        .guide(&guide)
        .posterior_draws(2_000)
        .steps(1)
        .run()?;
    let verdict = fit.verdict();
    let few = |finding: &Finding| matches!(finding, Finding::FewEffective { .. });
    assert!(verdict.findings.iter().any(few), "{verdict}");
    let (worth, draws) = verdict.effective_samples.unwrap();
    assert_eq!(draws, 2_000);
    assert_near(worth, 2_000.0 * 0.035, 30.0);
    Ok(())
}

#[test]
fn fits_of_other_models_are_refused() -> Result<()> {
    #[model]
    fn one() {
        let m = sample!(Normal(Tensor::scalar(0.0), 1.0));
        observe!(Normal(m, 1.0), 1.0);
    }
    #[model]
    fn other() {
        let k = sample!(Normal(Tensor::scalar(50.0), 1.0));
        observe!(Normal(k, 1.0), 51.0);
    }
    #[model]
    fn coins() {
        let coin = sample!(Bernoulli(0.5));
        observe!(Bernoulli(if coin { 0.9 } else { 0.2 }), true);
    }
    let folder = TempDir::new().map_err(Error::user)?;
    let path = folder.path().join("one.fit");
    Svi::new(&one())
        .seed(1)
        .progress(false)
        .run()?
        .save(&path)?;
    let (other, coins) = (other(), coins());
    let svi = |model: &'static str| match model {
        "other" => Svi::new(&other).seed(1).progress(false),
        _ => Svi::new(&coins).seed(1).progress(false),
    };
    let of_other = error(svi("other").load(&path)).to_string();
    assert_says(&of_other, &["no parameter", "`k", "no use for its `m"]);
    let of_coins = error(svi("coins").load(&path)).to_string();
    assert_says(&of_coins, &["no use for any of its parameters", "`m"]);
    error(svi("other").resume(&path)?.run());
    error(svi("coins").resume(&path)?.run());
    Ok(())
}
