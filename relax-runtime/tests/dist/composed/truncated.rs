//! Laws of which the tails are cut off.

use super::*;

#[test]
fn an_end_may_be_missing() -> Result<()> {
    let infinite = f64::INFINITY;
    let whole = Truncated::new(Normal::new(0.3, 2.0), -infinite, infinite)?;
    let above = Truncated::new(Normal::new(0.3, 2.0), 1.0, infinite)?;
    let below = Truncated::new(Normal::new(0.3, 2.0), -infinite, 1.0)?;
    let reference = Reference::new(0.3, 2.0).unwrap();
    for x in [-3.0, 0.4, 0.99] {
        let density = log_prob(&Normal::new(0.3, 2.0)?, &x)?[0];
        assert_near("whole", log_prob(&whole, &x)?[0], density, 1e-10);
        let wanted = density - reference.cdf(1.0).ln();
        assert_near("below", log_prob(&below, &x)?[0], wanted, 1e-9);
    }
    let density = log_prob(&Normal::new(0.3, 2.0)?, &1.5)?[0];
    assert_near(
        "above",
        log_prob(&above, &1.5)?[0],
        density - reference.sf(1.0).ln(),
        1e-9,
    );
    let bijections = [&whole, &above, &below].map(|law| law.law().unwrap().bijection());
    assert!(matches!(bijections[0], Some(Bijection::Real)));
    assert!(matches!(bijections[1], Some(Bijection::Above(_))));
    assert!(matches!(bijections[2], Some(Bijection::Below(_))));
    // Derivatives stay numbers beside an end that is not there.
    let leaves = [0.3, 2.0].map(|x| Tensor::scalar(x).leaf());
    let law = Truncated::new(Normal::new(&leaves[0], &leaves[1]), 1.0, infinite)?.law()?;
    let draw = law.draw(&law.noise(&mut Key::new(1).stream("x"))?);
    let total = &draw + law.log_density(&draw);
    for slope in grad(&[(&total, None)], &[&leaves[0], &leaves[1]])? {
        assert!(slope.item()?.is_finite());
    }
    Ok(())
}

#[test]
fn far_tails_keep_their_digits() -> Result<()> {
    let law = Truncated::new(Normal::new(Tensor::scalar(0.0), 1.0), 20.0, 21.0)?;
    let draws: Vec<f32> = (0..200)
        .map(|i| law.sample(&mut Key::new(i).stream("x"))?.item())
        .collect::<Result<_>>()?;
    assert!(draws.iter().all(|x| (20.0..=21.0).contains(x)));
    let mean = draws.iter().map(|&x| f64::from(x) - 20.0).sum::<f64>() / 200.0;
    // About an exponential number of rate 20.
    assert_near("excess", mean, 0.05, 0.015);
    assert_near("mean", law.law()?.mean().item()?.into(), 20.05, 1e-3);
    refused(
        Truncated::new(Normal::new(0.0, 1.0), 50.0, 51.0),
        &[
            "low is 50.0, and high 51.0",
            "no probability is left",
            "move them",
        ],
    );
    refused(
        Truncated::new(Normal::new(0.0, 1.0), 1.0, 1.0),
        &[
            "low is 1.0, and high 1.0",
            "not above `low`",
            "the smaller end first",
        ],
    );
    refused(
        Truncated::new(Normal::new(0.0, 1.0), f64::NAN, 1.0),
        &["Truncated", "low", "NaN"],
    );
    refused(
        Truncated::new(Normal::new(0.0, -1.0), 0.0, 1.0),
        &["Normal", "scale"],
    );
    refused(
        Truncated::new(Normal::new(0.0, 1.0), -1.0, 1.0)?.log_prob(&1.5),
        &["1.5", "between its ends"],
    );
    Ok(())
}

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

