//! Costs that depend on a choice along ways that no derivative passes: an estimator that relies on the derivative would
//! be biased there, and none may.

use relax_runtime::estimator::{Lax, Rebar, Relax};
use relax_runtime::prelude::*;
use relax_runtime::{Error, grad};

/// How a cost is computed from draws.
type Way = fn(&Tensor) -> Result<Tensor>;

/// More choices than the default would give the network alone.
const CHOICES: usize = 11;

#[model]
fn through(way: Way) {
    let theta = param!(Tensor::full([CHOICES], -0.4, &Device::cpu()));
    let a = sample!(Bernoulli(logits = &theta));
    cost!(way(&a)?);
}

/// A later choice whose law depends on the first by a comparison.
#[model]
fn through_a_law() {
    let theta = param!(Tensor::zeros([CHOICES], &Device::cpu()));
    let a = sample!(Bernoulli(logits = &theta));
    let b = sample!(Bernoulli(logits = a.gt(0.5) - 0.2));
    cost!((&b - 0.3).square().sum_all());
}

#[model]
fn step() {
    let loc = param!(Tensor::zeros([2], &Device::cpu()));
    let x = sample!(Normal(&loc, 1.0));
    cost!(x.gt(0.4).sum_all());
}

fn squares(x: Tensor) -> Tensor {
    (x - 0.3).square().sum_all()
}

const SEVERING: &[(&str, Way)] = &[
    ("detach", |a| Ok(squares(a.detach()))),
    ("leaf", |a| Ok(squares(a.leaf()))),
    ("parameter", |a| {
        Ok(squares(Parameter::new(a.clone()).get()))
    }),
    ("gt", |a| Ok(squares(a.gt(0.5)))),
    ("sign", |a| Ok(squares((a - 0.5).sign()))),
    ("select_where", |a| {
        Ok(a.select_where(&Tensor::scalar(0.2), &Tensor::scalar(1.3))
            .sum_all())
    }),
    ("argmax", |a| Ok(a.argmax(0) * 1.7)),
    ("one_hot", |a| Ok(squares(a.gt(0.5).one_hot(2).index(1, 1)))),
    ("pick", |a| {
        let table = Tensor::from_slice(&[0.1, 0.7]).broadcast_to([CHOICES, 2]);
        Ok(table.pick(&a.gt(0.5)).sum_all())
    }),
    ("grad", |a| {
        let x = Tensor::scalar(0.7).leaf();
        let y = (a * &x).square().sum_all();
        Ok(grad(&[(&y, None)], &[&x])?.remove(0).square())
    }),
    ("tangent", |a| {
        let x = Tensor::scalar(0.7);
        let y = (a * x.with_tangent(&x.ones_like())).square().sum_all();
        y.tangent().ok_or(Error::Model("no tangent".into()))
    }),
    #[cfg(feature = "dfdx")]
    ("to_dfdx", |a| {
        let typed = a.to_dfdx::<(usize,)>()?;
        Ok(squares(Tensor::from_dfdx(&typed)))
    }),
];

#[test]
fn no_estimator_trusts_a_derivative_that_is_not_there() -> Result<()> {
    for &(name, way) in SEVERING {
        let model = through(way);
        let objective = ExpectedCost::new(&model);
        let check = || Check::new(&objective).draws(1_500);
        let table = check().run()?;
        table
            .verdict()
            .map_err(|e| Error::Model(format!("{name}: {e}")))?;
        assert!(check().estimator(Rebar::default()).run().is_err(), "{name}");
        assert!(check().estimator(Relax::sum()).run().is_err(), "{name}");
    }
    let model = through_a_law();
    let objective = ExpectedCost::new(&model);
    let error = Check::new(&objective).site_estimator("a", Rebar::default());
    assert!(error.run().is_err());
    Ok(())
}

#[test]
fn what_derivatives_pass_is_still_relaxed() -> Result<()> {
    let passing: [(&str, Way); 6] = [
        ("plain", |a| Ok(squares(a.clone()))),
        ("leaky_relu", |a| Ok(squares((a - 0.4).leaky_relu(0.1)))),
        ("elu", |a| Ok(squares((a - 0.4).elu(0.7)))),
        ("max", |a| {
            Ok(a.max(0) + a.maximum(&Tensor::scalar(0.4)).sum_all())
        }),
        ("logsumexp", |a| {
            Ok(a.logsumexp(0) + a.softmax(0).index(0, 1))
        }),
        ("branches", |a| {
            let mask = Tensor::eye(CHOICES, &Device::cpu()).index(0, 3);
            Ok(squares(mask.select_where(a, &(a * 0.5))))
        }),
    ];
    for (name, way) in passing {
        let model = through(way);
        let objective = ExpectedCost::new(&model);
        let check = Check::new(&objective).draws(1_500);
        let table = check.estimator(Rebar::default()).run()?;
        table
            .verdict()
            .map_err(|e| Error::Model(format!("{name}: {e}")))?;
    }
    Ok(())
}

#[test]
fn a_step_of_a_continuous_choice_is_no_pathwise_gradient() -> Result<()> {
    let model = step();
    let mut trained = Minimize::new(&model).steps(1);
    trained.step()?;
    let plan = trained.trainer().plan();
    assert_eq!(
        plan.entries[0].estimator,
        relax_runtime::estimator::Estimator::name(&Lax::default())
    );
    Ok(())
}
