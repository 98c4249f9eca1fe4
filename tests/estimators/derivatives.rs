//! Derivatives at fixed noise against central differences.

use relax_runtime::estimator::{Coupling, Noise, relax};
use relax_runtime::surrogate::{Surrogate, Surroundings};
use relax_runtime::{Device, Key, Parameter, Result, Tensor, grad};

use crate::problems::{CASES, COUPLINGS, Case, surrogates};

/// Compares the derivatives of a number by parameters with differences along random directions.
pub(crate) fn assert_follows(
    parameters: &[Parameter],
    found: &[Tensor],
    value: impl Fn() -> Result<f32>,
) -> Result<()> {
    const STEP: f32 = 0.02;
    assert_eq!(parameters.len(), found.len());
    for (parameter, derivative) in parameters.iter().zip(found) {
        let at = parameter.get().detach();
        let along = Key::new(9)
            .stream("along")
            .normals(at.shape(), &Device::cpu())?;
        parameter.set(&at + &along * STEP)?;
        let above = value()?;
        parameter.set(&at - &along * STEP)?;
        let difference = (above - value()?) / (2.0 * STEP);
        parameter.set(at)?;
        let derivative = (along * derivative).sum_all().item()?;
        let error = (difference - derivative).abs();
        assert!(
            error < 1e-2 * (1.0 + derivative.abs()),
            "{difference}, {derivative}"
        );
    }
    Ok(())
}

/// Σ a b in f64.
fn product(a: &Tensor, b: &Tensor) -> Result<f64> {
    let (a, b) = (a.to_vec()?, b.to_vec()?);
    Ok(a.iter()
        .zip(&b)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum())
}

/// The objective of the surrogates: the mean square of the gradient estimate.
fn mean_square(
    case: &Case,
    theta: &Tensor,
    noise: &Noise,
    surrogate: &dyn Surrogate,
) -> Result<f64> {
    let estimate = relax(case.problem(theta, noise), &case.cost(), surrogate)?;
    Ok(product(&estimate.gradient, &estimate.gradient)? / estimate.gradient.len() as f64)
}

/// Each parameter of a surrogate along random directions: the distances from the central
/// difference, as fractions of the largest derivative met, in increasing order.
fn differences(
    case: &Case,
    coupling: Coupling,
    surrogate: &dyn Surrogate,
    (rows, step): (usize, f32),
) -> Result<Vec<f64>> {
    const DIRECTIONS: usize = 4;
    let (theta, noise) = (
        case.scattered_theta(rows, 0.5)?,
        case.noise(rows, 9, coupling)?,
    );
    let estimate = relax(case.problem(&theta, &noise), &case.cost(), surrogate)?;
    let mut stream = Key::new(10).stream("directions");
    let (mut largest, mut errors) = (0.0_f64, Vec::new());
    assert_eq!(
        estimate.variance_gradient.len(),
        surrogate.parameters().len()
    );
    for (parameter, gradient) in surrogate
        .parameters()
        .iter()
        .zip(estimate.variance_gradient)
    {
        let value = parameter.get().detach();
        for _ in 0..DIRECTIONS {
            let direction = stream.normals(value.shape(), &Device::cpu())?;
            let direction = &direction / direction.square().sum_all().sqrt();
            let at = |sign: f32| {
                parameter.set(&value + &direction * (sign * step))?;
                mean_square(case, &theta, &noise, surrogate)
            };
            let difference = (at(1.0)? - at(-1.0)?) / (2.0 * f64::from(step));
            let derivative = product(&gradient, &direction)?;
            largest = largest.max(derivative.abs());
            errors.push((derivative - difference).abs());
        }
        parameter.set(value)?;
    }
    assert!(largest > 1e-3, "the surrogate does not matter: {largest}");
    errors.sort_by(f64::total_cmp);
    Ok(errors.into_iter().map(|error| error / largest).collect())
}

#[test]
fn the_gradient_of_the_variance_is_its_derivative() -> Result<()> {
    const TOLERANCE: f64 = 5e-3;
    for case in &CASES {
        for (name, surrogate) in surrogates(case)? {
            // The slope of a piecewise linear network jumps at kinks that move with its
            // parameters: few rows and a short step, so that hardly a direction crosses one.
            let (setting, share) = match name {
                "zero" => continue,
                "free-form, relu" => ((6, 1e-3), 0.8),
                _ => ((400, 1e-2), 1.0),
            };
            for coupling in COUPLINGS {
                let all = differences(case, coupling, &*surrogate, setting)?;
                let worst = all[(share * (all.len() - 1) as f64) as usize];
                println!("{}, {name}, {coupling:?}: {worst:.1e}", case.name);
                assert!(
                    worst < TOLERANCE,
                    "{}, {name}, {coupling:?}: {worst}",
                    case.name
                );
            }
        }
    }
    Ok(())
}

