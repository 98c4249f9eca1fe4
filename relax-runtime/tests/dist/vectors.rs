//! Laws of vectors: densities, draws and their derivatives.

use relax_runtime::dist::{Dirichlet, Distribution, Law, Mixture, MultivariateNormal};
use relax_runtime::{Device, Key, Result, Tensor, grad};
use statrs::distribution::{Beta, Continuous, ContinuousCDF};

const DRAWS: usize = 20_000;

/// √n times the distance of the distribution functions that right draws have once in 10⁵ seeds.
const FARTHEST: f64 = 2.47;

fn wide(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_vec()?.into_iter().map(f64::from).collect())
}

fn vector(values: &[f64]) -> Tensor {
    Tensor::from_slice(&values.iter().map(|&x| x as f32).collect::<Vec<_>>())
}

fn assert_follows(what: &str, mut draws: Vec<f64>, cdf: impl Fn(f64) -> f64) {
    draws.sort_by(f64::total_cmp);
    let n = draws.len() as f64;
    let steps = draws.iter().enumerate().map(|(i, &x)| {
        (cdf(x) - i as f64 / n)
            .abs()
            .max((cdf(x) - (i + 1) as f64 / n).abs())
    });
    let distance = steps.fold(0.0, f64::max) * n.sqrt();
    assert!(distance < FARTHEST, "{what}: {distance}");
}

/// The density of three shares: the first is a Beta number, and the second's part of the rest another.
fn ln_pdf(a: [f64; 3], x: [f64; 3]) -> f64 {
    let first = Beta::new(a[0], a[1] + a[2]).unwrap().ln_pdf(x[0]);
    let rest = 1.0 - x[0];
    first + Beta::new(a[1], a[2]).unwrap().ln_pdf(x[1] / rest) - rest.ln()
}

#[test]
fn dirichlet_densities_are_products_of_betas() -> Result<()> {
    for a in [[1.0, 1.0, 1.0], [0.2, 3.0, 0.7], [50.0, 2.0, 8.0]] {
        for x in [[0.2, 0.3, 0.5], [0.9, 0.06, 0.04], [0.01, 0.01, 0.98]] {
            let wanted = ln_pdf(a, x);
            let host = Dirichlet::new(a)?.log_prob(&x.to_vec())?.total()?;
            assert!(
                (host - wanted).abs() < 1e-9 * (1.0 + wanted.abs()),
                "{host} {wanted}"
            );
            let rows = vector(&a).broadcast_to([2, 3]);
            let twice = Dirichlet::new(rows)?.log_prob(&vector(&x).broadcast_to([2, 3]))?;
            let found = twice.total()? / 2.0;
            assert!(
                (found - wanted).abs() < 1e-5 * (1.0 + wanted.abs()),
                "{found} {wanted}"
            );
        }
    }
    Ok(())
}

#[test]
fn dirichlet_draws_have_beta_shares() -> Result<()> {
    for a in [
        [1.0, 1.0, 1.0],
        [0.2, 3.0, 0.7],
        [50.0, 2.0, 8.0],
        [1e-3, 2e-3, 1e-3],
    ] {
        let mut stream = Key::new(3).stream("host");
        let host = (0..DRAWS).map(|_| Dirichlet::new(a)?.sample(&mut stream));
        let host = host.collect::<Result<Vec<_>>>()?.concat();
        let law = Dirichlet::new(vector(&a).broadcast_to([DRAWS, 3]))?;
        let draw = law.draw(&Law::noise(&law, &mut Key::new(4).stream("tensor"))?);
        assert!(law.contains(&draw)?);
        let total: f64 = a.iter().sum();
        for (what, draws) in [("host", host), ("tensor", wide(&draw)?)] {
            for k in 0..3 {
                let share: Vec<f64> = draws.iter().skip(k).step_by(3).copied().collect();
                if total < 0.1 {
                    // Nearly one-hot: the share of each is that of its parameter.
                    let ones = share.iter().filter(|x| **x > 0.5).count() as f64 / DRAWS as f64;
                    let wanted = a[k] / total;
                    assert!((ones - wanted).abs() < 0.02, "{what} {k}: {ones} {wanted}");
                    continue;
                }
                let beta = Beta::new(a[k], total - a[k]).unwrap();
                assert_follows(&format!("{what}: {k} of {a:?}"), share, |x| beta.cdf(x));
            }
        }
    }
    Ok(())
}

