//! One coin: the optimum is a constant.

use crate::coins::{Coins, sigmoid};
use crate::learn::{Learner, Recipe};
use crate::program::Outcome;
use crate::record::{Curve, Panel, Record, heading};
use crate::stages;

/// A surrogate without variance that is no constant: β + a (1 + e^(θ − z)) below 0, and above it
/// β + a p/(1 − p) (1 + e^(z − θ)).
fn kinked(theta: f64, beta: f64, a: f64, z: f64) -> (f64, f64) {
    let odds = theta.exp();
    match z < 0.0 {
        true => (beta + a * (1.0 + (theta - z).exp()), -a * (theta - z).exp()),
        false => {
            let rise = a * odds * (z - theta).exp();
            (beta + a * odds + rise, rise)
        }
    }
}

/// Measures and draws the surrogates of a coin of cost (b − t)².
pub(crate) fn run(
    target: f64,
    theta: f64,
    recipes: &[Recipe],
    settings: (u64, u64),
    record: &mut Record,
) -> Outcome<Panel> {
    let (steps, seed) = settings;
    let problem = format!("t = {target}, theta = {theta}");
    heading(&problem);
    let coins = Coins::one(theta, target);
    let nodes = coins.nodes(500);
    let reinforce = coins.reinforce(0.0);
    let beta = coins.balance(0, &[0.0]);
    let mut put = |name: &str, steps, variance| {
        record.variance(&problem, name, steps, variance, reinforce);
    };
    put("0: REINFORCE", None, reinforce);
    let rebar = coins.rebar(1.0);
    put(&rebar.name(), None, rebar.variance);
    let flat = coins.rebar(100.0);
    put(&flat.name(), None, flat.variance);

    let x: Vec<f64> = (1..50).map(|i| f64::from(i) / 50.0).collect();
    let z: Vec<Vec<f64>> = x.iter().map(|x| vec![(x / (1.0 - x)).ln()]).collect();
    let curve = |name: &str, c: &dyn Fn(f64) -> f64| Curve {
        name: name.to_owned(),
        points: z.iter().zip(&x).map(|(z, &x)| (x, c(z[0]))).collect(),
    };
    let mut curves = vec![
        curve("f", &|z| coins.cost(&[sigmoid(z)])),
        curve("REBAR", &|z| {
            rebar.eta * coins.cost(&[sigmoid(z / rebar.temperature)])
        }),
    ];
    for (at, recipe) in recipes.iter().enumerate() {
        let mut learner = Learner::new(&coins, None, recipe, steps, seed)?;
        for stage in stages(steps) {
            learner.until(stage)?;
            put(recipe.name, Some(stage), learner.variance(&nodes)?);
            if at + 1 == recipes.len() {
                let points = x.iter().copied().zip(learner.curve(&z)?).collect();
                let name = format!("c {stage}");
                curves.push(Curve { name, points });
            }
        }
    }
    put(
        "optimum: beta",
        None,
        coins.variance(&nodes, |_| (beta, vec![0.0])),
    );
    let other = coins.variance(&nodes, |z| {
        let (value, slope) = kinked(theta, beta, 0.1, z[0]);
        (value, vec![slope])
    });
    put("beta + kinked exponentials", None, other);
    curves.push(curve("best", &|_| beta));
    Ok(Panel {
        problem,
        x_label: "sigmoid(z)",
        curves,
    })
}
