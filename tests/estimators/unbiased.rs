//! The plain functions, with explicit noise.

use relax_runtime::estimator::{Estimate, rebar, reinforce, relax};
use relax_runtime::nn::Activation;
use relax_runtime::surrogate::{FreeForm, RelaxedCost, Surrogate as _};
use relax_runtime::{Device, Key, Result, Tensor};

use crate::problems::{CASES, COUPLINGS, Case, INTERACTING, perturb, surrogates};
use crate::statistics::{Moments, Verdicts};

const DRAWS: usize = 80_000;

fn check(verdicts: &mut Verdicts, what: &str, case: &Case, estimate: &Estimate) -> Result<()> {
    let what = format!("{}, {what}", case.name);
    let moments = Moments::of_rows(&estimate.gradient)?;
    verdicts.add(&what, moments.compare(&case.exact_gradient()?));
    Ok(())
}

#[test]
fn reinforce_is_unbiased() -> Result<()> {
    let mut verdicts = Verdicts::default();
    for (seed, case) in CASES.iter().enumerate() {
        let (theta, noise) = (
            case.theta(DRAWS)?,
            case.noise(DRAWS, seed as u64, COUPLINGS[0])?,
        );
        for baseline in [0.0, 0.6] {
            let problem = case.problem(&theta, &noise);
            let estimate = reinforce(problem, &case.cost(), baseline)?;
            assert_eq!(estimate.evaluations, 1);
            check(
                &mut verdicts,
                &format!("baseline {baseline}"),
                case,
                &estimate,
            )?;
        }
    }
    verdicts.finish();
    Ok(())
}

#[test]
fn rebar_is_unbiased() -> Result<()> {
    let mut verdicts = Verdicts::default();
    for (seed, case) in CASES.iter().enumerate() {
        for coupling in COUPLINGS {
            let theta = case.theta(DRAWS)?;
            let noise = case.noise(DRAWS, 10 + seed as u64, coupling)?;
            let surrogate = RelaxedCost::new(0.8, 0.6, &Device::cpu());
            let estimate = rebar(case.problem(&theta, &noise), &case.cost(), &surrogate)?;
            check(&mut verdicts, &format!("{coupling:?}"), case, &estimate)?;
        }
    }
    verdicts.finish();
    Ok(())
}

#[test]
fn relax_is_unbiased_with_every_surrogate() -> Result<()> {
    let mut verdicts = Verdicts::default();
    let mut seed = 100;
    for case in &CASES {
        let theta = case.theta(DRAWS)?;
        for (name, surrogate) in surrogates(case)? {
            for coupling in COUPLINGS {
                seed += 1;
                let noise = case.noise(DRAWS, seed, coupling)?;
                let problem = case.problem(&theta, &noise);
                let estimate = relax(problem, &case.cost(), &*surrogate)?;
                check(
                    &mut verdicts,
                    &format!("{name}, {coupling:?}"),
                    case,
                    &estimate,
                )?;
            }
        }
    }
    verdicts.finish();
    Ok(())
}

/// A surrogate may look at anything that is independent of the noise.
#[test]
fn relax_is_unbiased_with_a_context() -> Result<()> {
    let mut verdicts = Verdicts::default();
    let case = &INTERACTING;
    let (theta, device) = (case.theta(DRAWS)?, Device::cpu());
    let mut stream = Key::new(5).stream("context");
    let network = FreeForm::new(3, 2, &[8], Activation::Tanh, &mut stream, &device)?;
    perturb(&network.parameters(), 0.5, &mut stream)?;
    let context = Tensor::from_vec(
        (0..2 * DRAWS).map(|_| stream.uniform()).collect(),
        [DRAWS, 2],
        &device,
    )?;
    assert_eq!(network.evaluations(), 0);
    for coupling in COUPLINGS {
        let noise = case.noise(DRAWS, 6, coupling)?;
        let mut problem = case.problem(&theta, &noise);
        problem.context = Some(&context);
        let estimate = relax(problem, &case.cost(), &network)?;
        check(&mut verdicts, &format!("{coupling:?}"), case, &estimate)?;
    }
    verdicts.finish();
    Ok(())
}
