//! Values to which a model gives probability 0: no guide draws them, no sum counts them, and data that contain them are
//! refused.

use relax_runtime::estimator::{Enumerate, IndeCateR, by_name};
use relax_runtime::infer::{MeanFieldGuide, check_unbiased_with};
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error};

fn tensor(values: &[f32]) -> Tensor {
    Tensor::from_slice(values)
}

/// Three kinds, one of which never comes up.
#[model]
fn kinds() {
    let c = sample!(Categorical([0.5, 0.5, 0.0]));
    observe!(Normal([0.0, 1.0, 2.0][c], 1.0), 0.7);
}

/// The same over tensors.
#[model]
fn tensor_kinds() {
    let c = sample!(OneHotCategorical(tensor(&[0.5, 0.5, 0.0])));
    observe!(Normal((&c * tensor(&[0.0, 1.0, 2.0])).sum_all(), 1.0), 0.7);
}

#[model]
fn certain() {
    let on = sample!(Bernoulli(1.0));
    observe!(Bernoulli(if on { 0.3 } else { 0.9 }), true, name = "y");
}

/// What is possible depends on an earlier choice.
#[model]
fn switch() {
    let a = sample!(Bernoulli(0.4));
    let on = sample!(Bernoulli(if a { 1.0 } else { 0.3 }));
    observe!(Bernoulli(if on { 0.6 } else { 0.9 }), true, name = "y");
}

/// The same over tensors, so that no host number tells what the second coin depends on.
#[model]
fn tensor_switch() {
    let a = sample!(Bernoulli(Tensor::scalar(0.4)));
    let on = sample!(Bernoulli(&a * 0.7 + 0.3));
    observe!(Bernoulli(0.9 - &on * 0.3), 1.0, name = "y");
}

/// A hidden chain that only moves on, and never back.
#[model]
fn left_to_right() {
    let mut z = 0;
    for x in [0.1, 0.2, 1.1, 1.8, 2.2] {
        z = sample!(Categorical(match z {
            0 => [0.6, 0.4, 0.0],
            1 => [0.0, 0.6, 0.4],
            _ => [0.0, 0.0, 1.0],
        }));
        observe!(Normal(z as f64, 0.7), x);
    }
}

/// Counts that are 0 for a reason of their own.
#[model]
fn zero_inflated() {
    for count in [0_usize, 0, 2] {
        let off = sample!(Bernoulli(0.3));
        observe!(
            Categorical(if off {
                [1.0, 0.0, 0.0]
            } else {
                [0.2, 0.5, 0.3]
            }),
            count,
            name = "x"
        );
    }
}

/// Rows that exclude different values.
#[model]
fn rows() {
    plate!(2, {
        let prior = Tensor::stack(&[&tensor(&[0.5, 0.5, 0.0]), &tensor(&[0.0, 0.25, 0.75])], 0);
        let c = sample!(OneHotCategorical(prior));
        observe!(
            Normal((&c * tensor(&[0.0, 1.0, 2.0])).sum(-1), 1.0),
            tensor(&[0.7, 1.2])
        );
    });
}

fn all() -> [Box<dyn Program>; 6] {
    [
        Box::new(kinds()),
        Box::new(tensor_kinds()),
        Box::new(certain()),
        Box::new(switch()),
        Box::new(tensor_switch()),
        Box::new(rows()),
    ]
}

#[test]
fn automatic_guides_learn_what_is_left() -> Result<()> {
    let odds = (-0.5f64 * (0.49 - 0.09)).exp();
    let wanted = [odds / (1.0 + odds), 1.0 / (1.0 + odds), 0.0];
    for program in [&kinds() as &dyn Program, &tensor_kinds()] {
        let fit = Svi::new(program).steps(400).seed(3).progress(false).run()?;
        let found = fit.posterior().means("c")?;
        for (found, wanted) in found.iter().zip(wanted) {
            assert_near(*found, wanted, 2e-3);
        }
        assert_eq!(found[2], 0.0);
        assert_eq!(fit.posterior().marginal("c")?[2].1, 0.0);
    }
    let fit = Svi::new(&certain())
        .steps(50)
        .seed(3)
        .progress(false)
        .run()?;
    assert_eq!(fit.posterior().mean("on")?, 1.0);
    assert_near(fit.posterior().log_evidence().elbo, 0.3f64.ln(), 1e-5);
    Ok(())
}

