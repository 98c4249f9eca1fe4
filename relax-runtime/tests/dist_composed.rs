//! Laws made of other laws: truncated ones, mixtures, multinomial counts, and what is certain.

use relax_runtime::dist::{
    Bernoulli, Beta, BetaBinomial, Bijection, Binomial, Categorical, Delta, Distribution,
    Exponential, Form, Gamma, HalfNormal, Law, LogNormal, Mixture, Multinomial, MultivariateNormal,
    Normal, Number, Poisson, StudentT, Truncated, Uniform,
};
use relax_runtime::{Device, Key, Result, Tensor, grad};
use statrs::distribution::{ContinuousCDF, Normal as Reference};

const DRAWS: usize = 40_000;

fn numbers(density: Number) -> Result<Vec<f64>> {
    Ok(match density {
        Number::Host(x) => vec![x],
        Number::Tensor(t) => t.to_vec()?.into_iter().map(f64::from).collect(),
    })
}

fn log_prob<D: Distribution>(dist: &D, value: &D::Value) -> Result<Vec<f64>> {
    numbers(dist.log_prob(value)?)
}

fn assert_near(what: &str, found: f64, wanted: f64, tolerance: f64) {
    let error = (found - wanted).abs() / (1.0 + wanted.abs());
    assert!(error < tolerance, "{what}: {found} instead of {wanted}");
}

/// Checks that an error names its distribution and says what to do.
fn refused<T: std::fmt::Debug>(result: Result<T>, words: &[&str]) {
    let error = result.expect_err("this should have failed").to_string();
    for word in words {
        assert!(error.contains(word), "`{error}` does not say `{word}`");
    }
}

/// Derivatives of a log-density by tensors that it is computed from, beside central differences.
fn differences(
    what: &str,
    at: &[&[f32]],
    density: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    const STEP: f32 = 1e-2;
    let tensors = |at: &[Vec<f32>]| at.iter().map(|x| Tensor::from_slice(x)).collect::<Vec<_>>();
    let at: Vec<Vec<f32>> = at.iter().map(|x| x.to_vec()).collect();
    let leaves: Vec<Tensor> = tensors(&at).iter().map(Tensor::leaf).collect();
    let total = density(&leaves)?.sum_all();
    let slopes = grad(&[(&total, None)], &leaves.iter().collect::<Vec<_>>())?;
    for (k, slope) in slopes.iter().enumerate() {
        for (i, found) in slope.to_vec()?.into_iter().enumerate() {
            let moved = |by: f32| -> Result<f64> {
                let mut at = at.clone();
                at[k][i] += by;
                Ok(f64::from(density(&tensors(&at))?.sum_all().item()?))
            };
            let wanted = (moved(STEP)? - moved(-STEP)?) / f64::from(2.0 * STEP);
            assert_near(
                &format!("{what} by {k}.{i}"),
                f64::from(found),
                wanted,
                4e-3,
            );
        }
    }
    Ok(())
}

