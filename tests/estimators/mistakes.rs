//! Mistakes that a gradient estimator may have, each of which the test of unbiasedness finds.

use relax_runtime::surrogate::{Surrogate, Surroundings};
use relax_runtime::{Result, Shape, Tensor, grad};

use crate::problems::{CASES, COUPLINGS, Case, surrogates};
use crate::statistics::Moments;

const DRAWS: usize = 100_000;

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
        relaxation: Some(relaxation),
        theta: &theta.detach(),
        context: None,
        plates: 1,
        cost: &|draw: &Tensor, _: &Tensor| Ok(case.f(draw)),
    };
    let z = relaxation.relaxed(&theta, &noise.u);
    let b = relaxation.hard(&z);
    let z_tilde = match (mistake, noise.v) {
        (Mistake::KappaOne, _) | (_, None) => z.detach(),
        (_, Some(v)) => relaxation.conditional(&theta, &v, &b),
    };
    let (at_z, at_z_tilde) = (
        surrogate.linearize(&z, around)?,
        surrogate.linearize(&z_tilde, around)?,
    );
    let mut gradient = grad(&[(&z, Some(&at_z.gradient))], &[&theta])?.remove(0);
    if z_tilde.is_tracked() && mistake != Mistake::MissingPath {
        let path = grad(&[(&z_tilde, Some(&at_z_tilde.gradient))], &[&theta])?;
        gradient = gradient - &path[0];
    }
    let sign = if mistake == Mistake::ScoreSign {
        -1.0
    } else {
        1.0
    };
    let score = relaxation.score(&theta, &b);
    let mut rows = vec![DRAWS];
    rows.resize(score.rank(), 1);
    let weight = (case.f(&b) - &at_z_tilde.value).reshape(Shape::try_from(&rows[..])?);
    Moments::of_rows(&(gradient + weight * score * sign))
}

/// With a single surrogate a mistake's bias may vanish by chance, so most have to show it.
#[test]
fn the_test_of_unbiasedness_finds_every_mistake() -> Result<()> {
    const SURROGATES: usize = 4;
    for case in &CASES {
        let exact = case.exact_gradient()?;
        let mut surrogates = surrogates(case)?;
        surrogates.retain(|(name, _)| *name != "zero");
        assert_eq!(surrogates.len(), SURROGATES);
        for mistake in [
            Mistake::None,
            Mistake::ScoreSign,
            Mistake::KappaOne,
            Mistake::MissingPath,
        ] {
            let mut found = 0;
            for (name, surrogate) in &surrogates {
                let verdict = by_hand(case, &**surrogate, mistake)?.compare(&exact);
                if let Err(problem) = &verdict {
                    println!("{}, {name}, {mistake:?}: {problem}", case.name);
                    found += usize::from(problem.contains("standard errors"));
                }
            }
            match mistake {
                Mistake::None => assert_eq!(found, 0, "{}", case.name),
                _ => assert!(
                    found >= SURROGATES - 1,
                    "{}, {mistake:?}: {found}",
                    case.name
                ),
            }
        }
    }
    Ok(())
}
