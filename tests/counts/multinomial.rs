//! Multinomial counts: estimates against sums over all values, and programs.

use std::rc::Rc;

use relax_runtime::dist::{Distribution, Law};
use relax_runtime::estimator::{
    Coupling, Dlax, DoubleCv, Enumerate, Estimator, IndeCateR, IntoEstimator, MuProp, Noise, Plan,
    Problem, black_box, differentiable, dlax, reinforce, relax, rloo,
};
use relax_runtime::optim::Optimizer;
use relax_runtime::prelude::*;

use crate::programs::{check_cost, expect_unbiased};
use relax_runtime::surrogate::{FreeForm, RelaxedCost, Surrogate};

const DRAWS: usize = 8_000;

/// Numbers of trials and logits: few and many categories, one that hardly ever comes, and one excluded.
fn cases() -> Vec<(usize, Vec<f32>)> {
    vec![
        (1, vec![0.3, -0.5, 0.2]),
        (3, vec![0.5, 0.1]),
        (4, vec![-0.3, 0.4, 0.0]),
        (3, vec![0.2, -3.5, 0.6, 0.1]),
        (12, vec![0.8, -0.4, 0.1]),
    ]
}

/// Neither linear nor separable in the counts.
fn of_counts(total: usize, x: &Tensor) -> Tensor {
    let slopes: Vec<f32> = (0..x.shape().last().copied().unwrap_or(0))
        .map(|k| [1.0, -0.7, 0.4, 1.5][k])
        .collect();
    let share = x / total as f32;
    let score = (&share * Tensor::from_slice(&slopes)).sum(-1);
    (&score * 2.0).tanh() + share.index(-1, 0) * share.index(-1, 1) * 2.0 + score.square() * 0.5
}

/// The law in so many rows.
fn rows(total: usize, logits: &[f32], n: usize) -> Result<(Rc<dyn Law>, Tensor)> {
    let theta = Tensor::from_slice(logits).broadcast_to([n, logits.len()]);
    Ok((Multinomial::logits(total, &theta)?.law()?, theta))
}

/// The exact gradient of the mean cost.
fn exact(total: usize, logits: &[f32]) -> Result<Vec<f64>> {
    let (law, _) = rows(total, logits, 1)?;
    let values = law
        .relaxation()
        .expect("it is there")
        .vertices(logits.len());
    let (laws, theta) = rows(total, logits, values.len())?;
    let b = Tensor::from_vec(values.concat(), theta.shape(), &Device::cpu())?;
    let weights = laws.log_density(&b).exp() * of_counts(total, &b);
    let scores = laws.relaxation().expect("it is there").score(&theta, &b);
    let sum = (weights.unsqueeze(-1) * scores).sum(0);
    Ok(sum.to_vec()?.into_iter().map(f64::from).collect())
}

fn noise(law: &Rc<dyn Law>, seed: u64, independent: bool) -> Result<Noise> {
    let mut stream = Key::new(seed).stream("noise");
    let mut noise = Noise::coupled(law.noise(&mut stream)?);
    noise.v = independent.then(|| law.noise(&mut stream)).transpose()?;
    noise.further = vec![law.noise(&mut stream)?];
    Ok(noise)
}

fn network(width: usize, seed: u64, scale: f32) -> Result<FreeForm> {
    let mut stream = Key::new(seed).stream("network");
    let device = Device::cpu();
    let network = FreeForm::new(width, 0, &[10, 10], Activation::Tanh, &mut stream, &device)?;
    if scale > 0.0 {
        for parameter in network.parameters() {
            parameter.set(stream.normals(parameter.shape(), &device)? * scale)?;
        }
    }
    Ok(network)
}

fn problem<'a>(law: &'a Rc<dyn Law>, theta: &'a Tensor, noise: &'a Noise) -> Problem<'a> {
    Problem {
        relaxation: law.relaxation().expect("it is there"),
        theta,
        noise,
        plates: 1,
        context: None,
    }
}

/// Total variance of a gradient, and its distance from the exact one in standard errors.
fn summary(gradient: &Tensor, exact: &[f64]) -> Result<(f64, f64)> {
    let values = gradient.to_vec()?;
    let n = (values.len() / exact.len()) as f64;
    let (mut total, mut farthest) = (0.0, 0.0_f64);
    for (j, exact) in exact.iter().enumerate() {
        let column = || values.iter().skip(j).step_by(gradient.shape()[1]);
        let mean = column().map(|x| f64::from(*x)).sum::<f64>() / n;
        let variance = column()
            .map(|x| (f64::from(*x) - mean).powi(2))
            .sum::<f64>()
            / n;
        total += variance;
        farthest = farthest.max((mean - exact).abs() / (variance / n).sqrt());
    }
    Ok((total, farthest))
}