fn tensor(density: Number) -> Tensor {
    match density {
        Number::Tensor(t) => t,
        Number::Host(x) => Tensor::scalar(x as f32),
    }
}

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
        &["Truncated", "high", "no probability is left"],
    );
    refused(
        Truncated::new(Normal::new(0.0, 1.0), 1.0, 1.0),
        &["Truncated", "not above `low`"],
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
        &["Truncated", "low", "4"],
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

/// Components that broadcast over the rows of the weights have draws of their own in each, and so do guides.
#[test]
fn components_of_different_families_broadcast() -> Result<()> {
    let weights = Tensor::from_slice(&[0.9, 0.1]).broadcast_to([5, 2]);
    let [one, two] = [1.0, 2.0].map(Tensor::scalar);
    let both = (Gamma::new(&two, 1.0), LogNormal::new(&one, 1.0));
    let law = Mixture::new(weights, both)?.law()?;
    let mut stream = Key::new(7).stream("x");
    let guide = law.mean_field();
    let guide = guide.law(&guide.first_values()?)?;
    for law in [&law, &guide] {
        assert_eq!(law.draw_shape()[..], [5], "{law:?}");
        let draw = law.draw(&law.noise(&mut stream)?).to_vec()?;
        assert!(draw.iter().skip(1).all(|x| *x != draw[0]), "{draw:?}");
    }
    Ok(())
}

/// Three components over numbers, and the same over a tensor.
fn three() -> Result<(
    impl Distribution<Value = f64>,
    impl Distribution<Value = Tensor>,
)> {
    let weights = [0.2, 0.5, 0.3];
    let each = [(-2.0, 0.5), (0.5, 1.0), (3.0, 0.7)];
    let numbers = each.map(|(loc, scale)| Normal::new(loc, scale));
    let column = |f: fn((f64, f64)) -> f64| Tensor::from_slice(&each.map(|x| f(x) as f32));
    let tensors = Normal::new(column(|x| x.0), column(|x| x.1));
    Ok((
        Mixture::new(weights, numbers)?,
        Mixture::new(weights, tensors)?,
    ))
}

fn three_cdf(x: f64) -> f64 {
    let part = |w: f64, loc, scale| w * Reference::new(loc, scale).unwrap().cdf(x);
    part(0.2, -2.0, 0.5) + part(0.5, 0.5, 1.0) + part(0.3, 3.0, 0.7)
}

#[test]
fn mixtures_have_their_densities_and_draws() -> Result<()> {
    let (host, tensors) = three()?;
    for x in [-4.0, -2.0, 0.1, 2.9, 40.0] {
        let slope = (three_cdf(x + 1e-5) - three_cdf(x - 1e-5)) / 2e-5;
        let found = log_prob(&host, &x)?[0];
        let over = log_prob(&tensors, &Tensor::scalar(x as f32))?[0];
        assert_near("tensors", over, found, 1e-5);
        if slope > 1e-6 {
            assert_near("host", found, slope.ln(), 1e-4);
        }
    }
    let mut stream = Key::new(3).stream("x");
    let mut draws = (0..DRAWS)
        .map(|_| host.sample(&mut stream))
        .collect::<Result<Vec<_>>>()?;
    let mut of_law = {
        let law = tensors.law()?;
        let mut draw = |_| Ok(f64::from(law.draw(&law.noise(&mut stream)?).item()?));
        (0..DRAWS).map(&mut draw).collect::<Result<Vec<f64>>>()?
    };
    for draws in [&mut draws, &mut of_law] {
        draws.sort_by(f64::total_cmp);
        let n = DRAWS as f64;
        let steps = draws
            .iter()
            .enumerate()
            .map(|(i, &x)| (three_cdf(x) - i as f64 / n).abs());
        let distance = steps.fold(0.0, f64::max) * n.sqrt();
        assert!(distance < 2.47, "{distance}");
    }
    let mean = 0.2 * -2.0 + 0.5 * 0.5 + 0.3 * 3.0;
    assert_near("mean", host.law()?.mean().item()?.into(), mean, 1e-5);
    Ok(())
}

#[test]
fn mixtures_of_other_laws() -> Result<()> {
    // Counts, of which a row is excluded.
    let rates = Tensor::from_slice(&[1.0, 20.0, 5.0]);
    let counts = Mixture::new([0.5, 0.5, 0.0], Poisson::rate(&rates))?;
    let mass = |rate: f64| rate.ln() * 3.0 - rate - 6.0_f64.ln();
    let wanted = (0.5 * mass(1.0).exp() + 0.5 * mass(20.0).exp()).ln();
    let found = log_prob(&counts, &Tensor::scalar(3.0))?[0];
    assert_near("counts", found, wanted, 1e-5);
    assert!(counts.law()?.draws().are_discrete());
    let law = counts.law()?;
    let guide = law.mean_field();
    let near = guide
        .law(&guide.first_values()?)?
        .log_density(&Tensor::scalar(3.0));
    assert_near("their guide", near.item()?.into(), wanted, 1e-4);
    let mut stream = Key::new(1).stream("x");
    for _ in 0..50 {
        let draw = law.draw(&law.noise(&mut stream)?);
        assert!(draw.item()?.fract() == 0.0 && draw.rank() == 0);
    }
    // Vectors, in rows.
    let loc = Tensor::from_slice(&[0.0, 0.0, 3.0, 1.0]).reshape([1, 2, 2]);
    let scale = Tensor::eye(2, &Device::cpu());
    let vectors = Mixture::new([0.3, 0.7], MultivariateNormal::new(&loc, &scale))?.expand(&[4])?;
    let value = Tensor::zeros([4, 2], &Device::cpu());
    let found = log_prob(&vectors, &value)?;
    let wanted = (0.3 + 0.7 * (-5.0_f64).exp()).ln() - std::f64::consts::TAU.ln();
    assert_eq!(found.len(), 4);
    assert_near("vectors", found[2], wanted, 1e-5);
    let law = vectors.law()?;
    assert_eq!(law.draw(&law.noise(&mut stream)?).shape(), value.shape());
    assert_eq!(law.draw_shape(), value.shape());
    // Numbers with a support of their own.
    let shares = Mixture::new([0.4, 0.6], [Beta::new(2.0, 3.0), Beta::new(5.0, 1.0)])?;
    refused(shares.log_prob(&1.2), &["Mixture", "1.2"]);
    let law = shares.law()?;
    let guide = law.mean_field();
    let guide = guide.law(&guide.first_values()?)?;
    let found = guide.log_density(&Tensor::scalar(0.4)).item()?;
    assert_near("shares", found.into(), log_prob(&shares, &0.4)?[0], 1e-4);
    Ok(())
}

/// Every value's log-mass over numbers and over tensors, and that of the law.
fn same_masses(
    host: &impl Distribution<Value = usize>,
    tensors: &impl Distribution<Value = Tensor>,
    mass: impl Fn(usize) -> f64,
) -> Result<()> {
    let (host_law, law) = (host.law()?, tensors.law()?);
    for k in 0..12 {
        let (wanted, value) = (mass(k).ln(), Tensor::scalar(k as f32));
        assert_near("host", log_prob(host, &k)?[0], wanted, 1e-10);
        assert_near("tensors", log_prob(tensors, &value)?[0], wanted, 1e-5);
        for law in [&host_law, &law] {
            assert_near("law", law.log_density(&value).item()?.into(), wanted, 1e-5);
        }
    }
    let (mut stream, mut counts) = (Key::new(5).stream("x"), [[0.0; 12]; 2]);
    for _ in 0..DRAWS {
        let draws = [
            host.sample(&mut stream)?,
            law.draw(&law.noise(&mut stream)?).item()? as usize,
        ];
        for (counts, draw) in counts.iter_mut().zip(draws) {
            counts[draw.min(11)] += 1.0 / DRAWS as f64;
        }
    }
    for counts in counts {
        for (k, share) in counts.iter().enumerate().take(11) {
            assert_near("share", *share, mass(k), 0.012);
        }
    }
    Ok(())
}

#[test]
fn mixtures_of_counts() -> Result<()> {
    let poisson = |rate: f64, k: usize| {
        let factorial: f64 = (1..=k).map(|i| i as f64).product();
        rate.powi(k as i32) * (-rate).exp() / factorial
    };
    let host = Mixture::new([0.25, 0.75], [Poisson::rate(1.5), Poisson::rate(6.0)])?;
    let rates = Tensor::from_slice(&[1.5, 6.0]);
    let tensors = Mixture::new([0.25, 0.75], Poisson::rate(&rates))?;
    same_masses(&host, &tensors, |k| {
        0.25 * poisson(1.5, k) + 0.75 * poisson(6.0, k)
    })?;
    // Of two families, of which one has a last value.
    let host = Mixture::new([0.4, 0.6], (Binomial::probs(3, 0.5), Poisson::rate(2.0)))?;
    let parts = (
        Binomial::probs(3, Tensor::scalar(0.5)),
        Poisson::rate(Tensor::scalar(2.0)),
    );
    let tensors = Mixture::new([0.4, 0.6], parts)?;
    let ways = [1.0, 3.0, 3.0, 1.0];
    same_masses(&host, &tensors, |k| {
        0.4 * ways.get(k).map_or(0.0, |ways| ways / 8.0) + 0.6 * poisson(2.0, k)
    })?;
    refused(tensors.log_prob(&Tensor::scalar(1.5)), &["Mixture", "1.5"]);
    // Of other numbers of trials.
    let trials = [Binomial::probs(2, 0.5), Binomial::probs(9, 0.5)];
    let host = Mixture::new([0.5, 0.5], trials)?;
    let found = log_prob(&host, &2)?[0];
    assert_near(
        "trials",
        found,
        (0.5 * 0.25 + 0.5 * 36.0 / 512.0_f64).ln(),
        1e-10,
    );
    assert_near("mean", host.law()?.mean().item()?.into(), 0.5 + 2.25, 1e-5);
    let totals = Tensor::from_slice(&[2.0, 9.0]);
    let tensors = Mixture::new([0.5, 0.5], BetaBinomial::new(1.0, 1.0, &totals))?;
    let found = log_prob(&tensors, &Tensor::scalar(4.0))?[0];
    assert_near("trials of tensors", found, (0.5 * 0.1_f64).ln(), 1e-5);
    refused(tensors.log_prob(&Tensor::scalar(10.0)), &["Mixture", "10"]);
    differences("counts", &[&[0.3, -0.2], &[0.5, 1.5]], |x| {
        let mixture = Mixture::new(x[0].softmax(-1), Poisson::log_rate(&x[1]))?;
        let values = Tensor::from_slice(&[0.0, 2.0, 7.0]);
        Ok(mixture.law()?.log_density(&values))
    })
}

/// A mixture of coins is a coin, and one of categories has categories: they have their relaxations.
#[test]
fn mixtures_of_choices_are_choices() -> Result<()> {
    let shares = Tensor::from_slice(&[0.3, 0.7]);
    let coins = Bernoulli::probs(Tensor::from_slice(&[0.2, 0.6]))?;
    let law = Mixture::new(&shares, coins)?.law()?;
    assert_eq!(law.relaxation().map(|r| r.form()), Some(Form::Coins));
    assert_near("coin", law.mean().item()?.into(), 0.48, 1e-6);
    let rows = Tensor::from_slice(&[0.2, 0.3, 0.5, 0.6, 0.3, 0.1]).reshape([2, 3]);
    let law = Mixture::new(&shares, Categorical::probs(rows)?)?.law()?;
    assert_eq!(law.relaxation().map(|r| r.form()), Some(Form::Categories));
    for (found, wanted) in law.mean().to_vec()?.into_iter().zip([0.48, 0.3, 0.22]) {
        assert_near("category", found.into(), wanted, 1e-6);
    }
    Ok(())
}

#[test]
fn mixtures_of_different_families() -> Result<()> {
    let parts = (Normal::new(0.0, 1.0), StudentT::new(3.0, 2.0, 0.5));
    let host = Mixture::new([0.4, 0.6], parts)?;
    let tensor = |x: f32| Tensor::from_slice(&[x]);
    let parts = (
        Normal::new(tensor(0.0), 1.0),
        StudentT::new(tensor(3.0), 2.0, 0.5),
    );
    let tensors = Mixture::new([0.4, 0.6], parts)?;
    let student = |x: f64| {
        let t: f64 = (x - 2.0) / 0.5;
        6.0 * 3.0_f64.sqrt() / (std::f64::consts::PI * (3.0 + t * t).powi(2) * 0.5)
    };
    for x in [-3.0_f64, 0.0, 1.7, 4.0] {
        let normal = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let wanted: f64 = 0.4 * normal + 0.6 * student(x);
        let value = Tensor::from_slice(&[x as f32]);
        assert_near("host", log_prob(&host, &x)?[0], wanted.ln(), 1e-10);
        assert_near("tensors", log_prob(&tensors, &value)?[0], wanted.ln(), 1e-5);
    }
    let mut stream = Key::new(5).stream("x");
    let law = tensors.law()?;
    let (mut own, mut of_law) = (0.0, 0.0);
    for _ in 0..DRAWS {
        own += host.sample(&mut stream)?.clamp(-5.0, 5.0) / DRAWS as f64;
        let draw = law.draw(&law.noise(&mut stream)?);
        of_law += f64::from(draw.item()?.clamp(-5.0, 5.0)) / DRAWS as f64;
    }
    assert_near("mean", own, 1.2, 0.02);
    assert_near("mean of the law", of_law, 1.2, 0.02);
    let guide = law.mean_field();
    let guide = guide.law(&guide.first_values()?)?;
    assert_eq!(guide.name(), "Normal");
    assert_near("guide", guide.mean().item()?.into(), 1.2, 0.01);
    let positive = (Exponential::new(2.0), Gamma::new(3.0, 1.0));
    let waits = Mixture::new([0.5, 0.5], positive)?;
    let wanted = 0.5 * 2.0 * (-2.0_f64).exp() + 0.5 * 0.5 * (-1.0_f64).exp();
    assert_near("waits", log_prob(&waits, &1.0)?[0], wanted.ln(), 1e-10);
    refused(waits.log_prob(&-1.0), &["Mixture", "-1"]);
    // In plates, and by their parameters.
    let rows = Tensor::from_slice(&[0.0, 1.0, 2.0]);
    let parts = (Normal::new(&rows, 1.0), StudentT::new(3.0, &rows, 0.5));
    let plated = Mixture::new([0.4, 0.6], parts)?.expand(&[3])?;
    let found = log_prob(&plated, &rows)?;
    assert_near("rows", found[2], found[0], 1e-5);
    differences("families", &[&[0.3, -0.2], &[0.5], &[1.5]], |x| {
        let parts = (Normal::new(&x[1], 1.0), StudentT::new(3.0, &x[2], 0.5));
        let mixture = Mixture::new(x[0].softmax(-1), parts)?;
        mixture
            .law()
            .map(|law| law.log_density(&Tensor::from_slice(&[0.7])))
    })?;
    refused(
        Mixture::new([0.5, 0.5], (Normal::new(0.0, 1.0), Gamma::new(3.0, 1.0))),
        &["Mixture", "Normal", "Gamma"],
    );
    let (two, three) = (Tensor::from_slice(&[0.0; 2]), Tensor::from_slice(&[0.0; 3]));
    let parts = (Normal::new(&two, 1.0), StudentT::new(3.0, &three, 1.0));
    refused(
        Mixture::new([0.5, 0.5], parts),
        &["Mixture", "do not broadcast"],
    );
    refused(
        Mixture::new([1.0], (Normal::new(0.0, 1.0), StudentT::new(3.0, 0.0, 1.0))),
        &["Mixture", "2, beside 1 weights"],
    );
    Ok(())
}

#[test]
fn mixtures_that_do_not_fit_are_refused() -> Result<()> {
    let two = || [Normal::new(0.0, 1.0), Normal::new(1.0, 1.0)];
    refused(
        Mixture::new([0.2, 0.3, 0.5], two()),
        &["Mixture", "2, beside 3 weights"],
    );
    refused(
        Mixture::new([0.2, 0.3], two()),
        &["Mixture", "probs", "sum to"],
    );
    let row = Normal::new(Tensor::from_slice(&[0.0, 1.0]), 1.0);
    refused(
        Mixture::new([0.2, 0.3, 0.5], row.clone()),
        &["Mixture", "axis of the components"],
    );
    let shared = Mixture::new([0.5, 0.5], row)?;
    refused(shared.expand(&[2]), &["Mixture", "reshaped to [1, K]"]);
    let wrong = [Normal::new(0.0, 1.0), Normal::new(0.0, -1.0)];
    refused(Mixture::new([0.5, 0.5], wrong), &["Normal", "scale"]);
    Ok(())
}

#[test]
fn derivatives_are_central_differences() -> Result<()> {
    differences(
        "mixture",
        &[&[0.3, -0.2], &[0.5, 1.5], &[0.7, 1.2], &[0.9]],
        |x| {
            let shares = x[0].softmax(-1);
            let mixture = Mixture::new(shares, Normal::new(&x[1], &x[2]))?;
            Ok(tensor(mixture.log_density(&x[3].reshape([]))?))
        },
    )?;
    differences("multinomial", &[&[0.3, -0.2, 0.5]], |x| {
        let counts = Tensor::from_slice(&[2.0, 0.0, 3.0]);
        Ok(Multinomial::logits(5, &x[0])?.law()?.log_density(&counts))
    })
}

#[test]
fn multinomial_counts() -> Result<()> {
    let probs = [0.5, 0.3, 0.0, 0.2];
    let host = Multinomial::probs(4, probs)?;
    let tensors = Multinomial::probs(4, Tensor::from_slice(&probs.map(|p| p as f32)))?;
    let mut total = 0.0;
    for a in 0..=4_usize {
        for b in 0..=4 - a {
            let c = 4 - a - b;
            let value = [a as f64, b as f64, 0.0, c as f64];
            let found = log_prob(&host, &value.to_vec())?[0];
            let value = Tensor::from_slice(&value.map(|x| x as f32));
            assert_near("tensors", log_prob(&tensors, &value)?[0], found, 1e-5);
            total += found.exp();
        }
    }
    assert_near("all", total, 1.0, 1e-12);
    let none = Tensor::from_slice(&[3.0, 0.0, 1.0, 0.0]);
    assert_eq!(log_prob(&tensors, &none)?, [f64::NEG_INFINITY]);
    assert_eq!(
        log_prob(&host, &vec![3.0, 0.0, 1.0, 0.0])?,
        [f64::NEG_INFINITY]
    );
    // Draws, of numbers and of rows with other totals.
    let mut stream = Key::new(2).stream("x");
    let (mut means, mut product) = ([0.0; 4], 0.0);
    for _ in 0..DRAWS {
        let draw = host.sample(&mut stream)?;
        assert!(host.contains(&draw)? && draw[2] == 0.0);
        means
            .iter_mut()
            .zip(&draw)
            .for_each(|(mean, x)| *mean += x / DRAWS as f64);
        product += draw[0] * draw[1] / DRAWS as f64;
    }
    for (mean, p) in means.iter().zip(probs) {
        assert_near("mean", *mean, 4.0 * p, 0.01);
    }
    assert_near("product", product, 4.0 * 3.0 * 0.5 * 0.3, 0.02);
    let totals = Tensor::from_slice(&[0.0, 7.0, 1000.0]);
    let rows = Multinomial::probs(&totals, Tensor::from_slice(&[0.2, 0.8]))?;
    let law = rows.law()?;
    for _ in 0..20 {
        let draw = law.draw(&law.noise(&mut stream)?);
        assert_eq!(draw.sum(-1).to_vec()?, totals.to_vec()?);
        assert!(rows.contains(&draw)?);
    }
    assert_eq!(law.mean().to_vec()?[3], 0.8 * 7.0);
    let guide = law.mean_field();
    assert_eq!(
        guide.law(&guide.first_values()?)?.draw_shape(),
        [3, 2].into()
    );
    refused(
        Multinomial::probs(3, [0.5, 0.6]),
        &["Multinomial", "sum to"],
    );
    refused(
        Multinomial::probs(Tensor::scalar(2.5), Tensor::from_slice(&[0.5, 0.5])),
        &["Multinomial", "total_count", "whole numbers"],
    );
    refused(
        Multinomial::probs(&totals, Tensor::zeros([2, 2], &Device::cpu()) + 0.5),
        &["Multinomial", "total_count", "[3]"],
    );
    refused(
        host.log_prob(&vec![1.0, 1.0, 0.0, 1.0]),
        &["Multinomial", "number of trials"],
    );
    Ok(())
}

#[test]
fn what_is_certain() -> Result<()> {
    let host = Delta::new(2.5)?;
    assert_eq!(host.sample(&mut Key::new(1).stream("x"))?, 2.5);
    assert_eq!(log_prob(&host, &2.5)?, [0.0]);
    assert_eq!(log_prob(&host, &2.4)?, [f64::NEG_INFINITY]);
    let leaf = Tensor::from_slice(&[1.0, -1.0]).leaf();
    let tensors = Delta::new(&leaf)?;
    let value = Tensor::from_slice(&[1.0, 1.0]);
    assert_eq!(log_prob(&tensors, &value)?, [0.0, f64::NEG_INFINITY]);
    let law = tensors.law()?;
    let draw = law.draw(&law.noise(&mut Key::new(1).stream("x"))?);
    assert_eq!(grad(&[(&draw, None)], &[&leaf])?[0].to_vec()?, [1.0, 1.0]);
    assert_eq!(tensors.expand(&[2])?.law()?.draw_shape(), [2].into());
    assert!(law.support_moves() && law.mean_field().parts().is_empty());
    refused(Delta::new(f64::NAN), &["Delta", "value", "finite"]);
    Ok(())
}

/// The density of what is drawn through a map is the density before, less the volume.
#[test]
fn bijections_are_one_to_one() -> Result<()> {
    let ends = [-1.0, 2.0].map(Tensor::scalar);
    let free = [-3.0, -0.4, 0.0, 0.7, 2.5];
    for map in [
        Bijection::Real,
        Bijection::Positive,
        Bijection::Above(ends[0].clone()),
        Bijection::Below(ends[1].clone()),
        Bijection::Unit,
        Bijection::Interval(ends[0].clone(), ends[1].clone()),
    ] {
        let u = Tensor::from_slice(&free).leaf();
        let x = map.value(&u);
        let slopes = grad(&[(&x, None)], &[&u])?[0].to_vec()?;
        let volumes = map.log_volume(&u.detach()).to_vec()?;
        let back = map.free(&x).to_vec()?;
        for i in 0..free.len() {
            assert_near(
                "volume",
                volumes[i].into(),
                f64::from(slopes[i].abs()).ln(),
                1e-5,
            );
            assert_near("back", back[i].into(), free[i].into(), 1e-5);
        }
    }
    // Of a simplex: the determinant of the first two numbers by the two that are free.
    let u = Tensor::from_slice(&[0.4, -0.9]).leaf();
    let row = |k| -> Result<Vec<f32>> {
        let x = Bijection::Simplex.value(&u).index(-1, k);
        grad(&[(&x, None)], &[&u])?[0].to_vec()
    };
    let (a, b) = (row(0)?, row(1)?);
    let determinant = f64::from(a[0] * b[1] - a[1] * b[0]);
    let volume = Bijection::Simplex.log_volume(&u).item()?;
    assert_near("simplex", volume.into(), determinant.ln(), 1e-5);
    let back = Bijection::Simplex
        .free(&Bijection::Simplex.value(&u))
        .to_vec()?;
    assert_near("back", back[1].into(), -0.9, 1e-5);
    // Laws say theirs.
    assert!(matches!(
        Exponential::new(1.0)?.law()?.bijection(),
        Some(Bijection::Positive)
    ));
    let uniform = Uniform::new(0.0, 2.0)?.law()?.bijection();
    assert!(matches!(uniform, Some(Bijection::Interval(..))));
    Ok(())
}
