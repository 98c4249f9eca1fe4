//! Averages of parameters that the optimizer keeps: reading, taking and saving them.

use std::cell::Cell;

use relax_runtime::prelude::*;
use tempfile::TempDir;

/// A cost whose gradients are noisy.
#[model]
fn noisy(layer: &Parameter) {
    let p = param!([0.2, 0.8], unit);
    let b = sample!(Bernoulli(&p));
    cost!((&b - 0.3).square() * (&b * 2.0 + 1.0) + (layer.get() - &b).square().sum_all());
}

fn layer() -> Parameter {
    Parameter::new(Tensor::scalar(0.9)).named("layer")
}

fn trainer(layer: &Parameter) -> Trainer {
    let layers = vec![layer.clone()];
    Trainer::new(3)
        .optimizer(Averaged::of(Adam::new(0.1)))
        .layers(layers)
}

fn train(trainer: &mut Trainer, layer: &Parameter, steps: usize) -> Result<()> {
    (0..steps).try_for_each(|_| trainer.step(&ExpectedCost::new(&noisy(layer))).map(drop))
}

fn values(trainer: &Trainer, layer: &Parameter) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    for (_, parameter) in trainer.params().all() {
        values.extend(parameter.get().to_vec()?);
    }
    values.extend(layer.get().to_vec()?);
    Ok(values)
}

#[test]
fn parameters_are_at_their_averages_while_they_are_looked_at() -> Result<()> {
    let layer = layer();
    let mut averaged = trainer(&layer);
    train(&mut averaged, &layer, 100)?;
    let last = values(&averaged, &layer)?;
    let seen = averaged.at_averages(|| values(&averaged, &layer))??;
    assert!(
        seen.iter().zip(&last).all(|(seen, last)| seen != last),
        "{seen:?} {last:?}"
    );
    assert_eq!(values(&averaged, &layer)?, last);
    // Also after a panic within.
    let look = std::panic::AssertUnwindSafe(|| averaged.at_averages(|| panic!("on purpose")));
    let caught: std::thread::Result<Result<()>> = std::panic::catch_unwind(look);
    assert!(caught.is_err());
    assert_eq!(values(&averaged, &layer)?, last);
    averaged.take_averages()?;
    assert_eq!(values(&averaged, &layer)?, seen);
    Ok(())
}

/// The iterates are those of the rule alone, and averages go on from a checkpoint as if never interrupted.
#[test]
fn averages_are_saved() -> Result<()> {
    let (alone, whole, half, rest) = (layer(), layer(), layer(), layer());
    let mut plain = Trainer::new(3)
        .optimizer(Adam::new(0.1))
        .layers(vec![alone.clone()]);
    train(&mut plain, &alone, 100)?;
    let mut uninterrupted = trainer(&whole);
    train(&mut uninterrupted, &whole, 100)?;
    assert_eq!(values(&plain, &alone)?, values(&uninterrupted, &whole)?);

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("half");
    let mut begun = trainer(&half);
    train(&mut begun, &half, 45)?;
    begun.save(&path)?;
    let mut resumed = trainer(&rest);
    resumed.resume(&path)?;
    train(&mut resumed, &rest, 55)?;
    uninterrupted.take_averages()?;
    resumed.take_averages()?;
    assert_eq!(values(&resumed, &rest)?, values(&uninterrupted, &whole)?);
    let refusal = plain.resume(&path).unwrap_err().to_string();
    assert!(refusal.contains("averages of Adam"), "{refusal}");
    Ok(())
}

#[test]
fn runs_end_at_averages() -> Result<()> {
    let (by_hand, by_run, settled) = (layer(), layer(), layer());
    let mut stepped = trainer(&by_hand);
    train(&mut stepped, &by_hand, 60)?;
    stepped.take_averages()?;
    let program = noisy(&by_run);
    let run = || {
        Minimize::new(&program)
            .seed(3)
            .optimizer(Averaged::of(Adam::new(0.1)))
    };
    let trained = run().layers(vec![by_run.clone()]).steps(60).run()?;
    assert_eq!(
        values(trained.trainer(), &by_run)?,
        values(&stepped, &by_hand)?
    );
    let program = noisy(&settled);
    let run = Minimize::new(&program).optimizer(Averaged::of(Adam::new(0.05)));
    let trained = run.layers(vec![settled.clone()]).run()?;
    // Not at those over its last steps, which other runs without a number of steps take.
    let trainer = trained.trainer();
    let averages = trainer.at_averages(|| values(trainer, &settled))??;
    assert_eq!(values(trainer, &settled)?, averages);
    Ok(())
}

#[test]
fn averages_that_are_not_kept_are_told_of() -> Result<()> {
    let layer = layer();
    let mut plain = Trainer::new(3);
    train(&mut plain, &layer, 1)?;
    let refusal = plain.take_averages().unwrap_err().to_string();
    assert!(refusal.contains("keeps no averages"), "{refusal}");
    Ok(())
}

/// Layers need not be known to the trainer, and may be met late.
#[test]
fn layers_are_averaged_whenever_they_are_met() -> Result<()> {
    #[model]
    fn late(steps: &Cell<u32>, early: &Parameter, late: &Parameter) {
        steps.set(steps.get() + 1);
        cost!((early.get() - 1.0).square());
        if steps.get() > 30 {
            cost!((late.get() - 1.0).square());
        }
    }
    let (steps, layers) = (Cell::new(0), [layer(), layer()]);
    let program = late(&steps, &layers[0], &layers[1]);
    let run = Minimize::new(&program).optimizer(Averaged::of(Sgd::new(0.3)));
    run.steps(60).run()?;
    // By x' = x − 0.3 · 2 (x − 1) from 0.9 the distance from 1 falls by 0.4 a step.
    let distance = |steps: i32| 0.1 * 0.4_f32.powi(steps);
    let average = 1.0 - layers[1].get().item()?;
    assert!(
        average > 1e3 * distance(30) && average < distance(1),
        "{average}"
    );
    assert!(layers[0].get().item()? > 1.0 - average);
    Ok(())
}

/// A trainer that has only just resumed knows the averages, too.
#[test]
fn averages_are_known_before_the_first_step_after_a_resume() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("saved");
    let (one, other) = (layer(), layer());
    let mut begun = trainer(&one);
    train(&mut begun, &one, 45)?;
    begun.save(&path)?;
    let mut resumed = trainer(&other);
    resumed.resume(&path)?;
    begun.take_averages()?;
    resumed.take_averages()?;
    assert_eq!(values(&resumed, &other)?, values(&begun, &one)?);
    Ok(())
}
