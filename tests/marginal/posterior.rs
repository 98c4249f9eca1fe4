//! The posterior of summed-out choices.

use relax_runtime::infer::{DrawRecord, Draws, marginalise};
use relax_runtime::prelude::*;

use crate::assert_near;
use crate::evidence::wet_lawn;

#[test]
fn a_fit_without_settings_is_exact_where_sums_are_cheap() -> Result<()> {
    let fit = Svi::new(&wet_lawn(true)).seed(1).run()?;
    assert_near(fit.posterior().mean("rain")?, 0.357_305, 1e-5);
    let exact = exact_posterior(&wet_lawn(true))?;
    assert_near(
        fit.posterior().log_evidence().elbo,
        exact.log_evidence,
        1e-6,
    );
    let plan = fit.plan();
    assert_eq!(plan.entries.len(), 2);
    assert!(
        plan.entries
            .iter()
            .all(|entry| entry.estimator == "summed out"),
        "{plan}"
    );
    assert_eq!(fit.history.steps.len(), 1, "there is nothing to train");
    Ok(())
}

#[test]
fn draws_are_those_of_the_joint_posterior() -> Result<()> {
    let fit = Svi::new(&wet_lawn(true))
        .posterior_draws(4_000)
        .seed(1)
        .run()?;
    let is = |record: DrawRecord<'_>, site: &str| record.number(site).is_ok_and(|x| x > 0.5);
    let both = fit
        .posterior()
        .probability(|record| is(record, "rain") && is(record, "sprinkler"))?;
    // P(rain, sprinkler | wet) = .2 · .01 · .99 / .44838, rain and sprinkler far from independent.
    assert_near(both, 0.00198 / 0.448_38, 0.003);
    Ok(())
}

#[test]
fn what_was_asked_for_is_drawn() -> Result<()> {
    let model = wet_lawn(true);
    let asked = Svi::new(&model).estimator(relax_runtime::estimator::Rloo::default());
    assert_eq!(asked.steps(2).run()?.plan().entries[0].estimator, "rloo");
    assert_eq!(
        Svi::new(&model).draw_all().steps(2).run()?.plan().entries[0].estimator,
        "relax"
    );
    let summed = Svi::new(&model)
        .estimator(relax_runtime::estimator::Rloo::default())
        .marginalise();
    assert_eq!(
        summed.steps(2).run()?.plan().entries[0].estimator,
        "summed out"
    );
    Ok(())
}

#[model]
fn named() {
    let a = sample!(Bernoulli(0.3), estimator = "rloo");
    let b = sample!(Bernoulli(if a { 0.2 } else { 0.7 }));
    observe!(Bernoulli(if b { 0.9 } else { 0.4 }), true);
}

#[test]
fn sites_with_an_estimator_of_their_own_are_drawn() -> Result<()> {
    let fit = Svi::new(&named()).steps(1_500).seed(1).run()?;
    let estimators: Vec<_> = fit
        .plan()
        .entries
        .iter()
        .map(|entry| entry.estimator)
        .collect();
    assert_eq!(estimators, ["rloo", "summed out"]);
    let exact = exact_posterior(&named())?;
    assert_near(fit.posterior().mean("a")?, exact.mean("a")?, 0.02);
    assert_near(fit.posterior().mean("b")?, exact.mean("b")?, 0.02);
    Ok(())
}

/// Forty coins in a row.
#[model]
fn long_chain() {
    let mut p = 0.5;
    for t in 0..40 {
        let up = sample!(Bernoulli(p));
        observe!(Bernoulli(if up { 0.8 } else { 0.3 }), t % 4 < 2);
        p = if up { 0.9 } else { 0.2 };
    }
}

#[test]
fn the_exact_posterior_of_many_combinations_is_found_by_elimination() -> Result<()> {
    let exact = exact_posterior(&long_chain())?;
    // Forward and backward.
    let likelihood = |t: usize| if t % 4 < 2 { [0.3, 0.8] } else { [0.7, 0.2] };
    let moves = [[0.8, 0.2], [0.1, 0.9]];
    let mut forward = vec![[0.5 * likelihood(0)[0], 0.5 * likelihood(0)[1]]];
    for t in 1..40 {
        let before = forward[t - 1];
        forward.push(
            [0, 1].map(|k| (before[0] * moves[0][k] + before[1] * moves[1][k]) * likelihood(t)[k]),
        );
    }
    let mut backward = vec![[1.0, 1.0]; 40];
    for t in (0..39).rev() {
        let after = backward[t + 1];
        backward[t] = [0, 1].map(|j| {
            (0..2)
                .map(|k| moves[j][k] * likelihood(t + 1)[k] * after[k])
                .sum()
        });
    }
    let evidence: f64 = forward[39].iter().sum();
    assert_near(exact.log_evidence, evidence.ln(), 1e-6);
    for t in [0, 7, 39] {
        let wanted = forward[t][1] * backward[t][1] / evidence;
        assert_near(exact.mean(&format!("up[{t}]"))?, wanted, 1e-6);
    }
    Ok(())
}

