//! The same programs for every law: at a site, in a plate and in a loop, over tensors and host numbers.

use std::rc::Rc;

use relax_runtime::estimator::{
    Coupling, Dlax, DoubleCv, Enumerate, Estimator, IndeCateR, IntoEstimator, MuProp, Plan, Rloo,
};
use relax_runtime::prelude::*;

pub(crate) fn expect_unbiased(check: Check<'_>) -> Result<()> {
    let table = check.run()?;
    println!("{table}");
    table.verdict()
}

/// Checks the default estimators, then `relax` and `rloo` by name, of an expected cost.
pub(crate) fn check_cost(model: &dyn Program) -> Result<()> {
    let objective = ExpectedCost::new(model);
    expect_unbiased(Check::new(&objective).draws(2_000))?;
    for estimator in [
        Relax::free_form().into_estimator(),
        Rloo::default().into_estimator(),
    ] {
        expect_unbiased(Check::new(&objective).draws(1_000).estimator(estimator))?;
    }
    Ok(())
}

/// The default estimators of a bound with the automatic guide.
fn check_bound(model: &dyn Program) -> Result<()> {
    expect_unbiased(Check::new(&Elbo::new(model)).draws(1_500))
}

/// Estimator and reason of every site of a plan.
fn reasons(plan: &Plan) -> Vec<String> {
    let line = |e: &relax_runtime::estimator::PlanEntry| {
        format!("{}, {}: {}", e.distribution, e.estimator, e.reason)
    };
    plan.entries.iter().map(line).collect()
}

fn rows() -> Tensor {
    Tensor::from_slice(&[0.4, -1.1, 1.6])
}

/// A cost whose tails are flat, and which takes what lies between whole numbers.
fn bent(x: &Tensor) -> Tensor {
    (x * 0.4 - 0.7).tanh() + (x * 0.5).sigmoid().square()
}

/// The programs of one law, `of` a real number that is a tensor and `of_number` one of the host.
macro_rules! programs {
    ($name:ident, $law:literal, $kind:literal, $host_kind:literal, of: $of:expr, of_number: $of_number:expr) => {
        mod $name {
            use super::*;

            #[model]
            fn site() {
                let theta = param!(0.4);
                let x = sample!(($of)(&theta));
                cost!(bent(&x));
            }

            /// Rows whose parameters differ.
            #[model]
            pub fn plate(data: &Tensor) {
                let theta = param!(0.3);
                plate!(data.rows() => {
                    let x = sample!(($of)(&(&theta * data)));
                    cost!(bent(&x) * (data + 1.5));
                })
            }

            /// Each choice depends on the one before.
            #[model]
            pub fn turns() {
                let mut before = param!(0.3);
                for _ in 0..3 {
                    let x = sample!(($of)(&before));
                    cost!(bent(&x));
                    before = (x * 0.4).tanh() * 0.5 - 0.2;
                }
            }

            #[model]
            fn host() {
                let x = sample!(($of_number)(0.3));
                observe!(Normal(0.8 * x as f64, 1.0), 0.5);
            }

            /// Host code decides how it goes on.
            #[model]
            fn host_turns() {
                let mut before = 0.3;
                for _ in 0..3 {
                    let x = sample!(($of_number)(before));
                    before = if x > 1 { -0.4 } else { 0.6 };
                }
                observe!(Normal(before, 1.0), 0.5);
            }

            /// Rows of a bound.
            #[model]
            fn bound(data: &Tensor) {
                plate!(data.rows() => {
                    let x = sample!(($of)(&(data * 0.3)));
                    observe!(Normal(&x * 0.5, 1.0), data);
                })
            }

            #[test]
            fn is_unbiased_at_a_site() -> Result<()> {
                check_cost(&site())?;
                check_bound(&host())
            }

            #[test]
            fn is_unbiased_in_a_plate() -> Result<()> {
                check_cost(&plate(&rows()))?;
                check_bound(&bound(&rows()))
            }

            #[test]
            fn is_unbiased_in_a_loop() -> Result<()> {
                check_cost(&turns())?;
                check_bound(&host_turns())
            }

            #[test]
            fn gets_relax() -> Result<()> {
                let tensor = format!("{}, relax: {}", $law, $kind);
                for model in [&site() as &dyn Program, &plate(&rows()), &turns()] {
                    let plan = Minimize::new(model).steps(2).run()?.plan();
                    let reasons = reasons(&plan);
                    // Counts that others follow may have another estimate beside that.
                    let (last, others) = reasons.split_last().unwrap();
                    assert_eq!(*last, tensor, "{plan}");
                    assert!(others.iter().all(|one| one.starts_with(&tensor)), "{plan}");
                }
                let plan = Svi::new(&host()).draw_all().steps(2).run()?.plan();
                assert_eq!(reasons(&plan), [format!("{}, relax: {}", $law, $host_kind)]);
                Ok(())
            }
        }
    };
}

