//! Equalities that hold draw by draw.

use relax_runtime::Result;
use relax_runtime::estimator::{Coupling, Noise, rebar, reinforce, relax};
use relax_runtime::surrogate::{RelaxedCost, Zero};
use relax_runtime::{Device, Tensor};

use crate::problems::{CASES, COUPLINGS, surrogates};

const ROWS: usize = 20_000;

/// The largest difference, as a fraction of 1 + the size of the numbers.
fn distance(a: &Tensor, b: &Tensor) -> Result<f32> {
    let size = 1.0 + a.abs().maximum(&b.abs());
    ((a - b).abs() / size).max_all().item()
}

#[test]
fn relax_without_surrogate_is_reinforce() -> Result<()> {
    for case in &CASES {
        for coupling in COUPLINGS {
            let (theta, noise) = (
                case.scattered_theta(ROWS, 2.0)?,
                case.noise(ROWS, 1, coupling)?,
            );
            let problem = case.problem(&theta, &noise);
            let score = reinforce(problem, &case.cost(), 0.0)?;
            let relax = relax(problem, &case.cost(), &Zero)?;
            assert_eq!(
                relax.gradient.to_vec()?,
                score.gradient.to_vec()?,
                "{}",
                case.name
            );
            assert_eq!(relax.cost.to_vec()?, score.cost.to_vec()?);
            assert_eq!(relax.evaluations, 1);
            assert!(relax.variance_gradient.is_empty());
        }
    }
    Ok(())
}

#[test]
fn rebar_is_relax_with_the_relaxed_cost() -> Result<()> {
    for case in &CASES {
        for (coupling, evaluations) in COUPLINGS.into_iter().zip([2, 3]) {
            let (theta, noise) = (
                case.scattered_theta(ROWS, 2.0)?,
                case.noise(ROWS, 2, coupling)?,
            );
            let problem = case.problem(&theta, &noise);
            let surrogate = RelaxedCost::new(1.3, 0.4, &Device::cpu());
            let rebar = rebar(problem, &case.cost(), &surrogate)?;
            let relax = relax(problem, &case.cost(), &surrogate)?;
            assert_eq!(relax.gradient.to_vec()?, rebar.gradient.to_vec()?);
            assert_eq!(rebar.evaluations, evaluations);
            for (a, b) in relax
                .variance_gradient
                .into_iter()
                .zip(rebar.variance_gradient)
            {
                assert_eq!(a.to_vec()?, b.to_vec()?);
            }
        }
    }
    Ok(())
}

/// b = H(z) = H(z̃), for own and for coupled noise, also where θ is extreme.
#[test]
fn the_conditional_sample_agrees_with_the_hard_one() -> Result<()> {
    for case in &CASES {
        for spread in [1.0, 8.0, 40.0] {
            let theta = case.scattered_theta(ROWS, spread)?;
            let noise = case.noise(ROWS, 3, Coupling::Independent)?;
            let relaxation = case.relaxation;
            let b = relaxation.hard(&relaxation.relaxed(&theta, &noise.u));
            let own = noise.v.iter().cloned();
            for v in own.chain([relaxation.coupled_noise(&theta, &noise.u, &b)]) {
                let again = relaxation.hard(&relaxation.conditional(&theta, &v, &b));
                let wrong = (&again - &b).abs().sum_all().item()?;
                assert_eq!(wrong, 0.0, "{} at spread {spread}", case.name);
            }
        }
    }
    Ok(())
}

/// The noise that makes z̃ = z makes the estimator as published the coupled one.
#[test]
fn coupled_is_independent_at_the_coupled_noise() -> Result<()> {
    let mut worst = (0.0_f32, 0.0_f32);
    for case in &CASES {
        let theta = case.scattered_theta(ROWS, 0.5)?;
        let coupled = case.noise(ROWS, 4, Coupling::Coupled)?;
        let relaxation = case.relaxation;
        let z = relaxation.relaxed(&theta, &coupled.u);
        let b = relaxation.hard(&z);
        let v = relaxation.coupled_noise(&theta, &coupled.u, &b);
        worst.0 = worst
            .0
            .max(distance(&relaxation.conditional(&theta, &v, &b), &z)?);
        let explicit = Noise {
            u: coupled.u.clone(),
            v: Some(v),
            further: Vec::new(),
        };
        for (name, surrogate) in surrogates(case)? {
            // At a kink of the network the two may fall on either side.
            if name.contains("relu") {
                continue;
            }
            let run = |noise: &Noise| relax(case.problem(&theta, noise), &case.cost(), &*surrogate);
            let (one, two) = (run(&coupled)?, run(&explicit)?);
            worst.1 = worst.1.max(distance(&one.gradient, &two.gradient)?);
            assert!(one.evaluations <= two.evaluations);
            for (a, b) in one.variance_gradient.into_iter().zip(two.variance_gradient) {
                worst.1 = worst.1.max(distance(&a, &b)?);
            }
        }
    }
    println!("z̃ − z: {:.1e}, gradients: {:.1e}", worst.0, worst.1);
    assert!(worst.0 < 1e-3 && worst.1 < 1e-2, "{worst:?}");
    Ok(())
}
