//! Mixtures of laws of one family, and of different ones.

use super::*;

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

/// Components so far apart that neither has a mass where the other lies: quantiles are those of each.
#[test]
fn mixtures_of_counts_that_lie_far_apart() -> Result<()> {
    let u = [0.1, 0.3, -0.4, -0.1];
    let full = |x: f32| Tensor::full([u.len()], x, &Device::cpu());
    let trials = BetaBinomial::new(full(1e4), full(1e4), 20_000);
    let law = Mixture::new([0.5, 0.5], (trials, Poisson::rate(full(1.0))))?.law()?;
    let shape = law.parameters()[0].shape();
    let noise = Tensor::from_slice(&u).unsqueeze(-1).broadcast_to(shape);
    assert_eq!(law.draw(&noise).to_vec()?, [0.0, 1.0, 9_916.0, 10_084.0]);
    Ok(())
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

/// A number that a continuous component of another family does not have is none of the mixture's, over numbers as
/// over tensors.
#[test]
fn mixtures_have_the_values_that_all_components_have() -> Result<()> {
    let one = Tensor::from_slice(&[1.0]);
    let halves = [0.5, 0.5];
    let host = || Exponential::new(1.0);
    let tensors = || Exponential::new(&one);
    let edge = Tensor::from_slice(&[0.0]);
    for refusal in [
        Mixture::new(halves, (host(), Gamma::new(2.0, 1.0)))?.log_prob(&0.0),
        Mixture::new(halves, (host(), LogNormal::new(0.0, 1.0)))?.log_prob(&0.0),
        Mixture::new(halves, (InverseGamma::new(2.0, 1.0), host()))?.log_prob(&0.0),
        Mixture::new(halves, (tensors(), Gamma::new(2.0, &one)))?.log_prob(&edge),
        Mixture::new(halves, (tensors(), LogNormal::new(0.0, &one)))?.log_prob(&edge),
        Mixture::new(halves, (InverseGamma::new(2.0, &one), tensors()))?.log_prob(&edge),
    ] {
        refused(
            refusal,
            &["Mixture", "outside the support", "every component"],
        );
    }
    // Both have this one.
    let wanted = (0.5 + 0.5 * (2.0 / std::f64::consts::PI).sqrt()).ln();
    let mixture = Mixture::new(halves, (host(), HalfNormal::new(1.0)))?;
    assert_near("host", log_prob(&mixture, &0.0)?[0], wanted, 1e-10);
    let mixture = Mixture::new(halves, (tensors(), HalfNormal::new(&one)))?;
    assert_near("tensors", log_prob(&mixture, &edge)?[0], wanted, 1e-5);
    Ok(())
}

/// A component without weight adds nothing, however far from the others a number lies.
#[test]
fn weights_of_0_rule_components_out() -> Result<()> {
    let wanted = -1250.0 - 0.5 * std::f64::consts::TAU.ln();
    let two = [Normal::new(0.0, 1.0), Normal::new(50.0, 1.0)];
    let host = Mixture::new([1.0, 0.0], two)?;
    assert_near("host", log_prob(&host, &50.0)?[0], wanted, 1e-10);
    let locs = Tensor::from_slice(&[0.0, 50.0]);
    let value = Tensor::scalar(50.0);
    let weights = Tensor::from_slice(&[1.0, 0.0]).leaf();
    let of_tensor = Mixture::new(&weights, Normal::new(&locs, 1.0))?;
    let density = tensor(of_tensor.log_prob(&value)?);
    assert_near("tensor", density.item()?.into(), wanted, 1e-5);
    let slopes = grad(&[(&density, None)], &[&weights])?[0].to_vec()?;
    assert!(slopes[0].is_finite() && slopes[1] == 0.0, "{slopes:?}");
    let of_host = Mixture::new([1.0, 0.0], Normal::new(&locs, 1.0))?;
    for law in [host.law()?, of_tensor.law()?, of_host.law()?] {
        assert_near("law", law.log_density(&value).item()?.into(), wanted, 1e-5);
    }
    let parts = (
        Normal::new(Tensor::from_slice(&[0.0]), 1.0),
        StudentT::new(3.0, Tensor::from_slice(&[50.0]), 1.0),
    );
    let different = Mixture::new(&weights, parts)?;
    let found = log_prob(&different, &Tensor::from_slice(&[50.0]))?[0];
    assert_near("families", found, wanted, 1e-5);
    let counts = Mixture::new(&weights, Poisson::rate(Tensor::from_slice(&[500.0, 1.0])))?;
    let found = log_prob(&counts, &Tensor::scalar(0.0))?[0];
    assert_near("counts", found, -500.0, 1e-5);
    Ok(())
}

/// Weights of mixtures of mixtures are parameters of their own in the automatic guide.
#[test]
fn guides_of_nested_mixtures_have_all_of_their_weights() -> Result<()> {
    let shapes = Tensor::from_slice(&[1.0, 2.0, 4.0, 5.0]).reshape([2, 2]);
    let inner = Mixture::new([0.4, 0.6], Beta::new(&shapes, 2.0))?;
    let law = Mixture::new([0.2, 0.8], inner)?.law()?;
    let guide = law.mean_field();
    let names: Vec<&str> = guide.parts().iter().map(|part| part.name()).collect();
    assert_eq!(names[..2], ["log_weights", "log_weights_2"]);
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{names:?}");
    }
    let first = guide.first_values()?;
    assert_near("outer", first[0].to_vec()?[0].into(), 0.2_f64.ln(), 1e-5);
    assert_near("inner", first[1].to_vec()?[0].into(), 0.4_f64.ln(), 1e-5);
    let value = Tensor::scalar(0.3);
    let wanted = law.log_density(&value).item()?;
    let found = guide.law(&first)?.log_density(&value).item()?;
    assert_near("density", found.into(), wanted.into(), 1e-4);
    Ok(())
}