programs!(
    poisson, "Poisson",
    "discrete, cost differentiable in its relaxation: relaxed cost",
    "discrete, cost a black box: free-form network",
    of: Poisson::log_rate,
    of_number: Poisson::log_rate
);

programs!(
    binomial, "Binomial",
    "discrete: free-form network",
    "discrete, cost a black box: free-form network",
    of: |x: &Tensor| Binomial::logits(4, x),
    of_number: |x: f64| Binomial::logits(4, x)
);

programs!(
    geometric, "Geometric",
    "discrete, cost differentiable in its relaxation: relaxed cost",
    "discrete, cost a black box: free-form network",
    of: Geometric::logits,
    of_number: Geometric::logits
);

programs!(
    negative_binomial, "NegativeBinomial",
    "discrete, cost differentiable in its relaxation: relaxed cost",
    "discrete, cost a black box: free-form network",
    of: |x: &Tensor| NegativeBinomial::logits((x * 0.5).exp(), x - 0.3),
    of_number: |x: f64| NegativeBinomial::logits((x * 0.5).exp(), x - 0.3)
);

programs!(
    beta_binomial, "BetaBinomial",
    "discrete: free-form network",
    "discrete, cost a black box: free-form network",
    of: |x: &Tensor| BetaBinomial::new((x * 0.5).exp(), (x * -0.3).exp(), 4),
    of_number: |x: f64| BetaBinomial::new((x * 0.5).exp(), (x * -0.3).exp(), 4)
);

programs!(
    zero_inflated, "ZeroInflated",
    "discrete, cost differentiable in its relaxation: relaxed cost",
    "discrete, cost a black box: free-form network",
    of: |x: &Tensor| ZeroInflated::gate((x * 0.5).sigmoid(), Poisson::log_rate(x + 0.2)),
    of_number: |x: f64| ZeroInflated::gate(0.5 + 0.1 * x, Poisson::log_rate(x + 0.2))
);

programs!(
    ordered_logistic, "OrderedLogistic",
    "discrete: free-form network",
    "discrete, cost a black box: free-form network",
    of: |x: &Tensor| OrderedLogistic::new(x, [-0.6, 0.3, 1.1]),
    of_number: |x: f64| OrderedLogistic::new(x, [-0.6, 0.3, 1.1])
);

programs!(
    mixture, "Mixture",
    "discrete, cost differentiable in its relaxation: relaxed cost",
    "discrete, cost a black box: free-form network",
    of: |x: &Tensor| {
        let shares = Tensor::stack(&[x, &(x * -0.5)], -1).softmax(-1);
        Mixture::new(shares, Poisson::log_rate(Tensor::stack(&[x, &(1.2 - x * 0.5)], -1)))
    },
    of_number: |x: f64| Mixture::new([0.3, 0.7], [Poisson::log_rate(x), Poisson::log_rate(1.2 - 0.5 * x)])
);