/// ∂ E x₀²/∂aₖ through draws, where E x₀² = a₀ (a₀ + 1)/(s (s + 1)).
#[test]
fn gradients_through_dirichlet_draws_are_those_of_moments() -> Result<()> {
    for a in [[0.6, 1.5, 2.0], [0.05, 0.1, 0.2], [60.0, 30.0, 10.0]] {
        let leaf = vector(&a).broadcast_to([DRAWS, 3]).leaf();
        let law = Dirichlet::new(&leaf)?;
        let draw = law.draw(&Law::noise(&law, &mut Key::new(5).stream("x"))?);
        let square = draw.index(-1, 0).square();
        let slopes = wide(&grad(&[(&square, None)], &[&leaf])?[0])?;
        let moment = |a: &[f64]| {
            let s: f64 = a.iter().sum();
            a[0] * (a[0] + 1.0) / (s * (s + 1.0))
        };
        for k in 0..3 {
            let moved = |h: f64| {
                let mut a = a;
                a[k] += h;
                moment(&a)
            };
            let wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let each: Vec<f64> = slopes.iter().skip(k).step_by(3).copied().collect();
            let n = each.len() as f64;
            let found = each.iter().sum::<f64>() / n;
            let variance = each.iter().map(|x| (x - found).powi(2)).sum::<f64>() / n;
            let error = (variance / n).sqrt();
            assert!(
                (found - wanted).abs() < 4.5 * error + 1e-6,
                "{a:?} by {k}: {found} ± {error}, not {wanted}"
            );
        }
    }
    Ok(())
}

#[test]
fn dirichlet_extremes_stay_finite() -> Result<()> {
    for size in [1e-3, 1.0, 1e5] {
        let leaf = vector(&[size, 2.0 * size, 1.0])
            .broadcast_to([500, 3])
            .leaf();
        let law = Dirichlet::new(&leaf)?;
        let draw = law.draw(&Law::noise(&law, &mut Key::new(6).stream("x"))?);
        let density = Law::log_density(&law, &draw);
        for t in [
            &draw,
            &density,
            &grad(&[(&draw, None), (&density, None)], &[&leaf])?[0],
        ] {
            assert!(t.to_vec()?.iter().all(|x| x.is_finite()), "{size}");
        }
    }
    Ok(())
}

/// Numbers of the two laws of `x₀` and of `x₁` where `x₀` is given.
#[test]
fn normal_vectors_are_normal_one_after_the_other() -> Result<()> {
    let law = MultivariateNormal::new([1.0, -2.0], [[2.0, 0.0], [0.6, 0.5]])?;
    let normal = |x: f64, mean: f64, sd: f64| {
        -0.5 * ((x - mean) / sd).powi(2) - sd.ln() - 0.5 * std::f64::consts::TAU.ln()
    };
    for x in [[1.0, -2.0], [3.0, 0.0], [-4.0, -2.5]] {
        let mean = -2.0 + 0.6 / 2.0 * (x[0] - 1.0);
        let wanted = normal(x[0], 1.0, 2.0) + normal(x[1], mean, 0.5);
        let found = law.log_prob(&vector(&x))?.total()?;
        assert!(
            (found - wanted).abs() < 1e-5 * (1.0 + wanted.abs()),
            "{found} {wanted}"
        );
    }
    let many = law.expand(&[DRAWS]);
    let error = many.unwrap_err().to_string();
    assert!(error.contains("leading axes"), "{error}");
    let rows = Tensor::from_vec(vec![1.0, -2.0], [1, 2], &Device::cpu())?.broadcast_to([DRAWS, 2]);
    let law = MultivariateNormal::new(rows, [[2.0, 0.0], [0.6, 0.5]])?;
    let draws = wide(&law.sample(&mut Key::new(1).stream("x"))?)?;
    let n = DRAWS as f64;
    let mean = |f: &dyn Fn(&[f64]) -> f64| draws.chunks(2).map(f).sum::<f64>() / n;
    let spread = |wanted: f64| 4.5 * wanted / n.sqrt();
    assert!((mean(&|x| x[0]) - 1.0).abs() < spread(2.0));
    assert!((mean(&|x| x[1]) + 2.0).abs() < spread(0.8));
    let covariance = mean(&|x| (x[0] - 1.0) * (x[1] + 2.0));
    assert!((covariance - 1.2).abs() < spread(2.5), "{covariance}");
    Ok(())
}