fn tensor_of(density: Number) -> Tensor {
    match density {
        Number::Tensor(density) => density,
        Number::Host(density) => panic!("a host number: {density}"),
    }
}

/// Checks log-densities over numbers, over a tensor and of the laws, and that they have derivatives.
fn same_densities(
    host: &impl Distribution<Value = f64>,
    tensors: &impl Distribution<Value = Tensor>,
    wanted: impl Fn(f64) -> f64,
    values: &[f64],
) -> Result<()> {
    let laws = [host.law()?, tensors.law()?];
    for &x in values {
        let (wanted, value) = (wanted(x), Tensor::scalar(x as f32).leaf());
        let over = tensor_of(tensors.log_prob(&value)?);
        let of_laws = laws.iter().map(|law| law.log_density(&value));
        assert_near("host", log_prob(host, &x)?[0], wanted, 1e-6);
        for density in of_laws.chain([over]) {
            assert_near("tensors", density.item()?.into(), wanted, 1e-4);
            let slope = grad(&[(&density, None)], &[&value])?[0].item()?;
            assert!(slope.is_finite(), "{slope} at {x}");
        }
    }
    Ok(())
}

/// A component does not count outside of its own ends.
#[test]
fn components_may_end_at_different_places() -> Result<()> {
    let ends = [(0.0, 1.0), (2.0, 3.0), (2.5, 4.5)];
    let column = |of: fn(&(f64, f64)) -> f64| {
        let all: Vec<f32> = ends.iter().map(|pair| of(pair) as f32).collect();
        Tensor::from_slice(&all)
    };
    let (lows, highs) = (column(|x| x.0).leaf(), column(|x| x.1).leaf());
    let weights = [0.2, 0.5, 0.3];
    let host = Mixture::new(weights, ends.map(|(low, high)| Uniform::new(low, high)))?;
    let tensors = Mixture::new(weights, Uniform::new(&lows, &highs))?;
    let density = |x: f64| {
        let inside = ends
            .iter()
            .zip(weights)
            .filter(|((low, high), _)| *low <= x && x <= *high);
        inside
            .map(|((low, high), w)| w / (high - low))
            .sum::<f64>()
            .ln()
    };
    let values = [0.0, 0.5, 2.2, 2.7, 3.0, 3.1, 4.5];
    same_densities(&host, &tensors, density, &values)?;
    let starts = tensors.law()?;
    let guide = starts.mean_field();
    let guide = guide.law(&guide.first_values()?)?;
    for x in [0.5, 2.2, 2.7, 3.1] {
        let found = guide.log_density(&Tensor::scalar(x)).item()?;
        assert_near("guide", found.into(), density(x.into()), 1e-4);
    }
    assert!(starts.bijection().is_none());
    for x in [-0.1, 1.5, 4.6, f64::NAN, f64::INFINITY] {
        assert!(!host.contains(&x)? && !tensors.contains(&Tensor::scalar(x as f32))?);
    }
    let some = [
        Tensor::from_slice(&[0.5, 4.0]),
        Tensor::from_slice(&[0.5, 1.5]),
    ];
    assert!(tensors.contains(&some[0])? && !tensors.contains(&some[1])?);
    // A learned end moves the densities within its own component alone.
    let values = Tensor::from_slice(&[0.5, 2.2]);
    let found = grad(&[(&tensor_of(tensors.log_prob(&values)?), None)], &[&highs])?;
    for (found, wanted) in found[0].to_vec()?.into_iter().zip([-1.0, -1.0, 0.0]) {
        assert_near("slope", found.into(), wanted, 1e-5);
    }
    // A component without a weight has no values.
    let weights = [0.0, 0.7, 0.3];
    let host = Mixture::new(weights, ends.map(|(low, high)| Uniform::new(low, high)))?;
    let tensors = Mixture::new(weights, Uniform::new(lows, highs))?;
    assert!(!host.contains(&0.5)? && !tensors.contains(&Tensor::scalar(0.5))?);
    assert!(host.contains(&2.5)? && tensors.contains(&Tensor::scalar(2.5))?);
    Ok(())
}