#[test]
fn estimates_are_unbiased_under_any_surrogate() -> Result<()> {
    for (total, logits) in cases() {
        let exact = exact(total, &logits)?;
        let (law, theta) = rows(total, &logits, DRAWS)?;
        let hard = black_box(|b: &Tensor| Ok(of_counts(total, b)));
        let smooth = differentiable(|b: &Tensor| Ok(of_counts(total, b)));
        let rough = network(logits.len(), 7, 0.7)?;
        let relaxed = RelaxedCost::new(0.8, 0.5, &Device::cpu());
        for independent in [false, true] {
            let noise = noise(&law, 11, independent)?;
            let problem = problem(&law, &theta, &noise);
            let mut estimates = vec![
                ("network", relax(problem, &hard, &rough)?),
                ("relaxed cost", relax(problem, &smooth, &relaxed)?),
                ("rloo", rloo(problem, &hard)?),
            ];
            if independent {
                estimates.push(("dlax", dlax(problem, &hard, &rough)?));
            }
            for (name, estimate) in &estimates {
                let (variance, apart) = summary(&estimate.gradient, &exact)?;
                println!("{total} {logits:?} {name}: {variance} {apart}");
                assert!(
                    apart < 4.5,
                    "{total} in {logits:?} by {name}: {apart} standard errors"
                );
            }
        }
    }
    Ok(())
}

/// The variance of RELAX with a surrogate that has learned for a while, in that of REINFORCE with the mean cost
/// as baseline.
fn share(total: usize, logits: &[f32], surrogate: &dyn Surrogate) -> Result<f64> {
    const BATCH: usize = 100;
    let cost = differentiable(|b: &Tensor| Ok(of_counts(total, b)));
    let mut optimizer = Optimizer::new(Adam::new(0.01))?;
    let (law, theta) = rows(total, logits, BATCH)?;
    for step in 0..600 {
        let noise = noise(&law, 1_000 + step, false)?;
        let estimate = relax(problem(&law, &theta, &noise), &cost, surrogate)?;
        let parameters = surrogate.parameters().into_iter();
        let pairs: Vec<_> = parameters.zip(estimate.variance_gradient).collect();
        optimizer.update(&pairs)?;
    }
    let (law, theta) = rows(total, logits, DRAWS / 2)?;
    let noise = noise(&law, 12, false)?;
    let problem = problem(&law, &theta, &noise);
    let exact = exact(total, logits)?;
    let own = relax(problem, &cost, surrogate)?;
    let (variance, apart) = summary(&own.gradient, &exact)?;
    assert!(
        apart < 4.5,
        "{total} in {logits:?}: {apart} standard errors"
    );
    let other = reinforce(problem, &cost, own.cost.mean_all().item()?)?;
    Ok(variance / summary(&other.gradient, &exact)?.0)
}

#[test]
fn relax_takes_most_of_the_variance_away() -> Result<()> {
    for (total, logits) in cases() {
        let by_network = share(total, &logits, &network(logits.len(), 3, 0.0)?)?;
        let relaxed = RelaxedCost::new(1.0, 0.5, &Device::cpu());
        let by_relaxed_cost = share(total, &logits, &relaxed)?;
        println!(
            "{total} in {logits:?}: network {by_network:.3}, relaxed cost {by_relaxed_cost:.3}"
        );
        assert!(by_network < 0.7, "{total} in {logits:?}: {by_network}");
    }
    Ok(())
}

/// The counts decide about what comes after, as numbers of trials and as parameters.
#[model]
fn before_others() {
    let theta = param!([0.4, -0.2, 0.1]);
    let votes = sample!(Multinomial(4, logits = &theta));
    let seen = sample!(Binomial(
        votes.index(-1, 0),
        logits = theta.index(-1, 1) * 2.0
    ));
    let coin = sample!(Bernoulli(logits = votes.index(-1, 1) * 0.6 - 0.5));
    cost!((&seen * 0.5 - &coin).tanh() + votes.index(-1, 2).square() * 0.1);
}

