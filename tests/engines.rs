//! Whole programs on every engine: the same steps as on this project's own engine.
#![cfg(feature = "dfdx")]

use relax_runtime::estimator::registry;
use relax_runtime::prelude::*;
use tempfile::TempDir;

/// The engines that are compared with this project's own.
fn devices() -> Vec<Device> {
    let gpu = Device::cuda(0).ok();
    std::iter::once(Device::dfdx()).chain(gpu).collect()
}

const LATENTS: usize = 4;
const PIXELS: usize = 9;

#[model]
fn generate(x: &Tensor, decoder: &Linear) {
    plate!(x.rows(), of = 50 => {
        let h = sample!(Bernoulli(logits = Tensor::zeros([1, LATENTS], &x.device())));
        observe!(Bernoulli(logits = decoder.forward(&h)), x);
    })
}

#[model]
fn recognise(x: &Tensor, encoder: &Linear) {
    plate!(x.rows(), of = 50 => {
        let h = sample!(Bernoulli(logits = encoder.forward(x)));
    })
}

/// Losses of an autoencoder's first steps, by all estimators that the site takes.
fn autoencoder(device: &Device) -> Result<Vec<(String, Vec<f64>)>> {
    let x = Key::new(3).stream("data").uniforms([6, PIXELS], device)?;
    let x = x.gt(0.6);
    let mut all = Vec::new();
    for estimator in registry() {
        let mut stream = Key::new(2).stream("weights");
        let encoder = Linear::new(PIXELS, LATENTS, &mut stream, device)?.named("encoder");
        let decoder = Linear::new(LATENTS, PIXELS, &mut stream, device)?.named("decoder");
        let (model, guide) = (generate(&x, &decoder), recognise(&x, &encoder));
        let name = estimator.name().to_owned();
        let mut trainer = Trainer::new(4)
            .estimator(estimator)
            .optimizer(Adam::new(0.02))
            .layers([encoder.parameters(), decoder.parameters()].concat());
        let objective = Elbo::new(&model).guide(&guide);
        let losses = (0..8).map(|_| Ok(trainer.step(&objective)?.loss));
        // An error is that of a setting which the estimator does not fit.
        let losses = losses.collect::<Result<Vec<f64>>>();
        for parameter in encoder.parameters() {
            assert_eq!(parameter.get().device(), *device, "{name}");
        }
        all.push((name, losses.unwrap_or_default()));
    }
    Ok(all)
}

fn assert_same(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
        let near = (found - expected).abs() < 1e-3 * (1.0 + expected.abs());
        assert!(near, "{what}, step {step}: {found}, not {expected}");
    }
}

#[test]
fn an_autoencoder_trains_alike_by_all_estimators() -> Result<()> {
    let expected = autoencoder(&Device::cpu())?;
    assert!(
        expected
            .iter()
            .filter(|(_, losses)| losses.len() == 8)
            .count()
            > 12
    );
    for device in devices() {
        for ((name, found), (_, expected)) in autoencoder(&device)?.iter().zip(&expected) {
            assert_same(&format!("{name} on {device}"), found, expected);
        }
    }
    Ok(())
}

/// Numbers of the program's own beside data on a device, and the automatic guide.
#[model]
fn numbers(x: &Tensor) {
    let width = param!(0.3);
    let shift = param!(Tensor::zeros([3], &x.device()));
    let mu = sample!(Normal(x * 0.0, 1.0));
    let side = sample!(Bernoulli(logits = x * 0.5));
    observe!(Normal(&mu + &shift + &side, width.exp()), x);
    observe!(Normal(mu.sum_all(), 1.0), 0.5, name = "total");
    observe!(Bernoulli(logits = mu.sum_all()), true, name = "sign");
    observe!(Categorical(logits = &mu), 1, name = "largest");
}

fn data(device: &Device) -> Result<Tensor> {
    Tensor::from_vec(vec![1.0, 0.3, -0.7], [3], device)
}

/// Losses, stopped and resumed half way.
fn fit(device: &Device, stops: bool) -> Result<(Vec<f64>, Trainer)> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("half");
    let x = data(device)?;
    let model = numbers(&x);
    let objective = Elbo::new(&model);
    let mut trainer = Trainer::new(3);
    let mut losses = Vec::new();
    for step in 0..12 {
        if stops && step == 6 {
            trainer.save(&path)?;
            trainer = Trainer::new(3);
            trainer.resume(&path)?;
        }
        losses.push(trainer.step(&objective)?.loss);
    }
    Ok((losses, trainer))
}

#[test]
fn numbers_and_guides_go_where_the_data_are() -> Result<()> {
    let (expected, _) = fit(&Device::cpu(), false)?;
    for device in devices() {
        let (losses, _) = fit(&device, false)?;
        assert_same(&format!("on {device}"), &losses, &expected);
        let (resumed, trainer) = fit(&device, true)?;
        assert_same(&format!("resumed on {device}"), &resumed, &losses);
        for (name, parameter) in trainer.params().all() {
            // Numbers stay numbers, which follow.
            let follows = name == "width";
            let wanted = if follows {
                Device::cpu()
            } else {
                device.clone()
            };
            assert_eq!(parameter.get().device(), wanted, "{name}");
        }
    }
    Ok(())
}

