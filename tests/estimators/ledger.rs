//! The variance of every estimator on the same problems, times its evaluations of the cost: what a fixed budget of
//! evaluations leaves.

use std::collections::BTreeMap;

use relax_runtime::estimator::{
    Cost, Estimate, Noise, Problem, SteinNetwork, Through, arms, disarm, disarm_tree, dlax,
    double_cv, gumbel_softmax, indecater, muprop, nvil, rebar, reinforce, reinmax, relax, rloo,
    rodeo, straight_through,
};
use relax_runtime::nn::Activation;
use relax_runtime::optim::{Adam, Optimizer};
use relax_runtime::surrogate::{Constant, FreeForm, RelaxedCost, Sum, Surrogate, Zero};
use relax_runtime::{Device, Key, Parameter, Result};

use crate::problems::{Case, INTERACTING, ONE_HOT};
use crate::statistics::Moments;

const DRAWS: usize = 50_000;

type Function<'a> = dyn Fn(Problem<'_>, &dyn Cost) -> Result<Estimate> + 'a;

/// Variance times evaluations, after following `variance_gradient` for what there is to learn.
fn measure(
    case: &Case,
    further: usize,
    learned: &[Parameter],
    function: &Function<'_>,
) -> Result<f64> {
    const BATCH: usize = 100;
    const STEPS: u64 = 1_000;
    let estimate = |rows, seed| {
        let theta = case.theta(rows)?;
        let noise: Noise = case.noise_with(rows, seed, further)?;
        function(case.problem(&theta, &noise), &case.cost())
    };
    if !learned.is_empty() {
        let mut optimizer = Optimizer::new(Adam::new(0.01))?;
        for step in 0..STEPS {
            let gradient = estimate(BATCH, 1_000 + step)?.variance_gradient;
            let pairs: Vec<_> = learned.iter().cloned().zip(gradient).collect();
            optimizer.update(&pairs)?;
        }
    }
    let found = estimate(DRAWS, 77)?;
    let variance = Moments::of_rows(&found.gradient)?.total_variance();
    Ok(variance * found.evaluations as f64)
}

fn network(case: &Case) -> Result<FreeForm> {
    let latent = case.theta(1)?.len();
    let mut stream = Key::new(32).stream("network");
    let device = Device::cpu();
    FreeForm::new(latent, 0, &[10, 10], Activation::Relu, &mut stream, &device)
}

fn sum(case: &Case) -> Result<Sum<RelaxedCost, FreeForm>> {
    let relaxed = RelaxedCost::new(1.0, 0.5, &Device::cpu());
    Ok(Sum(relaxed, network(case)?))
}

fn ledger(case: &Case, coins: bool) -> Result<BTreeMap<&'static str, f64>> {
    let mut found = BTreeMap::new();
    let mut add = |name, further, learned: Vec<Parameter>, function: &Function<'_>| {
        let per_budget = measure(case, further, &learned, function)?;
        println!("{}: {name:<24} {per_budget:.4}", case.name);
        found.insert(name, per_budget);
        Ok::<_, relax_runtime::Error>(())
    };
    add("reinforce", 0, Vec::new(), &|p, c| reinforce(p, c, 0.0))?;
    add("rloo, 2", 1, Vec::new(), &rloo)?;
    add("rloo, 4", 3, Vec::new(), &rloo)?;
    if coins {
        let mut stream = Key::new(33).stream("network");
        for (name, further) in [("rodeo, 2", 1), ("rodeo, 3", 2)] {
            let stein = SteinNetwork::new(20, &mut stream, &Device::cpu())?;
            let learned = stein.parameters();
            add(name, further, learned, &|p, c| rodeo(p, c, &stein))?;
        }
        add("disarm", 0, Vec::new(), &disarm)?;
        add("arms, 3", 2, Vec::new(), &arms)?;
        add("arms, 4", 3, Vec::new(), &arms)?;
    } else {
        add("disarm-tree", 1, Vec::new(), &disarm_tree)?;
    }
    add("indecater", 0, Vec::new(), &indecater)?;
    add("muprop without baseline", 0, Vec::new(), &|p, c| {
        muprop(p, c, 0.5, &Zero)
    })?;
    let baseline = network(case)?;
    add("muprop", 0, baseline.parameters(), &|p, c| {
        muprop(p, c, 0.5, &baseline)
    })?;
    let weight = Constant::new(0.5, &Device::cpu());
    let alpha = || weight.parameters()[0].get().item();
    add("double-cv, 2", 1, weight.parameters(), &|p, c| {
        double_cv(p, c, alpha()?)
    })?;
    add("double-cv, 3", 2, weight.parameters(), &|p, c| {
        double_cv(p, c, alpha()?)
    })?;
    let baseline = network(case)?;
    add("nvil", 0, baseline.parameters(), &|p, c| {
        nvil(p, c, &baseline)
    })?;
    let relaxed = RelaxedCost::new(1.0, 0.5, &Device::cpu());
    add("rebar", 0, relaxed.parameters(), &|p, c| {
        rebar(p, c, &relaxed)
    })?;
    let free = network(case)?;
    add("relax-free-form", 0, free.parameters(), &|p, c| {
        relax(p, c, &free)
    })?;
    let both = sum(case)?;
    add("relax", 0, both.parameters(), &|p, c| relax(p, c, &both))?;
    let both = sum(case)?;
    add("dlax", 0, both.parameters(), &|p, c| dlax(p, c, &both))?;
    add("gumbel-softmax*", 0, Vec::new(), &|p, c| {
        gumbel_softmax(p, c, 0.5)
    })?;
    add("straight-through*", 0, Vec::new(), &|p, c| {
        straight_through(p, c, Through::Mean, 0.5)
    })?;
    add("straight-through-gumbel*", 0, Vec::new(), &|p, c| {
        straight_through(p, c, Through::Gumbel(0.5), 0.5)
    })?;
    add("reinmax*", 0, Vec::new(), &|p, c| reinmax(p, c, 0.5))?;
    Ok(found)
}

/// Orders that have a reason: antithetic draws beat independent ones, summing out the only choice
/// leaves nothing, and a trained surrogate beats baselines. Biased estimators are marked by a star.
#[test]
fn variances_at_equal_evaluations() -> Result<()> {
    let coins = ledger(&INTERACTING, true)?;
    for names in [
        ["disarm", "rloo, 2"],
        ["arms, 4", "rloo, 4"],
        ["arms, 3", "disarm"],
        ["relax-free-form", "nvil"],
        ["relax-free-form", "rloo, 4"],
        ["relax", "dlax"],
        ["muprop", "muprop without baseline"],
        ["relax", "reinforce"],
    ] {
        let [less, more] = names.map(|name| coins[name]);
        assert!(less < more, "{names:?}: {less}, {more}");
    }
    let one_hot = ledger(&ONE_HOT, false)?;
    assert!(one_hot["indecater"] < 1e-6);
    for names in [
        ["relax-free-form", "rloo, 4"],
        ["relax-free-form", "nvil"],
        ["disarm-tree", "reinforce"],
    ] {
        let [less, more] = names.map(|name| one_hot[name]);
        assert!(less < more, "{names:?}: {less}, {more}");
    }
    Ok(())
}
