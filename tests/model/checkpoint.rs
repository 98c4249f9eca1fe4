//! Saving and resuming: bit for bit if the file fits, a clear refusal if it does not.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use relax_runtime::estimator::by_name;
use relax_runtime::infer::Recording;
use relax_runtime::prelude::*;
use tempfile::TempDir;

use crate::checkpoints::{joined, parts, sealed};

#[model]
fn choices(layer: &Linear, x: &Tensor) {
    let offset = param!([0.1, -0.2]);
    plate!(x.rows() => {
        let h = sample!(Bernoulli(logits = layer.forward(x) + &offset));
        let k = sample!(OneHotCategorical(logits = &h * 0.5));
        cost!((&h - 0.3).square() * &k + &k * 0.1);
    })
}

fn data() -> Result<Tensor> {
    Key::new(3).stream("x").normals([5, 3], &Device::cpu())
}

fn layer(outputs: usize) -> Result<Linear> {
    let mut stream = Key::new(1).stream("weights");
    Ok(Linear::new(3, outputs, &mut stream, &Device::cpu())?.named("layer"))
}

/// A trainer of a layer with two outputs, and the layer.
fn trainer(seed: u64) -> Result<(Trainer, Linear)> {
    let layer = layer(2)?;
    Ok((Trainer::new(seed).layers(layer.parameters()), layer))
}

fn train(trainer: &mut Trainer, layer: &Linear, steps: usize) -> Result<()> {
    let x = data()?;
    for _ in 0..steps {
        trainer.step(&ExpectedCost::new(&choices(layer, &x)))?;
    }
    Ok(())
}

/// A checkpoint after seven steps.
fn saved(folder: &TempDir) -> Result<PathBuf> {
    let path = folder.path().join("checkpoint");
    let (mut trainer, layer) = trainer(1)?;
    train(&mut trainer, &layer, 7)?;
    trainer.save(&path)?;
    Ok(path)
}

fn refusal(trainer: &mut Trainer, path: &Path) -> String {
    trainer.resume(path).unwrap_err().to_string()
}

/// A choice that host code reads now and then.
#[model]
fn glimpsed() {
    let theta = param!(0.2);
    let look = sample!(Bernoulli(0.3));
    let b = sample!(Bernoulli(logits = &theta));
    if look && b.to_bool()? {
        cost!(0.7);
    }
    cost!((&b - 0.3).square());
}

/// What earlier draws have shown of a site holds after them.
#[test]
fn a_resumed_run_knows_which_choices_the_host_reads() -> Result<()> {
    const STEPS: u64 = 30;
    let folder = TempDir::new().unwrap();
    let model = glimpsed();
    let end = |stop: Option<u64>| {
        let path = folder.path().join("checkpoint");
        let mut trainer = Trainer::new(1);
        for step in 0..STEPS {
            if stop == Some(step) {
                trainer.save(&path)?;
                trainer = Trainer::new(1);
                trainer.resume(&path)?;
            }
            trainer.step(&ExpectedCost::new(&model))?;
        }
        assert_eq!(
            trainer.plan().entries[1].reason,
            "discrete, cost a black box: free-form network"
        );
        trainer.save(&path)?;
        Ok::<_, Error>(fs::read(&path).unwrap())
    };
    let whole = end(None)?;
    for stop in 1..STEPS {
        assert!(end(Some(stop))? == whole, "{stop}");
    }
    Ok(())
}

#[test]
fn a_resumed_run_ends_where_an_uninterrupted_one_does() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = saved(&folder)?;
    let (mut whole, whole_layer) = trainer(1)?;
    train(&mut whole, &whole_layer, 20)?;
    let (mut resumed, resumed_layer) = trainer(1)?;
    resumed.resume(&path)?;
    assert_eq!(resumed.steps_taken(), 7);
    train(&mut resumed, &resumed_layer, 13)?;
    let ends = [(whole, "whole"), (resumed, "resumed")].map(|(trainer, name)| {
        let end = folder.path().join(name);
        trainer.save(&end).unwrap();
        fs::read(end).unwrap()
    });
    assert!(ends[0] == ends[1]);
    Ok(())
}

#[test]
fn ledgers_and_rivals_go_on_bit_for_bit() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let recorded = || {
        let (trainer, layer) = trainer(1)?;
        let recording = Recording::every(3).fresh_draws(2);
        let recording = recording
            .rival(Relax::free_form())
            .rival(Reinforce::default());
        Ok::<_, Error>((trainer.record(recording), layer))
    };
    let end = |trainer: &Trainer| {
        let end = folder.path().join("end");
        trainer.save(&end)?;
        Ok::<_, Error>(fs::read(end).unwrap())
    };
    let (mut whole, whole_layer) = recorded()?;
    train(&mut whole, &whole_layer, 20)?;
    for stop in [1, 7, 9] {
        let (mut first, first_layer) = recorded()?;
        train(&mut first, &first_layer, stop)?;
        first.save(&path)?;
        let (mut resumed, resumed_layer) = recorded()?;
        resumed.resume(&path)?;
        train(&mut resumed, &resumed_layer, 20 - stop)?;
        assert_eq!(whole.ledger(), resumed.ledger());
        assert!(end(&whole)? == end(&resumed)?, "{stop}");
    }
    // A training that records nothing keeps what there is, and can be told to record later.
    let (mut silent, _layer) = trainer(1)?;
    whole.save(&path)?;
    silent.resume(&path)?;
    assert_eq!(whole.ledger(), silent.ledger());
    assert!(end(&whole)? == end(&silent)?);
    let recording = Recording::every(3).rival(Relax::free_form());
    let silent = silent.record(recording);
    assert_eq!(whole.ledger(), silent.ledger());
    Ok(())
}

