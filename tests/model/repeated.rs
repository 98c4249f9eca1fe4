//! Host numbers inside plates: repeated for every row.

use relax_runtime::model::Model;
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error};

/// Coins of one chance, a row each, and what is seen of them.
#[model]
fn coins(seen: &Tensor) {
    plate!(3 => {
        let z = sample!(Bernoulli(0.3));
        observe!(Normal(&z * 2.0, 1.0), seen);
    });
}

#[test]
fn a_chance_is_that_of_every_row() -> Result<()> {
    let seen = [2.1_f64, -0.4, 1.2];
    let rows = Tensor::from_slice(&seen.map(|x| x as f32));
    let model = coins(&rows);
    let exact = exact_posterior(&model)?;
    let found = Svi::new(&model)
        .seed(1)
        .posterior_draws(2_000)
        .progress(false)
        .run()?;
    for (row, x) in seen.into_iter().enumerate() {
        let odds = 0.3 / 0.7 * (2.0 * x - 2.0).exp();
        assert_near(exact.means("z")?[row], odds / (1.0 + odds), 1e-5);
        assert_near(
            found.posterior().means("z")?[row],
            odds / (1.0 + odds),
            0.03,
        );
    }
    check_unbiased(&model)?.verdict()
}

/// The library's laws over host numbers, in a plate and in one within another.
#[model]
fn each_law() {
    plate!(2 => {
        let coin = sample!(Bernoulli(logits = 0.4));
        let certain = sample!(Bernoulli(1.0));
        let index = sample!(Categorical([0.2, 0.0, 0.8]));
        let hot = sample!(OneHotCategorical([0.5, 0.3, 0.2]));
        let shares = sample!(Dirichlet([1.0, 2.0, 3.0]));
        let count = sample!(Poisson(2.0));
        let votes = sample!(Binomial(4, 0.3));
        let few = sample!(DiscreteUniform(1, 3));
        let length = sample!(Gamma(2.0, 1.0));
        let place = sample!(Normal(0.0, 1.0));
        let two = sample!(Delta(2.0));
        plate!(3 => {
            let inner = sample!(Categorical([0.6, 0.4]));
            let near = sample!(Laplace(0.0, 1.0));
            cost!(&inner + near.square());
        });
        let all = [&coin, &certain, &index, &count, &votes, &few, &length, &place, &two];
        let sum = all.into_iter().fold(hot.sum(-1) + shares.sum(-1), |sum, x| sum + x);
        cost!(sum);
    });
}

#[test]
fn rows_are_drawn_each_for_itself() -> Result<()> {
    let trace = Simulation::seeded(3).run(&each_law())?.trace;
    for (site, shape) in [
        ("coin", &[2][..]),
        ("index", &[2]),
        ("hot", &[2, 3]),
        ("shares", &[2, 3]),
        ("count", &[2]),
        ("votes", &[2]),
        ("few", &[2]),
        ("length", &[2]),
        ("place", &[2]),
        ("two", &[2]),
        ("inner", &[2, 3]),
        ("near", &[2, 3]),
    ] {
        assert_eq!(&trace.get(site)?.value.shape()[..], shape, "{site}");
    }
    assert_eq!(trace.get("certain")?.value.to_f64s()?, [1.0, 1.0]);
    let near = trace.get("near")?.value.to_f64s()?;
    assert!(near.windows(2).all(|pair| pair[0] != pair[1]), "{near:?}");
    assert!(!trace.get("index")?.value.to_f64s()?.contains(&1.0));
    Ok(())
}

/// Data of rows beside a law of numbers.
#[model]
fn observed(seen: &Tensor, kinds: &Tensor) {
    let shift = sample!(Normal(0.0, 1.0));
    plate!(4 => {
        observe!(Normal(shift, 0.5), seen);
        observe!(Categorical([0.1, 0.2, 0.7]), kinds, name = "kind");
    });
}

#[test]
fn data_of_rows_may_stand_beside_numbers() -> Result<()> {
    let seen = [0.3, -0.2, 0.9, 0.4_f64];
    let kinds = Tensor::from_slice(&[2.0, 0.0, 1.0, 2.0]);
    let rows = Tensor::from_slice(&seen.map(|x| x as f32));
    let model = observed(&rows, &kinds);
    let trace = Simulation::seeded(1)
        .run(&condition(&model, "shift", 0.25))?
        .trace;
    let density = |x: f64| {
        let t = (x - 0.25) / 0.5;
        -0.5 * (t * t + std::f64::consts::TAU.ln()) - 0.5_f64.ln()
    };
    let exact: f64 = seen.into_iter().map(density).sum();
    assert_near(trace.get("seen")?.log_prob()?.total()?, exact, 1e-4);
    let exact = (0.7 * 0.1 * 0.2 * 0.7_f64).ln();
    assert_near(trace.get("kind")?.log_prob()?.total()?, exact, 1e-4);
    Ok(())
}

/// A tensor that is observed has a row for each member of the plates around; a single number is the same in all.
#[test]
fn observed_tensors_have_the_rows_of_plates() -> Result<()> {
    #[model]
    fn rows(y: &Tensor) {
        plate!(4 => {
            observe!(Normal(Tensor::zeros([4], &Device::cpu()), 1.0), y, name = "data");
        })
    }
    #[model]
    fn repeated(y: &Tensor) {
        plate!(4 => {
            observe!(Normal(0.0, 1.0), y, name = "data");
        })
    }
    #[model]
    fn nested(y: &Tensor) {
        plate!(2, name = "outer" => {
            plate!(3, name = "inner" => {
                let zeros = Tensor::zeros([2, 3], &Device::cpu());
                observe!(Normal(zeros, 1.0), y, name = "data");
            })
        })
    }
    fn log_prob<M: Model>(model: M) -> Result<f64> {
        Simulation::seeded(1).run(&model)?.trace.log_prob()
    }
    // ln 1/√(2π) of each number, less half of its square.
    let of = |squares: f64, count: f64| -0.5 * (squares + count * std::f64::consts::TAU.ln());
    let four = Tensor::from_slice(&[1.0, 2.0, 0.0, -1.0]);
    assert_near(log_prob(rows(&four))?, of(6.0, 4.0), 1e-5);
    let one_for_all = Tensor::scalar(1.0);
    assert_near(log_prob(rows(&one_for_all))?, of(4.0, 4.0), 1e-5);
    let six = Tensor::ones([2, 3], &Device::cpu());
    assert_near(log_prob(nested(&six))?, of(6.0, 6.0), 1e-5);

    let (one, three) = (
        Tensor::from_slice(&[1.0]),
        Tensor::from_slice(&[1.0, 1.0, 1.0]),
    );
    for (found, shape, plates) in [
        (log_prob(rows(&one)), "[1]", "[4]"),
        (log_prob(repeated(&one)), "[1]", "[4]"),
        (log_prob(rows(&four.reshape([1, 4]))), "[1, 4]", "[4]"),
        (log_prob(nested(&three)), "[3]", "[2, 3]"),
        (log_prob(nested(&three.reshape([1, 3]))), "[1, 3]", "[2, 3]"),
    ] {
        let said = error(found);
        assert_says(
            &said,
            &[
                "site `data` (",
                "repeated.rs:",
                "shape",
                shape,
                "plates",
                plates,
            ],
        );
    }
    Ok(())
}