/// A mean-field guide of a chain, renormalised at each step by what the step before leaves, is a
/// chain of its own; its bound stays below the evidence, and near it.
#[test]
fn chains_and_zero_inflated_counts_train() -> Result<()> {
    let chain = left_to_right();
    let exact = exact_posterior(&chain)?;
    assert_eq!(exact.marginal("z[4]")?.len(), 3);
    assert_eq!(exact.marginal("z[0]")?.len(), 2, "2 is excluded at first");
    let fit = Svi::new(&chain)
        .draw_all()
        .steps(1_500)
        .seed(1)
        .progress(false)
        .run()?;
    let found = fit.posterior().log_evidence();
    assert!(found.elbo < exact.log_evidence + 0.05, "{found:?}");
    assert!(found.elbo > exact.log_evidence - 0.3, "{found:?}");
    assert_near(found.bound, exact.log_evidence, 0.05);

    let counts = zero_inflated();
    // The guide of a coin that a count contradicts would have to learn certainty.
    let drawn = Svi::new(&counts)
        .draw_all()
        .steps(200)
        .seed(1)
        .progress(false);
    assert_says(
        &error(drawn.run()),
        &["`x[2]`", "excluded.rs", "probability 0"],
    );
    let exact = exact_posterior(&counts)?;
    // The sum leaves it out.
    let summed = Svi::new(&counts).seed(1).progress(false).run()?;
    assert_near(
        summed.posterior().mean("off[0]")?,
        exact.mean("off[0]")?,
        1e-6,
    );
    assert_eq!(summed.posterior().mean("off[2]")?, 0.0);
    assert_near(exact.mean("off[0]")?, 0.3 / (0.3 + 0.7 * 0.2), 1e-12);
    assert_eq!(exact.mean("off[2]")?, 0.0);
    Ok(())
}

#[test]
fn every_estimator_stays_unbiased() -> Result<()> {
    let check = |program: &dyn Program, estimator: &str| {
        let objective = Elbo::new(program);
        let check = Check::new(&objective).estimator(by_name(estimator)?);
        let table = check.draws(2_000).run()?;
        table
            .verdict()
            .inspect_err(|_| println!("{estimator}\n{table}"))
    };
    for program in all() {
        for estimator in [
            "relax-free-form",
            "reinforce",
            "rloo",
            "enumerate",
            "indecater",
        ] {
            check(&*program, estimator)?;
        }
        check_unbiased_with(&*program, |check| check.draws(2_000))?.verdict()?;
    }
    for estimator in ["disarm", "arms", "nvil", "dlax"] {
        check(&switch(), estimator)?;
    }
    for estimator in [
        "relax-relaxed-cost",
        "rebar",
        "muprop",
        "double-cv",
        "disarm-tree",
    ] {
        check(&tensor_kinds(), estimator)?;
    }
    Ok(())
}

