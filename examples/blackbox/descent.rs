//! Descent on the expected cost over the parameters of a law: the programs, and which estimator each gets.

use std::rc::Rc;

use relax_runtime::estimator::{Estimator, EvolutionStrategies, Lax, Rloo};
use relax_runtime::prelude::*;

use crate::problem::{Meter, Space};
use crate::program::Outcome;
use crate::replay::Replay;

/// Independent coins.
#[model]
pub(crate) fn coins(meter: &Meter<'_>, start: &[f32]) -> Result<()> {
    let logits = param!(Tensor::from_slice(start));
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

/// Normal numbers.
#[model]
pub(crate) fn normals(meter: &Meter<'_>, start: &[f32]) -> Result<()> {
    let means = param!(Tensor::from_slice(start));
    let log_scales = param!(Tensor::zeros([start.len()], &Device::cpu()));
    let x = sample!(Normal(&means, log_scales.exp()));
    cost!(meter.cost(&numbers(&x)?));
    Ok(())
}

fn numbers(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.to_vec()?.into_iter().map(f64::from).collect())
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

impl Descent {
    /// Minimises until the budget is spent, anew from other draws where the coins have come to be all but
    /// certain. Returns the last logits or means.
    ///
    /// # Errors
    /// If a gradient is not finite.
    pub(crate) fn run(self, meter: &Meter<'_>, rate: f32, seed: u64) -> Outcome<Vec<f32>> {
        const RESTARTS: u64 = 1000;
        let mut found = Vec::new();
        for restart in 0..RESTARTS {
            if meter.is_spent() {
                break;
            }
            found = self.run_once(meter, rate, RESTARTS * seed + restart)?;
        }
        Ok(found)
    }

    fn run_once(self, meter: &Meter<'_>, rate: f32, seed: u64) -> Outcome<Vec<f32>> {
        let space = meter.problem.space();
        let mut trainer = Trainer::new(seed)
            .site_estimator("x", self.estimator(space)?)
            .optimizer(Adam::new(rate));
        let start = vec![0.0; space.numbers()];
        match (space, self) {
            (Space::Bits(_), Self::Evolution) => {
                // Beyond 2 a sign changes in one draw of forty.
                let program = signs(meter, &start);
                descend(&mut trainer, meter, &program, "means", 2.0)
            }
            (Space::Bits(_), _) => {
                let program = coins(meter, &start);
                descend(&mut trainer, meter, &program, "logits", 3.7)
            }
            (Space::Reals(_), _) => {
                let program = normals(meter, &start);
                descend(&mut trainer, meter, &program, "means", f32::INFINITY)
            }
        }
    }

    fn estimator(self, space: Space) -> Outcome<Rc<dyn Estimator>> {
        Ok(match (self, space) {
            (Self::Relax, Space::Bits(_)) => Rc::new(Relax::default()),
            (Self::Quadratic, _) => Rc::new(Relax {
                quadratic: 1000,
                ..Relax::free_form()
            }),
            (Self::Relax, Space::Reals(_)) => Rc::new(Lax::default()),
            (Self::Replay, _) => Rc::new(Replay::default()),
            (Self::Rloo, _) => Rc::new(Rloo::new(4)?),
            (Self::Evolution, _) => Rc::new(EvolutionStrategies::new(4)?),
        })
    }
}

/// Until the budget is spent, or all numbers of a parameter are further from 0 than `certain`.
fn descend(
    trainer: &mut Trainer,
    meter: &Meter<'_>,
    program: &dyn Program,
    parameter: &str,
    certain: f32,
) -> Outcome<Vec<f32>> {
    let objective = ExpectedCost::new(program);
    loop {
        trainer.step(&objective)?;
        let now = trainer.params().get(parameter);
        let now = now.ok_or("the law was never met")?.to_vec()?;
        if meter.is_spent() || now.iter().all(|x| x.abs() > certain) {
            return Ok(now);
        }
    }
}
