//! Draws, densities and derivatives of the distributions, against statrs.

use relax_runtime::dist::{
    Bernoulli, Categorical, Distribution, Normal, Number, OneHotCategorical,
};
use relax_runtime::{Device, Key, Result, Tensor, grad};
use statrs::distribution as reference;
use statrs::distribution::{Continuous, Discrete};
use statrs::stats_tests::NaNPolicy;
use statrs::stats_tests::chisquare::chisquare;
use statrs::stats_tests::ks_test::{KSOneSampleAlternativeMethod, ks_onesample};

const DRAWS: usize = 100_000;

/// Level of each test: what is right passes under nearly every seed, what is wrong under none.
const LEVEL: f64 = 1e-5;

const PROBS: [f64; 4] = [0.1, 0.4, 0.2, 0.3];

fn tensor(values: &[f64]) -> Tensor {
    let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
    Tensor::from_slice(&values)
}

/// `values` as `rows` equal rows.
fn repeated(values: &[f64], rows: usize) -> Tensor {
    tensor(values).broadcast_to([rows, values.len()])
}

fn logits(probs: &[f64]) -> Vec<f64> {
    // A common shift of a categorical's logits changes nothing.
    probs.iter().map(|p| p.ln() + 1.5).collect()
}

fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

fn log_prob<D: Distribution>(dist: &D, value: &D::Value) -> Result<Vec<f64>> {
    Ok(match dist.log_prob(value)? {
        Number::Host(x) => vec![x],
        Number::Tensor(t) => t.to_vec()?.into_iter().map(f64::from).collect(),
    })
}

fn draws<D: Distribution>(dist: &D, purpose: &str) -> Result<Vec<D::Value>> {
    let mut stream = Key::new(11).stream(purpose);
    (0..DRAWS).map(|_| dist.sample(&mut stream)).collect()
}

fn draw<D: Distribution>(dist: &D, purpose: &str) -> Result<D::Value> {
    dist.sample(&mut Key::new(12).stream(purpose))
}

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

fn assert_near(what: &str, found: f64, wanted: f64, tolerance: f64) {
    let error = (found - wanted).abs() / (1.0 + wanted.abs());
    assert!(error < tolerance, "{what}: {found} instead of {wanted}");
}

#[test]
fn bernoulli_draws_have_their_frequencies() -> Result<()> {
    for p in [0.02, 0.3, 0.5, 0.97] {
        for dist in [Bernoulli::probs(p)?, Bernoulli::logits(logit(p))?] {
            let ones = draws(&dist, "host")?.into_iter().map(usize::from);
            assert_frequencies("host", &counted(ones, 2), &[1.0 - p, p]);
        }
        let by_logits = Bernoulli::logits(repeated(&[logit(p)], DRAWS))?;
        for dist in [Bernoulli::probs(repeated(&[p], DRAWS))?, by_logits] {
            let ones = draw(&dist, "tensor")?.to_vec()?;
            let ones = ones.into_iter().map(|x| x as usize);
            assert_frequencies("tensor", &counted(ones, 2), &[1.0 - p, p]);
        }
    }
    Ok(())
}

#[test]
fn categorical_draws_have_their_frequencies() -> Result<()> {
    let hosts = [
        Categorical::probs(PROBS)?,
        Categorical::logits(logits(&PROBS))?,
    ];
    for dist in hosts {
        let counts = counted(draws(&dist, "host")?.into_iter(), 4);
        assert_frequencies("host", &counts, &PROBS);
    }
    let tensors = [
        Categorical::probs(repeated(&PROBS, DRAWS))?,
        Categorical::logits(repeated(&logits(&PROBS), DRAWS))?,
    ];
    for dist in tensors {
        let indices = draw(&dist, "tensor")?.to_vec()?;
        let counts = counted(indices.into_iter().map(|k| k as usize), 4);
        assert_frequencies("tensor", &counts, &PROBS);
    }
    Ok(())
}