#[test]
fn rows_have_posteriors_of_their_own() -> Result<()> {
    let x = Tensor::from_slice(&[-3.0, 0.1, 3.0]);
    #[model]
    fn two(x: &Tensor) {
        plate!(x.rows() => {
            let high = sample!(Bernoulli(Tensor::full(x.rows(), 0.3, &Device::cpu())));
            observe!(Normal(2.0 * &high, 1.0), x);
        })
    }
    let program = two(&x);
    let fit = Svi::new(&marginalise(&program)).draw_all().steps(1).run()?;
    let found = fit.posterior().means("high")?;
    for (x, found) in [-3.0, 0.1, 3.0_f64].into_iter().zip(found) {
        let (on, off) = (
            0.3 * (-0.5 * (x - 2.0).powi(2)).exp(),
            0.7 * (-0.5 * x * x).exp(),
        );
        assert_near(found, on / (on + off), 1e-5);
    }
    Ok(())
}

/// A count, and as many coins, of whose heads something is seen.
#[model]
fn as_many_coins(seen: f64) {
    let count = sample!(Truncated(Poisson(2.0), 0, 8));
    let mut heads = 0.0;
    for _ in 0..count {
        let coin = sample!(Bernoulli(0.6));
        heads += f64::from(u8::from(coin));
    }
    observe!(Normal(heads, 0.6), seen);
}

/// p(count, seen) of each count, and the same times how many heads there are on average.
fn counts_by_hand(seen: f64) -> (Vec<f64>, Vec<f64>) {
    let (mut joint, mut with_heads) = (Vec::new(), Vec::new());
    let poisson: Vec<f64> = (0..=8_u32)
        .scan(1.0, |p, count| {
            let here = *p;
            *p *= 2.0 / f64::from(count + 1);
            Some(here)
        })
        .collect();
    let all: f64 = poisson.iter().sum();
    for (count, p) in (0..=8_i32).zip(poisson) {
        let (mut sum, mut heads, mut ways) = (0.0, 0.0, 1.0);
        for h in 0..=count {
            let apart = (seen - f64::from(h)) / 0.6;
            let density = (-0.5 * apart * apart).exp() / (0.6 * std::f64::consts::TAU.sqrt());
            let term = ways * 0.6_f64.powi(h) * 0.4_f64.powi(count - h) * density;
            (sum, heads) = (sum + term, heads + term * f64::from(h));
            ways *= f64::from(count - h) / f64::from(h + 1);
        }
        joint.push(p / all * sum);
        with_heads.push(p / all * heads);
    }
    (joint, with_heads)
}

/// Coins that are seldom there are known as well as the sum knows them, and not as few draws do.
#[test]
fn what_is_known_of_single_sites_comes_from_no_draws() -> Result<()> {
    for seen in [1.0, 2.5] {
        let (joint, with_heads) = counts_by_hand(seen);
        let all: f64 = joint.iter().sum();
        let counts = joint.iter().enumerate();
        let mean = counts.map(|(count, p)| count as f64 * p / all).sum();
        let model = as_many_coins(seen);
        let fit = Svi::new(&model).posterior_draws(5).seed(1).run()?;
        let exact = exact_posterior(&model)?;
        let weighted = fit.posterior().weighted()?;
        let all_draws: [&Draws; 3] = [&exact, fit.posterior(), &weighted];
        for draws in all_draws {
            assert_near(draws.mean("count")?, mean, 1e-5);
            for (value, p) in draws.marginal("count")? {
                assert_near(p, joint[value[0] as usize] / all, 1e-5);
            }
            for first in 0..8 {
                let coin = format!("coin[{first}]");
                let there = first + 1..=8;
                let included: f64 = joint[there.clone()].iter().sum();
                assert_near(draws.inclusion_probability(&coin)?, included / all, 1e-5);
                let heads: f64 = there.map(|count| with_heads[count] / count as f64).sum();
                assert_near(draws.mean(&coin)?, heads / included, 1e-4);
                let marginal = draws.marginal(&coin)?;
                assert_near(marginal[1].1, heads / all, 1e-5);
                assert_near(marginal[0].1 + marginal[1].1, included / all, 1e-5);
            }
            draws.summary()?;
        }
        // Few draws come by the last coins.
        assert!(fit.posterior().samples("coin[7]")?.is_empty());
    }
    Ok(())
}

/// Of choices that others make possible, the runs find out in any order.
#[test]
fn sums_over_choices_on_some_paths_miss_none() -> Result<()> {
    for seen in [0.0, 1.0, 3.0, 5.5] {
        let (joint, _) = counts_by_hand(seen);
        for seed in 0..20 {
            let run = Simulation::seeded(seed).run(&marginalise(as_many_coins(seen)))?;
            assert_near(run.trace.log_prob()?, joint.iter().sum::<f64>().ln(), 1e-5);
        }
    }
    Ok(())
}

/// Four combinations of a coin and the one before, told by some runs for all of the chain at once.
#[test]
fn a_chain_takes_few_runs_however_long_it_is() -> Result<()> {
    let fit = Svi::new(&long_chain()).run()?;
    let runs = fit.plan().entries[0].evaluations;
    assert!((4..=5).contains(&runs), "{runs} runs");
    Ok(())
}