/// What was saved of a site stays saved when training stops before it is met again.
#[test]
fn saving_at_once_after_resuming_loses_nothing() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = saved(&folder)?;
    let (mut resumed, _layer) = trainer(1)?;
    resumed.resume(&path)?;
    let again = folder.path().join("again");
    resumed.save(&again)?;
    assert!(fs::read(path).unwrap() == fs::read(again).unwrap());
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = saved(&folder)?;

    let (mut other_seed, _layer) = trainer(2)?;
    let error = refusal(&mut other_seed, &path);
    assert!(error.contains("seed 1, not 2"), "{error}");

    let mut wider = Trainer::new(1).layers(layer(4)?.parameters());
    let error = refusal(&mut wider, &path);
    assert!(error.contains("`layer.weight` has shape [3, 2]"), "{error}");

    let missing = layer(2)?.named("other");
    let unknown = Linear::zeros(3, 2, &Device::cpu())?.named("unknown");
    let mut more = Trainer::new(1).layers([missing.parameters(), unknown.parameters()].concat());
    let error = refusal(&mut more, &path);
    assert!(error.contains("no parameter `unknown.weight`"), "{error}");

    let nameless = Trainer::new(1).layers(Linear::zeros(3, 2, &Device::cpu())?.parameters());
    let error = nameless
        .save(folder.path().join("x"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("no name"), "{error}");
    Ok(())
}

#[test]
fn another_estimator_is_refused() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = saved(&folder)?;
    let (trainer, layer) = trainer(1)?;
    let mut trainer = trainer.estimator(Reinforce::default());
    trainer.resume(&path)?;
    let error = train(&mut trainer, &layer, 1).unwrap_err().to_string();
    assert!(
        error.contains("estimator was `relax`, now it is `reinforce`"),
        "{error}"
    );
    Ok(())
}

