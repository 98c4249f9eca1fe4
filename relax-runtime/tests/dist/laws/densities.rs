//! Densities and their derivatives.

use relax_runtime::dist::{
    Bernoulli, Categorical, Distribution, Normal, Number, OneHotCategorical,
};
use relax_runtime::{Device, Result, Tensor, grad};
use statrs::distribution as reference;
use statrs::distribution::{Continuous, Discrete};

use super::{PROBS, assert_near, log_prob, logit, logits, tensor};

fn log_probs_are_those_of_statrs(device: &Device) -> Result<()> {
    for p in [1e-3, 0.3, 0.5, 0.999] {
        let wanted = reference::Bernoulli::new(p).unwrap();
        for b in [false, true] {
            let wanted = wanted.ln_pmf(u64::from(b));
            for dist in [Bernoulli::probs(p)?, Bernoulli::logits(logit(p))?] {
                assert_near("host", log_prob(&dist, &b)?[0], wanted, 1e-12);
            }
            let value = Tensor::scalar(f32::from(u8::from(b)));
            for dist in [
                Bernoulli::probs(tensor(device, &[p]))?,
                Bernoulli::logits(tensor(device, &[logit(p)]))?,
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
        let (p, l) = (tensor(device, &PROBS), tensor(device, &logits(&PROBS)));
        let (k, hot) = (Tensor::scalar(k as f32), tensor(device, &hot));
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
        let joined = Normal::new(tensor(device, &[loc]), scale)?;
        let found = log_prob(&joined, &tensor(device, &[x]))?[0];
        assert_near("tensor", found, wanted, 1e-4);
    }
    Ok(())
}

/// Compares the gradient of `density`'s sum by each argument, and its forward tangents, with
/// central differences along `directions` of every argument.
fn check_derivatives(
    device: &Device,
    what: &str,
    arguments: &[&[f64]],
    directions: &[Vec<f64>],
    density: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    const STEP: f64 = 1.0 / 128.0;
    let sum = |arguments: &[Vec<f64>]| -> Result<f64> {
        let arguments: Vec<Tensor> = arguments.iter().map(|a| tensor(device, a)).collect();
        Ok(f64::from(density(&arguments)?.sum_all().item()?))
    };
    let leaves: Vec<Tensor> = arguments.iter().map(|a| tensor(device, a).leaf()).collect();
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
            let mut forward: Vec<Tensor> = arguments.iter().map(|a| tensor(device, a)).collect();
            forward[at] = forward[at].with_tangent(&tensor(device, direction));
            let forward = density(&forward)?.sum_all().tangent();
            let forward = forward.map_or(Ok(0.0), |t| t.item())?;
            let what = format!("{what}, argument {at} along {direction:?}");
            assert_near(&what, reverse, wanted, 3e-3);
            assert_near(&what, f64::from(forward), wanted, 3e-3);
        }
    }
    Ok(())
}

fn log_density_has_the_right_derivative_by_every_argument(device: &Device) -> Result<()> {
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
    check_derivatives(device, "Bernoulli logits", &[&theta, &b], &axes(4), |a| {
        density(&Bernoulli::logits(&a[0])?, &a[1])
    })?;
    check_derivatives(device, "Bernoulli probs", &[&PROBS, &b], &axes(4), |a| {
        density(&Bernoulli::probs(&a[0])?, &a[1])
    })?;
    let relaxed = [0.1, 0.6, 0.1, 0.2];
    check_derivatives(
        device,
        "OneHot logits",
        &[&theta, &relaxed],
        &axes(4),
        |a| density(&OneHotCategorical::logits(&a[0])?, &a[1]),
    )?;
    // Probabilities move along directions that keep their sum.
    let along = [vec![1.0, -1.0, 0.0, 0.0], vec![0.0, 0.5, 1.0, -1.5]];
    check_derivatives(device, "OneHot probs", &[&PROBS, &relaxed], &along, |a| {
        density(&OneHotCategorical::probs(&a[0])?, &a[1])
    })?;
    for k in 0..4 {
        let k = Tensor::scalar(k as f32);
        check_derivatives(device, "Categorical logits", &[&theta], &axes(4), |a| {
            density(&Categorical::logits(&a[0])?, &k)
        })?;
        check_derivatives(device, "Categorical probs", &[&PROBS], &along, |a| {
            density(&Categorical::probs(&a[0])?, &k)
        })?;
    }
    let (loc, scale, x) = ([0.0, -1.0, 2.0], [0.5, 1.0, 3.0], [0.1, 1.0, -2.0]);
    check_derivatives(device, "Normal", &[&loc, &scale, &x], &axes(3), |a| {
        density(&Normal::new(&a[0], &a[1])?, &a[2])
    })
}

fn summed_normal_densities_have_the_right_value_and_derivatives(device: &Device) -> Result<()> {
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
            let [found, wanted] = by_row(&[
                tensor(device, loc),
                tensor(device, scale),
                tensor(device, x),
            ])?;
            assert_eq!(found.shape(), wanted.shape(), "{what}");
            for (found, wanted) in found.to_vec()?.into_iter().zip(wanted.to_vec()?) {
                assert_near(&what, f64::from(found), f64::from(wanted), 1e-5);
            }
            check_derivatives(device, &what, &[loc, scale, x], &directions, |a| {
                let [found, _] = by_row(a)?;
                // Each row counts otherwise.
                let weights: Vec<f32> = (0..found.len()).map(|i| 1.0 + i as f32).collect();
                Ok(&found * Tensor::from_vec(weights, found.shape(), &found.device())?)
            })?;
        }
    }
    Ok(())
}

on_every_engine!(
    log_probs_are_those_of_statrs,
    log_density_has_the_right_derivative_by_every_argument,
    summed_normal_densities_have_the_right_value_and_derivatives
);
