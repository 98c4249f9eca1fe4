//! Counts of which the tails are cut off.

use super::*;

/// Counts between two ends: their masses, draws and moments, over numbers and tensors.
fn cut_off(
    host: &impl Distribution<Value = usize>,
    tensors: &impl Distribution<Value = Tensor>,
    [low, high]: [usize; 2],
    mass: impl Fn(usize) -> f64,
) -> Result<()> {
    let (law, mut stream) = (tensors.law()?, Key::new(8).stream("x"));
    let total: f64 = (low..=high).map(&mass).sum();
    let mut mean = 0.0;
    for k in low..=high.min(low + 12) {
        let wanted = (mass(k) / total).ln();
        let value = Tensor::scalar(k as f32);
        assert_near("host", log_prob(host, &k)?[0], wanted, 1e-9);
        assert_near("tensors", log_prob(tensors, &value)?[0], wanted, 2e-5);
    }
    for k in low..=high {
        mean += k as f64 * mass(k) / total;
    }
    assert_near("mean", law.mean().item()?.into(), mean, 1e-4);
    let (mut own, mut of_law) = (0.0, 0.0);
    for _ in 0..DRAWS {
        let draw = host.sample(&mut stream)?;
        assert!((low..=high).contains(&draw), "{draw}");
        own += draw as f64 / DRAWS as f64;
        let draw = law.draw(&law.noise(&mut stream)?);
        assert!(tensors.contains(&draw)?);
        of_law += f64::from(draw.item()?) / DRAWS as f64;
    }
    assert_near("mean of draws", own, mean, 0.015);
    assert_near("mean of the law's draws", of_law, mean, 0.015);
    if low > 0 {
        refused(
            host.log_prob(&(low - 1)),
            &["Truncated", "between its ends"],
        );
    }
    Ok(())
}

#[test]
fn counts_are_cut_off() -> Result<()> {
    let poisson = |rate: f64| {
        move |k: usize| {
            let factorial: f64 = (1..=k).map(|i| (i as f64).ln()).sum();
            (k as f64 * rate.ln() - rate - factorial).exp()
        }
    };
    for rate in [0.01, 1.3, 9.0] {
        // Without 0.
        let host = Truncated::new(Poisson::rate(rate), 1, f64::INFINITY)?;
        let base = Poisson::rate(Tensor::scalar(rate as f32));
        let tensors = Truncated::new(base, 1, f64::INFINITY)?;
        cut_off(&host, &tensors, [1, 80], poisson(rate))?;
    }
    let host = Truncated::new(Poisson::rate(6.0), 2, 5)?;
    let tensors = Truncated::new(Poisson::rate(Tensor::scalar(6.0)), 2, 5)?;
    cut_off(&host, &tensors, [2, 5], poisson(6.0))?;
    let ways = [1.0, 5.0, 10.0, 10.0, 5.0, 1.0];
    let binomial = |k: usize| ways[k] * 0.3_f64.powi(k as i32) * 0.7_f64.powi(5 - k as i32);
    let host = Truncated::new(Binomial::probs(5, 0.3), 1, f64::INFINITY)?;
    let tensors = Truncated::new(Binomial::probs(5, Tensor::scalar(0.3)), 1, 5)?;
    cut_off(&host, &tensors, [1, 5], binomial)?;
    differences("cut off", &[&[0.3, 1.5]], |x| {
        let law = Truncated::new(Poisson::log_rate(&x[0]), 1, f64::INFINITY)?.law()?;
        let both = Truncated::new(Poisson::log_rate(&x[0]), 2, 6)?.law()?;
        let values = Tensor::from_slice(&[2.0, 5.0]);
        Ok(law.log_density(&values) + both.log_density(&values) + law.mean() * both.mean())
    })?;
    let whole = Poisson::rate(2.0);
    refused(
        Truncated::new(whole.clone(), 0.5, 3),
        &["Truncated", "low", "whole"],
    );
    refused(
        Truncated::new(whole.clone(), 4, 3),
        &["Truncated", "low is 4", "the smaller end first"],
    );
    refused(
        Truncated::new(Poisson::rate(1e-9), 60, 70),
        &["Truncated", "no probability"],
    );
    refused(
        Truncated::new(whole, 5_000, f64::INFINITY),
        &["Truncated", "too many"],
    );
    Ok(())
}

/// The sum over what is left of Poisson counts from `low` on, in double precision: ln P, mean and variance.
fn left_of_poisson(rate: f64, low: usize) -> [f64; 3] {
    let ln_factorial = |k: usize| (1..=k).map(|i| (i as f64).ln()).sum::<f64>();
    let mass = |k: usize| (k as f64 * rate.ln() - rate - ln_factorial(k)).exp();
    let sum =
        |f: &dyn Fn(f64) -> f64| -> f64 { (low..low + 100).map(|k| mass(k) * f(k as f64)).sum() };
    let (all, mean) = (sum(&|_| 1.0), sum(&|k| k) / sum(&|_| 1.0));
    [all.ln(), mean, sum(&|k| (k - mean).powi(2)) / all]
}

