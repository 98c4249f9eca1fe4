//! Laws of counts: mass, gradients, draws and relaxation against references and definitions, one table of
//! laws for all.

mod cases;
mod parameters;
mod relaxed;

use relax_runtime::{Device, Key, Result, Tensor, grad};
use statrs::stats_tests::chisquare::chisquare;

use cases::{Case, cases};

fn near(what: &str, found: f64, wanted: f64, tolerance: f64) {
    let error = (found - wanted).abs() / (1.0 + wanted.abs());
    assert!(error < tolerance, "{what}: {found} instead of {wanted}");
}

#[test]
fn masses_are_those_of_statrs() -> Result<()> {
    for case in cases() {
        let theta = case.double();
        for k in 0..=case.most().min(60) {
            let wanted = (case.mass)(&theta, k).ln();
            near(case.name, (case.host)(&theta, k as usize)?, wanted, 1e-9);
            let (law, _) = case.of_rows(1)?;
            let found = law.log_density(&Tensor::from_slice(&[k as f32])).to_vec()?[0];
            near(case.name, f64::from(found), wanted, 2e-6);
        }
        let (law, _) = case.of_rows(1)?;
        let square = |k| (case.mass)(&theta, k) * (k as f64 - (case.mean)(&theta)).powi(2);
        let (of_rows, by_theta) = case.of_rows(1)?;
        let relaxation = of_rows.relaxation().expect("there is one");
        let variance = f64::from(relaxation.variance(&by_theta).to_vec()?[0]);
        let wanted = (0..case.most() + 40).map(square).sum();
        near(case.name, variance, wanted, 1e-4);
        let mean = f64::from(law.mean().to_vec()?[0]);
        near(case.name, mean, (case.mean)(&theta), 1e-5);
    }
    Ok(())
}

/// By θ, and by the value between whole numbers, against differences of host numbers and of the mean of
/// two neighbours' tensors.
#[test]
fn derivatives_of_the_mass_are_its_differences() -> Result<()> {
    for case in cases() {
        for k in [0.0_f32, 1.0, 0.4] {
            let density = |theta: &Tensor, k: &Tensor| -> Result<Tensor> {
                Ok((case.law)(theta)?.log_density(k))
            };
            let (theta, k) = (case.rows(1).leaf(), Tensor::from_slice(&[k]).leaf());
            let out = density(&theta, &k)?;
            let slopes = grad(&[(&out.sum_all(), None)], &[&theta, &k])?;
            let at = |theta: &[f32], k: f32| -> Result<f64> {
                let theta = Tensor::from_vec(theta.to_vec(), [1, theta.len()], &Device::cpu())?;
                Ok(f64::from(
                    density(&theta, &Tensor::from_slice(&[k]))?.to_vec()?[0],
                ))
            };
            let h = 0.01;
            let here = k.to_vec()?[0];
            for j in 0..case.theta.len() {
                let moved = |by: f32| {
                    let mut theta = case.theta.clone();
                    theta[j] += by;
                    at(&theta, here)
                };
                let wanted = (moved(h)? - moved(-h)?) / f64::from(2.0 * h);
                near(case.name, f64::from(slopes[0].to_vec()?[j]), wanted, 2e-3);
            }
            if here.fract() > 0.0 {
                let by_k = at(&case.theta, here + h)? - at(&case.theta, here - h)?;
                let found = f64::from(slopes[1].to_vec()?[0]);
                near(case.name, found, by_k / f64::from(2.0 * h), 5e-3);
            }
        }
    }
    Ok(())
}

/// How often each value comes up, against its mass: the last value stands for all beyond.
fn check_frequencies(case: &Case, draws: &[f64]) {
    let theta = case.double();
    let (mut found, mut wanted) = (Vec::new(), Vec::new());
    let n = draws.len() as f64;
    let mut rest = 1.0;
    for k in 0.. {
        let mass = (case.mass)(&theta, k);
        rest -= mass;
        let count = draws.iter().filter(|x| **x == k as f64).count();
        if n * rest < 10.0 {
            found.push(draws.iter().filter(|x| **x >= k as f64).count());
            wanted.push(n * (mass + rest));
            break;
        }
        found.push(count);
        wanted.push(n * mass);
    }
    assert_eq!(found.iter().sum::<usize>(), draws.len());
    if found.len() < 2 {
        return;
    }
    let (_, p) = chisquare(&found, Some(&wanted), None).unwrap();
    assert!(p > 1e-5, "{}: p-value {p}: {found:?} {wanted:?}", case.name);
}

#[test]
fn draws_have_their_law() -> Result<()> {
    const DRAWS: usize = 40_000;
    for case in cases() {
        let (law, theta) = case.of_rows(DRAWS)?;
        let noise = law.noise(&mut Key::new(3).stream("draws"))?;
        let draws = law.draw(&noise).to_vec()?;
        assert_eq!(draws.len(), DRAWS);
        let draws: Vec<f64> = draws.into_iter().map(f64::from).collect();
        check_frequencies(&case, &draws);
        let relaxation = law.relaxation().expect("there is one");
        let b = relaxation.hard(&relaxation.relaxed(&theta, &noise));
        let counts: Vec<f64> = law
            .value_at(&b)
            .to_vec()?
            .into_iter()
            .map(f64::from)
            .collect();
        assert_eq!(counts, draws, "{}", case.name);
    }
    Ok(())
}

#[test]
fn host_draws_have_their_law() -> Result<()> {
    let mut stream = Key::new(4).stream("draws");
    for case in cases() {
        let theta = case.double();
        let draws = (0..20_000).map(|_| Ok((case.draw)(&theta, &mut stream)? as f64));
        check_frequencies(&case, &draws.collect::<Result<Vec<_>>>()?);
    }
    Ok(())
}
