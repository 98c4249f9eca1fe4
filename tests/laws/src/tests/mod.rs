//! Every law is unbiased wherever it is used; which estimator it gets; and its automatic guide works.

use std::rc::Rc;

use relax_runtime::estimator::{
    Arms, Coupling, Disarm, Dlax, DoubleCv, Enumerate, Estimator, EvolutionStrategies, IndeCateR,
    IntoEstimator, Lax, MuProp, Plan, Rloo, Rodeo,
};
use relax_runtime::model::relax_sites;
use relax_runtime::prelude::*;

use crate::{Binomial, Exponential, Geometric, Laplace, Spin};

fn expect_unbiased(check: Check<'_>) -> Result<()> {
    let table = check.run()?;
    println!("{table}");
    table.verdict()
}

/// Checks the default estimators of an expected cost.
fn check_cost(model: &dyn Program) -> Result<()> {
    expect_unbiased(Check::new(&ExpectedCost::new(model)).draws(1_500))
}

/// The same of a bound with the automatic guide.
fn check_bound(model: &dyn Program) -> Result<()> {
    expect_unbiased(Check::new(&Elbo::new(model)).draws(1_500))
}

/// Each of some estimators.
fn check_all(model: &dyn Program, estimators: &[Rc<dyn Estimator>]) -> Result<()> {
    for estimator in estimators {
        let objective = ExpectedCost::new(model);
        let check = Check::new(&objective).draws(800).warm_up(50);
        expect_unbiased(check.estimator(Rc::clone(estimator)))?;
    }
    Ok(())
}

/// Site, distribution, estimator and reason of every site of a plan.
fn lines(plan: &Plan) -> Vec<String> {
    let entries = plan.entries.iter();
    let line = entries.map(|e| {
        let [site, law, estimator] = [&e.site, e.distribution, e.estimator];
        format!(
            "{site}: {law}, {estimator}, {}: {}",
            e.evaluations, e.reason
        )
    });
    line.collect()
}

fn plan_of_cost(model: &dyn Program) -> Result<Vec<String>> {
    Ok(lines(&Minimize::new(model).steps(2).run()?.plan()))
}

fn plan_of_bound(model: &dyn Program) -> Result<Vec<String>> {
    Ok(lines(&Svi::new(model).draw_all().steps(2).run()?.plan()))
}

/// Data of some rows.
fn rows() -> Tensor {
    Tensor::from_slice(&[0.4, -1.1, 1.6])
}

/// A cost whose tails are flat.
fn bent(x: &Tensor) -> Tensor {
    (x * 0.7 - 0.4).tanh() + (x * 0.5).sigmoid().square()
}

macro_rules! programs {
    () => {
        #[model]
        fn site() {
            let theta = param!(0.4);
            let x = sample!(of(&theta));
            cost!(bent(&x));
        }

        /// Rows whose parameters differ.
        #[model]
        fn plate(data: &Tensor) {
            let theta = param!(0.3);
            plate!(data.rows() => {
                let x = sample!(of(&(&theta * data)));
                cost!(bent(&x) * (data + 1.5));
            })
        }

        /// Each choice depends on the one before.
        #[model]
        fn turns() {
            let mut before = param!(0.3);
            for _ in 0..3 {
                let x = sample!(of(&before));
                cost!(bent(&x));
                before = x * 0.4 - 0.2;
            }
        }

        #[model]
        fn host() {
            let x = sample!(of_number(0.3));
            let x = number(x);
            observe!(Normal(0.8 * x, 1.0), 0.5);
        }

        /// Host code decides how it goes on.
        #[model]
        fn host_turns() {
            let mut before = 0.3;
            for _ in 0..3 {
                let x = sample!(of_number(before));
                before = if number(x) > 0.5 { -0.4 } else { 0.6 };
            }
            observe!(Normal(before, 1.0), 0.5);
        }

        /// Rows of a bound.
        #[model]
        fn bound(data: &Tensor) {
            plate!(data.rows() => {
                let x = sample!(of(&(data * 0.3)));
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
    };
}

/// What the plan says of a site, a plate, a loop and a bound in tensors, and of a site in host numbers.
macro_rules! plans {
    ($tensor:literal, host: $host:literal) => {
        #[test]
        fn gets_its_estimators() -> Result<()> {
            let mut found = plan_of_cost(&site())?;
            found.extend(plan_of_cost(&plate(&rows()))?);
            found.extend(plan_of_cost(&turns())?);
            found.extend(plan_of_bound(&bound(&rows()))?);
            let sites = ["x", "x", "x[0]", "x[1]", "x[2]", "x"];
            assert_eq!(found, sites.map(|site| format!("{site}: {}", $tensor)));
            assert_eq!(plan_of_bound(&host())?, [format!("x: {}", $host)]);
            Ok(())
        }
    };
}

mod binomial;
mod exponential;
mod geometric;
mod laplace;
mod spin;

/// All kinds of laws in one program, each depending on those before it.
#[model]
fn mixed() {
    let theta = param!(0.2);
    let rain = sample!(Bernoulli(logits = &theta));
    let count = sample!(Geometric::logits(&rain * 0.8 - 0.1));
    let shift = sample!(Laplace::new((&count * 0.2).tanh(), 0.5));
    let side = sample!(Spin::logits(&shift * 0.7));
    cost!(bent(&(&side * &shift + &rain)) + (&count * 0.3).tanh());
}

#[test]
fn all_kinds_of_laws_stand_beside_each_other() -> Result<()> {
    check_cost(&mixed())?;
    let found = plan_of_cost(&mixed())?;
    let estimators: Vec<_> = found.iter().map(|line| line.split(',').nth(1)).collect();
    let wanted = [" relax", " rloo", " pathwise", " relax"];
    assert_eq!(estimators, wanted.map(Some), "{found:?}");
    Ok(())
}
