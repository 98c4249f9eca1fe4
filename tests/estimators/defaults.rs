//! What RELAX does by default at sites of different sizes.

use std::rc::Rc;

use relax_runtime::dist::BernoulliRelaxation;
use relax_runtime::estimator::{
    Coupling, Dlax, Estimator, Noise, Nvil, Problem, differentiable, rebar,
};
use relax_runtime::prelude::*;
use relax_runtime::surrogate::RelaxedCost;

use crate::statistics::Moments;

#[model]
fn coins(count: usize, unit: f32) {
    let theta = param!(Tensor::zeros([count], &Device::cpu()));
    let b = sample!(Bernoulli(logits = &theta));
    cost!((b - 0.45).square().sum_all() * unit);
}

/// Rows of coins, whose logits are the same in all rows, or have `spread` between them.
#[model]
fn rows_of_coins(count: usize, spread: f32) {
    let by_row = Tensor::from_slice(&[0.0, 1.0, 2.0]).reshape([3, 1]) * spread;
    let theta = param!(Tensor::zeros([count], &Device::cpu()));
    plate!(3 => {
        let b = sample!(Bernoulli(logits = &by_row + &theta));
        cost!((b - 0.45).square());
    })
}

/// A network learns what all rows have in common.
#[test]
fn the_surrogate_follows_the_number_of_values_and_whether_rows_differ() -> Result<()> {
    fn assert_plan(program: &dyn Program, expected: &str) -> Result<()> {
        let mut trainer = Trainer::new(1);
        for _ in 0..3 {
            trainer.step(&ExpectedCost::new(program))?;
        }
        let reason = &trainer.plan().entries[0].reason;
        assert!(reason.ends_with(expected), "{reason}");
        Ok(())
    }
    let (network, relaxed) = ("free-form network", "relaxation: relaxed cost");
    for (count, expected) in [(6, network), (7, network), (16, network), (17, relaxed)] {
        assert_plan(&coins(count, 1.0), expected)?;
        assert_plan(&rows_of_coins(count, 0.0), expected)?;
    }
    for (count, expected) in [(6, network), (7, relaxed), (16, relaxed), (17, relaxed)] {
        assert_plan(&rows_of_coins(count, 0.5), expected)?;
    }
    Ok(())
}

/// Training is the same bit for bit in whatever units the cost is: here powers of two, which round
/// nothing.
#[test]
fn what_has_a_network_has_no_scale() -> Result<()> {
    let learned = |count: usize, estimator: &Rc<dyn Estimator>, unit: f32| {
        let program = coins(count, unit);
        let mut trainer = Trainer::new(1)
            .estimator(Rc::clone(estimator))
            .optimizer(Sgd::new(0.1 / unit));
        for _ in 0..200 {
            trainer.step(&ExpectedCost::new(&program))?;
        }
        let theta = trainer.params().get("theta");
        theta.map_or_else(|| Ok(Vec::new()), |theta| theta.to_vec())
    };
    let coupling = Coupling::Independent;
    let published = Relax {
        coupling,
        ..Relax::sum()
    };
    let estimators: [(usize, Rc<dyn Estimator>); 6] = [
        (3, Rc::new(Relax::default())),
        (20, Rc::new(Relax::default())),
        (12, Rc::new(Relax::sum())),
        (12, Rc::new(published)),
        (12, Rc::new(Dlax::default())),
        (12, Rc::new(Nvil::default())),
    ];
    for (count, estimator) in &estimators {
        let theta = learned(*count, estimator, 1.0)?;
        assert!(theta.iter().all(|&x| x != 0.0), "{theta:?}");
        for unit in [1.0 / 1024.0, 4096.0, 1.0 / 1_048_576.0] {
            let name = estimator.name();
            assert_eq!(learned(*count, estimator, unit)?, theta, "{name}, {unit}");
        }
    }
    Ok(())
}

#[model]
fn kinked(unit: f32) {
    let theta = param!(Tensor::zeros([20], &Device::cpu()));
    let b = sample!(Bernoulli(logits = &theta));
    let x = (b.slice(-1, 0..10) - b.slice(-1, 10..20) * 0.7) * unit;
    cost!(x.sum_all().relu() / unit + x.abs().sum_all() / unit);
}