/// What is left of the estimate without the score function is ∂c(z)/∂θ − ∂c(z̃)/∂θ with u, v and b
/// fixed: both paths, of which the second was missing for a year in a published port.
#[test]
fn both_samples_depend_on_the_parameters() -> Result<()> {
    const ROWS: usize = 400;
    const STEP: f32 = 1e-2;
    for case in &CASES {
        let relaxation = case.relaxation;
        let theta = case.scattered_theta(ROWS, 0.5)?;
        let own = case.noise(ROWS, 12, Coupling::Independent)?;
        let b = relaxation.hard(&relaxation.relaxed(&theta, &own.u));
        let coupled = Noise {
            u: own.u.clone(),
            v: None,
            further: Vec::new(),
        };
        let direction = Key::new(13)
            .stream("direction")
            .normals(theta.shape(), &Device::cpu())?;
        for (name, surrogate) in surrogates(case)? {
            if name == "zero" || name.contains("relu") {
                continue;
            }
            let around = Surroundings {
                relaxation: Some(relaxation),
                theta: &theta,
                context: None,
                plates: 1,
                cost: &|draw: &Tensor, _: &Tensor| Ok(case.f(draw)),
            };
            let value = |z: &Tensor| surrogate.value(z, around);
            for noise in [&own, &coupled] {
                let v = match &noise.v {
                    Some(v) => v.clone(),
                    None => relaxation.coupled_noise(&theta, &noise.u, &b),
                };
                let by_z = |theta: &Tensor| value(&relaxation.relaxed(theta, &noise.u));
                let by_z_tilde = |theta: &Tensor| value(&relaxation.conditional(theta, &v, &b));
                let slope = |c: &dyn Fn(&Tensor) -> Result<Tensor>| {
                    let at = |sign: f32| c(&(&theta + &direction * (sign * STEP)));
                    Ok::<_, relax_runtime::Error>((at(1.0)? - at(-1.0)?) / (2.0 * STEP))
                };
                let estimate = relax(case.problem(&theta, noise), &case.cost(), &*surrogate)?;
                let weight = case.f(&b) - by_z_tilde(&theta)?;
                let score = (relaxation.score(&theta, &b) * &direction).sum_from(1);
                let paths = (&estimate.gradient * &direction).sum_from(1) - weight * score;
                let (z, z_tilde) = (slope(&by_z)?, slope(&by_z_tilde)?);
                let error = (paths - (&z - &z_tilde)).abs().mean_all().item()?;
                let size = z.abs().mean_all().item()?;
                let second = z_tilde.abs().mean_all().item()?;
                println!(
                    "{}, {name}: {error:.1e} of {size:.2}, {second:.2}",
                    case.name
                );
                assert!(second > 0.1 * size, "{}, {name}: no second path", case.name);
                assert!(
                    error < 5e-3 * size,
                    "{}, {name}: {error} of {size}",
                    case.name
                );
            }
        }
    }
    Ok(())
}

/// Surrogates compute their derivatives in closed form; `train` and `grad` do it from the value.
#[test]
fn closed_forms_are_the_automatic_derivatives() -> Result<()> {
    const ROWS: usize = 50;
    let mut worst = 0.0_f64;
    for case in &CASES {
        let theta = case.scattered_theta(ROWS, 0.5)?;
        let draw = |purpose: &str| {
            let mut stream = Key::new(14).stream(purpose);
            stream.normals(theta.shape(), &Device::cpu())
        };
        let (z, along) = (draw("z")?, draw("along")?);
        let weight = draw("weight")?.sum_from(1);
        let around = Surroundings {
            relaxation: Some(case.relaxation),
            theta: &theta,
            context: None,
            plates: 1,
            cost: &|draw: &Tensor, _: &Tensor| Ok(case.f(draw)),
        };
        for (name, surrogate) in surrogates(case)? {
            let closed = surrogate.linearize(&z, around)?;
            let leaf = z.leaf();
            let value = surrogate.value(&leaf, around)?;
            let slope = match name {
                "zero" => z.zeros_like(),
                _ => grad(&[(&value, None)], &[&leaf])?.remove(0),
            };
            let mut pairs = vec![
                (closed.value.clone(), value.detach()),
                (closed.gradient.clone(), slope),
            ];
            let automatic = surrogate.train(&z, &along, &weight, around)?;
            let closed = closed.variance_gradient(&along, &weight)?;
            assert_eq!(closed.len(), automatic.len());
            pairs.extend(closed.into_iter().zip(automatic));
            for (closed, automatic) in pairs {
                assert_eq!(closed.shape(), automatic.shape(), "{}, {name}", case.name);
                let error = (&closed - &automatic).abs().max_all().item()?;
                let size = 1.0 + automatic.abs().max_all().item()?;
                worst = worst.max(f64::from(error / size));
            }
        }
    }
    println!("closed forms: {worst:.1e}");
    assert!(worst < 1e-4, "{worst}");
    Ok(())
}
