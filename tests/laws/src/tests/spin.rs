//! Coins with other values.

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
    let fit = Svi::new(&host()).draw_all().steps(3_000).seed(1).run()?;
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
    let run = simulation(3).run(&relax_sites(site(), 0.5))?;
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