#[test]
fn one_hot_draws_have_their_frequencies() -> Result<()> {
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
        OneHotCategorical::probs(repeated(&PROBS, DRAWS))?,
        OneHotCategorical::logits(repeated(&logits(&PROBS), DRAWS))?,
    ];
    for dist in tensors {
        let values = draw(&dist, "tensor")?.to_vec()?;
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let counts = counted(values.chunks(4).map(position), 4);
        assert_frequencies("tensor", &counts, &PROBS);
    }
    Ok(())
}

#[test]
fn normal_draws_follow_the_bell() -> Result<()> {
    let (loc, scale) = (-1.5, 0.7);
    let host = draws(&Normal::new(loc, scale)?, "host")?;
    let rows = repeated(&[loc], DRAWS);
    let as_f64 =
        |t: Tensor| -> Result<Vec<f64>> { Ok(t.to_vec()?.into_iter().map(f64::from).collect()) };
    let shared_scale = as_f64(draw(&Normal::new(&rows, scale)?, "tensor")?)?;
    let shared_loc = Normal::new(loc, repeated(&[scale], DRAWS))?;
    let shared_loc = as_f64(draw(&shared_loc, "tensor")?)?;
    let law = reference::Normal::new(loc, scale).unwrap();
    for sample in [host, shared_scale, shared_loc] {
        let method = KSOneSampleAlternativeMethod::TwoSidedAsymptotic;
        let (_, p) = ks_onesample(sample, &law, method, NaNPolicy::Error).unwrap();
        assert!(p > LEVEL, "p-value {p}");
    }
    Ok(())
}

#[test]
fn log_probs_are_those_of_statrs() -> Result<()> {
    for p in [1e-3, 0.3, 0.5, 0.999] {
        let wanted = reference::Bernoulli::new(p).unwrap();
        for b in [false, true] {
            let wanted = wanted.ln_pmf(u64::from(b));
            for dist in [Bernoulli::probs(p)?, Bernoulli::logits(logit(p))?] {
                assert_near("host", log_prob(&dist, &b)?[0], wanted, 1e-12);
            }
            let value = Tensor::scalar(f32::from(u8::from(b)));
            for dist in [
                Bernoulli::probs(tensor(&[p]))?,
                Bernoulli::logits(tensor(&[logit(p)]))?,
            ] {
                assert_near("tensor", log_prob(&dist, &value)?[0], wanted, 1e-4);
            }
        }
    }
    let wanted = reference::Categorical::new(&PROBS).unwrap();
    for k in 0..PROBS.len() {
        let wanted = wanted.ln_pmf(k as u64);
        let hot: Vec<f64> = (0..4).map(|j| f64::from(u8::from(j == k))).collect();
        let host = [
            log_prob(&Categorical::probs(PROBS)?, &k)?,
            log_prob(&Categorical::logits(logits(&PROBS))?, &k)?,
            log_prob(&OneHotCategorical::probs(PROBS)?, &hot)?,
            log_prob(&OneHotCategorical::logits(logits(&PROBS))?, &hot)?,
        ];
        host.iter()
            .for_each(|found| assert_near("host", found[0], wanted, 1e-12));
        let (p, l) = (tensor(&PROBS), tensor(&logits(&PROBS)));
        let (k, hot) = (Tensor::scalar(k as f32), tensor(&hot));
        let tensors = [
            log_prob(&Categorical::probs(&p)?, &k)?,
            log_prob(&Categorical::logits(&l)?, &k)?,
            log_prob(&OneHotCategorical::probs(&p)?, &hot)?,
            log_prob(&OneHotCategorical::logits(&l)?, &hot)?,
        ];
        tensors
            .iter()
            .for_each(|found| assert_near("tensor", found[0], wanted, 1e-5));
    }
    for (loc, scale, x) in [(0.0, 1.0, 0.3), (-2.0, 0.01, -1.99), (3.0, 50.0, -80.0)] {
        let wanted = reference::Normal::new(loc, scale).unwrap().ln_pdf(x);
        let host = Normal::new(loc, scale)?;
        assert_near("host", log_prob(&host, &x)?[0], wanted, 1e-12);
        let joined = Normal::new(tensor(&[loc]), scale)?;
        let found = log_prob(&joined, &tensor(&[x]))?[0];
        assert_near("tensor", found, wanted, 1e-4);
    }
    Ok(())
}