/// Laws of positive numbers between two ends, beside densities and distribution functions of a reference.
#[test]
fn positive_numbers_are_cut_off() -> Result<()> {
    use statrs::distribution::{Continuous, Exp, LogNormal as LogNormalReference};
    let check =
        |law: &dyn Fn(f64) -> Result<f64>, low: f64, high: f64, cdf: &dyn Fn(f64) -> f64| {
            for x in [low + 0.1 * (high - low), 0.5 * (low + high), high - 1e-3] {
                let slope = (cdf(x + 1e-5) - cdf(x - 1e-5)) / 2e-5;
                let wanted = (slope / (cdf(high) - cdf(low))).ln();
                assert_near("density", law(x)?, wanted, 1e-5);
            }
            Ok::<_, relax_runtime::Error>(())
        };
    let exp = Exp::new(1.7).unwrap();
    let law = Truncated::new(Exponential::new(1.7), 0.4, 2.0)?;
    check(&|x| Ok(log_prob(&law, &x)?[0]), 0.4, 2.0, &|x| exp.cdf(x))?;
    let below = Truncated::new(Exponential::new(1.7), -1.0, 2.0)?;
    let wanted = exp.ln_pdf(0.5) - exp.cdf(2.0).ln();
    assert_near("from 0", log_prob(&below, &0.5)?[0], wanted, 1e-9);
    refused(below.log_prob(&-0.5), &["Truncated", "-0.5"]);
    let normal = Reference::new(0.0, 1.3).unwrap();
    let law = Truncated::new(HalfNormal::new(1.3), 0.2, 1.5)?;
    check(&|x| Ok(log_prob(&law, &x)?[0]), 0.2, 1.5, &|x| {
        normal.cdf(x)
    })?;
    let reference = LogNormalReference::new(0.4, 0.8).unwrap();
    let (low, high) = (0.5, 3.0);
    let host = Truncated::new(LogNormal::new(0.4, 0.8), low, high)?;
    check(&|x| Ok(log_prob(&host, &x)?[0]), low, high, &|x| {
        reference.cdf(x)
    })?;
    let tensors = Truncated::new(LogNormal::new(Tensor::scalar(0.4), 0.8), low, high)?;
    let found = log_prob(&tensors, &Tensor::scalar(1.2))?[0];
    assert_near("tensors", found, log_prob(&host, &1.2)?[0], 1e-5);
    let law = tensors.law()?;
    let (mut stream, mut mean) = (Key::new(4).stream("x"), 0.0);
    for _ in 0..DRAWS {
        let draw = law.draw(&law.noise(&mut stream)?);
        assert!(tensors.contains(&draw)?);
        mean += f64::from(draw.item()?) / DRAWS as f64;
    }
    assert_near("mean", law.mean().item()?.into(), mean, 0.01);
    assert!(matches!(law.bijection(), Some(Bijection::Interval(..))));
    let open = Truncated::new(LogNormal::new(0.4, 0.8), 0.0, f64::INFINITY)?;
    assert_near(
        "whole",
        log_prob(&open, &1.2)?[0],
        reference.ln_pdf(1.2),
        1e-9,
    );
    refused(host.log_prob(&0.1), &["Truncated", "0.1"]);
    differences("log-normal", &[&[0.4], &[0.8], &[1.2]], |x| {
        let law = Truncated::new(LogNormal::new(&x[0], &x[1]), low, high)?.law()?;
        let draw = law.draw(&Tensor::from_slice(&[0.3]));
        Ok(law.log_density(&x[2]) + draw + law.mean())
    })
}

