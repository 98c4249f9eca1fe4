//! Random parameters, values and shapes for all distributions: nothing panics, host numbers and tensors agree,
//! probabilities add up to 1, draws lie in the support, and automatic guides draw what their law can.
//!
//! `RELAX_FUZZ_CASES` sets the number of cases; by default they take a few seconds.

#[path = "../support/cases.rs"]
mod cases;

use cases::config;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use relax_runtime::dist::{
    Bernoulli, BetaBinomial, Binomial, Categorical, Cauchy, Delta, Dirichlet, DiscreteUniform,
    Distribution, Exponential, Gamma, Geometric, Gumbel, Law, LogNormal, Mixture, Multinomial,
    NegativeBinomial, Normal, Number, OneHotCategorical, OrderedLogistic, Poisson, StudentT,
    Truncated, ZeroInflated,
};
use relax_runtime::{Device, Key, Result, Shape, Tensor};

fn tensor(values: &[f64], shape: &[usize]) -> Tensor {
    let values = values.iter().map(|&x| x as f32).collect();
    Tensor::from_vec(values, Shape::try_from(shape).unwrap(), &Device::cpu()).unwrap()
}

/// Any number at all, also the wrong ones.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -5.0..5.0,
        2 => -200.0..200.0,
        2 => 0.0..1.0,
        1 => prop::sample::select(vec![
            0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-30, 1e-44, 1e-300, 1e30, 1e300, f64::NAN,
            f64::INFINITY, f64::NEG_INFINITY,
        ]),
    ]
}

/// Any small shape, with lengths 0 and 1 among others.
fn shape() -> impl Strategy<Value = Vec<usize>> {
    vec(
        prop_oneof![1 => Just(0_usize), 3 => Just(1), 4 => 2..4_usize],
        0..4,
    )
}

fn any_tensor() -> impl Strategy<Value = Tensor> {
    shape().prop_flat_map(|shape| {
        let count = shape.iter().product();
        vec(number(), count..=count).prop_map(move |values| tensor(&values, &shape))
    })
}

/// Probabilities that add up to 1, some of them 0.
fn probabilities(most: usize) -> impl Strategy<Value = Vec<f64>> {
    let weight = prop_oneof![3 => 0.01..1.0, 1 => Just(0.0), 1 => Just(1e-12)];
    vec(weight, 1..=most).prop_map(|mut weights| {
        weights[0] += f64::from(u8::from(weights.iter().all(|&x| x < 0.01)));
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|x| x / sum).collect()
    })
}

/// A probability, at times a certain or nearly certain one.
fn probability() -> impl Strategy<Value = f64> {
    prop_oneof![4 => 0.0..=1.0, 1 => Just(0.0), 1 => Just(1.0), 1 => Just(1e-12), 1 => Just(1e-40)]
}

fn numbers(number: Number) -> Result<Vec<f64>> {
    Ok(match number {
        Number::Host(x) => vec![x],
        Number::Tensor(t) => t.to_vec()?.into_iter().map(f64::from).collect(),
    })
}

/// The log-probability of one value.
fn log_prob<D: Distribution>(dist: &D, value: &D::Value) -> f64 {
    let found = numbers(dist.log_prob(value).unwrap()).unwrap();
    assert_eq!(found.len(), 1);
    found[0]
}