/// Compares the gradient of `density`'s sum by each argument, and its forward tangents, with
/// central differences along `directions` of every argument.
fn check_derivatives(
    what: &str,
    arguments: &[&[f64]],
    directions: &[Vec<f64>],
    density: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    const STEP: f64 = 1.0 / 128.0;
    let sum = |arguments: &[Vec<f64>]| -> Result<f64> {
        let arguments: Vec<Tensor> = arguments.iter().map(|a| tensor(a)).collect();
        Ok(f64::from(density(&arguments)?.sum_all().item()?))
    };
    let leaves: Vec<Tensor> = arguments.iter().map(|a| tensor(a).leaf()).collect();
    let wrt: Vec<&Tensor> = leaves.iter().collect();
    let gradients = grad(&[(&density(&leaves)?, None)], &wrt)?;
    for (at, gradient) in gradients.iter().enumerate() {
        for direction in directions.iter().filter(|d| d.len() == arguments[at].len()) {
            let moved = |by: f64| -> Result<f64> {
                let mut all: Vec<Vec<f64>> = arguments.iter().map(|a| a.to_vec()).collect();
                let line = all[at].iter_mut().zip(direction);
                line.for_each(|(x, d)| *x += by * d);
                sum(&all)
            };
            let wanted = (moved(STEP)? - moved(-STEP)?) / (2.0 * STEP);
            let reverse: f64 = gradient
                .to_vec()?
                .iter()
                .zip(direction)
                .map(|(&g, d)| f64::from(g) * d)
                .sum();
            let mut forward: Vec<Tensor> = arguments.iter().map(|a| tensor(a)).collect();
            forward[at] = forward[at].with_tangent(&tensor(direction));
            let forward = density(&forward)?.sum_all().tangent();
            let forward = forward.map_or(Ok(0.0), |t| t.item())?;
            let what = format!("{what}, argument {at} along {direction:?}");
            assert_near(&what, reverse, wanted, 3e-3);
            assert_near(&what, f64::from(forward), wanted, 3e-3);
        }
    }
    Ok(())
}

#[test]
fn log_density_has_the_right_derivative_by_every_argument() -> Result<()> {
    fn density<D: Distribution<Value = Tensor>>(dist: &D, value: &Tensor) -> Result<Tensor> {
        match dist.log_density(value)? {
            Number::Tensor(t) => Ok(t),
            Number::Host(x) => panic!("a host number, {x}"),
        }
    }
    let axes = |n: usize| -> Vec<Vec<f64>> {
        let axis = |i| (0..n).map(|j| f64::from(u8::from(i == j))).collect();
        (0..n).map(axis).collect()
    };
    // The relaxed value makes the density a smooth function of the value, too.
    let (theta, b) = ([-2.0, 0.0, 0.5, 3.0], [0.0, 1.0, 0.3, 1.0]);
    check_derivatives("Bernoulli logits", &[&theta, &b], &axes(4), |a| {
        density(&Bernoulli::logits(&a[0])?, &a[1])
    })?;
    check_derivatives("Bernoulli probs", &[&PROBS, &b], &axes(4), |a| {
        density(&Bernoulli::probs(&a[0])?, &a[1])
    })?;
    let relaxed = [0.1, 0.6, 0.1, 0.2];
    check_derivatives("OneHot logits", &[&theta, &relaxed], &axes(4), |a| {
        density(&OneHotCategorical::logits(&a[0])?, &a[1])
    })?;
    // Probabilities move along directions that keep their sum.
    let along = [vec![1.0, -1.0, 0.0, 0.0], vec![0.0, 0.5, 1.0, -1.5]];
    check_derivatives("OneHot probs", &[&PROBS, &relaxed], &along, |a| {
        density(&OneHotCategorical::probs(&a[0])?, &a[1])
    })?;
    for k in 0..4 {
        let k = Tensor::scalar(k as f32);
        check_derivatives("Categorical logits", &[&theta], &axes(4), |a| {
            density(&Categorical::logits(&a[0])?, &k)
        })?;
        check_derivatives("Categorical probs", &[&PROBS], &along, |a| {
            density(&Categorical::probs(&a[0])?, &k)
        })?;
    }
    let (loc, scale, x) = ([0.0, -1.0, 2.0], [0.5, 1.0, 3.0], [0.1, 1.0, -2.0]);
    check_derivatives("Normal", &[&loc, &scale, &x], &axes(3), |a| {
        density(&Normal::new(&a[0], &a[1])?, &a[2])
    })
}

