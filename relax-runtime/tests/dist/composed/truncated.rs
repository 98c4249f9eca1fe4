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

/// How a support is reached has to be the same in all rows; an end beyond that of the whole law is none.
#[test]
fn rows_with_different_kinds_of_ends_have_no_bijection() -> Result<()> {
    let two = Tensor::from_slice(&[2.0, 2.0]);
    let highs = |last| Tensor::from_slice(&[1.0, last]);
    let gamma = |last| Truncated::new(Gamma::new(&two, 1.0), 0.5, highs(last))?.law();
    let student = |last| Truncated::new(StudentT::new(&two, 0.0, 1.0), -1.0, highs(last))?.law();
    for law in [gamma(f32::INFINITY)?, student(f32::INFINITY)?] {
        assert!(law.bijection().is_none(), "{law:?}");
    }
    for law in [gamma(3.0)?, student(3.0)?] {
        assert!(matches!(law.bijection(), Some(Bijection::Interval(..))));
    }
    let lows = Tensor::from_slice(&[-1.0, 0.25]);
    let law = Truncated::new(Beta::new(&two, 2.0), lows, 0.75)?.law()?;
    let bijection = law.bijection().expect("all rows lie between two ends");
    let middle = bijection.value(&two.zeros_like()).to_vec()?;
    assert_eq!(middle, [0.375, 0.5]);
    Ok(())
}

/// Laws draw in single precision, which may round an end outwards.
#[test]
fn host_ends_include_what_they_are_rounded_to() -> Result<()> {
    let law = Truncated::new(Normal::new(0.0, 1.0), 0.1, 0.3)?;
    let shaped = Truncated::new(Gamma::new(2.0, 1.0), 0.1, 0.3)?;
    let rounded = f64::from(0.3_f32);
    assert!(rounded > 0.3 && law.contains(&rounded)? && shaped.contains(&rounded)?);
    assert!(!law.contains(&0.300_001)? && !shaped.contains(&0.300_001)?);
    assert!(!shaped.contains(&0.0)? && !law.contains(&f64::NAN)?);
    Ok(())
}