/// Summed over all combinations, in host numbers or tensors, the guide finds the best bound there
/// is.
#[test]
fn joint_sums_leave_out_what_cannot_be() -> Result<()> {
    for program in [&switch() as &dyn Program, &tensor_switch()] {
        let mut svi = Svi::new(program).estimator(Enumerate::default());
        let fit = svi
            .optimizer(Adam::new(0.05))
            .steps(600)
            .progress(false)
            .run()?;
        let step = fit.history.steps.last().expect("there are steps");
        assert_eq!(step.evaluations, 3, "the fourth combination is impossible");
        // The guide has the model's own form, and so reaches the evidence.
        let evidence = exact_posterior(program)?.log_evidence;
        assert_near(step.elbo(), evidence, 1e-4);
        svi = Svi::new(program).estimator(IndeCateR);
        svi.steps(20).progress(false).run()?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_costs_nothing() -> Result<()> {
    #[model]
    fn never(infinite: f64) {
        let b = sample!(Bernoulli(0.0));
        let k = sample!(Categorical([0.0, 1.0]));
        cost!(if b || k == 0 { infinite } else { 1.0 });
    }
    #[model]
    fn rows_with_holes() {
        plate!(2, {
            let p = Tensor::stack(&[&tensor(&[1.0, 0.0]), &tensor(&[0.5, 0.5])], 0);
            let c = sample!(OneHotCategorical(p));
            cost!((&c * Tensor::stack(&[&tensor(&[1.0, 7.0]), &tensor(&[2.0, 3.0])], 0)).sum(-1));
        });
    }
    for infinite in [f64::INFINITY, f64::NAN] {
        let program = never(infinite);
        let exact = exact_gradient(&ExpectedCost::new(&program), &ParamStore::default())?;
        assert_eq!(exact.0, 1.0);
    }
    let program = rows_with_holes();
    let exact = exact_gradient(&ExpectedCost::new(&program), &ParamStore::default())?;
    assert_near(exact.0, 3.5, 1e-6);
    // What is only too improbable for an f32 is possible all the same.
    #[model]
    fn underflow() {
        let t = param!(-200.0);
        let b = sample!(Bernoulli(logits = &t));
        cost!(-(1.0 - &b).ln(), name = "price");
    }
    let program = underflow();
    let objective = ExpectedCost::new(&program);
    let refused = error(exact_gradient(&objective, &ParamStore::default()));
    assert_says(&refused, &["`price`", "excluded.rs", "inf"]);
    let mut trainer = Trainer::new(1).estimator(Enumerate::default());
    assert_says(&error(trainer.step(&objective)), &["`price`", "inf"]);
    Ok(())
}

/// The same words whether a probability is a host number or in a tensor.
#[test]
fn impossible_data_are_refused() {
    #[model]
    fn host() {
        let _c = sample!(Bernoulli(0.5));
        observe!(Categorical([1.0, 0.0]), 1, name = "y");
    }
    #[model]
    fn tensors() {
        let _c = sample!(Bernoulli(0.5));
        observe!(Categorical(tensor(&[1.0, 0.0])), 1, name = "y");
    }
    #[model]
    fn coins() {
        let _c = sample!(Bernoulli(0.5));
        observe!(
            Bernoulli(tensor(&[0.5, 0.0])),
            tensor(&[1.0, 1.0]),
            name = "y"
        );
    }
    for program in [&host() as &dyn Program, &tensors(), &coins()] {
        let words = ["`y` (", "excluded.rs:", "probability 0"];
        assert_says(&error(exact_posterior(program)), &words);
        let svi = || Svi::new(program).steps(2).progress(false);
        for training in [
            svi(),
            svi().samples(3),
            svi().estimator(Enumerate::default()),
        ] {
            assert_says(&error(training.run()), &words);
        }
    }
    #[model]
    fn wild() {
        let b = param!(0.0);
        let _c = sample!(Bernoulli(logits = &b), name = "c");
    }
    let (model, guide) = (certain_coin(), wild());
    let mut svi = Svi::new(&model).guide(&guide);
    let refused = (0..50)
        .find_map(|_| svi.step().err())
        .expect("a tail comes up");
    assert_says(
        &refused.to_string(),
        &["`c` (", "guide drew", "probability 0"],
    );
}

#[model]
fn certain_coin() {
    let c = sample!(Bernoulli(Tensor::scalar(1.0)));
    observe!(Normal(&c, 1.0), 0.3, name = "x");
}

/// What becomes of a program by each way of summing and drawing.
fn said_of(model: &impl Program) -> Vec<String> {
    let run = |svi: Svi<'_>| error(svi.steps(2).progress(false).run().map(drop));
    vec![
        run(Svi::new(model)),
        run(Svi::new(model).draw_all()),
        run(Svi::new(model).draw_all().estimator(Enumerate::default())),
        error(exact_posterior(model).map(drop)),
    ]
}

/// A law that excludes nothing is far from a datum, and does not rule it out.
#[test]
fn data_far_out_are_told_from_those_that_are_excluded() -> Result<()> {
    #[model]
    fn far(x: f64) {
        let c = sample!(Bernoulli(0.5));
        observe!(Normal(if c { 0.0 } else { 1.0 }, 1.0), x, name = "y");
    }
    #[model]
    fn far_tensor(x: &Tensor) {
        let c = sample!(Bernoulli(Tensor::scalar(0.5)));
        observe!(Normal(&c + x * 0.0, 1.0), x, name = "y");
    }
    #[model]
    fn ruled_out() {
        let c = sample!(Bernoulli(0.5));
        observe!(Bernoulli(0.0 * f64::from(c)), true, name = "y");
    }
    let words = [
        "`y`",
        "excluded.rs",
        "does not exclude",
        "0 in floating point",
        "`StudentT`",
    ];
    for said in said_of(&far(1e200)) {
        assert_says(&said, &words);
    }
    for said in said_of(&far_tensor(&tensor(&[0.0, 1e30]))) {
        assert_says(&said, &words);
    }
    for said in said_of(&ruled_out()) {
        assert_says(&said, &["`y`", "probability 0"]);
    }
    Ok(())
}

/// What is certain excludes all other values, and none of them is far out.
#[test]
fn what_is_certain_excludes_all_else() {
    #[model]
    fn certainly(x: f64) {
        let c = sample!(Bernoulli(0.5));
        observe!(Delta(f64::from(c)), x, name = "y");
    }
    for said in said_of(&certainly(2.0)) {
        assert_says(&said, &["`y`", "probability 0"]);
        assert!(!said.contains("does not exclude"), "{said}");
    }
}

/// No choice leads to a support that has NaN.
#[test]
fn a_missing_datum_is_outside_of_every_support() {
    #[model]
    fn missing() {
        let c = sample!(Bernoulli(0.5));
        observe!(Normal(if c { 0.0 } else { 1.0 }, 1.0), f64::NAN, name = "y");
    }
    for said in said_of(&missing()) {
        assert_says(&said, &["`y` (", "value NaN", "leave missing data out"]);
    }
}

/// Machines that never fail, or seldom do.
#[model]
fn failures(over_tensors: bool) {
    let perfect = sample!(Bernoulli(0.5));
    let p = if perfect { 0.0 } else { 0.1 };
    if over_tensors {
        let mut counts = vec![0.0; 251];
        counts[7] = 1.0;
        let p = Tensor::full([251], p as f32, &Device::cpu());
        plate!(251 => {
            observe!(Binomial(5, p), Tensor::from_slice(&counts), name = "count");
        });
    } else {
        for i in 0..251 {
            observe!(Binomial(5, p), usize::from(i == 7), name = "count");
        }
    }
}

/// Successes that are certain, or depend on a coin.
#[model]
fn successes(sure: bool) {
    let a = sample!(Bernoulli(0.4));
    let n = sample!(Binomial(3, if a || sure { 1.0 } else { 0.3 }));
    observe!(Normal(n as f64, 1.0), 2.0);
}

/// A count that is impossible under a hypothesis rules it out, however well the others fit.
#[test]
fn counts_of_probability_0_are_excluded() -> Result<()> {
    for over_tensors in [false, true] {
        let model = failures(over_tensors);
        assert_eq!(exact_posterior(&model)?.mean("perfect")?, 0.0);
        let fit = Svi::new(&model).seed(1).steps(50).progress(false).run()?;
        assert_eq!(fit.posterior().mean("perfect")?, 0.0);
    }
    for sure in [false, true] {
        let model = successes(sure);
        let exact = exact_posterior(&model)?;
        let density = |n: f64| (-0.5 * (n - 2.0).powi(2)).exp();
        let one = |n: i32| {
            let ways = [1.0, 3.0, 3.0, 1.0][n as usize];
            let open = ways * 0.3_f64.powi(n) * 0.7_f64.powi(3 - n);
            (0.6 * if sure { f64::from(n == 3) } else { open } + 0.4 * f64::from(n == 3))
                * density(n.into())
        };
        let evidence: f64 = (0..=3).map(one).sum();
        let evidence_wanted = (evidence / std::f64::consts::TAU.sqrt()).ln();
        assert_near(exact.log_evidence, evidence_wanted, 1e-6);
        let mean = (0..=3).map(|n| one(n) * f64::from(n)).sum::<f64>() / evidence;
        assert_near(exact.mean("n")?, mean, 1e-6);
        let summed = Svi::new(&model).seed(1).progress(false).run()?;
        assert_near(summed.posterior().mean("n")?, mean, 1e-4);
        let drawn = Svi::new(&model)
            .draw_all()
            .seed(1)
            .steps(1_500)
            .progress(false);
        assert_near(drawn.run()?.posterior().mean("n")?, mean, 0.1);
    }
    Ok(())
}

/// A guide of a count that is certain in the first run can leave that value.
#[test]
fn guides_of_counts_are_not_certain_because_the_first_run_was() -> Result<()> {
    #[model]
    fn counted() {
        let all = sample!(Bernoulli(0.4));
        let n = sample!(Binomial(3, if all { 1.0 } else { 0.3 }));
        observe!(Normal(n as f64, 1.0), 2.0);
    }
    let model = counted();
    let wanted = exact_posterior(&model)?.mean("all")?;
    for seed in 0..4 {
        let fit = Svi::new(&model)
            .guide(&MeanFieldGuide)
            .steps(4_000)
            .posterior_draws(4_000)
            .seed(seed)
            .progress(false)
            .run()?;
        let found = fit.posterior().weighted()?.mean("all")?;
        assert!((found - wanted).abs() < 0.1, "{found}, not {wanted}");
    }
    Ok(())
}