/// Laws with shapes between two ends, of which one may be missing.
#[test]
fn laws_with_shapes_are_cut_off() -> Result<()> {
    use statrs::distribution::StudentsT;
    use statrs::distribution::{Beta as BetaReference, Continuous, Gamma as GammaReference};
    let infinite = f64::INFINITY;
    let above = Truncated::new(Gamma::new(2.5, 2.0), 1.5, infinite)?;
    let reference = GammaReference::new(2.5, 2.0).unwrap();
    let wanted = reference.ln_pdf(3.0) - reference.sf(1.5).ln();
    assert_near("gamma", log_prob(&above, &3.0)?[0], wanted, 1e-9);
    assert!(matches!(
        above.law()?.bijection(),
        Some(Bijection::Above(_))
    ));
    let below = Truncated::new(Gamma::new(2.5, 2.0), -1.0, 1.5)?;
    let wanted = reference.ln_pdf(0.7) - reference.cdf(1.5).ln();
    assert_near("gamma below", log_prob(&below, &0.7)?[0], wanted, 1e-9);
    refused(below.log_prob(&-0.5), &["Truncated", "-0.5"]);
    let share = Truncated::new(Beta::new(2.0, 3.0), 0.5, 7.0)?;
    let reference = BetaReference::new(2.0, 3.0).unwrap();
    let wanted = reference.ln_pdf(0.6) - reference.sf(0.5).ln();
    assert_near("beta", log_prob(&share, &0.6)?[0], wanted, 1e-9);
    let far = Truncated::new(StudentT::new(4.0, 0.0, 1.0), 30.0, infinite)?;
    let reference = StudentsT::new(0.0, 1.0, 4.0).unwrap();
    let wanted = reference.ln_pdf(31.0) - reference.cdf(-30.0).ln();
    assert_near("student", log_prob(&far, &31.0)?[0], wanted, 1e-8);
    let mut stream = Key::new(2).stream("x");
    for _ in 0..200 {
        assert!(far.sample(&mut stream)? >= 30.0);
        assert!((0.5..=1.0).contains(&share.sample(&mut stream)?));
    }
    for law in [above.law()?, below.law()?, share.law()?, far.law()?] {
        let guide = law.mean_field();
        let guide = guide.law(&guide.first_values()?)?;
        let draw = guide.draw(&guide.noise(&mut stream)?);
        assert!(law.log_density(&draw).item()?.is_finite(), "{law:?}");
    }
    refused(
        Truncated::new(Beta::new(2.0, 3.0), 1.0, 2.0),
        &["Truncated", "no probability"],
    );
    differences("shapes", &[&[2.5], &[1.4], &[0.9]], |x| {
        let law = Truncated::new(Gamma::new(&x[0], &x[1]), 0.5, 2.0)?.law()?;
        let draw = law.draw(&Tensor::from_slice(&[0.3]));
        Ok(law.log_density(&x[2]) + draw + law.mean())
    })
}

/// Checks that draws of a law lie in it, and have finite densities.
fn has_its_draws(law: &dyn Law, contains: impl Fn(&Tensor) -> Result<bool>) -> Result<()> {
    let mut stream = Key::new(3).stream("x");
    for _ in 0..DRAWS / 10 {
        let draw = law.draw(&law.noise(&mut stream)?);
        assert!(contains(&draw)?, "{draw:?}");
        let density = law.log_density(&draw).to_vec()?;
        assert!(
            density.iter().all(|x| x.is_finite()),
            "{draw:?} {density:?}"
        );
    }
    Ok(())
}

/// Where a whole law has infinite densities, and what is beyond it, are no values of what is left of it.
#[test]
fn open_ends_of_laws_are_left_out() -> Result<()> {
    let shape = Tensor::full([5], 0.05, &Device::cpu());
    let gamma = Truncated::new(Gamma::new(&shape, 1.0), 0.0, 1.0)?;
    has_its_draws(&*gamma.law()?, |draw| gamma.contains(draw))?;
    let wide = Truncated::new(Gamma::new(&shape, 1e-8), 0.0, 1e8)?;
    has_its_draws(&*wide.law()?, |draw| wide.contains(draw))?;
    let halves = Tensor::full([5], 0.5, &Device::cpu());
    let beta = Truncated::new(Beta::new(&halves, 0.5), 0.5, 1.0)?;
    has_its_draws(&*beta.law()?, |draw| beta.contains(draw))?;
    let narrow = Truncated::new(Beta::new(&halves, 0.02), 0.5, f64::INFINITY)?;
    has_its_draws(&*narrow.law()?, |draw| narrow.contains(draw))?;
    let host = Truncated::new(Gamma::new(2.0, 1.0), 0.0, 5.0)?;
    refused(host.log_prob(&0.0), &["Truncated", "between its ends"]);
    let tensors = Truncated::new(Gamma::new(Tensor::scalar(2.0), 1.0), 0.0, 5.0)?;
    let found = tensors.log_prob(&Tensor::scalar(0.0));
    refused(found, &["Truncated", "between its ends"]);
    for end in [0.0, 1.0] {
        let whole = Truncated::new(Beta::new(2.0, 0.5), 0.0, 1.0)?;
        refused(whole.log_prob(&end), &["Truncated", "between its ends"]);
    }
    // An end within the whole law belongs to what is left.
    assert!(host.contains(&5.0)?);
    assert!(tensors.contains(&Tensor::scalar(5.0))?);
    Ok(())
}