/// Truncated components, each with its own ends.
#[test]
fn truncated_components_may_end_at_different_places() -> Result<()> {
    let (ends, weights) = ([(0.5, 1.5), (1.0, f64::INFINITY)], [0.4, 0.6]);
    let lows = Tensor::from_slice(&[0.5, 1.0]);
    let highs = Tensor::from_slice(&[1.5, f32::INFINITY]);
    let values = [0.6, 1.2, 2.0, 100.0];
    macro_rules! check {
        ($base:ident) => {{
            let each = ends.map(|(low, high)| Truncated::new($base::new(2.0, 0.5), low, high));
            let parts = each.clone().map(|part| part.unwrap());
            let density = |x: f64| {
                let mut sum = 0.0;
                for ((part, (low, high)), w) in parts.iter().zip(ends).zip(weights) {
                    if low <= x && x <= high {
                        sum += w * part.log_prob(&x).unwrap().total().unwrap().exp();
                    }
                }
                sum.ln()
            };
            let two = Tensor::from_slice(&[2.0, 2.0]);
            let base = $base::new(two, 0.5);
            let tensors = Mixture::new(weights, Truncated::new(base, &lows, &highs))?;
            let values: Vec<f64> = values.into_iter().filter(|x| density(*x) > -1e3).collect();
            same_densities(&Mixture::new(weights, each)?, &tensors, density, &values)?;
            assert!(!tensors.contains(&Tensor::scalar(0.4))?);
            assert!(!tensors.contains(&Tensor::scalar(-1.0))?);
        }};
    }
    check!(Normal);
    check!(LogNormal);
    check!(Gamma);
    Ok(())
}