/// Tries everything a distribution over tensors does; what it makes of a value and of plates may be
/// an error, but what it draws itself may not.
fn exercise<D: Distribution<Value = Tensor>>(
    dist: Result<D>,
    value: &Tensor,
    plates: &[usize],
) -> TestCaseResult {
    let Ok(dist) = dist else { return Ok(()) };
    let _ = dist.contains(value);
    let _ = dist.log_density(value).map(numbers);
    let _ = dist.log_density_from(value, plates.len()).map(numbers);
    if let Ok(density) = dist.log_prob(value) {
        let density = numbers(density).unwrap();
        prop_assert!(
            density.iter().all(|x| !x.is_nan()),
            "{dist:?} of {value:?}: {density:?}"
        );
    }
    draws_lie_in_the_support(&dist, 1)?;
    if let Ok(expanded) = dist.expand(plates) {
        let draw = expanded.sample(&mut Key::new(2).stream("x")).unwrap();
        prop_assert!(
            draw.shape().starts_with(plates),
            "{expanded:?} drew {draw:?}"
        );
        draws_lie_in_the_support(&expanded, 3)?;
        let rows = numbers(expanded.log_density_from(&draw, plates.len()).unwrap()).unwrap();
        prop_assert_eq!(rows.len(), plates.iter().product::<usize>());
    }
    Ok(())
}

fn draws_lie_in_the_support<D: Distribution<Value = Tensor>>(
    dist: &D,
    seed: u64,
) -> TestCaseResult {
    let draw = dist.sample(&mut Key::new(seed).stream("x")).unwrap();
    if draw.check().is_err() || draw.to_vec().unwrap().iter().any(|x| x.is_infinite()) {
        // A number beyond f32.
        return Ok(());
    }
    prop_assert!(dist.contains(&draw).unwrap(), "{dist:?} drew {draw:?}");
    let density = numbers(dist.log_prob(&draw).unwrap()).unwrap();
    let possible = density
        .iter()
        .all(|x| !x.is_nan() && *x > f64::NEG_INFINITY);
    prop_assert!(possible, "{dist:?} drew {draw:?} with {density:?}");
    Ok(())
}

/// That a law and its automatic guide have the same values left, the guide's adding up to 1.
fn guide_fits(law: &dyn Law, free: &[f64]) -> TestCaseResult {
    let field = law.mean_field();
    let shape = field.parts()[0].shape();
    let guide = field
        .law(&[tensor(&free[..shape.numel()], &shape)])
        .unwrap();
    let relaxation = guide.relaxation().unwrap();
    let vertices = relaxation.vertices(shape.numel());
    let mut sum = 0.0;
    for vertex in vertices {
        let vertex = Tensor::from_vec(vertex, shape, &Device::cpu()).unwrap();
        let mass = |law: &dyn Law| law.log_density(&law.value_at(&vertex)).item().unwrap();
        let (own, guided) = (mass(law), mass(&*guide));
        prop_assert_eq!(own == f32::NEG_INFINITY, guided == f32::NEG_INFINITY);
        sum += f64::from(guided).exp();
    }
    prop_assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    for seed in 0..4 {
        let noise = guide.noise(&mut Key::new(seed).stream("x")).unwrap();
        let mass = law.log_density(&guide.draw(&noise)).item().unwrap();
        prop_assert!(mass > f32::NEG_INFINITY, "{law:?}");
    }
    Ok(())
}