#[test]
fn summed_normal_densities_have_the_right_value_and_derivatives() -> Result<()> {
    let (few, many) = (
        [0.7, -1.0, 2.0, 1.3, 0.2, 1.9],
        [0.5, 1.0, 3.0, 1.1, 2.0, 0.8],
    );
    let value = [0.1, 1.0, -2.0, 0.4, 2.2, 3.0];
    let random = |n: usize| -> Vec<Vec<f64>> {
        vec![(0..n).map(|i| f64::from(i as u8 % 3) - 0.7).collect()]
    };
    let directions = [random(1), random(6)].concat();
    // Single numbers stand for all elements; two rows of three, all of them, or each alone.
    for (loc, scale, x) in [
        (&few[..], &many[..], &value[..]),
        (&few[..1], &many[..1], &value[..]),
        (&few[..], &many[..1], &value[..1]),
        (&few[..1], &many[..], &value[..1]),
        (&few[..1], &many[..1], &value[..1]),
    ] {
        for k in 0..=2 {
            let shaped = |t: &Tensor| match t.len() {
                6 => t.reshape([2, 3]),
                _ => t.clone(),
            };
            let by_row = |a: &[Tensor]| -> Result<[Tensor; 2]> {
                let normal = Normal::new(shaped(&a[0]), shaped(&a[1]))?;
                let density = |number: Number| match number {
                    Number::Tensor(t) => t,
                    Number::Host(x) => panic!("a host number, {x}"),
                };
                let x = shaped(&a[2]);
                Ok([
                    density(normal.log_density_from(&x, k)?),
                    density(normal.log_density(&x)?.sum_from(k)),
                ])
            };
            let what = format!("{} {} {} from {k}", loc.len(), scale.len(), x.len());
            let [found, wanted] = by_row(&[tensor(loc), tensor(scale), tensor(x)])?;
            assert_eq!(found.shape(), wanted.shape(), "{what}");
            for (found, wanted) in found.to_vec()?.into_iter().zip(wanted.to_vec()?) {
                assert_near(&what, f64::from(found), f64::from(wanted), 1e-5);
            }
            check_derivatives(&what, &[loc, scale, x], &directions, |a| {
                let [found, _] = by_row(a)?;
                // Each row counts otherwise.
                let weights: Vec<f32> = (0..found.len()).map(|i| 1.0 + i as f32).collect();
                Ok(&found * Tensor::from_vec(weights, found.shape(), &found.device())?)
            })?;
        }
    }
    Ok(())
}

