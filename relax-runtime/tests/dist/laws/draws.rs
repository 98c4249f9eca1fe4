//! Draws follow their laws.

use relax_runtime::dist::{Bernoulli, Categorical, Normal, OneHotCategorical};
use relax_runtime::{Device, Result, Tensor, grad};
use statrs::distribution as reference;
use statrs::stats_tests::NaNPolicy;
use statrs::stats_tests::chisquare::chisquare;
use statrs::stats_tests::ks_test::{KSOneSampleAlternativeMethod, ks_onesample};

use super::{DRAWS, LEVEL, PROBS, assert_near, draw, draws, logit, logits, repeated, tensor};

fn assert_frequencies(what: &str, counts: &[usize], probs: &[f64]) {
    let total = counts.iter().sum::<usize>() as f64;
    let expected: Vec<f64> = probs.iter().map(|p| p * total).collect();
    let (_, p) = chisquare(counts, Some(&expected), None).unwrap();
    assert!(
        p > LEVEL,
        "{what}: counts {counts:?} for {probs:?}, p-value {p}"
    );
}

fn counted(indices: impl Iterator<Item = usize>, categories: usize) -> Vec<usize> {
    let mut counts = vec![0; categories];
    indices.for_each(|k| counts[k] += 1);
    counts
}

fn bernoulli_draws_have_their_frequencies(device: &Device) -> Result<()> {
    for p in [0.02, 0.3, 0.5, 0.97] {
        for dist in [Bernoulli::probs(p)?, Bernoulli::logits(logit(p))?] {
            let ones = draws(&dist, "host")?.into_iter().map(usize::from);
            assert_frequencies("host", &counted(ones, 2), &[1.0 - p, p]);
        }
        let by_logits = Bernoulli::logits(repeated(device, &[logit(p)], DRAWS))?;
        for dist in [Bernoulli::probs(repeated(device, &[p], DRAWS))?, by_logits] {
            let ones = draw(&dist, "tensor")?.to_vec()?;
            let ones = ones.into_iter().map(|x| x as usize);
            assert_frequencies("tensor", &counted(ones, 2), &[1.0 - p, p]);
        }
    }
    Ok(())
}

fn categorical_draws_have_their_frequencies(device: &Device) -> Result<()> {
    let hosts = [
        Categorical::probs(PROBS)?,
        Categorical::logits(logits(&PROBS))?,
    ];
    for dist in hosts {
        let counts = counted(draws(&dist, "host")?.into_iter(), 4);
        assert_frequencies("host", &counts, &PROBS);
    }
    let tensors = [
        Categorical::probs(repeated(device, &PROBS, DRAWS))?,
        Categorical::logits(repeated(device, &logits(&PROBS), DRAWS))?,
    ];
    for dist in tensors {
        let indices = draw(&dist, "tensor")?.to_vec()?;
        let counts = counted(indices.into_iter().map(|k| k as usize), 4);
        assert_frequencies("tensor", &counts, &PROBS);
    }
    Ok(())
}

fn one_hot_draws_have_their_frequencies(device: &Device) -> Result<()> {
    let position = |row: &[f64]| {
        assert_eq!(row.iter().sum::<f64>(), 1.0);
        row.iter().position(|&x| x == 1.0).unwrap()
    };
    let hosts = [
        OneHotCategorical::probs(PROBS)?,
        OneHotCategorical::logits(logits(&PROBS))?,
    ];
    for dist in hosts {
        let rows = draws(&dist, "host")?;
        let counts = counted(rows.iter().map(|row| position(row)), 4);
        assert_frequencies("host", &counts, &PROBS);
    }
    let tensors = [
        OneHotCategorical::probs(repeated(device, &PROBS, DRAWS))?,
        OneHotCategorical::logits(repeated(device, &logits(&PROBS), DRAWS))?,
    ];
    for dist in tensors {
        let values = draw(&dist, "tensor")?.to_vec()?;
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let counts = counted(values.chunks(4).map(position), 4);
        assert_frequencies("tensor", &counts, &PROBS);
    }
    Ok(())
}

fn normal_draws_follow_the_bell(device: &Device) -> Result<()> {
    let (loc, scale) = (-1.5, 0.7);
    let host = draws(&Normal::new(loc, scale)?, "host")?;
    let rows = repeated(device, &[loc], DRAWS);
    let as_f64 =
        |t: Tensor| -> Result<Vec<f64>> { Ok(t.to_vec()?.into_iter().map(f64::from).collect()) };
    let shared_scale = as_f64(draw(&Normal::new(&rows, scale)?, "tensor")?)?;
    let shared_loc = Normal::new(loc, repeated(device, &[scale], DRAWS))?;
    let shared_loc = as_f64(draw(&shared_loc, "tensor")?)?;
    let law = reference::Normal::new(loc, scale).unwrap();
    for sample in [host, shared_scale, shared_loc] {
        let method = KSOneSampleAlternativeMethod::TwoSidedAsymptotic;
        let (_, p) = ks_onesample(sample, &law, method, NaNPolicy::Error).unwrap();
        assert!(p > LEVEL, "p-value {p}");
    }
    Ok(())
}

fn normal_draws_are_differentiable_and_discrete_ones_are_not(device: &Device) -> Result<()> {
    let (loc, scale) = (
        tensor(device, &[0.5, -1.0]).leaf(),
        tensor(device, &[2.0, 0.1]).leaf(),
    );
    let x = draw(&Normal::new(&loc, &scale)?, "x")?;
    let noise: Vec<f32> = ((&x - &loc) / &scale).to_vec()?;
    let gradients = grad(&[(&x, None)], &[&loc, &scale])?;
    assert_eq!(gradients[0].to_vec()?, [1.0, 1.0]);
    for (g, n) in gradients[1].to_vec()?.into_iter().zip(noise) {
        assert_near("by the scale", f64::from(g), f64::from(n), 1e-5);
    }
    assert!(!draw(&Bernoulli::logits(&loc)?, "b")?.is_tracked());
    assert!(!draw(&Categorical::logits(&loc)?, "k")?.is_tracked());
    assert!(!draw(&OneHotCategorical::logits(&loc)?, "h")?.is_tracked());
    Ok(())
}

on_every_engine!(
    bernoulli_draws_have_their_frequencies,
    categorical_draws_have_their_frequencies,
    one_hot_draws_have_their_frequencies,
    normal_draws_follow_the_bell,
    normal_draws_are_differentiable_and_discrete_ones_are_not
);
