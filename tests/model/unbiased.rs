//! The check of unbiasedness as users call it, and the tests that `#[model(check)]` writes.

use relax_runtime::plumbing;
use relax_runtime::prelude::*;
use relax_runtime::report::Reference;

#[model(check)]
fn lawn() {
    let rain = sample!(Bernoulli(0.3));
    observe!(Bernoulli(if rain { 0.8 } else { 0.1 }), true);
}

#[model(check(&Tensor::from_slice(&[0.3, -0.8]), 0.7, draws = 2_000))]
fn priced(theta: &Tensor, price: f32) {
    let b = sample!(Bernoulli(logits = theta));
    cost!((b.sum_all() - price).square());
}

#[model]
fn shortcut() {
    let theta = param!(0.4);
    let a = sample!(Bernoulli(logits = &theta), estimator = "straight-through");
    let b = sample!(Bernoulli(logits = &a * 1.5 - 0.3));
    cost!((&a + &b - 0.4).square() * 2.0);
}

#[model]
fn continuous() {
    let loc = param!(0.3);
    let x = sample!(Normal(&loc, 0.6));
    let b = sample!(Bernoulli(logits = &x));
    cost!((&x + &b - 0.4).square());
}

#[model]
fn chain() {
    let a = sample!(Bernoulli(0.3));
    let b = sample!(Bernoulli(if a { 0.95 } else { 0.1 }));
    observe!(Bernoulli(if b { 0.9 } else { 0.2 }), true);
}

#[model]
fn chain_guide() {
    let theta = param!(0.2);
    let a = sample!(Bernoulli(logits = &theta));
    let _b = sample!(Bernoulli(logits = 2.0 - &a * 4.0), name = "b");
}

/// A choice in a tensor, followed by ones of the host whose automatic laws look it up: they read it, though the model
/// does not.
#[model]
fn looked_up() {
    let a = sample!(Bernoulli(Tensor::scalar(0.4)));
    let b = sample!(Bernoulli(0.3));
    let c = sample!(Bernoulli(if b { 0.7 } else { 0.2 }));
    let total = &a + f32::from(u8::from(b)) + f32::from(u8::from(c));
    observe!(Normal(&a * 2.0 - total, 0.4), 0.0);
}

#[test]
fn a_choice_that_laws_of_the_host_look_up() -> Result<()> {
    let model = looked_up();
    let objective = Elbo::new(&model);
    let mut svi = Svi::new(&model).draw_all().seed(1).progress(false);
    for _ in 0..300 {
        svi.step()?;
    }
    let params = svi.trainer().params().clone();
    let names = params.names();
    assert!(
        names.iter().any(|name| name.contains("b.logits.shift")),
        "{names:?}"
    );
    let table = Check::new(&objective).params(&params).draws(4_000).run()?;
    println!("{table}");
    table.verdict()
}

/// Each sample of a bound has its own parameters at a later site; and where there are too many
/// combinations, the reference is of the same bound.
#[test]
fn sites_of_a_bound_of_several_samples_that_depend_on_others() -> Result<()> {
    let (model, guide) = (chain(), chain_guide());
    let objective = Elbo::new(&model).guide(&guide).samples(2);
    let check = || Check::new(&objective).draws(10_000);
    let table = check().run()?;
    assert!(matches!(
        table.reference,
        Reference::Exact { combinations: 16 }
    ));
    table.verdict()?;
    assert_eq!(table.rows[0].evaluations, 2.0);
    let sampled = check().enumerate_up_to(8).run()?;
    assert!(matches!(sampled.reference, Reference::Sampled { .. }));
    sampled.verdict()
}

#[test]
fn a_test_of_a_biased_model_fails_and_prints_the_table() {
    let failure = plumbing::check(&shortcut(), None, Some(3_000)).unwrap_err();
    let printed = format!("{failure:?}");
    assert!(printed.contains("site `a`, whose estimator `straight-through` is a biased one"));
    assert!(
        printed.contains("\na          Bernoulli  straight-through"),
        "{printed}"
    );
}

#[test]
fn the_objective_follows_from_the_model() -> Result<()> {
    let names = |model: &dyn Program| {
        let table = check_unbiased(model)?;
        table.verdict()?;
        let rows = table.rows.into_iter().map(|row| row.name);
        Ok::<_, Error>(rows.collect::<Vec<_>>())
    };
    assert_eq!(names(&lawn())?, ["rain", "rain.logits", "objective"]);
    let theta = Tensor::from_slice(&[0.2, 0.9]);
    assert_eq!(names(&priced(&theta, 0.7))?, ["b", "objective"]);
    Ok(())
}

#[test]
fn a_continuous_choice_is_compared_with_a_long_run() -> Result<()> {
    let model = continuous();
    let objective = ExpectedCost::new(&model);
    let table = Check::new(&objective).draws(3_000).run()?;
    table.verdict()?;
    assert!(
        matches!(&table.reference, Reference::Sampled { draws: 12_000, why } if why.contains("Normal"))
    );
    let large = Check::new(&objective).draws(100).enumerate_up_to(1).run()?;
    assert!(matches!(
        large.reference,
        Reference::Sampled { draws: 400, .. }
    ));
    Ok(())
}

/// Given parameters stay as they are, and so does the user's store.
#[test]
fn given_parameters_stay() -> Result<()> {
    let model = lawn();
    let params = ParamStore::default();
    params.insert("rain.logits", &Tensor::scalar(1.25))?;
    let objective = Elbo::new(&model);
    let table = Check::new(&objective).params(&params).draws(100).run()?;
    let value = params.get("rain.logits").map(|t| t.item()).transpose()?;
    assert_eq!(value, Some(1.25));
    // The exact gradient p (1 − p) (f(1) − f(0)) with f = ln q − ln p.
    let p = 1.0 / (1.0 + (-1.25_f64).exp());
    let f = |q: f64, joint: f64| q.ln() - joint.ln();
    let exact = p * (1.0 - p) * (f(p, 0.3 * 0.8) - f(1.0 - p, 0.7 * 0.1));
    let size = table.rows[1].size;
    assert!((size - exact.abs()).abs() < 1e-5, "{size}, {exact}");
    Ok(())
}

#[test]
fn wrong_settings_of_checks_are_errors() {
    let model = lawn();
    let objective = Elbo::new(&model);
    let error = Check::new(&objective).draws(3).run().unwrap_err();
    assert!(error.to_string().contains("fewer than 30"), "{error}");
    let check = Check::new(&objective).draws(50);
    let error = check.site_estimator("snow", Reinforce::default()).run();
    assert!(error.unwrap_err().to_string().contains("`snow`"));
}

/// The check of a probability that training would push below 0, and of a fit: neither moves.
#[test]
fn a_check_leaves_parameters_as_they_are() -> Result<()> {
    #[model]
    fn toll() {
        let p = param!(0.5);
        let b = sample!(Bernoulli(&p));
        cost!(&b);
    }
    check_unbiased(&toll())?.verdict()?;

    let program = chain();
    let fit = Svi::new(&program).steps(30).progress(false).run()?;
    let bits = || -> Result<Vec<Vec<u32>>> {
        let values = fit.params().all().into_iter();
        let bits = |p: Parameter| Ok(p.get().to_vec()?.into_iter().map(f32::to_bits).collect());
        values.map(|(_, p)| bits(p)).collect()
    };
    let before = bits()?;
    let objective = Elbo::new(&program);
    let check = Check::new(&objective).params(fit.params()).draws(200);
    check.run()?.verdict()?;
    assert_eq!(bits()?, before);
    Ok(())
}