#[test]
fn normal_draws_are_differentiable_and_discrete_ones_are_not() -> Result<()> {
    let (loc, scale) = (tensor(&[0.5, -1.0]).leaf(), tensor(&[2.0, 0.1]).leaf());
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

#[test]
fn certain_and_nearly_certain_laws_stay_finite() -> Result<()> {
    let extremes = tensor(&[0.0, 1.0, 1e-30, 0.5]);
    let far = tensor(&[-1e4, 1e4, 0.0, 50.0]);
    for (dist, theta) in [
        (Bernoulli::probs(&extremes)?, &extremes),
        (Bernoulli::logits(&far)?, &far),
    ] {
        let b = draw(&dist, "b")?;
        assert!(b.to_vec()?[..2] == [0.0, 1.0], "{theta:?} drew {b:?}");
        assert!(log_prob(&dist, &b)?.iter().all(|x| x.is_finite()));
    }
    for value in [far.zeros_like(), far.ones_like()] {
        let found = log_prob(&Bernoulli::logits(&far)?, &value)?;
        assert!(found.iter().all(|x| x.is_finite()));
    }
    let leaf = far.leaf();
    for value in [far.zeros_like(), far.ones_like()] {
        let Number::Tensor(density) = Bernoulli::logits(&leaf)?.log_density(&value)? else {
            panic!("a host number");
        };
        let gradient = grad(&[(&density, None)], &[&leaf])?;
        assert!(gradient[0].to_vec()?.iter().all(|x| x.is_finite()));
    }
    let far = Categorical::logits(tensor(&[-1e4, 1e4, 0.0]))?;
    assert_eq!(draw(&far, "k")?.item()?, 1.0);
    for k in 0..3 {
        assert!(log_prob(&far, &Tensor::scalar(k as f32))?[0].is_finite());
    }
    // Probabilities of exactly 0 and 1 are exact.
    assert_eq!(log_prob(&Bernoulli::probs(1.0)?, &true)?, [0.0]);
    assert_eq!(
        log_prob(&Bernoulli::probs(0.0)?, &true)?,
        [f64::NEG_INFINITY]
    );
    assert_eq!(log_prob(&Bernoulli::logits(1e4)?, &false)?, [-1e4]);
    let certain = Categorical::probs([0.0, 1.0])?;
    assert_eq!(log_prob(&certain, &1)?, [0.0]);
    assert_eq!(log_prob(&certain, &0)?, [f64::NEG_INFINITY]);
    let one_hot = OneHotCategorical::probs([0.0, 1.0])?;
    assert_eq!(log_prob(&one_hot, &vec![0.0, 1.0])?, [0.0]);
    assert!(draws(&certain, "certain")?.into_iter().all(|k| k == 1));
    assert!(draws(&Bernoulli::probs(1.0)?, "1")?.into_iter().all(|b| b));
    assert!(!draws(&Bernoulli::probs(0.0)?, "0")?.into_iter().any(|b| b));
    Ok(())
}

/// What host numbers say of impossible values, tensors say, too.
#[test]
fn impossible_values_of_tensors_have_probability_0() -> Result<()> {
    let probs = [0.0, 1.0, 1e-30, 0.25];
    let coins = Bernoulli::probs(tensor(&probs))?;
    for value in [0.0, 1.0] {
        let found = log_prob(&coins, &tensor(&[value; 4]))?;
        for (p, found) in probs.into_iter().zip(found) {
            let wanted = log_prob(&Bernoulli::probs(p)?, &(value == 1.0))?[0];
            match wanted.is_finite() {
                true => assert_near("a coin", found, wanted, 1e-5 * (1.0 + wanted.abs())),
                false => assert_eq!(found, wanted),
            }
        }
    }
    let Number::Tensor(sum) = coins.log_density_from(&tensor(&[0.0, 1.0, 0.0, 0.0]), 0)? else {
        panic!("a host number");
    };
    assert_near("their sum", f64::from(sum.item()?), 0.75f64.ln(), 1e-6);

    let rows = Tensor::stack(&[&tensor(&[0.5, 0.5, 0.0]), &tensor(&[0.0, 0.0, 1.0])], 0);
    let (index, one_hot) = (Categorical::probs(&rows)?, OneHotCategorical::probs(&rows)?);
    for k in 0..3 {
        let k = tensor(&[k as f64; 2]);
        let found = log_prob(&index, &k)?;
        assert_eq!(found, log_prob(&one_hot, &k.one_hot(3))?);
        for (log_p, p) in found.iter().zip(rows.pick(&k).to_vec()?) {
            assert_near("a category", log_p.exp(), f64::from(p), 1e-6);
            assert_eq!(log_p.is_finite(), p > 0.0);
        }
    }
    Ok(())
}

/// The automatic guide of a law, whatever its parameters are, draws what the law can draw and no
/// more, and its log-masses are those of what is left.
#[test]
fn guides_leave_out_what_their_law_excludes() -> Result<()> {
    let rows = Tensor::stack(&[&tensor(&[0.5, 0.5, 0.0]), &tensor(&[0.0, 0.0, 1.0])], 0);
    let free = Tensor::stack(
        &[&tensor(&[0.3, -0.2, 9.0]), &tensor(&[50.0, 0.0, -50.0])],
        0,
    );
    let half = 1.0 / (1.0 + (-0.5f64).exp());
    let wanted = [[half, 1.0 - half, 0.0], [0.0, 0.0, 1.0]].concat();
    for law in [
        Categorical::probs(&rows)?.law()?,
        OneHotCategorical::probs(&rows)?.law()?,
    ] {
        let leaf = free.leaf();
        let guide = law.mean_field().law(std::slice::from_ref(&leaf))?;
        let mut found = Vec::new();
        for k in 0..3 {
            let vertex = tensor(&[k as f64; 2]).one_hot(3);
            found.push(guide.log_density(&guide.value_at(&vertex)).exp().to_vec()?);
        }
        for (place, wanted) in wanted.iter().enumerate() {
            let found = f64::from(found[place % 3][place / 3]);
            assert_near(law.name(), found, *wanted, 1e-6);
        }
        assert_eq!(law.excluded()?, guide.excluded()?);
        // The derivative is that of the renormalised law, and 0 by what is excluded.
        let drawn = guide.log_density(&guide.value_at(&tensor(&[0.0, 2.0]).one_hot(3)));
        let gradient = grad(&[(&drawn, None)], &[&leaf])?[0].to_vec()?;
        let slopes = [1.0 - half, half - 1.0, 0.0, 0.0, 0.0, 0.0];
        for (found, wanted) in gradient.into_iter().zip(slopes) {
            assert_near(law.name(), f64::from(found), wanted, 1e-6);
        }
        let draws = |i: u64| {
            guide
                .draw(&guide.noise(&mut Key::new(i).stream("k"))?)
                .to_vec()
        };
        for i in 0..50 {
            let vertex = guide.to_vertex(&Tensor::from_vec(
                draws(i)?,
                guide.draw(&free.zeros_like()).shape(),
                &Device::cpu(),
            )?);
            let impossible = (vertex * rows.le(0.0)).sum_all().item()?;
            assert_eq!(impossible, 0.0, "{}", law.name());
        }
    }
    for (p, mean) in [(1.0, 1.0), (0.0, 0.0)] {
        for law in [
            Bernoulli::probs(p)?.law()?,
            Bernoulli::probs(Tensor::scalar(p as f32))?.law()?,
        ] {
            let guide = law.mean_field().law(&[Tensor::scalar(0.3)])?;
            assert_eq!(guide.mean().item()?, mean);
            let value = |x: f32| guide.log_density(&Tensor::scalar(x)).item();
            assert_eq!(value(mean)?, 0.0);
            assert_eq!(value(1.0 - mean)?, f32::NEG_INFINITY);
        }
    }
    Ok(())
}

#[test]
fn guides_know_the_shapes_of_their_parameters() -> Result<()> {
    let rows = |width: usize| Tensor::zeros([3, width], &Device::cpu());
    let laws = [
        Bernoulli::logits(&rows(2))?.law()?,
        Bernoulli::probs(0.3)?.law()?,
        Categorical::logits(&rows(4))?.law()?,
        Categorical::probs([0.2, 0.8])?.law()?,
        OneHotCategorical::logits(&rows(4))?.law()?,
        Normal::new(&rows(2), Tensor::ones([1, 2], &Device::cpu()))?.law()?,
        Normal::new(0.0, 1.0)?.law()?,
        Normal::new(rows(1), tensor(&[1.0, 2.0]))?.law()?,
    ];
    for law in laws {
        for part in law.mean_field().parts() {
            assert_eq!(part.first_value()?.shape(), part.shape(), "{}", law.name());
        }
    }
    Ok(())
}