/// A guide has somewhere to start where the law has no mean.
#[test]
fn truncated_laws_without_a_mean_have_guides() -> Result<()> {
    for (df, scale) in [(1.0, 1.0), (0.7, 3.0), (3.0, 3.0)] {
        let law = Truncated::new(StudentT::new(df, 0.0, scale), 0.0, f64::INFINITY)?.law()?;
        let mean = law.mean().item()?;
        assert_eq!(mean.is_finite(), df > 1.0, "{df} {scale}: {mean}");
        let guide = law.mean_field();
        let guide = guide.law(&guide.first_values()?)?;
        has_its_draws(&*guide, |draw| Ok(draw.item()? >= 0.0))?;
        let draw = guide.draw(&guide.noise(&mut Key::new(1).stream("x"))?);
        assert!(law.log_density(&draw).item()?.is_finite());
    }
    // The median of a row without a mean beside the mean of another.
    let df = Tensor::from_slice(&[1.0, 5.0]);
    let law = Truncated::new(StudentT::new(&df, 0.0, 1.0), 0.0, f64::INFINITY)?.law()?;
    let first = law.mean_field().first_values()?[0].to_vec()?;
    let means = law.mean().to_vec()?;
    assert_near("median", first[0].into(), 1.0, 1e-5);
    assert_near("mean", first[1].into(), means[1].into(), 1e-5);
    Ok(())
}

/// Ends so far that no draw comes near take no digits away.
#[test]
fn far_ends_cost_draws_no_digits() -> Result<()> {
    const DRAWS: usize = 20_000;
    for (low, high) in [(-1e6, 1e6), (-1e6, f64::INFINITY), (-1e9, 1e7)] {
        let normal = Normal::new(Tensor::full([DRAWS], 0.0, &Device::cpu()), 1.0)?;
        let law = Truncated::new(normal, low, high)?.law()?;
        let draws = law.draw(&law.noise(&mut Key::new(1).stream("x"))?);
        let mut numbers = draws.to_vec()?;
        let square = numbers.iter().map(|x| x * x).sum::<f32>() / DRAWS as f32;
        assert!((square - 1.0).abs() < 0.04, "{low} {high}: {square}");
        numbers.sort_by(f32::total_cmp);
        numbers.dedup();
        assert!(numbers.len() > DRAWS * 99 / 100, "{}", numbers.len());
    }
    Ok(())
}

/// Scales so small that ends are many of them away: draws are as near to the location as its digits tell.
#[test]
fn small_scales_have_draws_with_densities() -> Result<()> {
    for scale in [1e-16_f32, 1e-9, 1e-7, 1e-5, 3e-4] {
        let loc = Tensor::full([1_000], 0.608_101_67, &Device::cpu());
        let gumbel = Gumbel::new(&loc, f64::from(scale))?;
        let law = Truncated::new(gumbel, &loc - 1.0, &loc + 3.0)?.law()?;
        let draws = law.draw(&law.noise(&mut Key::new(1).stream("x"))?);
        let densities = law.log_density(&draws).to_vec()?;
        let least = densities.iter().copied().fold(f32::INFINITY, f32::min);
        assert!(least.is_finite(), "{scale}: {least}");
    }
    Ok(())
}
