//! Observations that one draw of the choices excludes and others may not, beside those that are wrong for any draw:
//! what the errors say, and that following their advice leaves the model as it is.

use relax_runtime::estimator::Enumerate;
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error, short};

/// How many animals there are, of which some are counted: draws below that are no fault of the model.
#[model]
fn counted(seen: usize) {
    let n = sample!(Poisson(6.0));
    observe!(Binomial(n, 0.4), seen);
}

/// The same over tensors.
#[model]
fn tensor_counted(seen: usize) {
    let n = sample!(Poisson(Tensor::scalar(6.0)));
    observe!(Binomial(&n, 0.4), seen, name = "seen");
}

/// The same with a largest number, far out in the tail.
#[model]
fn truncated(seen: usize) {
    let n = sample!(Truncated(Poisson(6.0), 0, 40));
    observe!(Binomial(n, 0.4), seen);
}

/// What the error of a draw advises leaves the model as it is: of Poisson numbers of which a share is counted the
/// counts are Poisson, with that share of the rate.
#[test]
fn a_draw_that_excludes_the_data_is_told_from_a_model_that_does() -> Result<()> {
    // The probability that n is below what is seen is .446, so that some draw of the first steps is.
    let (host, tensors) = (counted(6), tensor_counted(6));
    for model in [&host as &dyn Program, &tensors] {
        let said = error(Svi::new(model).draw_all().steps(50).progress(false).run());
        assert_says(
            &said,
            &["(", "excluded_by_draws.rs:", "where `n` is ", "this draw"],
        );
        let advice = "`Truncated(Poisson(rate), 0, 40)` leaves the model as it is";
        assert_says(&said, &[advice, "`.marginalise()`", "`exact_posterior`"]);
        assert!(!said.contains("impossible"), "{said}");
        // Asked for the sum, it is told which choice is not in it.
        let summed = Svi::new(model).marginalise().steps(50).progress(false);
        let said = error(summed.run());
        assert_says(&said, &["this draw", "not: `n` is ", advice]);
    }
    let ln_factorial_of_6 = 720.0_f64.ln();
    let wanted = 6.0 * 2.4_f64.ln() - 2.4 - ln_factorial_of_6;
    let model = truncated(6);
    assert_near(exact_posterior(&model)?.log_evidence, wanted, 1e-9);
    let fit = Svi::new(&model).progress(false).run()?;
    assert_near(fit.posterior().log_evidence().elbo, wanted, 1e-5);
    // What is not seen is Poisson, too.
    assert_near(fit.posterior().mean("n")?, 6.0 + 3.6, 1e-4);
    Ok(())
}

/// Two coins that are known to differ.
#[test]
fn a_constraint_that_draws_may_break_is_none_of_the_model() -> Result<()> {
    #[model]
    fn different() {
        let a = sample!(Bernoulli(0.5));
        let b = sample!(Bernoulli(0.2));
        observe!(
            Bernoulli(if a != b { 1.0 } else { 0.0 }),
            true,
            name = "differ"
        );
    }
    let model = different();
    let drawn = || Svi::new(&model).draw_all().steps(50).progress(false);
    let said = error(drawn().run());
    assert_says(
        &said,
        &["`differ` (", "where `b` is ", "`a` is ", "this draw"],
    );
    assert!(!said.contains("impossible"), "{said}");
    let said = error(drawn().estimator(Enumerate::default()).run());
    assert_says(&said, &["`differ` (", "this draw", "`.marginalise()`"]);
    assert_near(exact_posterior(&model)?.log_evidence, 0.5_f64.ln(), 1e-9);
    Ok(())
}

#[test]
fn an_impossible_observation_is_reported_and_moves_nothing() -> Result<()> {
    #[model]
    fn impossible() {
        let w = param!(0.0);
        let x = sample!(Normal(&w, 1.0));
        observe!(Bernoulli(0.0), true, name = "miracle");
        cost!(x);
    }
    let model = impossible();
    let mut svi = short(&model);
    let refused = svi.step().unwrap_err();
    assert!(
        matches!(refused, Error::NotFinite { step: 0, .. }),
        "{refused:?}"
    );
    let words = [
        "`miracle`",
        "excluded_by_draws.rs:",
        "inf",
        "step 0",
        "probability 0, whatever is drawn",
    ];
    assert_says(&refused.to_string(), &words);
    let params = svi.trainer().params();
    assert_eq!(params.get("w").unwrap().item()?, 0.0);
    Ok(())
}

/// The error itself, without the site around it, and the whole text.
fn refused(run: Result<()>) -> (Error, String) {
    let error = run.expect_err("the value is outside");
    let text = error.to_string();
    match error {
        Error::Site { source, .. } => (*source, text),
        other => (other, text),
    }
}

/// A value that a family has under no parameters is a mistake, whatever was drawn before.
#[test]
fn values_outside_of_every_support_are_named() {
    #[model]
    fn coin() {
        let a = sample!(Bernoulli(0.5));
        let p = Tensor::scalar(if a { 0.3 } else { 0.6 });
        observe!(Bernoulli(p), 2.0, name = "y");
    }
    #[model]
    fn share() {
        let a = sample!(Bernoulli(0.5));
        observe!(Beta(if a { 1.0 } else { 2.0 }, 2.0), 1.5, name = "y");
    }
    #[model]
    fn count() {
        let a = sample!(Bernoulli(0.5));
        let rate = Tensor::scalar(if a { 1.0 } else { 2.0 });
        observe!(Poisson(rate), -1.0, name = "y");
    }
    #[model]
    fn duration() {
        let a = sample!(Bernoulli(0.5));
        observe!(Exponential(if a { 1.0 } else { 2.0 }), -3.0, name = "y");
    }
    let cases: [(&dyn Program, &str, &str); 4] = [
        (&coin(), "Bernoulli", "value 2 "),
        (&share(), "Beta", "value 1.5000 "),
        (&count(), "Poisson", "value -1 "),
        (&duration(), "Exponential", "value -3.0000 "),
    ];
    for (model, law, value) in cases {
        let run = |svi: Svi<'_>| svi.steps(3).progress(false).run().map(drop);
        let svi = || Svi::new(model);
        let runs = [
            run(svi()),
            run(svi().marginalise()),
            run(svi().draw_all()),
            run(svi().draw_all().samples(3)),
            run(svi().draw_all().estimator(Enumerate::default())),
            exact_posterior(model).map(drop),
        ];
        for (i, run) in runs.into_iter().enumerate() {
            let (error, said) = refused(run);
            assert!(matches!(error, Error::Support { .. }), "{i}: {error:?}");
            assert_says(
                &said,
                &[
                    "`y` (",
                    "excluded_by_draws.rs:",
                    law,
                    value,
                    "outside the support",
                ],
            );
        }
    }
}

/// A family that does not have the datum is ruled out, and others are not.
#[test]
fn families_are_told_apart_by_their_supports() -> Result<()> {
    #[model]
    fn either() {
        let a = sample!(Bernoulli(0.5));
        if a {
            observe!(Beta(1.0, 2.0), 1.5, name = "y");
        } else {
            observe!(Normal(1.5, 1.0), 1.5, name = "y");
        }
    }
    let wanted = 0.5_f64.ln() - 0.5 * std::f64::consts::TAU.ln();
    let exact = exact_posterior(&either())?;
    assert_near(exact.log_evidence, wanted, 1e-9);
    assert_eq!(exact.mean("a")?, 0.0);
    let fit = Svi::new(&either()).progress(false).run()?;
    assert_near(fit.posterior().log_evidence().elbo, wanted, 1e-6);
    Ok(())
}
