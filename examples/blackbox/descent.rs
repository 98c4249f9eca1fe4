//! Descent on the expected cost over the parameters of a law: the programs, and the estimator that each gets.

use std::rc::Rc;

use relax_runtime::estimator::{Estimator, EvolutionStrategies, Lax, Rloo};
use relax_runtime::prelude::*;

use crate::fitted::Fitted;
use crate::gaussian::{Gaussian, numbers};
use crate::problem::{Meter, Space};
use crate::program::Outcome;
use crate::replay::Replay;
use crate::trust::Trust;

/// Independent coins. With a weight of their entropy, which falls from half to half of the budget, the law stays
/// wide where costs tell little apart, as in mean-field annealing.
#[model]
pub(crate) fn coins(meter: &Meter<'_>, start: &[f32], entropy: f64) -> Result<()> {
    let logits = param!(Tensor::from_slice(start));
    if entropy > 0.0 {
        let of_each = logits.softplus() - logits.sigmoid() * &logits;
        cost!(of_each.sum_all() * (-entropy * meter.heat()));
    }
    let x = sample!(Bernoulli(logits = &logits));
    cost!(meter.cost(&numbers(&x)?));
    Ok(())
}

/// Coins that are the signs of normal numbers, for estimators of continuous choices.
#[model]
fn signs(meter: &Meter<'_>, start: &[f32]) -> Result<()> {
    let means = param!(Tensor::from_slice(start));
    let x = sample!(Normal(&means, 1.0));
    let bits: Vec<f64> = numbers(&x)?
        .into_iter()
        .map(|x| f64::from(x > 0.0))
        .collect();
    cost!(meter.cost(&bits));
    Ok(())
}

/// Independent normal numbers.
#[model]
pub(crate) fn normals(meter: &Meter<'_>, law: &Gaussian) -> Result<()> {
    let (mean, factor) = law.law();
    let x = sample!(Normal(&mean, factor.diagonal()));
    cost!(meter.cost(&numbers(&x)?));
    Ok(())
}

/// Normal numbers that depend on each other.
#[model]
pub(crate) fn correlated(meter: &Meter<'_>, law: &Gaussian) -> Result<()> {
    let (mean, factor) = law.law();
    let x = sample!(MultivariateNormal(&mean, &factor));
    cost!(meter.cost(&numbers(&x)?));
    Ok(())
}

/// A gradient estimator with the rate that suits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descent {
    /// RELAX on coins, LAX on normal numbers: the surrogate learns from the draw of each step.
    Relax,
    /// The surrogate learns from all draws of the past.
    Replay,
    /// A quadratic form with all pairs is fitted to all draws of the past, beside the network.
    Quadratic,
    Rloo,
    Evolution,
}

/// How far and how a descent goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Adam's rate for bits, the length of steps for reals.
    pub(crate) rate: f32,
    /// Whether normal numbers have covariances to learn.
    pub(crate) covariances: bool,
    /// What a nat of coins' entropy is worth at the start, in units of the cost.
    pub(crate) entropy: f64,
}

/// What a descent has come to.
pub(crate) enum Law {
    /// Logits.
    Coins(Vec<f32>),
    Gaussian(Gaussian),
}

impl Descent {
    /// Minimises until the budget is spent. Coins follow Adam at the given rate, and begin anew, with other draws, where
    /// all have come to be certain; normal numbers take steps of that length.
    ///
    /// # Errors
    /// If a gradient is not finite.
    pub(crate) fn run(self, meter: &Meter<'_>, pace: Pace, seed: u64) -> Outcome<Law> {
        const RESTARTS: u64 = 1000;
        let Pace {
            rate,
            covariances,
            entropy,
        } = pace;
        let space = meter.problem.space();
        // One for all restarts: what is fitted to past draws outlives them.
        let estimator = self.estimator(space)?;
        let trainer = |restart| {
            let trainer = Trainer::new(RESTARTS * seed + restart);
            trainer.site_estimator("x", Rc::clone(&estimator))
        };
        let n = match space {
            Space::Bits(n) => n,
            Space::Reals(n) => {
                let trainer = trainer(0).optimizer(Trust { length: rate });
                let law = Gaussian::standard(n, covariances);
                return Ok(Law::Gaussian(descend(trainer, meter, law, covariances)?));
            }
        };
        let mut found = vec![0.0; n];
        let start = vec![0.0; n];
        for restart in 0..RESTARTS {
            if meter.is_spent() {
                break;
            }
            let trainer = trainer(restart).optimizer(Adam::new(rate));
            found = match self {
                // Beyond 2 a sign changes in one draw of forty.
                Self::Evolution => decide(trainer, meter, &signs(meter, &start), "means", 2.0)?,
                _ => {
                    let coins = coins(meter, &start, entropy);
                    decide(trainer, meter, &coins, "logits", 3.7)?
                }
            };
        }
        Ok(Law::Coins(found))
    }

    fn estimator(self, space: Space) -> Outcome<Rc<dyn Estimator>> {
        Ok(match (self, space) {
            (Self::Relax, Space::Bits(_)) => Rc::new(Relax::default()),
            (Self::Quadratic, _) => Rc::new(Relax {
                quadratic: 1000,
                ..Relax::free_form()
            }),
            (Self::Relax, Space::Reals(_)) => Rc::new(Lax::default()),
            (Self::Replay, _) => Rc::new(Fitted(Replay::new(space))),
            (Self::Rloo, _) => Rc::new(Rloo::new(4)?),
            (Self::Evolution, _) => Rc::new(EvolutionStrategies::new(4)?),
        })
    }
}

/// Until the budget is spent.
fn descend(
    mut trainer: Trainer,
    meter: &Meter<'_>,
    mut law: Gaussian,
    covariances: bool,
) -> Outcome<Gaussian> {
    while !meter.is_spent() {
        match covariances {
            true => trainer.step(&ExpectedCost::new(&correlated(meter, &law)))?,
            false => trainer.step(&ExpectedCost::new(&normals(meter, &law)))?,
        };
        law.settle()?;
    }
    Ok(law)
}

/// Until the budget is spent, or all numbers of a parameter are further from 0 than `certain`.
fn decide(
    mut trainer: Trainer,
    meter: &Meter<'_>,
    program: &dyn Program,
    parameter: &str,
    certain: f32,
) -> Outcome<Vec<f32>> {
    let objective = ExpectedCost::new(program);
    loop {
        trainer.step(&objective)?;
        let now = trainer.params().get(parameter);
        let now = now.ok_or("the law was never reached")?.to_vec()?;
        if meter.is_spent() || now.iter().all(|x| x.abs() > certain) {
            return Ok(now);
        }
    }
}
