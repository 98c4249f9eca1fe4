//! Limits of sums: sums that are too large are refused early, in words.

use std::cell::Cell;

use relax_runtime::dist::BernoulliRelaxation;
use relax_runtime::estimator::{Enumerate, Noise, Problem, black_box, enumerate};
use relax_runtime::infer::{MeanFieldGuide, exact_posterior_up_to};
use relax_runtime::model::{CALL_DEPTH, MOST_SITES};
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error};

#[model]
fn chain(length: usize, runs: &Cell<usize>) {
    runs.set(runs.get() + 1);
    let mut z = 0;
    for _ in 0..length {
        z = sample!(Categorical(if z == 0 {
            [0.8, 0.1, 0.1]
        } else {
            [0.1, 0.45, 0.45]
        }));
        observe!(Normal(z as f64, 1.0), 0.7, name = "x");
    }
}

/// Stops after any toss: as many combinations as tosses, though the longest path has 2^size.
#[model]
fn spine(size: usize, runs: &Cell<usize>) {
    runs.set(runs.get() + 1);
    let mut tosses = 0;
    for _ in 0..size {
        let more = sample!(Bernoulli(0.5));
        if !more {
            break;
        }
        tosses += 1;
    }
    observe!(Normal(f64::from(tosses), 1.0), 3.0);
}

/// The first choice leads to next to nothing, or to far too much.
#[model]
fn lopsided(runs: &Cell<usize>) {
    runs.set(runs.get() + 1);
    let much = sample!(Bernoulli(0.5));
    for _ in 0..if much { 40 } else { 8 } {
        let _b = sample!(Bernoulli(0.5));
    }
    observe!(Normal(0.0, 1.0), 0.3);
}

#[model]
fn endless() {
    let mut length = 0.0;
    loop {
        let stop = sample!(Bernoulli(0.5));
        if stop && length > 1e9 {
            break;
        }
        length += 1.0;
    }
    observe!(Normal(length, 1.0), 0.3);
}

#[test]
fn too_many_combinations_are_refused_after_the_first_runs() -> Result<()> {
    let runs = Cell::new(0);
    for program in [
        &chain(14, &runs) as &dyn Program,
        &chain(50, &runs),
        &spine_of_chains(&runs),
        &lopsided(&runs),
    ] {
        runs.set(0);
        assert_says(
            &error(exact_posterior_up_to(
                program,
                &ParamStore::default(),
                1 << 20,
            )),
            &["1048576 combinations", "Svi"],
        );
        assert!(runs.get() < 200, "{} runs", runs.get());
        runs.set(0);
        let gradient = exact_gradient(
            &Elbo::new(program).guide(&MeanFieldGuide),
            &ParamStore::default(),
        );
        assert_says(&error(gradient), &["1048576 combinations"]);
        assert!(runs.get() < 400, "{} runs", runs.get());
    }
    assert_says(&error(exact_posterior(&endless())), &["combinations"]);
    Ok(())
}

#[model]
fn spine_of_chains(runs: &Cell<usize>) {
    runs.set(runs.get() + 1);
    for _ in 0..30 {
        let more = sample!(Bernoulli(0.5));
        if !more {
            break;
        }
    }
    for _ in 0..30 {
        let _b = sample!(Bernoulli(0.5), name = "late");
    }
    observe!(Normal(0.0, 1.0), 0.3);
}

#[test]
fn few_combinations_along_long_paths_are_summed() -> Result<()> {
    let runs = Cell::new(0);
    let program = spine(300, &runs);
    let posterior = exact_posterior(&program)?;
    assert!((301..400).contains(&runs.get()), "{} runs", runs.get());
    let density = |x: f64| (-0.5 * (x - 3.0).powi(2)).exp() / std::f64::consts::TAU.sqrt();
    let evidence: f64 = (0..60)
        .map(|n| 0.5f64.powi(n + 1) * density(n.into()))
        .sum();
    assert_near(posterior.log_evidence, evidence.ln(), 1e-9);
    let first = posterior.mean("more[0]")?;
    assert_near(first, 1.0 - 0.5 * density(0.0) / evidence, 1e-9);
    Ok(())
}

#[test]
fn the_limit_of_combinations_can_be_set() -> Result<()> {
    let (runs, params) = (Cell::new(0), ParamStore::default());
    let program = chain(6, &runs);
    let posterior = exact_posterior_up_to(&program, &params, 729)?;
    assert_near(
        posterior.log_evidence,
        exact_posterior(&program)?.log_evidence,
        0.0_f64.max(1e-12),
    );
    let refused = exact_posterior_up_to(&program, &params, 728);
    assert_says(&error(refused), &["728 combinations"]);
    Ok(())
}