#[test]
fn gradients_of_normal_vectors_are_central_differences() -> Result<()> {
    let numbers = [0.3, -1.0, 0.7, 1.4, 0.0, 0.0, -0.5, 0.8, 0.0, 0.2, 0.9, 0.6];
    let x = vector(&[0.1, 0.4, -0.9]);
    let density = |numbers: &Tensor| {
        let law = MultivariateNormal::new(
            numbers.slice(0, 0..3),
            numbers.slice(0, 3..12).reshape([3, 3]),
        )?;
        let noise = vector(&[0.5, -0.2, 1.1]);
        Result::Ok(Law::log_density(&law, &x) + law.draw(&noise).square().sum_all())
    };
    let leaf = vector(&numbers).leaf();
    let found = grad(&[(&density(&leaf)?, None)], &[&leaf])?[0].to_vec()?;
    for k in (0..12).filter(|k| ![4, 5, 8].contains(k)) {
        let along = |h: f64| {
            let mut moved = numbers;
            moved[k] += h;
            density(&vector(&moved))?.item().map(f64::from)
        };
        let wanted = (along(5e-3)? - along(-5e-3)?) / 1e-2;
        let error = (f64::from(found[k]) - wanted).abs();
        assert!(
            error < 3e-3 * (1.0 + wanted.abs()),
            "{k}: {} {wanted}",
            found[k]
        );
    }
    Ok(())
}

#[test]
fn wrong_vectors_are_named() -> Result<()> {
    let message = |found: Result<()>| found.unwrap_err().to_string();
    let matrix = |rows: [[f64; 2]; 2]| MultivariateNormal::new([0.0, 0.0], rows).map(|_| ());
    let ragged = vec![
        vec![1.0, 0.0, 0.0],
        vec![0.5, 1.0],
        vec![0.0, 0.2, 0.3, 1.0],
    ];
    fn log_prob<D: Distribution<Value = Tensor>>(law: &D, value: &Tensor) -> Result<()> {
        law.log_prob(value).map(|_| ())
    }
    let ones = vector(&[1.0; 3]);
    let rows = ones.reshape([1, 3]);
    for (error, part) in [
        (
            message(Dirichlet::new([1.0, 0.0]).map(|_| ())),
            "concentration",
        ),
        (
            message(Dirichlet::new(Vec::new()).map(|_| ())),
            "not a vector",
        ),
        (
            message(Dirichlet::new(Tensor::scalar(1.0)).map(|_| ())),
            "not a vector",
        ),
        (
            message(
                Dirichlet::new([1.0, 1.0])?
                    .log_prob(&vec![0.5, 0.6])
                    .map(|_| ()),
            ),
            "sum is 1",
        ),
        (
            message(matrix([[1.0, 0.5], [0.0, 1.0]])),
            "above the diagonal",
        ),
        (
            message(matrix([[1.0, 0.0], [0.0, 0.0]])),
            "positive diagonal",
        ),
        (
            message(MultivariateNormal::new([0.0; 3], [[1.0]]).map(|_| ())),
            "[.., d, d]",
        ),
        (
            message(MultivariateNormal::new([0.0], vec![vec![1.0], vec![]]).map(|_| ())),
            "row 1 of a matrix has 0 numbers",
        ),
        (
            // As many numbers as a 3 × 3 matrix has.
            message(MultivariateNormal::new([0.0; 3], ragged).map(|_| ())),
            "row 1 of a matrix has 2 numbers",
        ),
        (
            message(log_prob(&Dirichlet::new(ones.clone())?, &vector(&[1.0]))),
            "[1] does not fit draws of shape [3]",
        ),
        (
            message(log_prob(
                &MultivariateNormal::new(ones.clone(), Tensor::eye(3, &Device::cpu()))?,
                &Tensor::scalar(1.0),
            )),
            "[] does not fit draws of shape [3]",
        ),
        (
            message(log_prob(
                &Mixture::new(
                    [0.5, 0.5],
                    Dirichlet::new(Tensor::concat(&[&rows, &rows], 0))?,
                )?,
                &vector(&[1.0]),
            )),
            "[1] does not fit draws of shape [3]",
        ),
    ] {
        assert!(error.contains(part), "{error} has no {part}");
    }
    Ok(())
}