/// With kinks whose arguments are in other units as well, and going on from a checkpoint.
#[test]
fn what_is_learned_of_kinks_has_no_scale_and_is_saved() -> Result<()> {
    let directory = tempfile::tempdir().map_err(|e| Error::Model(e.to_string()))?;
    let path = directory.path().join("kinked");
    let learned = |unit: f32, stops: bool| {
        let program = kinked(unit);
        let trainer = || {
            Trainer::new(1)
                .estimator(Relax::sum())
                .optimizer(Sgd::new(0.1))
        };
        let mut training = trainer();
        for step in 0..60 {
            if stops && step == 30 {
                training.save(&path)?;
                training = trainer();
                training.resume(&path)?;
            }
            training.step(&ExpectedCost::new(&program))?;
        }
        let theta = training.params().get("theta");
        theta.map_or_else(|| Ok(Vec::new()), |theta| theta.to_vec())
    };
    let theta = learned(1.0, false)?;
    assert!(theta.iter().all(|&x| x != 0.0), "{theta:?}");
    assert_eq!(learned(1.0, true)?, theta);
    for unit in [1.0 / 1_048_576.0, 4096.0] {
        assert_eq!(learned(unit, false)?, theta, "{unit}");
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

#[model]
fn pairs(rows: usize) {
    let theta = param!(Tensor::zeros([1, 4], &Device::cpu()));
    plate!(rows => {
        let b = sample!(Bernoulli(logits = theta.broadcast_to([rows, 4])));
        let next = Tensor::from_slice(&[0.0, 1.0, -2.0, 0.5]);
        cost!((&b * next * b.slice(-1, 0..1)).sum_from(1) * 30.0 + b.sum_from(1) + 700.0);
    })
}

/// A quadratic cost of few choices is soon known as it is, and then the gradient hardly varies.
#[test]
fn a_quadratic_cost_of_few_choices_leaves_no_variance() -> Result<()> {
    const DRAWS: u64 = 50;
    let spread = |estimator: Relax, steps: u64| {
        let (one, many) = (pairs(1), pairs(20));
        let mut trainer = Trainer::new(2)
            .estimator(estimator)
            .optimizer(Sgd::new(1e-9));
        for _ in 0..steps {
            trainer.step(&ExpectedCost::new(&one))?;
        }
        let mut moments = Moments::new(4);
        for step in 0..DRAWS {
            let key = Key {
                step,
                ..Key::new(9)
            };
            let found = trainer.gradients(&ExpectedCost::new(&many), key)?;
            let gradient = found.parameters[0].1.to_vec()?;
            moments.push(&gradient.into_iter().map(f64::from).collect::<Vec<_>>());
        }
        Ok::<_, Error>(moments.total_variance())
    };
    let published = Relax {
        coupling: Coupling::Independent,
        ..Relax::free_form()
    };
    let (first, later) = (spread(Relax::default(), 2)?, spread(Relax::default(), 300)?);
    let published = spread(published, 300)?;
    println!(
        "variance {first:.2} after 2 steps, {later:.2e} after 300; network alone {published:.2}"
    );
    assert!(later < 1e-3 * published, "{later}, {published}");
    assert!(later < 1e-3 * first, "{later}, {first}");
    Ok(())
}

/// Each coin's cost depends on the one before; host code reads them.
#[model]
fn ring(count: usize) -> Result<()> {
    let theta = param!(Tensor::full([count], 0.2, &Device::cpu()));
    let b = sample!(Bernoulli(logits = &theta)).to_vec()?;
    let pairs = b.iter().zip(b.iter().cycle().skip(1)).enumerate();
    cost!(
        pairs
            .map(|(i, (x, y))| f64::from(x * y) * (1.0 - 0.3 * i as f64))
            .sum::<f64>()
    );
    Ok(())
}

/// Pairs of many choices are left to the network unless more weights are allowed, which then explain a
/// cost of pairs whole, and leave the gradient unbiased on the way there.
#[test]
fn a_quadratic_form_has_the_weights_that_it_is_allowed() -> Result<()> {
    let relax = |quadratic: usize| Relax {
        quadratic,
        ..Relax::free_form()
    };
    let program = ring(20);
    let objective = ExpectedCost::new(&program);
    let variance = |quadratic: usize| {
        let mut trainer = Trainer::new(3)
            .estimator(relax(quadratic))
            .optimizer(Sgd::new(1e-9));
        for _ in 0..600 {
            trainer.step(&objective)?;
        }
        let mut moments = Moments::new(20);
        for step in 0..50 {
            let key = Key {
                step,
                ..Key::new(9)
            };
            let gradient = trainer.gradients(&objective, key)?.parameters[0]
                .1
                .to_vec()?;
            moments.push(&gradient.into_iter().map(f64::from).collect::<Vec<_>>());
        }
        Ok::<_, Error>(moments.total_variance())
    };
    // 1 + 20 + 190 weights.
    let (without, with) = (variance(210)?, variance(211)?);
    assert!(with < 1e-2 * without, "{with}, {without}");

    let few = ring(12);
    let table = Check::new(&ExpectedCost::new(&few))
        .estimator(relax(79))
        .draws(4_000)
        .run()?;
    table.verdict()
}
