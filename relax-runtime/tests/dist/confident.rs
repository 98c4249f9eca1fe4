//! Coins that are all but certain, and scales that are all but 0, on every engine.

use relax_runtime::dist::{Bernoulli, Distribution, Law, Normal};
use relax_runtime::{Device, Result, Tensor, grad};

fn assert_near(what: &str, ratio: f64) {
    assert!((ratio - 1.0).abs() < 1e-5, "{what}: off by {ratio}");
}

/// The log-mass of the side that a coin is all but certain to show, element by element, summed, and
/// as its relaxation has it; and their derivatives.
fn confident_coins_keep_their_log_masses(device: &Device) -> Result<()> {
    for l in [
        -30.0, -17.0, -15.0, -9.0, -1.0, 0.0, 2.0, 5.0, 12.0, 15.0, 17.0, 30.0_f32,
    ] {
        for value in [0.0, 1.0_f32] {
            let sign = f64::from(value * 2.0 - 1.0);
            let towards = sign * f64::from(l);
            let want = -((-towards.abs()).exp().ln_1p() + (-towards).max(0.0));
            let score = sign / (1.0 + towards.exp());
            for len in [1, 2, 40] {
                let logits = Tensor::full([2, len], l, device).leaf();
                let b = logits.full_like(value);
                let coin = Bernoulli::logits(&logits)?;
                let law = Distribution::law(&coin)?;
                let relaxation = law.relaxation().expect("coins are relaxed");
                let weight = Tensor::full([2], 1.0 / len as f32, device);
                for (name, y, weight) in [
                    ("elements", Law::log_density(&coin, &b), None),
                    ("sums", law.log_density_from(&b, 1), Some(&weight)),
                    ("relaxation", relaxation.log_mass(&logits, &b), None),
                ] {
                    let scale = if weight.is_some() { len as f64 } else { 1.0 };
                    for found in y.to_vec()? {
                        assert_near(name, f64::from(found) / scale / want);
                    }
                    let by = grad(&[(&y, weight)], &[&logits])?[0].to_vec()?;
                    for found in by {
                        let found = f64::from(found) * scale;
                        assert_near(&format!("{name}, score at {l}"), found / score);
                    }
                }
                for found in relaxation.score(&logits.detach(), &b).to_vec()? {
                    assert_near("score", f64::from(found) / score);
                }
            }
        }
    }
    Ok(())
}

fn scales_below_the_normal_range_are_numbers(device: &Device) -> Result<()> {
    let tiny = Normal::new(Tensor::scalar(0.0), Tensor::scalar(1e-39))?;
    for len in [1, 100] {
        let at = Tensor::full([len], 0.0, device);
        for density in Law::log_density(&tiny, &at).to_vec()? {
            assert_near("density", f64::from(density) / 88.882_176);
        }
    }
    Ok(())
}

on_every_engine!(
    confident_coins_keep_their_log_masses,
    scales_below_the_normal_range_are_numbers
);