fn near(found: f64, wanted: f64) -> TestCaseResult {
    let same = found == wanted || (found - wanted).abs() < 1e-5 * (1.0 + wanted.abs());
    prop_assert!(same, "{found} instead of {wanted}");
    Ok(())
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn any_parameters_are_taken_or_refused(
        a in any_tensor(),
        b in any_tensor(),
        value in any_tensor(),
        plates in vec(1..4_usize, 0..3),
        host in vec(number(), 0..4),
    ) {
        exercise(Bernoulli::probs(&a), &value, &plates)?;
        exercise(Bernoulli::logits(&a), &value, &plates)?;
        exercise(Categorical::probs(&a), &value, &plates)?;
        exercise(Categorical::logits(&a), &value, &plates)?;
        exercise(OneHotCategorical::probs(&a), &value, &plates)?;
        exercise(OneHotCategorical::logits(&a), &value, &plates)?;
        exercise(Normal::new(&a, &b), &value, &plates)?;
        exercise(Normal::new(&a, b.exp()), &value, &plates)?;
        exercise(Normal::new(&a, 1.5), &value, &plates)?;
        exercise(Poisson::rate(&a), &value, &plates)?;
        exercise(Poisson::log_rate(&a), &value, &plates)?;
        exercise(Binomial::probs(&a, &b), &value, &plates)?;
        exercise(Binomial::logits(7, &a), &value, &plates)?;
        exercise(Geometric::probs(&a), &value, &plates)?;
        exercise(Geometric::logits(&a), &value, &plates)?;
        exercise(NegativeBinomial::probs(&a, &b), &value, &plates)?;
        exercise(NegativeBinomial::mean(&a, b.exp()), &value, &plates)?;
        exercise(BetaBinomial::new(&a, &b, 5), &value, &plates)?;
        exercise(OrderedLogistic::new(&a, &b), &value, &plates)?;
        exercise(DiscreteUniform::new(&a, &a), &value, &plates)?;
        exercise(ZeroInflated::gate(&a, Poisson::rate(&b)), &value, &plates)?;
        exercise(Delta::new(&a), &value, &plates)?;
        exercise(Truncated::new(Normal::new(&a, 1.5), -1.0, 2.0), &value, &plates)?;
        exercise(Truncated::new(Normal::new(0.5, 1.5), &a, &b), &value, &plates)?;
        exercise(Truncated::new(Cauchy::new(&a, b.exp()), 0.0, f64::INFINITY), &value, &plates)?;
        exercise(Truncated::new(Gumbel::new(&a, b.exp()), &a - 1.0, &a + 3.0), &value, &plates)?;
        exercise(Mixture::new(a.softmax(-1), Normal::new(&b, 1.5)), &value, &plates)?;
        exercise(Mixture::new([0.3, 0.0, 0.7], Poisson::rate(&a)), &value, &plates)?;
        exercise(Mixture::new(&a, Dirichlet::new(&b)), &value, &plates)?;
        exercise(Truncated::new(LogNormal::new(&a, b.exp()), 0.5, &b), &value, &plates)?;
        exercise(Truncated::new(Exponential::new(&a), 0.5, &b), &value, &plates)?;
        exercise(Truncated::new(Gamma::new(&a, 1.5), 0.5, &b), &value, &plates)?;
        exercise(Truncated::new(Poisson::rate(&a), 1, f64::INFINITY), &value, &plates)?;
        exercise(Truncated::new(Binomial::probs(&a, &b), 1, 3), &value, &plates)?;
        exercise(Mixture::new([0.3, 0.7], (Poisson::rate(&a), Binomial::logits(3, &b))), &value, &plates)?;
        exercise(Mixture::new(&a, (Normal::new(&b, 1.5), StudentT::new(&a, &b, 1.5))), &value, &plates)?;
        exercise(Multinomial::probs(4, &a), &value, &plates)?;
        exercise(Multinomial::logits(&b, &a), &value, &plates)?;

        let x = host.first().copied().unwrap_or(0.5);
        for coin in [Bernoulli::probs(x), Bernoulli::logits(x)].into_iter().flatten() {
            let total: f64 = [false, true].iter().map(|b| log_prob(&coin, b).exp()).sum();
            near(total, 1.0)?;
        }
        let of = [Categorical::probs(&host), Categorical::logits(&host)];
        for dist in of.into_iter().flatten() {
            let total: f64 = (0..host.len()).map(|k| log_prob(&dist, &k).exp()).sum();
            near(total, 1.0)?;
            let draw = dist.sample(&mut Key::new(1).stream("x")).unwrap();
            prop_assert!(log_prob(&dist, &draw) > f64::NEG_INFINITY);
            prop_assert!(dist.log_prob(&host.len()).is_err());
        }
        if let Ok(dist) = OneHotCategorical::logits(&host) {
            prop_assert!(dist.log_prob(&vec![0.0; host.len()]).is_err());
        }
        if let Ok(dist) = Normal::new(x, host.get(1).copied().unwrap_or(1.0)) {
            let draw = dist.sample(&mut Key::new(1).stream("x")).unwrap();
            prop_assert!(!draw.is_finite() || !log_prob(&dist, &draw).is_nan());
        }
    }

    #[test]
    fn coins_of_tensors_are_those_of_host_numbers(
        p in probability(),
        logit in -90.0..90.0,
        free in vec(-20.0..20.0, 1..2),
    ) {
        for value in [false, true] {
            let x = Tensor::scalar(f32::from(u8::from(value)));
            // The probability as a tensor holds it.
            let of_tensor = Bernoulli::probs(Tensor::scalar(p as f32)).unwrap();
            let exact = f64::from(p as f32);
            let tiny = exact > 0.0 && exact < f64::from(f32::MIN_POSITIVE);
            let found = log_prob(&of_tensor, &x);
            let wanted = log_prob(&Bernoulli::probs(exact).unwrap(), &value);
            match tiny && value {
                // Below the normal numbers the smallest of them stands for all.
                true => prop_assert!(found.is_finite() && found < -87.0),
                false => near(found, wanted)?,
            }
            let of_tensor = Bernoulli::logits(Tensor::scalar(logit as f32)).unwrap();
            let of_host = Bernoulli::logits(f64::from(logit as f32)).unwrap();
            near(log_prob(&of_tensor, &x), log_prob(&of_host, &value))?;
        }
        guide_fits(&*Bernoulli::probs(p).unwrap().law().unwrap(), &free)?;
        let of_tensor = Bernoulli::probs(Tensor::scalar(p as f32)).unwrap();
        guide_fits(&*Distribution::law(&of_tensor).unwrap(), &free)?;
    }

    #[test]
    fn categories_of_tensors_are_those_of_host_numbers(
        p in probabilities(6),
        free in vec(-20.0..20.0, 6),
    ) {
        let t = tensor(&p, &[p.len()]);
        let exact: Vec<f64> = t.to_vec().unwrap().into_iter().map(f64::from).collect();
        let (host, host_hot) = (
            Categorical::probs(&exact).unwrap(),
            OneHotCategorical::probs(&exact).unwrap(),
        );
        let (index, hot) = (
            Categorical::probs(&t).unwrap(),
            OneHotCategorical::probs(&t).unwrap(),
        );
        let mut total = 0.0;
        for (k, exact) in exact.iter().enumerate() {
            let wanted = log_prob(&host, &k);
            let vertex: Vec<f64> = (0..p.len()).map(|j| f64::from(u8::from(j == k))).collect();
            near(log_prob(&host_hot, &vertex), wanted)?;
            near(log_prob(&index, &Tensor::scalar(k as f32)), wanted)?;
            near(log_prob(&hot, &tensor(&vertex, &[p.len()])), wanted)?;
            prop_assert_eq!(wanted == f64::NEG_INFINITY, *exact == 0.0);
            total += wanted.exp();
        }
        near(total, 1.0)?;
        for law in [
            host.law(),
            host_hot.law(),
            Distribution::law(&index),
            Distribution::law(&hot),
        ] {
            guide_fits(&*law.unwrap(), &free)?;
        }
    }

    #[test]
    fn normals_of_tensors_are_those_of_host_numbers(
        loc in -50.0..50.0,
        scale in 0.01..20.0,
        z in -6.0..6.0_f64,
    ) {
        let [loc, scale, x] = [loc, scale, loc + scale * z].map(|x: f64| x as f32);
        let of_tensor = Normal::new(Tensor::scalar(loc), Tensor::scalar(scale)).unwrap();
        let of_host = Normal::new(f64::from(loc), f64::from(scale)).unwrap();
        let wanted = log_prob(&of_host, &x.into());
        let found = log_prob(&of_tensor, &Tensor::scalar(x));
        // Of x − loc an f32 keeps as many digits as the larger of both has.
        let lost = f64::from(x.abs().max(loc.abs()) * f32::EPSILON / scale) * (1.0 + z.abs());
        prop_assert!((found - wanted).abs() < 1e-4 + 4.0 * lost, "{} {}", found, wanted);
    }
}
