//! Draws that are nearly 0: what many observations say of them has derivatives that f32 holds.

use relax_runtime::dist::{
    Bernoulli, Beta, Bijection, Cauchy, Dirichlet, Distribution, Gamma, Law, OneHotCategorical,
    Poisson, Truncated,
};
use relax_runtime::{Device, Key, Result, Tensor, grad};

/// Of so many draws of a shape of 1/100 half are below 1e-30, where f32 ends at 1e-38.
const DRAWS: usize = 1_000;
const OBSERVED: usize = 50;

/// The derivatives by a shape of what observations say of draws.
fn derivatives(
    law: impl Fn(&Tensor) -> Result<std::rc::Rc<dyn Law>>,
    log_mass: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Vec<f32>> {
    let shape = Tensor::full([DRAWS, 1], 0.01, &Device::cpu()).leaf();
    let law = law(&shape)?;
    let draws = law.draw(&law.noise(&mut Key::new(1).stream("x"))?);
    grad(&[(&log_mass(&draws)?, None)], &[&shape])?[0].to_vec()
}

fn expect_finite(derivatives: &[f32]) {
    assert!(derivatives.iter().all(|x| x.is_finite()));
    // The larger a shape is, the larger are its draws, which the observations ask for.
    let positive = derivatives.iter().filter(|x| **x > 0.0).count();
    assert!(positive > DRAWS / 10, "{positive} of {DRAWS}");
}

#[test]
fn probabilities() -> Result<()> {
    let ones = Tensor::ones([DRAWS, OBSERVED], &Device::cpu());
    let of_coins = |p: &Tensor| -> Result<Tensor> {
        let coins = Bernoulli::probs(p.broadcast_to([DRAWS, OBSERVED]))?;
        Ok(Law::log_density(&coins, &ones))
    };
    expect_finite(&derivatives(|a| Beta::new(a, 1.0)?.law(), of_coins)?);
    Ok(())
}

#[test]
fn shares() -> Result<()> {
    let device = Device::cpu();
    // The shape of the first share; of the others it is 1.
    let law = |a: &Tensor| {
        let others = Tensor::ones([DRAWS, 2], &device);
        Dirichlet::new(Tensor::concat(&[a, &others], 1))?.law()
    };
    let first = Tensor::from_slice(&[1.0, 0.0, 0.0]);
    let of_categories = |p: &Tensor| -> Result<Tensor> {
        let p = p.unsqueeze(1).broadcast_to([DRAWS, OBSERVED, 3]);
        let seen = first.broadcast_to([DRAWS, OBSERVED, 3]);
        OneHotCategorical::probs(p)?
            .law()
            .map(|law| law.log_density(&seen))
    };
    expect_finite(&derivatives(law, of_categories)?);
    Ok(())
}

#[test]
fn rates() -> Result<()> {
    let seen = Tensor::full([DRAWS, OBSERVED], 3.0, &Device::cpu());
    let of_counts = |rate: &Tensor| -> Result<Tensor> {
        let counts = Poisson::rate(rate.broadcast_to([DRAWS, OBSERVED]))?;
        Ok(counts.law()?.log_density(&seen))
    };
    expect_finite(&derivatives(|a| Gamma::new(a, 1.0)?.law(), of_counts)?);
    Ok(())
}

/// A law of small numbers is none of a share: half of its draws are below its median.
#[test]
fn truncated_numbers_of_a_small_scale() -> Result<()> {
    let rate = Tensor::full([DRAWS], 1e31, &Device::cpu());
    let law = Truncated::new(Gamma::new(2.0, rate)?, 0.0, 4e-31)?.law()?;
    let draws = law
        .draw(&law.noise(&mut Key::new(1).stream("x"))?)
        .to_vec()?;
    assert!(draws.iter().all(|x| (0.0..=4e-31).contains(x)));
    // P(below 1.5e-31) is (1 - 2.5 e^-1.5)/(1 - 5 e^-4).
    let below = draws.iter().filter(|x| **x < 1.5e-31).count() as f64 / DRAWS as f64;
    assert!((below - 0.4867).abs() < 0.05, "{below}");
    Ok(())
}

/// Draws of a tail, in units of the scale, may be larger than f32 holds; their densities are not 0.
#[test]
fn truncated_tails_of_a_tiny_scale() -> Result<()> {
    let scale = Tensor::full([2], 1.9e-37, &Device::cpu());
    let law = Truncated::new(Cauchy::new(-4.0, scale)?, 0.0, 1e18)?.law()?;
    let density = law
        .log_density(&Tensor::from_slice(&[1.0, 66.0]))
        .to_vec()?;
    // Far out a Cauchy's density is that of 4 / (x + 4)², above 0.
    let wanted = [(4.0_f32 / 25.0).ln(), (4.0_f32 / 4900.0).ln()];
    for (found, wanted) in density.iter().zip(wanted) {
        assert!((found - wanted).abs() < 0.2, "{found} {wanted}");
    }
    Ok(())
}

/// Where shares end for f32, what is behind them goes on: its density falls as fast as below.
#[test]
fn volumes_of_a_simplex_far_out() {
    let volume = |free: f32| {
        let free = Tensor::from_slice(&[free, 0.0]);
        Bijection::Simplex.log_volume(&free).item()
    };
    let (near, far) = (volume(-60.0), volume(-160.0));
    assert!(matches!((near, far), (Ok(near), Ok(far)) if (near - far - 100.0).abs() < 1e-3));
}
