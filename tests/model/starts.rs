//! Where a fit starts, and that it ends no worse than one with fewer parameters.

use relax_runtime::infer::MeanFieldGuide;
use relax_runtime::prelude::*;

use crate::assert_near;

const CENTRES: [f32; 3] = [-8.0, 0.0, 8.0];

/// Three groups of numbers whose members are not known.
#[model]
fn groups(seen: &Tensor) {
    let centres = sample!(Normal(Tensor::zeros([3], &Device::cpu()), 10.0));
    plate!(seen.rows() => {
        let shares = Tensor::full([seen.rows(), 3], 1.0 / 3.0, &Device::cpu());
        let group = sample!(OneHotCategorical(probs = shares));
        observe!(Normal(group.matmul(&centres), 1.0), seen);
    })
}

fn seen() -> Tensor {
    let offsets = [-1.5, -0.9, -0.5, -0.2, 0.0, 0.2, 0.5, 0.9, 1.5];
    let all = CENTRES.iter();
    let all = all.flat_map(|centre| offsets.map(|offset| centre + offset));
    Tensor::from_slice(&all.collect::<Vec<f32>>())
}

/// From the middle of the priors two components would share one group.
#[test]
fn components_start_apart() -> Result<()> {
    let seen = seen();
    for seed in 1..=3 {
        let fit = Svi::new(&groups(&seen)).seed(seed).run()?;
        let mut centres = fit.posterior().means("centres")?;
        centres.sort_by(f64::total_cmp);
        for (found, centre) in centres.into_iter().zip(CENTRES) {
            assert_near(found, f64::from(centre), 0.1);
        }
    }
    Ok(())
}

#[model]
fn known(x: f64) {
    let level = sample!(Normal(0.0, 1.0));
    observe!(Normal(level, 1.0), x);
}

#[test]
fn fits_start_in_the_middle_where_no_place_is_better() -> Result<()> {
    let model = known(0.1);
    let mean = |starts| {
        let fit = Svi::new(&model).starts(starts).seed(1).run()?;
        fit.posterior().mean("level")
    };
    assert_eq!(mean(1)?, mean(16)?);
    let refused = Svi::new(&model).starts(0).run();
    let error = refused.expect_err("no start is none").to_string();
    assert!(error.contains("starts: is 0"), "{error}");
    Ok(())
}

/// Rows that differ in how often something happens, by effects of their own.
#[model]
fn effects(counts: &Tensor) {
    let chance = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    let spread = sample!(Uniform(Tensor::scalar(0.0), 5.0));
    plate!(counts.rows() => {
        let effect = sample!(Normal(Tensor::zeros([counts.rows()], &Device::cpu()), 1.0));
        observe!(Binomial(5, (chance.logit() + &spread * effect).sigmoid()), counts);
    })
}

/// Each row's effect follows chance and spread by slopes of its own, of which the guide without any is the one
/// where all are 0.
#[test]
fn slopes_of_many_rows_do_no_harm() -> Result<()> {
    let counts: Vec<f32> = (0..200)
        .map(|row| [0.0, 0.0, 1.0, 0.0, 3.0, 5.0, 0.0, 2.0][row % 8])
        .collect();
    let counts = Tensor::from_slice(&counts);
    let model = effects(&counts);
    let fit = |svi: Svi<'_>| svi.posterior_draws(1_000).seed(1).run();
    let alone = fit(Svi::new(&model).guide(&MeanFieldGuide))?;
    let following = fit(Svi::new(&model))?;
    let [alone, with] = [&alone, &following].map(|fit| fit.posterior().log_evidence().elbo);
    assert!(with > alone + 0.5, "{with} beside {alone} without slopes");
    // How far apart the rows are is not known exactly.
    let spread = following.posterior().sd("spread")?;
    assert!(spread > 0.15, "{spread}");
    Ok(())
}

/// A regression whose slopes are 0 but for some.
#[model]
fn spike_and_slab(x: &Tensor, y: &Tensor) {
    let (rows, slopes) = (x.shape()[0], x.shape()[1]);
    let sigma = sample!(HalfNormal(Tensor::scalar(2.0)));
    let share = sample!(Beta(Tensor::scalar(1.0), 4.0));
    let weights = plate!(slopes => {
        let on = sample!(Bernoulli(share.broadcast_to([slopes])));
        let slope = sample!(Normal(Tensor::zeros([slopes], &Device::cpu()), 2.0));
        on * slope
    });
    let mean = x.matmul(&weights.reshape([slopes, 1])).reshape([rows]);
    plate!(rows => {
        observe!(Normal(mean, sigma), y);
    });
}

/// From a draw at which the loss is low at first a coin that should be 1 stays 0. The evidence lost by that shows, and the
/// fit from the middle is better.
#[test]
fn a_start_that_leads_nowhere_is_left() -> Result<()> {
    const ROWS: usize = 100;
    const SLOPES: usize = 20;
    let noise = |i: usize| {
        let x = (i as f64 * 12.9898).sin() * 43_758.545_3;
        (x - x.floor()) as f32
    };
    let x: Vec<f32> = (0..ROWS * SLOPES).map(|i| (noise(i) - 0.5) * 3.4).collect();
    let of_row = |(number, row): (usize, &[f32])| {
        let errors = noise(number + 9_000) + noise(number + 9_500) + noise(number + 9_800);
        1.5 * row[0] - 2.0 * row[3] + 0.7 * row[7] + 2.0 * errors - 3.0
    };
    let y: Vec<f32> = x.chunks(SLOPES).enumerate().map(of_row).collect();
    let x = Tensor::from_vec(x, [ROWS, SLOPES], &Device::cpu())?;
    let y = Tensor::from_slice(&y);
    let model = spike_and_slab(&x, &y);
    let fit = Svi::new(&model).seed(7).progress(false).run()?;
    let on = fit.posterior().means("on")?;
    for (number, on) in on.into_iter().enumerate() {
        let is_on = [0, 3, 7].contains(&number);
        assert!((on > 0.5) == is_on, "{number}: {on}");
    }
    // Where four fits that started in the middle ended, within 0.04.
    let elbo = fit.posterior().log_evidence().elbo;
    assert!((-161.0..-160.3).contains(&elbo), "{elbo}");
    Ok(())
}
