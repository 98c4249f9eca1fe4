//! Two coins: one surrogate for both cannot reach the floor, one for each does.

use crate::coins::{Coins, sigmoid};
use crate::elements::Shared;
use crate::learn::{Learner, Recipe};
use crate::program::Outcome;
use crate::record::{Curve, Panel, Record, heading};
use crate::stages;

/// Elements on each side of a coin's threshold.
const ELEMENTS: usize = 24;

/// Measures the surrogates of two coins, and draws sections of them.
pub(crate) fn run(
    recipe: &Recipe,
    settings: (u64, u64),
    record: &mut Record,
) -> Outcome<[Panel; 2]> {
    let (steps, seed) = settings;
    let coins = Coins {
        theta: vec![0.4, -0.6],
        weights: vec![1.0, -1.5],
        target: 0.3,
    };
    let problem = "two coins, (b1 - 1.5 b2 - 0.3)^2, theta = (0.4, -0.6)";
    heading(problem);
    let nodes = coins.nodes(30);
    let reinforce = coins.reinforce(0.0);
    let mut put = |name: &str, steps, variance| {
        record.variance(problem, name, steps, variance, reinforce);
    };
    put("0: REINFORCE", None, reinforce);
    put(
        "best constant",
        None,
        coins.reinforce(coins.best_constant()),
    );
    let rebar = coins.rebar(100.0);
    put(&rebar.name(), None, rebar.variance);
    let mut learner = Learner::new(&coins, None, recipe, steps, seed)?;
    for stage in stages(steps) {
        learner.until(stage)?;
        put(
            "one network for both",
            Some(stage),
            learner.variance(&nodes)?,
        );
    }
    let shared = Shared::solve(&coins, ELEMENTS);
    put("one for both, optimum", None, shared.variance);
    let mut sites = [0, 1].map(|own| Learner::new(&coins, Some(own), recipe, steps, seed));
    for stage in stages(steps) {
        let mut total = 0.0;
        for site in &mut sites {
            let site = site.as_mut().map_err(|error| error.clone())?;
            site.until(stage)?;
            total += site.variance(&nodes)?;
        }
        put("a network for each", Some(stage), total);
    }
    put("floor: one for each, optimum", None, coins.floor());

    println!(
        "  the first coin's kink in the shared optimum, d/dz at 0+ less at 0-; by Euler-Lagrange"
    );
    for at in [
        ELEMENTS / 4,
        ELEMENTS / 2,
        ELEMENTS * 3 / 2,
        ELEMENTS * 7 / 4,
    ] {
        let kink = shared.kink(at);
        println!(
            "    u2 = {:.3}: {:>7.4}, {:>7.4}",
            shared.line(at),
            kink.found,
            kink.predicted
        );
    }
    let panel = |line: usize, side: f64| -> Outcome<Panel> {
        let logit = |u: f64| (u / (1.0 - u)).ln();
        let z2 = coins.theta[1] + logit(shared.line(line));
        let x_of = |u: f64| sigmoid(coins.theta[0] + logit(u));
        let section = shared.section(line);
        let inside = section.iter().filter(|(u, _)| *u > 0.0 && *u < 1.0);
        let optimum: Vec<(f64, f64)> = inside.map(|&(u, c)| (x_of(u), c)).collect();
        let z: Vec<Vec<f64>> = optimum.iter().map(|(x, _)| vec![logit(*x), z2]).collect();
        let learned = learner.curve(&z)?;
        let balance = coins.balance(0, &[0.0, side]);
        let along = |c: &dyn Fn(usize) -> f64| {
            let points = optimum.iter().enumerate().map(|(i, (x, _))| (*x, c(i)));
            points.collect::<Vec<_>>()
        };
        let curve = |name: &str, points| Curve {
            name: name.to_owned(),
            points,
        };
        let squashed = sigmoid(z2 / rebar.temperature);
        Ok(Panel {
            problem: format!("two coins, z2 = {z2:.2}"),
            x_label: "sigmoid(z1)",
            curves: vec![
                curve("shared optimum", optimum.clone()),
                curve("shared network", along(&|i| learned[i])),
                curve(
                    "REBAR",
                    along(&|i| {
                        rebar.eta * coins.cost(&[sigmoid(z[i][0] / rebar.temperature), squashed])
                    }),
                ),
                curve("its own optimum", along(&|_| balance)),
            ],
        })
    };
    Ok([panel(ELEMENTS / 2, 0.0)?, panel(ELEMENTS * 3 / 2, 1.0)?])
}
