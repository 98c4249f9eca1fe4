//! Mistakes that a gradient estimator may have; the test of unbiasedness finds each of them.

use std::rc::Rc;

use relax_runtime::dist::Relaxation;
use relax_runtime::estimator::{
    Cost, Coupling, Estimate, Estimator, Problem, Relax, SiteClass, SiteState, SiteTask,
};
use relax_runtime::infer::{Check, Configure, ExpectedCost};
use relax_runtime::model::Program;
use relax_runtime::report::Subject;
use relax_runtime::surrogate::{Surrogate, Surroundings};
use relax_runtime::{Result, Shape, Tensor, grad};

use crate::models;
use crate::moved::Moved;
use crate::problems::{CASES, COUPLINGS, surrogates};
use crate::statistics::Moments;

const DRAWS: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mistake {
    None,
    /// None either: z of noise that is mirrored, so that b is not H(z), and z̃ independent of both.
    Mirrored,
    /// The score function counts against the cost.
    ScoreSign,
    /// ∂c(z)/∂θ under coupled noise, without what z̃ takes off it.
    KappaOne,
    /// z̃ taken as a constant, as in a port that had it so for a year.
    MissingPath,
}

/// RELAX, written from its definition.
fn by_hand(
    problem: Problem<'_>,
    cost: &dyn Cost,
    surrogate: &dyn Surrogate,
    mistake: Mistake,
) -> Result<Estimate> {
    let Problem {
        relaxation, noise, ..
    } = problem;
    let theta = problem.theta.detach().leaf();
    let around = Surroundings {
        relaxation: Some(relaxation),
        theta: problem.theta,
        context: problem.context,
        plates: problem.plates,
        cost: &|draw: &Tensor, temperature: &Tensor| cost.relaxed(draw, temperature),
    };
    let b = relaxation.hard(&relaxation.relaxed(&theta, &noise.u));
    let z = match mistake {
        Mistake::Mirrored => relaxation.relaxed(&theta, &-&noise.u),
        _ => relaxation.relaxed(&theta, &noise.u),
    };
    let z_tilde = match (mistake, &noise.v) {
        (Mistake::KappaOne, _) | (_, None) => z.detach(),
        (_, Some(v)) => relaxation.conditional(&theta, v, &b),
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
    let f = cost.drawn(&b)?;
    let mut rows = f.shape().to_vec();
    rows.resize(score.rank(), 1);
    let weight = (&f - &at_z_tilde.value).reshape(Shape::try_from(&rows[..])?);
    Ok(Estimate {
        cost: f,
        gradient: gradient + weight * score * sign,
        variance_gradient: surrogate
            .parameters()
            .iter()
            .map(|p| p.get().zeros_like())
            .collect(),
        evaluations: 1 + 2 * surrogate.evaluations(),
    })
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
                let noise = case.noise(DRAWS, 21, COUPLINGS[1])?;
                let theta = case.theta(DRAWS)?;
                let problem = case.problem(&theta, &noise);
                let estimate = by_hand(problem, &case.cost(), &**surrogate, mistake)?;
                let verdict = Moments::of_rows(&estimate.gradient)?.compare(&exact);
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

/// An estimator with a mistake, on the surrogate of RELAX.
#[derive(Debug)]
pub struct Wrong {
    pub relax: Relax,
    pub mistake: Mistake,
    /// A wrong one, instead of the site's.
    pub relaxation: Option<&'static dyn Relaxation>,
}

impl Estimator for Wrong {
    fn name(&self) -> &'static str {
        "by-hand"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        self.relax.valid_for(class)
    }

    fn evaluations(&self, class: SiteClass) -> usize {
        self.relax.evaluations(class)
    }

    fn coupling(&self) -> Coupling {
        Coupling::Independent
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        self.relax.state(task)
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        let problem = Problem {
            relaxation: self.relaxation.unwrap_or(task.problem.relaxation),
            ..task.problem
        };
        by_hand(problem, cost, state.surrogate(), self.mistake)
    }
}

/// At one site of a program with two, of which the other has the default estimator: the table
/// names that site, and no other.
#[test]
fn the_check_of_models_finds_every_mistake_at_its_site() -> Result<()> {
    const DRAWS: u64 = 100;
    let (coins, vectors) = (
        models::two_coins(1_000, 1_000),
        models::vector_then_index(1_000, 1_000),
    );
    let cells: [(&dyn Program, _, _); 3] = [
        (&coins, "b", Relax::sum()),
        (&coins, "b", Relax::free_form()),
        (&vectors, "a", Relax::free_form()),
    ];
    for (program, site, kind) in cells {
        for mistake in [
            Mistake::None,
            Mistake::ScoreSign,
            Mistake::KappaOne,
            Mistake::MissingPath,
        ] {
            let relax = kind.clone();
            let wrong = Moved(Rc::new(Wrong {
                relax,
                mistake,
                relaxation: None,
            }));
            let table = Check::new(&ExpectedCost::new(program))
                .site_estimator(site, wrong)
                .draws(DRAWS)
                .run()?;
            let sites = table
                .rows
                .iter()
                .filter(|row| matches!(row.subject, Subject::Site { .. }) && row.biased);
            let found: Vec<&str> = sites.map(|row| row.name.as_str()).collect();
            match mistake {
                Mistake::None => table.verdict()?,
                _ => assert_eq!(found, [site], "{mistake:?}\n{table}"),
            }
        }
    }
    Ok(())
}