#[test]
fn single_sites_have_a_limit_too() -> Result<()> {
    let theta = Tensor::zeros([70], &Device::cpu());
    let noise = Noise::coupled(Key::new(1).stream("u").uniforms([70], &Device::cpu())?);
    let problem = Problem::new(&BernoulliRelaxation, &theta, &noise);
    let cost = black_box(|b: &Tensor| Ok(b.sum_all()));
    let refused = enumerate(problem, &cost).map(|estimate| estimate.evaluations);
    assert_says(&error(refused), &["70 choices", "1048576", "indecater"]);

    #[model]
    fn seventy() {
        let theta = param!(Tensor::zeros([70], &Device::cpu()));
        let b = sample!(Bernoulli(logits = &theta));
        cost!(b.sum_all());
    }
    let program = seventy();
    let largest = usize::MAX;
    let mut trainer = Trainer::new(1).estimator(Enumerate { largest });
    let refused = error(trainer.step(&ExpectedCost::new(&program)));
    assert_says(&refused, &["site `b`", "more than 1048576 values"]);
    Ok(())
}

#[test]
fn both_posteriors_mean_the_same_by_a_mean() -> Result<()> {
    #[model]
    fn mixed() {
        let k = sample!(Categorical([0.2, 0.3, 0.5]));
        let coins = sample!(Bernoulli(Tensor::from_slice(&[0.25, 0.5])));
        plate!(2, {
            let rows = Tensor::from_slice(&[0.5, 0.25, 0.25]).broadcast_to([2, 3]);
            let j = sample!(Categorical(rows));
            observe!(Normal(&j * 0.0, 1.0), &j * 0.0, name = "nothing");
        });
        observe!(
            Normal(coins.sum_all() * 0.0, 1.0),
            (k as f64) * 0.0,
            name = "x"
        );
    }
    let program = mixed();
    let exact = exact_posterior(&program)?;
    // The guide starts at the prior, which here is the posterior.
    let fit = Svi::new(&program).steps(1).progress(false);
    let fit = fit.optimizer(Sgd::new(1e-12)).run()?;
    let near = |found: &[f64], wanted: &[f64]| {
        assert_eq!(found.len(), wanted.len());
        let pairs = found.iter().zip(wanted);
        pairs.for_each(|(found, wanted)| assert_near(*found, *wanted, 1e-5));
    };
    for (site, means, index_means) in [
        ("k", &[0.2, 0.3, 0.5][..], &[1.3][..]),
        ("j", &[0.5, 0.25, 0.25, 0.5, 0.25, 0.25], &[0.75, 0.75]),
        ("coins", &[0.25, 0.5], &[0.25, 0.5]),
    ] {
        near(&exact.means(site)?, means);
        near(&fit.posterior().means(site)?, means);
        near(&exact.index_means(site)?, index_means);
        near(&fit.posterior().index_means(site)?, index_means);
    }
    near(
        &[exact.marginal("k")?[2].1],
        &[fit.posterior().marginal("k")?[2].1],
    );
    assert_says(&error(exact.mean("k")), &["`k` is categorical", "`means`"]);
    Ok(())
}

/// As many categories as a vocabulary has words: a draw takes time by their number, not its square.
#[test]
fn a_vocabulary_has_a_posterior() -> Result<()> {
    #[model]
    fn words(size: usize) {
        let k = sample!(Categorical(logits = Tensor::zeros([size], &Device::cpu())));
        observe!(Normal(&k * 0.0, 1.0), 0.0, name = "x");
    }
    let program = words(20_000);
    let svi = Svi::new(&program).estimator(Reinforce::default());
    let fit = svi.steps(1).posterior_draws(50).progress(false).run()?;
    let marginal = fit.posterior().marginal("k")?;
    assert_eq!(marginal.len(), 20_000);
    assert_near(marginal.iter().map(|(_, p)| p).sum(), 1.0, 1e-4);
    assert_eq!(marginal[7].0, [7.0]);
    Ok(())
}

#[model]
fn deep(depth: usize) -> usize {
    if depth == 0 {
        return 0;
    }
    let below = call!(deep_again(depth - 1));
    below + 1
}

/// The same behind a pointer, whose type does not grow with the depth.
fn deep_again(depth: usize) -> Box<dyn Model<Output = usize>> {
    Box::new(deep(depth))
}

#[test]
fn recursion_without_end_is_an_error() -> Result<()> {
    assert_eq!(
        Simulation::seeded(1).run(&deep(CALL_DEPTH))?.output,
        CALL_DEPTH
    );
    let text = error(Simulation::seeded(1).run(&deep(30_000)));
    assert_says(&text, &["256 deep", "limits.rs"]);
    Ok(())
}

/// One combination of one choice after the other, whose number nothing else bounds.
#[test]
fn a_loop_without_end_is_an_error() {
    #[model]
    fn forever(runs: &Cell<usize>) {
        runs.set(runs.get() + 1);
        loop {
            let on = sample!(Bernoulli(1.0));
            if !on {
                break;
            }
        }
    }
    let runs = Cell::new(0);
    let model = forever(&runs);
    let (last, sites) = (format!("`on[{MOST_SITES}]`"), format!("{MOST_SITES} sites"));
    let simulated = || Simulation::seeded(1).run(&model).map(drop);
    let fitted = || Svi::new(&model).run().map(drop);
    for found in [&simulated as &dyn Fn() -> Result<()>, &fitted] {
        let words = ["limits.rs", "whether the loop", "cannot end the loop"];
        let said = error(found());
        assert_says(&said, &[&last, &sites]);
        assert_says(&said, &words);
        // One tells all that others would.
        assert_eq!(runs.replace(0), 1);
    }
}