/// Where nearly all is cut off, densities and means of tensors are those of double precision.
#[test]
fn counts_of_which_little_is_left_keep_their_digits() -> Result<()> {
    use statrs::function::factorial::ln_factorial;
    let infinite = f64::INFINITY;
    for low in [3, 12, 20, 40] {
        let ln_density = |rate: f64, k: u64| {
            let ln_mass = k as f64 * rate.ln() - rate - ln_factorial(k);
            ln_mass - left_of_poisson(rate, low)[0]
        };
        let k = low as u64 + 1;
        let wanted = ln_density(2.0, k);
        let [_, mean, variance] = left_of_poisson(2.0, low);
        let host = Truncated::new(Poisson::rate(2.0), low, infinite)?;
        assert_near("host", log_prob(&host, &(k as usize))?[0], wanted, 1e-9);
        // Beside a row of which hardly anything is cut off.
        let rates = Tensor::from_slice(&[2.0, 60.0]);
        let both = Truncated::new(Poisson::rate(rates), low, infinite)?;
        let found = log_prob(&both, &Tensor::from_slice(&[k as f32, k as f32]))?;
        assert_near("first row", found[0], wanted, 1e-5);
        assert_near("second row", found[1], ln_density(60.0, k), 1e-4);
        let rate = Tensor::scalar(2.0).leaf();
        let one = || Truncated::new(Poisson::rate(&rate), low, infinite)?.law();
        for law in [host.law()?, one()?] {
            let found = law.log_density(&Tensor::scalar(k as f32)).item()?;
            assert_near("law", found.into(), wanted, 1e-5);
            assert_near("mean", law.mean().item()?.into(), mean, 1e-5);
            let relaxation = law.relaxation().expect("counts have one");
            let found = relaxation.variance(&law.parameters()[0]).item()?;
            assert_near("variance", found.into(), variance, 1e-4);
        }
        let density = one()?.log_density(&Tensor::scalar(k as f32));
        let moved = |f: &dyn Fn(f64) -> f64| (f(2.0 + 1e-5) - f(2.0 - 1e-5)) / 2e-5;
        let slope =
            |of: &Tensor| -> Result<f64> { Ok(grad(&[(of, None)], &[&rate])?[0].item()?.into()) };
        let wanted = moved(&|rate| ln_density(rate, k));
        assert_near("slope", slope(&density)?, wanted, 1e-4);
        let wanted = moved(&|rate| left_of_poisson(rate, low)[1]);
        assert_near("slope of the mean", slope(&one()?.mean())?, wanted, 1e-3);
        let mut stream = Key::new(1).stream("x");
        let draws = (0..4000).map(|_| host.sample(&mut stream).map(|k| k as f64));
        let draws = draws.collect::<Result<Vec<_>>>()?;
        let own = draws.iter().sum::<f64>() / draws.len() as f64;
        let error = (variance / draws.len() as f64).sqrt();
        assert!((own - mean).abs() < 5.0 * error, "{own} {mean}");
    }
    differences("rows", &[&[0.7, 4.1]], |x| {
        let law = Truncated::new(Poisson::log_rate(&x[0]), 12, infinite)?.law()?;
        Ok(law.log_density(&Tensor::from_slice(&[13.0, 40.0])) + law.mean() * 0.1)
    })?;
    // Trials that end before the values that other rows sum over.
    let trials = Tensor::from_slice(&[10.0, 30.0]);
    let law = Truncated::new(Binomial::probs(trials, Tensor::scalar(0.1)), 10, infinite)?.law()?;
    let found = law
        .log_density(&Tensor::from_slice(&[10.0, 11.0]))
        .to_vec()?;
    let mass = |k: u64| {
        let ways = ln_factorial(30) - ln_factorial(k) - ln_factorial(30 - k);
        ways + k as f64 * 0.1_f64.ln() + (30 - k) as f64 * 0.9_f64.ln()
    };
    let all: f64 = (10..=30).map(|k| mass(k).exp()).sum();
    assert_near("all is left at one", found[0].into(), 0.0, 1e-5);
    assert_near("of 30", found[1].into(), mass(11) - all.ln(), 1e-5);
    Ok(())
}

/// Mean and variance of Poisson counts from `low` to `high`, by the ratio of neighbouring masses, λ/(k + 1), and about
/// the mean.
fn between_of_poisson(rate: f64, low: usize, high: usize) -> [f64; 2] {
    let next = |(k, share): &(usize, f64)| Some((k + 1, share * rate / (*k as f64 + 1.0)));
    let shares = std::iter::successors(Some((low, 1.0)), next).take(high - low + 1);
    let shares: Vec<(f64, f64)> = shares.map(|(k, share)| ((k - low) as f64, share)).collect();
    let sum = |f: &dyn Fn(f64) -> f64| -> f64 { shares.iter().map(|(k, p)| p * f(*k)).sum() };
    let (all, mean) = (sum(&|_| 1.0), sum(&|k| k) / sum(&|_| 1.0));
    [low as f64 + mean, sum(&|k| (k - mean).powi(2)) / all]
}

