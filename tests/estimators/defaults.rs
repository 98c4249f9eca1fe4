//! What RELAX does by default at sites of different size.

use relax_runtime::dist::BernoulliRelaxation;
use relax_runtime::estimator::{Noise, Problem, differentiable, rebar};
use relax_runtime::prelude::*;
use relax_runtime::surrogate::RelaxedCost;

use crate::statistics::Moments;

#[model]
fn coins(count: usize, unit: f32) {
    let theta = param!(Tensor::zeros([count], &Device::cpu()));
    let b = sample!(Bernoulli(logits = &theta));
    cost!((b - 0.45).square().sum_all() * unit);
}

#[test]
fn the_surrogate_follows_the_number_of_values() -> Result<()> {
    for (count, expected) in [(10, "free-form network"), (11, "relaxed cost plus network")] {
        let mut trainer = Trainer::new(1);
        trainer.step(&ExpectedCost::new(&coins(count, 1.0)))?;
        let plan = trainer.plan().to_string();
        assert!(plan.contains(expected), "{plan}");
    }
    Ok(())
}

/// With a network alone, training is the same bit for bit in whatever units the cost is: here powers
/// of two, which round nothing.
#[test]
fn a_network_alone_has_no_scale() -> Result<()> {
    let learned = |unit: f32| {
        let program = coins(3, unit);
        let mut trainer = Trainer::new(1).with_optimizer(Sgd::new(0.1 / unit))?;
        for _ in 0..200 {
            trainer.step(&ExpectedCost::new(&program))?;
        }
        let theta = trainer.params().get("theta");
        theta.map_or_else(|| Ok(Vec::new()), |theta| theta.to_vec())
    };
    let theta = learned(1.0)?;
    assert!(theta.iter().all(|&x| x != 0.0), "{theta:?}");
    for unit in [1.0 / 1024.0, 4096.0] {
        assert_eq!(learned(unit)?, theta);
    }
    Ok(())
}

/// Total variance of REBAR on a row of fair coins whose cost is a sum over them.
fn variance(coins: usize, temperature: f32) -> Result<f64> {
    const ROWS: usize = 4_000;
    let device = Device::cpu();
    let theta = Tensor::zeros([ROWS, coins], &device);
    let noise = Noise::coupled(Key::new(3).stream("u").uniforms([ROWS, coins], &device)?);
    let problem = Problem::new(&BernoulliRelaxation, &theta, &noise).rows();
    let cost = differentiable(|b: &Tensor| Ok(b.sum_from(1)));
    let surrogate = RelaxedCost::new(1.0, temperature, &device);
    let estimate = rebar(problem, &cost, &surrogate)?;
    Ok(Moments::of_rows(&estimate.gradient)?.total_variance())
}

/// The reason for a temperature that falls with the number of choices.
#[test]
fn many_choices_want_a_lower_temperature() -> Result<()> {
    let [one, many] = [1, 100].map(|coins| {
        let [high, low] = [0.5, 0.1].map(|temperature| variance(coins, temperature));
        Ok::<_, Error>(low? / high?)
    });
    let (one, many) = (one?, many?);
    println!("variance at temperature 0.1 / at 0.5: one coin {one:.2}, a hundred {many:.2}");
    assert!(one > 2.0, "{one}");
    assert!(many < 0.6, "{many}");
    Ok(())
}