#[test]
fn gradients_are_unbiased_on_every_engine() -> Result<()> {
    for device in devices() {
        let x = data(&device)?;
        let table = relax_runtime::infer::check_unbiased_with(&numbers(&x), |check| {
            check.draws(400).reference_draws(400).warm_up(10)
        })?;
        table.verdict()?;
    }
    Ok(())
}

/// Parameters of host numbers go where the data are, before or after they met draws of their own.
#[test]
fn parameters_of_host_numbers_follow_the_data() -> Result<()> {
    #[model]
    fn shifted(x: &Tensor) {
        let logits = param!([0.5, -0.5, 0.0]);
        let scale = param!([1.0, 2.0, 0.5], positive);
        let b = sample!(Bernoulli(logits = &logits));
        observe!(Normal(&b * 2.0, &scale), x);
        let slope = param!(0.25);
        observe!(Normal(slope * x, 1.0), x * 2.0);
    }
    let fit = |device: &Device| -> Result<(Vec<f64>, ParamStore)> {
        let x = data(device)?;
        let model = shifted(&x);
        let mut trainer = Trainer::new(4).optimizer(Adam::new(0.02));
        let objective = Elbo::new(&model);
        let losses = (0..5).map(|_| Ok(trainer.step(&objective)?.loss));
        Ok((losses.collect::<Result<_>>()?, trainer.params().clone()))
    };
    let (expected, _) = fit(&Device::cpu())?;
    for device in devices() {
        let (found, params) = fit(&device)?;
        assert_same(&format!("on {device}"), &found, &expected);
        for (name, parameter) in params.all() {
            assert_eq!(parameter.get().device(), device, "{name}");
        }
        let x = data(&device)?;
        // A checkpoint's numbers, which are read on the CPU, follow as well.
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("half");
        let model = shifted(&x);
        let objective = Elbo::new(&model);
        let mut trainer = Trainer::new(4).optimizer(Adam::new(0.02));
        (0..2).try_for_each(|_| trainer.step(&objective).map(drop))?;
        trainer.save(&path)?;
        let mut resumed = Trainer::new(4).optimizer(Adam::new(0.02));
        resumed.resume(&path)?;
        let losses = (2..5).map(|_| Ok(resumed.step(&objective)?.loss));
        let losses = losses.collect::<Result<Vec<f64>>>()?;
        assert_same(&format!("resumed on {device}"), &losses, &expected[2..]);
        let evidence = exact_posterior(&shifted(&x))?.log_evidence;
        assert!(evidence.is_finite());
        let run = Simulation::seeded(1).run(&shifted(&x))?;
        assert_eq!(run.trace.get("b")?.value.to_tensor()?.device(), device);
    }
    Ok(())
}

/// What an optimiser averages stays where the parameters are.
#[test]
fn averages_are_the_same() -> Result<()> {
    #[model]
    fn line(x: &Tensor) {
        let slope = param!([0.5, -0.5, 0.0]);
        cost!((&slope * x - x * 2.0).square().sum_all());
    }
    let fit = |device: &Device| -> Result<Vec<f64>> {
        let x = data(device)?;
        let model = line(&x);
        let training = Minimize::new(&model).optimizer(Averaged::of(Adam::new(0.05)));
        let slope = training.steps(50).run()?.param("slope")?;
        Ok(slope.into_iter().map(f64::from).collect())
    };
    let expected = fit(&Device::cpu())?;
    for device in devices() {
        assert_same(&format!("on {device}"), &fit(&device)?, &expected);
    }
    Ok(())
}

/// The numbers that a guide follows are measured where the data are, and a saved fit's go there.
#[test]
fn whole_fits_follow_numbers_where_the_data_are() -> Result<()> {
    #[model]
    fn lines(x: &Tensor) {
        let level = sample!(Normal(x * 0.0, 1.0));
        let width = sample!(HalfNormal(x * 0.0 + 1.0));
        observe!(Normal(&level, &width + 0.1), x);
        observe!(Normal(level.sum_all(), 0.1), 1.0, name = "total");
    }
    let fit = |device: &Device| -> Result<(Vec<f64>, u64)> {
        let x = data(device)?;
        let model = lines(&x);
        // Chains, which are asked on the CPU alone, would tell the two apart.
        let svi = || Svi::new(&model).seed(2).hmc(false).progress(false);
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("fit");
        let fit = svi().run()?;
        fit.save(&path)?;
        let loaded = svi().load(&path)?;
        let means = fit.posterior().means("width")?;
        assert_eq!(loaded.posterior().means("width")?, means);
        svi().steps(3).resume(&path)?.run()?;
        Ok((means, fit.trainer().steps_taken()))
    };
    let (expected, _) = fit(&Device::cpu())?;
    for device in devices() {
        let (found, steps) = fit(&device)?;
        assert!(steps > 200, "{steps}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 0.05, "{found}, not {expected}");
        }
    }
    Ok(())
}

#[test]
fn data_elsewhere_are_refused_by_both_names() -> Result<()> {
    let (here, there) = (data(&Device::cpu())?, data(&Device::dfdx())?);
    #[model]
    fn mixed(loc: &Tensor, x: &Tensor) {
        observe!(Normal(loc, 1.0), x);
    }
    let refused = Svi::new(&mixed(&there, &here))
        .steps(1)
        .progress(false)
        .run();
    let refused = refused.map(|_| ()).unwrap_err().to_string();
    assert!(
        refused.contains("dfdx") && refused.contains("cpu"),
        "{refused}"
    );
    Ok(())
}
