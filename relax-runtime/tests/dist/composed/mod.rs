//! Laws made of other laws: truncated ones, mixtures, multinomial counts, and what is certain.

mod mixtures;
mod multinomial;
mod truncated;
mod truncated_counts;

use relax_runtime::dist::{
    Bernoulli, Beta, BetaBinomial, Bijection, Binomial, Categorical, Delta, DiscreteUniform,
    Distribution, Exponential, Form, Gamma, Gumbel, HalfNormal, InverseGamma, Law, LogNormal,
    Mixture, Multinomial, MultivariateNormal, Normal, Number, Poisson, StudentT, Truncated,
    Uniform,
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
fn what_is_certain() -> Result<()> {
    let host = Delta::new(2.5)?;
    assert_eq!(host.sample(&mut Key::new(1).stream("x"))?, 2.5);
    assert_eq!(log_prob(&host, &2.5)?, [0.0]);
    assert_eq!(log_prob(&host, &2.4)?, [f64::NEG_INFINITY]);
    // Its law draws in single precision, which has no 0.1.
    let tenth = Delta::new(0.1)?;
    for value in [0.1, f64::from(0.1_f32)] {
        assert_eq!(log_prob(&tenth, &value)?, [0.0]);
    }
    assert_eq!(log_prob(&tenth, &0.100001)?, [f64::NEG_INFINITY]);
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
