//! Densities that a model turns into host numbers: what it makes of them depends on the choices behind them.

use relax_runtime::dist::{Distribution, Number, Value};
use relax_runtime::infer::exact_gradient;
use relax_runtime::model::ParamStore;
use relax_runtime::prelude::*;

use crate::assert_near;

/// How a model gets a number out of a density.
type Way = fn(&Tensor) -> Result<f64>;

fn density(b: &Tensor) -> Result<Number> {
    Normal::new(0.45, Tensor::scalar(1.0))?.log_prob(b)
}

#[model]
fn part(b: &Tensor) {
    observe!(Normal(0.45, Tensor::scalar(1.0)), b, name = "b");
}

const WAYS: [(&str, Way); 3] = [
    ("total", |b| density(b)?.total()),
    ("to_f64s", |b| {
        let Number::Tensor(number) = density(b)? else {
            unreachable!("a tensor's density is a tensor")
        };
        Ok(Value::Tensor(number).to_f64s()?[0])
    }),
    ("trace", |b| {
        Simulation::seeded(0).run(&part(b))?.trace.log_prob()
    }),
];

#[model]
fn cost_of(way: Way) -> Result<()> {
    let theta = param!(0.3);
    let b = sample!(Bernoulli(logits = &theta));
    cost!(-way(&b)?);
    Ok(())
}

#[model]
fn factor_of(way: Way) -> Result<()> {
    let b = sample!(Bernoulli(Tensor::scalar(0.3)));
    factor!(4.0 * way(&b)?);
    Ok(())
}

#[test]
fn host_numbers_of_densities_keep_what_they_depend_on() -> Result<()> {
    // −ln p of 0 and of 1.
    let costs = [0.5 * 0.45_f64.powi(2), 0.5 * 0.55_f64.powi(2)];
    let p = 1.0 / (1.0 + (-0.3_f64).exp());
    for (name, way) in WAYS {
        let model = cost_of(way);
        let (_, gradients) = exact_gradient(&ExpectedCost::new(&model), &ParamStore::default())?;
        let found = f64::from(gradients[0].1.item()?);
        let wanted = p * (1.0 - p) * (costs[1] - costs[0]);
        assert!(
            (found - wanted).abs() < 1e-6,
            "{name}: {found}, not {wanted}"
        );

        let model = factor_of(way);
        let odds = (0.3_f64 / 0.7) * (4.0 * (costs[0] - costs[1])).exp();
        let exact = exact_posterior(&model)?.mean("b")?;
        assert_near(exact, odds / (1.0 + odds), 1e-6);
        let fit = Svi::new(&model).seed(1).progress(false).run()?;
        assert_near(fit.posterior().mean("b")?, odds / (1.0 + odds), 1e-4);
    }
    Ok(())
}
