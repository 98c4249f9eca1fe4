//! That every law is unbiased wherever it may stand, which estimator it gets, and that its automatic
//! guide works.

use relax_runtime::estimator::{
    Arms, Coupling, Disarm, Dlax, DoubleCv, Enumerate, Estimator, EvolutionStrategies, IndeCateR,
    IntoEstimator, Lax, MuProp, Plan, Rloo, Rodeo,
};
use relax_runtime::model::relax;
use relax_runtime::prelude::*;
use std::rc::Rc;

use crate::{Binomial, Exponential, Geometric, Laplace, Spin};

fn expect_unbiased(check: Check<'_>) -> Result<()> {
    let table = check.run()?;
    println!("{table}");
    table.verdict()
}

/// Checks the default estimators of an expected cost.
fn check_cost(model: &dyn Program) -> Result<()> {
    expect_unbiased(Check::new(&ExpectedCost::new(model)).draws(4_000))
}

/// The same of a bound with the automatic guide.
fn check_bound(model: &dyn Program) -> Result<()> {
    expect_unbiased(Check::new(&Elbo::new(model)).draws(4_000))
}

/// Each of some estimators.
fn check_all(model: &dyn Program, estimators: &[Rc<dyn Estimator>]) -> Result<()> {
    for estimator in estimators {
        let objective = ExpectedCost::new(model);
        let check = Check::new(&objective).draws(2_000).warm_up(50);
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
    Ok(lines(&Svi::new(model).steps(2).run()?.plan()))
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

mod laplace {
    use super::*;

    fn of(loc: &Tensor) -> Result<Laplace<Tensor>> {
        Laplace::new(loc, 0.7)
    }

    fn of_number(loc: f64) -> Result<Laplace<f64>> {
        Laplace::new(loc, 0.7)
    }

    fn number(x: f64) -> f64 {
        x
    }

    programs!();

    plans!(
        "Laplace, pathwise, 1: continuous, draw differentiable in its parameters",
        host: "Laplace, lax, 1: continuous, cost a black box: network on the draw"
    );

    #[test]
    fn other_estimators_are_unbiased() -> Result<()> {
        for estimator in [
            Rloo::default().into_estimator(),
            Lax::default().into_estimator(),
            EvolutionStrategies::default().into_estimator(),
        ] {
            let model = site();
            let objective = ExpectedCost::new(&model);
            let check = Check::new(&objective).draws(4_000);
            expect_unbiased(check.site_estimator("x", estimator))?;
        }
        Ok(())
    }

    /// The mean of the posterior, by a sum over a grid.
    #[test]
    fn its_guide_finds_the_posterior() -> Result<()> {
        let fit = Svi::new(&host()).steps(3_000).seed(1).run()?;
        let (mut sum, mut mean) = (0.0, 0.0);
        for x in (-4_000..4_000).map(|i| f64::from(i) * 1e-3) {
            let log_p = -(x - 0.3_f64).abs() / 0.7 - 0.5 * (0.5 - 0.8 * x).powi(2);
            sum += log_p.exp();
            mean += log_p.exp() * x;
        }
        let found = fit.posterior().mean("x")?;
        assert!((found - mean / sum).abs() < 0.08, "{found} {}", mean / sum);
        Ok(())
    }
}

mod exponential {
    use super::*;

    fn of(log_rate: &Tensor) -> Result<Exponential<Tensor>> {
        Exponential::of_log_rate(log_rate)
    }

    fn of_number(log_rate: f64) -> Result<Exponential<f64>> {
        Exponential::of_log_rate(log_rate)
    }

    fn number(x: f64) -> f64 {
        x
    }

    programs!();

    plans!(
        "Exponential, rloo, 4: continuous without a derivative of its draws: leave-one-out baseline of 4 draws",
        host: "Exponential, rloo, 4: continuous without a derivative of its draws: leave-one-out baseline of 4 draws"
    );

    #[test]
    fn estimators_that_need_a_derivative_are_refused() {
        for (estimator, problem) in [
            (
                Pathwise.into_estimator(),
                "no derivative by its parameters; use `rloo`",
            ),
            (
                Lax::default().into_estimator(),
                "differentiable in their parameters; use `rloo`",
            ),
        ] {
            let model = site();
            let minimize = Minimize::new(&model).site_estimator("x", estimator);
            let error = minimize.steps(2).run().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    /// A waiting time of twice the rate: the posterior is exponential, too.
    #[model]
    fn waited() {
        let x = sample!(Exponential::of_log_rate(0.0));
        observe!(Bernoulli((-x).exp()), true);
    }

    #[test]
    fn its_guide_finds_the_posterior() -> Result<()> {
        let fit = Svi::new(&waited()).steps(3_000).seed(1).run()?;
        let found = fit.posterior().mean("x")?;
        assert!((found - 0.5).abs() < 0.03, "{found}");
        Ok(())
    }
}

mod geometric {
    use super::*;

    fn of(logits: &Tensor) -> Result<Geometric<Tensor>> {
        Geometric::logits(logits)
    }

    fn of_number(logits: f64) -> Result<Geometric<f64>> {
        Geometric::logits(logits)
    }

    fn number(x: usize) -> f64 {
        x as f64
    }

    programs!();

    plans!(
        "Geometric, rloo, 4: discrete without a relaxation: leave-one-out baseline of 4 draws",
        host: "Geometric, rloo, 4: discrete without a relaxation: leave-one-out baseline of 4 draws"
    );

    /// What only a relaxation makes valid is refused, and what to do is said.
    #[test]
    fn others_are_refused() {
        for estimator in relax_runtime::estimator::registry() {
            let name = estimator.name();
            let run = Minimize::new(&site()).estimator(estimator).steps(2).run();
            let valid = ["reinforce", "reinforce-without-baseline", "rloo"].contains(&name);
            match run {
                Ok(fit) => assert!(valid, "{name}: {}", fit.plan()),
                Err(error) => {
                    let error = error.to_string();
                    assert!(!valid && error.contains("; use `"), "{name}: {error}");
                }
            }
        }
        let error = exact_posterior(&host()).unwrap_err().to_string();
        assert!(error.contains("Geometric has no relaxation"), "{error}");
    }

    /// Trials that go on with a further chance of ½ each: the posterior is geometric, too.
    #[model]
    fn stopped() {
        let n = sample!(Geometric::logits(-0.5));
        observe!(Bernoulli(0.5_f64.powi(n as i32)), true);
    }

    #[test]
    fn its_guide_finds_the_posterior() -> Result<()> {
        let fit = Svi::new(&stopped()).steps(3_000).seed(1).run()?;
        let fails = 0.5 / (1.0 + (-0.5_f64).exp());
        let found = fit.posterior().mean("n")?;
        let wanted = fails / (1.0 - fails);
        assert!((found - wanted).abs() < 0.03, "{found} {wanted}");
        Ok(())
    }

    #[test]
    fn a_budget_gives_as_many_draws() -> Result<()> {
        let plan =
            |budget| Ok::<_, Error>(Minimize::new(&site()).budget(budget).steps(2).run()?.plan());
        for (budget, estimator, evaluations) in
            [(1, "reinforce", 1), (2, "rloo", 2), (9, "rloo", 9)]
        {
            let plan = plan(budget)?;
            assert_eq!(plan.entries[0].estimator, estimator);
            assert_eq!(plan.entries[0].evaluations, evaluations);
        }
        Ok(())
    }
}

mod spin {
    use super::*;

    fn of(logits: &Tensor) -> Result<Spin<Tensor>> {
        Spin::logits(logits)
    }

    fn of_number(logits: f64) -> Result<Spin<f64>> {
        Spin::logits(logits)
    }

    fn number(x: f64) -> f64 {
        x
    }

    programs!();

    plans!(
        "Spin, relax, 1: discrete: free-form network",
        host: "Spin, relax, 1: discrete, cost a black box: free-form network"
    );

    /// Those that rely on what lies between the values, or on the values' order, too.
    #[test]
    fn other_estimators_are_unbiased() -> Result<()> {
        let all = [
            Relax::sum().into_estimator(),
            Rebar::default().into_estimator(),
            Dlax::default().into_estimator(),
            MuProp::default().into_estimator(),
            DoubleCv::default().into_estimator(),
            Rodeo::default().into_estimator(),
            Disarm.into_estimator(),
            Arms::default().into_estimator(),
            Enumerate::default().into_estimator(),
            IndeCateR.into_estimator(),
        ];
        check_all(&turns(), &all)?;
        check_all(&plate(&rows()), &all)
    }

    #[test]
    fn its_guide_finds_the_posterior() -> Result<()> {
        let exact = exact_posterior(&host())?;
        let fit = Svi::new(&host()).steps(3_000).seed(1).run()?;
        let found = fit.posterior().marginal("x")?;
        assert_eq!(
            found.iter().map(|(x, _)| x[0]).collect::<Vec<_>>(),
            [-1.0, 1.0]
        );
        for ((value, p), (_, q)) in exact.marginal("x")?.iter().zip(&found) {
            assert!((p - q).abs() < 0.01, "{value:?}: {p} {q}");
        }
        let (mean, wanted) = (fit.posterior().mean("x")?, exact.mean("x")?);
        assert!((mean - wanted).abs() < 0.02, "{mean} {wanted}");
        Ok(())
    }

    /// Host numbers and tensors are summed over alike.
    #[test]
    fn sums_over_its_values_are_exact() -> Result<()> {
        let fit = |model: &dyn Program| {
            let svi = Svi::new(model).estimator(Enumerate::default());
            svi.steps(200).seed(1).run()
        };
        let exact = exact_posterior(&host_turns())?;
        let found = fit(&host_turns())?;
        let (mean, wanted) = (found.posterior().mean("x[0]")?, exact.mean("x[0]")?);
        assert!((mean - wanted).abs() < 0.1, "{mean} {wanted}");
        assert!(found.plan().to_string().contains("over all 8 combinations"));
        Ok(())
    }

    /// What a handler relaxes lies between the values, and can be replayed.
    #[test]
    fn relaxed_spins_lie_between_the_values() -> Result<()> {
        let params = ParamStore::default();
        let simulation = |seed| Simulation::seeded(seed).params(&params);
        let run = simulation(3).run(&relax(site(), 0.5))?;
        let Some(entry) = run.trace.find("x") else {
            panic!("there is a site");
        };
        let x = entry.value.to_f64s()?[0];
        assert!(-1.0 < x && x < 1.0 && x.abs() > 1e-3, "{x}");
        let again = simulation(4).run(&replay(site(), &run.trace))?;
        assert_eq!(
            again
                .trace
                .find("x")
                .map(|e| e.value.to_f64s())
                .transpose()?,
            Some(vec![x])
        );
        Ok(())
    }
}

mod binomial {
    use super::*;

    fn of(logits: &Tensor) -> Result<Binomial<Tensor>> {
        Binomial::logits(4, logits)
    }

    fn of_number(logits: f64) -> Result<Binomial<f64>> {
        Binomial::logits(4, logits)
    }

    fn number(x: usize) -> f64 {
        x as f64
    }

    programs!();

    plans!(
        "Binomial, relax, 1: discrete: free-form network",
        host: "Binomial, relax, 1: discrete, cost a black box: free-form network"
    );

    #[test]
    fn other_estimators_are_unbiased() -> Result<()> {
        let independent = Relax {
            coupling: Coupling::Independent,
            ..Relax::sum()
        };
        let all = [
            Relax::sum().into_estimator(),
            independent.into_estimator(),
            Rebar::default().into_estimator(),
            MuProp::default().into_estimator(),
            DoubleCv::default().into_estimator(),
            Rloo::default().into_estimator(),
            Enumerate::default().into_estimator(),
            IndeCateR.into_estimator(),
        ];
        check_all(&turns(), &all)?;
        check_all(&plate(&rows()), &all)
    }

    /// Formulas for coins, whose choices have one number each, too, are not for it.
    #[test]
    fn formulas_for_coins_are_refused() {
        for estimator in [
            Disarm.into_estimator(),
            Arms::default().into_estimator(),
            Rodeo::default().into_estimator(),
        ] {
            let run = Minimize::new(&site()).estimator(estimator).steps(2).run();
            let error = run.unwrap_err().to_string();
            assert!(error.contains("for Bernoulli sites"), "{error}");
        }
    }

    #[model]
    fn halved() {
        let n = sample!(Binomial::logits(4, 0.8));
        observe!(Bernoulli(0.5_f64.powi(n as i32)), true);
    }

    #[test]
    fn its_guide_finds_the_posterior() -> Result<()> {
        let fit = Svi::new(&halved()).steps(3_000).seed(1).run()?;
        let (found, wanted) = (
            fit.posterior().mean("n")?,
            exact_posterior(&halved())?.mean("n")?,
        );
        assert!((found - wanted).abs() < 0.05, "{found} {wanted}");
        let marginal = fit.posterior().marginal("n")?;
        assert_eq!(marginal.len(), 5);
        assert!((marginal.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-5);
        Ok(())
    }
}

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
