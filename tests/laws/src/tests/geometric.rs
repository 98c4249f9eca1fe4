//! A discrete law without a relaxation.

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
    let fit = Svi::new(&stopped()).draw_all().steps(3_000).seed(1).run()?;
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
    for (budget, estimator, evaluations) in [(1, "reinforce", 1), (2, "rloo", 2), (9, "rloo", 9)] {
        let plan = plan(budget)?;
        assert_eq!(plan.entries[0].estimator, estimator);
        assert_eq!(plan.entries[0].evaluations, evaluations);
    }
    Ok(())
}