#[test]
fn damaged_files_are_refused() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = saved(&folder)?;
    let bytes = fs::read(&path).unwrap();
    let (mut trainer, _layer) = trainer(1)?;
    let mut refuse = |bytes: &[u8], wanted: &str| {
        fs::write(&path, bytes).unwrap();
        let error = refusal(&mut trainer, &path);
        assert!(error.contains(wanted), "{error}");
        assert!(error.contains("checkpoint"), "{error}");
    };
    refuse(&bytes[..bytes.len() / 2], "damaged");
    refuse(&[], "damaged");
    refuse(b"not a checkpoint at all", "damaged");
    for (format, says) in [
        (
            "3",
            "format 3, this program reads 6; continue with the version",
        ),
        (
            "7",
            "format 7, this program reads 6; continue with the version",
        ),
    ] {
        let other = altered(&bytes, r#"format\":6"#, &format!(r#"format\":{format}"#));
        refuse(&other, says);
    }
    let (header, numbers) = parts(&bytes);
    let again = header.replace(r#"step\":7"#, r#"step\":0"#);
    refuse(&joined(&again, numbers), "checksum");
    let renamed = header.replace("store:offset", "store:offsex");
    refuse(&joined(&renamed, numbers), "checksum");
    fs::remove_file(&path).unwrap();
    assert!(refusal(&mut trainer, &path).contains("cannot be read"));
    Ok(())
}

/// The file with another header, and the checksum that belongs to it.
fn altered(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (header, numbers) = parts(bytes);
    assert!(header.contains(from), "{from} is not in {header}");
    sealed(joined(&header.replacen(from, to, 1), numbers))
}

#[test]
fn what_training_could_not_go_on_from_is_refused() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = saved(&folder)?;
    let bytes = fs::read(&path).unwrap();
    let refuse = |bytes: &[u8], wanted: &str| {
        fs::write(&path, bytes).unwrap();
        let (mut trainer, layer) = trainer(1).unwrap();
        let before = layer.weight.get().to_vec().unwrap();
        let error = refusal(&mut trainer, &path);
        assert!(error.contains(wanted), "{error}");
        assert_eq!(layer.weight.get().to_vec().unwrap(), before, "{error}");
    };
    let huge = u64::MAX.to_string();
    for (from, to, wanted) in [
        (
            r#"step\":7"#,
            format!(r#"step\":{huge}"#),
            "number of steps",
        ),
        (
            r#"offset\":7"#,
            format!(r#"offset\":{huge}"#),
            "number of updates",
        ),
        (
            r#"offset\":7"#,
            r#"offset\":-7"#.into(),
            "manifest is damaged",
        ),
        (
            "memory/0:offset",
            "memory/0:offsex".into(),
            "`memory/0:offsex` does not fit",
        ),
        ("memory/0:offset", "memory/7:offset".into(), "does not fit"),
        (
            "memory/1:layer.bias",
            "memory/1:layer.bios".into(),
            "does not fit",
        ),
        (
            "store:offset",
            "store:offsex".into(),
            "updates of `offset`, which it lacks",
        ),
        ("site/h/costs", "site/g/costs".into(), "`site/h/costs`"),
        (
            "site/h/surrogate:h/",
            "site/g/surrogate:h/".into(),
            "`h/surrogate",
        ),
        (r#"seed\":1"#, r#"speed\":1"#.into(), "manifest is damaged"),
    ] {
        refuse(&altered(&bytes, from, &to), wanted);
    }
    let mut unknown = bytes.clone();
    let last = unknown.len() - 4;
    unknown[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    refuse(&sealed(unknown), "not a number");
    Ok(())
}

#[test]
fn a_refused_file_changes_nothing() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = saved(&folder)?;
    let bytes = fs::read(&path).unwrap();
    let (mut trainer, layer) = trainer(1)?;
    train(&mut trainer, &layer, 2)?;
    let before = layer.weight.get().to_vec()?;
    let shape = r#""store:offset":{"dtype":"F32","shape":[2]"#;
    let other = r#""store:offset":{"dtype":"F32","shape":[1,2]"#;
    fs::write(&path, altered(&bytes, shape, other)).unwrap();
    let error = refusal(&mut trainer, &path);
    assert!(error.contains("`offset` has shape [1, 2]"), "{error}");
    assert_eq!(layer.weight.get().to_vec()?, before);
    assert_eq!(trainer.steps_taken(), 2);
    Ok(())
}

/// A run without a number of steps begins anew with each rate; what no run of the program has come by since can be
/// saved and read nevertheless.
#[test]
fn parameters_that_were_not_met_again_can_be_saved() -> Result<()> {
    #[model]
    fn fleeting(runs: &Cell<u32>) {
        runs.set(runs.get() + 1);
        let lasting = param!(0.3);
        cost!((lasting - 1.0).square());
        if runs.get() < 20 {
            let first = param!(0.7);
            cost!(first.square());
        }
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fit");
    let runs = Cell::new(0);
    let program = fleeting(&runs);
    let trained = Minimize::new(&program).run()?;
    trained.save(&path)?;
    let loaded = Minimize::new(&program).load(&path)?;
    for name in ["lasting", "first"] {
        assert_eq!(loaded.param(name)?, trained.param(name)?, "{name}");
    }
    Ok(())
}

/// Many coins, whose default surrogate is the relaxed cost.
#[model]
fn many() {
    let theta = param!(Tensor::zeros([20], &Device::cpu()));
    let b = sample!(Bernoulli(logits = &theta));
    cost!((b - 0.45).square().sum_all());
}

/// The default surrogate of many coins had a network beside the relaxed cost in earlier versions.
#[test]
fn a_network_that_is_not_there_any_more_is_left_out() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let mut before = Trainer::new(1).estimator(Relax::sum());
    (0..5).try_for_each(|_| before.step(&ExpectedCost::new(&many())).map(drop))?;
    before.save(&path)?;
    let bytes = fs::read(&path).unwrap();
    assert!(parts(&bytes).0.contains("network.before"));
    fs::write(&path, altered(&bytes, "relax-sum", "relax")).unwrap();
    let mut after = Trainer::new(1);
    after.resume(&path)?;
    let learned = before.params().get("theta").unwrap().to_vec()?;
    assert_eq!(after.params().get("theta").unwrap().to_vec()?, learned);
    after.step(&ExpectedCost::new(&many()))?;
    assert_eq!(after.steps_taken(), 6);
    after.save(&path)?;
    assert!(!parts(&fs::read(&path).unwrap()).0.contains("network"));
    Ok(())
}

/// Other versions let other estimators race. What no race would have chosen is not taken for its winner.
#[test]
fn what_won_a_race_that_it_is_not_in_any_more_goes_on() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let goes_on = |estimator: &str, budget: usize| {
        let mut before = Trainer::new(1).estimator(by_name(estimator)?);
        (0..5).try_for_each(|_| before.step(&ExpectedCost::new(&many())).map(drop))?;
        before.save(&path)?;
        let mut after = Trainer::new(1).budget(budget);
        after.resume(&path)?;
        after.step(&ExpectedCost::new(&many()))?;
        assert_eq!(after.steps_taken(), 6);
        let entry = &after.plan().entries[0];
        assert!(
            entry.reason.starts_with("chosen before"),
            "{}",
            entry.reason
        );
        Ok::<_, Error>(entry.estimator)
    };
    assert_eq!(goes_on("relax-sum", 4)?, "relax-sum");
    // Two evaluations, four, and none that is unbiased.
    for (estimator, budget) in [("relax-sum", 1), ("arms", 1), ("straight-through", 4)] {
        let error = goes_on(estimator, budget).unwrap_err().to_string();
        assert!(error.contains(estimator), "{error}");
    }
    Ok(())
}