programs!(
    mixture_of_families, "Mixture",
    "discrete, cost differentiable in its relaxation: relaxed cost",
    "discrete, cost a black box: free-form network",
    of: |x: &Tensor| Mixture::new([0.4, 0.6], (Binomial::logits(3, x), Poisson::log_rate(x + 0.4))),
    of_number: |x: f64| Mixture::new([0.4, 0.6], (Binomial::logits(3, x), Poisson::log_rate(x + 0.4)))
);

programs!(
    truncated, "Truncated",
    "discrete, cost differentiable in its relaxation: relaxed cost",
    "discrete, cost a black box: free-form network",
    of: |x: &Tensor| Truncated::new(Poisson::log_rate(x), 1, f64::INFINITY),
    of_number: |x: f64| Truncated::new(Poisson::log_rate(x), 1, f64::INFINITY)
);

programs!(
    truncated_between, "Truncated",
    "discrete: free-form network",
    "discrete, cost a black box: free-form network",
    of: |x: &Tensor| Truncated::new(NegativeBinomial::logits((x * 0.5).exp(), x - 0.3), 1, 4),
    of_number: |x: f64| Truncated::new(NegativeBinomial::logits((x * 0.5).exp(), x - 0.3), 1, 4)
);

/// A distribution as a parameter of another, with keywords.
#[model]
fn crossings(seen: usize) {
    let closed = sample!(Bernoulli(0.5));
    let gate = if closed { 0.9 } else { 0.1 };
    observe!(ZeroInflated(gate, Poisson(rate = 3.0)), seen);
}

#[test]
fn zeros_tell_of_the_gate() -> Result<()> {
    let none = (-3.0_f64).exp();
    let wanted = (0.9 + 0.1 * none) / (1.0 + none);
    let found = exact_posterior(&crossings(0))?.mean("closed")?;
    assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
    let found = exact_posterior(&crossings(2))?.mean("closed")?;
    assert!((found - 0.1).abs() < 1e-6, "{found}");
    Ok(())
}

/// Counts in one program, each depending on those before it, as parameters and as trials.
#[model]
fn chain() {
    let theta = param!(0.9);
    let born = sample!(Poisson(log_rate = &theta));
    let seen = sample!(Binomial(&born, logits = &theta * 0.5));
    let coin = sample!(Bernoulli(logits = &seen * 0.3 - 0.5));
    let late = sample!(Geometric(logits = &coin * 0.8 + 0.1));
    cost!(bent(&(&seen + &late * 0.5)) + bent(&born) * 0.5);
}

#[test]
fn a_chain_of_counts_is_unbiased() -> Result<()> {
    check_cost(&chain())
}

/// Estimators that look between the values, or count on from one to the next.
#[test]
fn other_estimators_are_unbiased() -> Result<()> {
    let independent = Relax {
        coupling: Coupling::Independent,
        ..Relax::sum()
    };
    let endless = [
        Relax::sum().into_estimator(),
        independent.into_estimator(),
        Rebar::default().into_estimator(),
        MuProp::default().into_estimator(),
        DoubleCv::default().into_estimator(),
        Dlax::default().into_estimator(),
    ];
    let listed = [
        Enumerate::default().into_estimator(),
        IndeCateR.into_estimator(),
    ];
    let check = |model: &dyn Program, estimators: &[Rc<dyn Estimator>]| {
        estimators.iter().try_for_each(|estimator| {
            let objective = ExpectedCost::new(model);
            let check = Check::new(&objective).draws(1_000).warm_up(50);
            expect_unbiased(check.estimator(Rc::clone(estimator)))
        })
    };
    check(&poisson::turns(), &endless)?;
    check(&negative_binomial::plate(&rows()), &endless)?;
    for model in [
        &binomial::turns() as &dyn Program,
        &ordered_logistic::plate(&rows()),
    ] {
        check(model, &endless)?;
        check(model, &listed)?;
    }
    Ok(())
}