/// Few large counts have a variance that is nothing beside their squares.
#[test]
fn variances_of_large_counts_keep_their_digits() -> Result<()> {
    // The last has no end above, and 370 of its 900 in a thousand are cut off.
    for (rate, low, high) in [
        (1e4, 9_990, 10_010),
        (1e6, 1_000_000, 1_000_003),
        (50.0, 40, 45),
        (900.0, 890, usize::MAX),
    ] {
        let (last, end) = match high {
            usize::MAX => (low + 1_000, f64::INFINITY),
            _ => (high, high as f64),
        };
        let theta = Tensor::from_slice(&[f64::ln(rate) as f32]).leaf();
        // As single precision has it.
        let rate = f64::from(theta.to_vec()?[0]).exp();
        let [mean, variance] = between_of_poisson(rate, low, last);
        let law = Truncated::new(Poisson::log_rate(&theta), low, end)?.law()?;
        let relaxation = law.relaxation().expect("counts have one");
        let found = relaxation.variance(&theta);
        assert_near("variance", found.to_vec()?[0].into(), variance, 1e-4);
        assert_near("mean", law.mean().to_vec()?[0].into(), mean, 1e-6);
        let slope = grad(&[(&found, None)], &[&theta])?[0].to_vec()?[0];
        let moved = |by: f64| between_of_poisson(rate * by.exp(), low, last)[1];
        let wanted = (moved(1e-4) - moved(-1e-4)) / 2e-4;
        // Of the size of a third moment.
        let scale = variance.powf(1.5);
        assert_near("slope", f64::from(slope) / scale, wanted / scale, 1e-3);
    }
    Ok(())
}

#[test]
fn ends_of_counts_are_whole_numbers() -> Result<()> {
    for low in [f64::NAN, -1.0, -0.5, f64::INFINITY] {
        let law = Truncated::new(Poisson::rate(2.0), low, f64::INFINITY);
        refused(law, &["Truncated", "low", "whole"]);
    }
    for high in [f64::NAN, -1.0, 2.5, -f64::INFINITY] {
        let law = Truncated::new(Poisson::rate(2.0), 1.0, high);
        refused(law, &["Truncated", "high", "whole"]);
    }
    Truncated::new(Poisson::rate(2.0), -f64::INFINITY, 3.0).map(drop)
}

/// An end so far below that the mass there is 0 in f64 cuts nothing off.
#[test]
fn ends_far_from_counts_cut_nothing_off() -> Result<()> {
    let infinite = f64::INFINITY;
    let host = Truncated::new(BetaBinomial::new(1e3, 1e3, 2_000), 1, infinite)?;
    let shape = Tensor::scalar(1e3);
    let tensors = Truncated::new(BetaBinomial::new(&shape, &shape, 2_000), 1, infinite)?;
    for (k, wanted) in [(1_000, -4.373_003_672_7), (930, -6.823_444_570_5)] {
        assert_near("host", log_prob(&host, &k)?[0], wanted, 1e-9);
        let value = Tensor::scalar(k as f32);
        assert_near("tensors", log_prob(&tensors, &value)?[0], wanted, 1e-5);
    }
    assert_near("mean", host.law()?.mean().item()?.into(), 1_000.0, 1e-5);
    let mut stream = Key::new(6).stream("x");
    for _ in 0..200 {
        assert!((700..1_300).contains(&host.sample(&mut stream)?));
    }
    Ok(())
}

/// Tables need an axis of their own beside those of rows and of what is summed: of many axes none is left.
#[test]
fn tables_of_many_axes_are_cut_off() -> Result<()> {
    let device = Device::cpu();
    let low = Tensor::zeros([2, 2, 2], &device);
    let law = Truncated::new(DiscreteUniform::new(&low, 9)?, 2, 5)?;
    let value = Tensor::full([2, 2, 2], 3.0, &device);
    for found in log_prob(&law, &value)? {
        assert_near("one of four", found, -(4.0_f64.ln()), 1e-5);
    }
    let law = law.law()?;
    for mean in law.mean().to_vec()? {
        assert_near("mean", mean.into(), 3.5, 1e-5);
    }
    let relaxation = law.relaxation().expect("counts are relaxed");
    let probabilities = relaxation.probabilities(&law.parameters()[0]).to_vec();
    if let Ok(probabilities) = probabilities {
        assert_near(
            "all",
            probabilities.iter().map(|p| f64::from(*p)).sum(),
            8.0,
            1e-4,
        );
    }
    Ok(())
}
