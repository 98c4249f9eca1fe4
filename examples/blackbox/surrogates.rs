//! How much of a cost surrogates explain, and the variance they leave, at one law for all.

use std::rc::Rc;

use relax_runtime::estimator::{Estimator, EvolutionStrategies, Lax, Rloo};
use relax_runtime::infer::Recording;
use relax_runtime::prelude::*;

use crate::Options;
use crate::descent::{Descent, Law, Pace, coins, normals};
use crate::fitted::Fitted;
use crate::problem::{BlackBox, Meter, Space};
use crate::program::Outcome;
use crate::replay::Replay;

/// Lets every estimator learn from as many draws of the same law, one that descent has come by, and
/// prints their surrogates' R² on fresh draws and their variances, times evaluations. Where all draws
/// can be enumerated, replay is checked against the exact gradient.
///
/// # Errors
/// If a gradient is not finite, or biased.
pub(crate) fn show(problem: &dyn BlackBox, options: &Options) -> Outcome<()> {
    const FRESH: u64 = 300;
    const DESCENT: u64 = 300;
    let space = problem.space();
    let on_the_way = Meter::new(problem, DESCENT);
    let pace = Pace {
        rate: 0.03,
        covariances: false,
        entropy: 0.0,
    };
    let law = Descent::Rloo.run(&on_the_way, pace, options.seed)?;
    // Measurements are not counted.
    let meter = Meter::new(problem, 0);
    println!(
        "{}: {} draws of a law that {DESCENT} evaluations of descent reached, then {FRESH} fresh ones",
        problem.name(),
        options.evaluations
    );
    println!(
        "  {:20}{:>3}{:>9}{:>12}{:>12}",
        "", "f", "R^2", "variance", "x f"
    );
    match &law {
        Law::Coins(logits) => all(&coins(&meter, logits, 0.0), space, options, FRESH)?,
        Law::Gaussian(law) => all(&normals(&meter, law), space, options, FRESH)?,
    }
    if let (Space::Bits(..=12), Law::Coins(logits)) = (space, &law) {
        let few = coins(&meter, logits, 0.0);
        let table = Check::new(&ExpectedCost::new(&few))
            .site_estimator(
                "x",
                Rc::new(Fitted(Replay::new(space))) as Rc<dyn Estimator>,
            )
            .draws(1_000)
            .run()?;
        table.verdict()?;
        println!("  replay is unbiased, by {}", table.reference);
    }
    Ok(())
}

fn all(program: &dyn Program, space: Space, options: &Options, fresh: u64) -> Outcome<()> {
    let steps = options.evaluations;
    let replay = Rc::new(Fitted(Replay::new(space)));
    let mut lineup = lineup(space)?;
    lineup.insert(0, ("replay", Rc::clone(&replay) as Rc<dyn Estimator>));
    for (name, estimator) in lineup {
        let recording = Recording::every(steps).fresh_draws(fresh);
        // So slow that the law stays as it is.
        let mut trainer = Trainer::new(options.seed)
            .site_estimator("x", estimator)
            .optimizer(Sgd::new(1e-30))
            .record(recording);
        let objective = ExpectedCost::new(program);
        for step in 0..=steps {
            // The ledger draws at the first and the last step.
            replay.0.hold(step % steps == 0);
            trainer.step(&objective)?;
        }
        let ledger = trainer.ledger().ok_or("nothing was recorded")?;
        let entry = ledger.entries.last().ok_or("nothing was recorded")?;
        let evaluations = entry.evaluations.unwrap_or(1);
        let variance = entry.fresh_variance.unwrap_or(f64::NAN);
        let fit = entry.fit.map_or("-".into(), |fit| format!("{fit:.3}"));
        println!(
            "  {name:20}{evaluations:>3}{fit:>9}{variance:>12.3e}{:>12.3e}",
            variance * evaluations as f64
        );
    }
    Ok(())
}

fn lineup(space: Space) -> Outcome<Vec<(&'static str, Rc<dyn Estimator>)>> {
    let rloo = ("RLOO-4", Rc::new(Rloo::new(4)?) as Rc<dyn Estimator>);
    Ok(match space {
        Space::Bits(_) => {
            let pairs = Relax {
                quadratic: 1000,
                ..Relax::free_form()
            };
            vec![
                ("RELAX", Rc::new(Relax::free_form())),
                ("RELAX, pairs", Rc::new(pairs)),
                rloo,
            ]
        }
        Space::Reals(_) => vec![
            ("LAX", Rc::new(Lax::default())),
            rloo,
            ("evolution, 2 pairs", Rc::new(EvolutionStrategies::new(2)?)),
        ],
    })
}
