//! The type of an error says what went wrong, not only its text.

use std::error::Error as _;

use relax_runtime::infer::exact_posterior_up_to;
use relax_runtime::model::ParamStore;
use relax_runtime::prelude::*;

#[model]
fn coin() {
    let _b = sample!(Bernoulli(0.5));
}

#[model]
fn other_coin() {
    let _c = sample!(Bernoulli(0.5));
}

#[model]
fn pair() {
    let x = sample!(Normal(Tensor::from_slice(&[0.0, 1.0]), 1.0));
    observe!(Normal(x, 1.0), &Tensor::from_slice(&[0.0, 1.0]));
}

#[model]
fn impossible() {
    let b = sample!(Bernoulli(0.5));
    observe!(Bernoulli(0.0 * f64::from(u8::from(b))), true);
}

#[model]
fn host_number_in_a_plate() {
    plate!(3 => {
        cost!(1.0);
    })
}

#[model]
fn seventy_coins() {
    for _ in 0..70 {
        let _b = sample!(Bernoulli(0.5));
    }
}

/// The error without the site around it.
fn bare(error: &Error) -> &Error {
    match error {
        Error::Site { source, .. } => {
            assert!(error.source().is_some());
            source
        }
        other => other,
    }
}

#[test]
fn errors_are_of_the_kind_of_what_went_wrong() -> Result<()> {
    let step = |objective: &dyn relax_runtime::infer::Objective| {
        Trainer::new(1).step(objective).map(drop).unwrap_err()
    };
    let coin = coin();
    let error = step(&Elbo::new(&coin).guide(&other_coin()));
    assert!(matches!(bare(&error), Error::Guide(_)), "{error:?}");

    let error = exact_posterior(&impossible()).unwrap_err();
    assert!(matches!(bare(&error), Error::Impossible(_)), "{error:?}");

    let params = ParamStore::default();
    let error = exact_posterior_up_to(&seventy_coins(), &params, 1 << 20).unwrap_err();
    assert!(matches!(bare(&error), Error::Enumeration(_)), "{error:?}");

    let error = step(&ExpectedCost::new(&host_number_in_a_plate()));
    assert!(matches!(bare(&error), Error::Plates(_)), "{error:?}");

    let wrong = Tensor::from_slice(&[0.0, 1.0, 0.0]);
    let error = step(&Elbo::new(&condition(&coin, "b", wrong)));
    assert!(matches!(bare(&error), Error::Value(_)), "{error:?}");

    let fit = Svi::new(&pair()).steps(2).progress(false).run()?;
    let error = fit.posterior().mean("x").unwrap_err();
    assert!(matches!(bare(&error), Error::Query(_)), "{error:?}");

    let error = step(&ExpectedCost::new(&coin));
    assert!(matches!(bare(&error), Error::Model(_)), "{error:?}");
    Ok(())
}
