//! Mistakes that a gradient estimator may have, each of which the test of unbiasedness finds.

use relax_runtime::surrogate::{Surrogate, Surroundings};
use relax_runtime::{Result, Tensor, grad};

use crate::problems::{CASES, COUPLINGS, Case, surrogates};
use crate::statistics::Moments;
use crate::unbiased::DRAWS;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    None,
    /// The score function counts against the cost.
    ScoreSign,
    /// ∂c(z)/∂θ under coupled noise, without what z̃ takes off it.
    KappaOne,
    /// z̃ taken as a constant, as in a port that had it so for a year.
    MissingPath,
}

/// RELAX, written from its definition.
fn by_hand(case: &Case, surrogate: &dyn Surrogate, mistake: Mistake) -> Result<Moments> {
    let relaxation = case.relaxation;
    let noise = case.noise(DRAWS, 21, COUPLINGS[1])?;
    let theta = case.theta(DRAWS)?.leaf();
    let around = Surroundings {
        relaxation,
        theta: &theta.detach(),
        context: None,
        plates: 1,
    };
    let mut relaxed_cost = |draw: &Tensor, _: &Tensor| Ok(case.f(draw));
    let z = relaxation.relaxed(&theta, &noise.u);
    let b = relaxation.hard(&z);
    let z_tilde = match (mistake, noise.v) {
        (Mistake::KappaOne, _) | (_, None) => z.detach(),
        (_, Some(v)) => relaxation.conditional(&theta, &v, &b),
    };
    let mut value = |z: &Tensor| surrogate.value_and_gradient(z, around, &mut relaxed_cost);
    let (_, slope) = value(&z)?;
    let (c, slope_tilde) = value(&z_tilde)?;
    let mut gradient = grad(&[(&z, Some(&slope))], &[&theta])?.remove(0);
    if z_tilde.is_tracked() && mistake != Mistake::MissingPath {
        gradient = gradient - grad(&[(&z_tilde, Some(&slope_tilde))], &[&theta])?.remove(0);
    }
    let sign = if mistake == Mistake::ScoreSign { -1.0 } else { 1.0 };
    let score = relaxation.score(&theta, &b);
    let mut rows = vec![DRAWS];
    rows.resize(score.rank(), 1);
    let weight = (case.f(&b) - c).reshape(relax_runtime::Shape::try_from(&rows[..])?);
    Moments::of_rows(&(gradient + weight * score * sign))
}

#[test]
fn the_test_of_unbiasedness_finds_every_mistake() -> Result<()> {
    for case in &CASES {
        let exact = case.exact_gradient()?;
        for (name, surrogate) in surrogates(case)? {
            if name == "zero" {
                continue;
            }
            let right = by_hand(case, &*surrogate, Mistake::None)?.compare(&exact);
            assert!(right.is_ok(), "{}, {name}: {right:?}", case.name);
            for mistake in [
                Mistake::ScoreSign,
                Mistake::KappaOne,
                Mistake::MissingPath,
            ] {
                let wrong = by_hand(case, &*surrogate, mistake)?.compare(&exact);
                let found = wrong.as_ref().is_err_and(|e| e.contains("standard errors"));
                assert!(found, "{}, {name}, {mistake:?}: {wrong:?}", case.name);
            }
        }
    }
    Ok(())
}