/// Rows of other numbers of trials and other logits, one of them excluded.
#[model]
fn plate() {
    let theta = param!([0.4, -0.2, 0.1]);
    let slopes = Tensor::from_slice(&[1.0, -0.5, 0.3, 2.0]).reshape([4, 1]);
    let totals = Tensor::from_slice(&[1.0, 0.0, 5.0, 3.0]);
    plate!(4 => {
        let x = sample!(Multinomial(&totals, logits = theta.reshape([1, 3]) * &slopes));
        cost!((x.index(-1, 0) * 0.7 - x.index(-1, 2)).tanh());
    });
    let p = Tensor::concat(
        &[
            &(theta.slice(0, 0..2).softmax(-1)),
            &Tensor::from_slice(&[0.0]),
        ],
        0,
    );
    let y = sample!(Multinomial(3, &p));
    cost!((y.index(-1, 0) * 0.5).sigmoid() + y.index(-1, 2) * 5.0);
}

/// Each round depends on the one before.
#[model]
fn rounds() {
    let mut logits = param!([0.4, -0.2, 0.1]);
    for _ in 0..3 {
        let x = sample!(Multinomial(3, logits = &logits));
        cost!((x.index(-1, 0) - x.index(-1, 1)).tanh());
        logits = &x * 0.4 - 0.3;
    }
}

/// Host code reads the draw, and goes on from it.
#[model]
fn read() {
    let votes = sample!(Multinomial(3, [0.5, 0.3, 0.2]));
    let mean = if votes[0] > votes[1] { 1.0 } else { -0.5 };
    observe!(Normal(mean + 0.3 * votes[2], 1.0), 0.4);
}

#[test]
fn programs_are_unbiased() -> Result<()> {
    for model in [&before_others() as &dyn Program, &plate(), &rounds()] {
        check_cost(model)?;
    }
    expect_unbiased(Check::new(&Elbo::new(&read())).draws(1_500))
}

#[test]
fn other_estimators_are_unbiased() -> Result<()> {
    let independent = Relax {
        coupling: Coupling::Independent,
        ..Relax::sum()
    };
    let estimators: [Rc<dyn Estimator>; 8] = [
        Relax::sum().into_estimator(),
        independent.into_estimator(),
        Rebar::default().into_estimator(),
        MuProp::default().into_estimator(),
        DoubleCv::default().into_estimator(),
        Dlax::default().into_estimator(),
        Enumerate::default().into_estimator(),
        IndeCateR.into_estimator(),
    ];
    let model = rounds();
    for estimator in estimators {
        let objective = ExpectedCost::new(&model);
        let check = Check::new(&objective).draws(1_000).warm_up(50);
        expect_unbiased(check.estimator(estimator))?;
    }
    Ok(())
}

/// Estimator of every site of a plan.
fn estimators(plan: &Plan) -> Vec<String> {
    let line =
        |e: &relax_runtime::estimator::PlanEntry| format!("{} {}", e.distribution, e.estimator);
    plan.entries.iter().map(line).collect()
}

#[test]
fn sites_get_relax() -> Result<()> {
    for model in [&plate() as &dyn Program, &rounds()] {
        let plan = Minimize::new(model).steps(2).run()?.plan();
        let all = estimators(&plan);
        assert!(all.iter().all(|line| line == "Multinomial relax"), "{plan}");
    }
    let plan = Svi::new(&read()).draw_all().steps(2).run()?.plan();
    assert_eq!(estimators(&plan), ["Multinomial relax"]);
    Ok(())
}

/// A multinomial whose counts host code reads has the posterior that enumeration says, and the site with more
/// values than can be listed says so.
#[test]
fn posteriors_are_those_of_all_values() -> Result<()> {
    let model = read();
    let exact = exact_posterior(&model)?;
    let (mut evidence, mut first) = (0.0, 0.0);
    for a in 0..=3_usize {
        for b in 0..=3 - a {
            let c = 3 - a - b;
            let ways = [1.0, 1.0, 2.0, 6.0];
            let mass = 6.0 / (ways[a] * ways[b] * ways[c])
                * 0.5_f64.powi(a as i32)
                * 0.3_f64.powi(b as i32)
                * 0.2_f64.powi(c as i32);
            let mean = if a > b { 1.0 } else { -0.5 } + 0.3 * c as f64;
            let joint = mass * (-0.5 * (0.4 - mean).powi(2)).exp();
            evidence += joint;
            first += joint * a as f64;
        }
    }
    let found = exact.means("votes")?[0];
    assert!((found - first / evidence).abs() < 1e-5, "{found}");
    #[model]
    fn many() {
        let votes = sample!(Multinomial(1_000, [0.5, 0.3, 0.2]));
        observe!(Normal(votes[0], 1.0), 500.0);
    }
    let error = exact_posterior(&many()).unwrap_err().to_string();
    assert!(error.contains("more than can be listed"), "{error}");
    Ok(())
}
