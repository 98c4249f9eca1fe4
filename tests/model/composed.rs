//! Truncated laws, mixtures and multinomial counts in programs.

use relax_runtime::infer::FullRankGuide;
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error};

/// A number that lies above 0, and one that an end was drawn for.
#[model]
fn cut_off() {
    let x = sample!(Truncated(
        Normal(Tensor::scalar(0.5), 1.0),
        0.0,
        f64::INFINITY
    ));
    observe!(Normal(&x, 0.5), -0.4);
}

#[test]
fn truncated_numbers_have_their_posterior() -> Result<()> {
    // N(0.5, 1) by N(−0.4, 0.25) is N(−0.22, 0.2), both above 0.
    let (above, prior_above) = (0.311382663_f64, 0.691462461_f64);
    let scale = 0.2_f64.sqrt();
    let seen = -0.5 * (0.81 / 1.25 + (std::f64::consts::TAU * 1.25).ln());
    let evidence = seen + above.ln() - prior_above.ln();
    let bell = (-0.5 * (0.22 / scale).powi(2)).exp() / std::f64::consts::TAU.sqrt();
    let mean = -0.22 + scale * bell / above;
    let model = cut_off();
    let found = Svi::new(&model)
        .seed(1)
        .posterior_draws(10_000)
        .progress(false)
        .run()?;
    assert_near(found.posterior().log_evidence().elbo, evidence, 0.005);
    assert_near(found.posterior().mean("x")?, mean, 0.01);
    // The logarithm of such a number is no bell: the weights make up for it.
    let found = Svi::new(&model)
        .guide(&FullRankGuide)
        .seed(1)
        .progress(false);
    let found = found.posterior_draws(10_000).run()?;
    assert_near(found.posterior().log_evidence().bound, evidence, 0.01);
    Ok(())
}

/// Numbers between ends of which one is learned, in a site, a plate and a loop.
#[model]
fn between() {
    let high = param!(1.5);
    let x = sample!(Truncated(Normal(Tensor::scalar(0.3), 1.0), -0.5, &high));
    let rows = Tensor::from_slice(&[0.2, -0.7]);
    plate!(2 => {
        let y = sample!(Truncated(Logistic(&rows * &x, 0.5), -2.0, 2.0));
        cost!((&y - 0.4).square());
    });
    let mut before = x;
    for _ in 0..2 {
        let z = sample!(Truncated(Gumbel(&before, 1.0), -3.0, 3.0));
        cost!((&z * 0.5).tanh());
        before = z;
    }
}

/// Draws from mixtures, over numbers and over tensors, and rows of them.
#[model]
fn mixed() {
    let logits = param!([0.3, -0.4]);
    let locs = param!([-1.0, 1.5]);
    let shares = logits.softmax(-1);
    let x = sample!(Mixture(&shares, Normal(&locs, 0.7)));
    cost!((&x - 0.5).square());
    let a = sample!(Mixture(
        [0.4, 0.6],
        [Normal::new(0.0, 1.0), Normal::new(2.0, 0.5)]
    ));
    cost!(if a > 1.0 { 1.0 } else { 0.0 });
    let rows = Tensor::from_slice(&[0.5, 1.0]).reshape([2, 1]);
    plate!(2 => {
        let k = sample!(Mixture(&shares, Poisson((&locs * &rows).exp())));
        cost!((&k * 0.3).tanh());
    });
}

/// Votes, and what they decide.
#[model]
fn votes() {
    let logits = param!([0.3, -0.2, 0.1]);
    let x = sample!(Multinomial(5, logits = &logits));
    cost!(
        (&x * Tensor::from_slice(&[1.0, -0.5, 0.2]))
            .sum_all()
            .tanh()
    );
    plate!(2 => {
        let y = sample!(Multinomial(3, logits = logits.reshape([1, 3]) * Tensor::from_slice(&[1.0, 2.0]).reshape([2, 1])));
        cost!(y.index(-1, 0).square() * 0.1);
    });
}

#[test]
fn gradients_are_unbiased() -> Result<()> {
    let (between, mixed, votes) = (between(), mixed(), votes());
    let models: [&dyn Program; 3] = [&between, &mixed, &votes];
    for model in models {
        Check::new(&ExpectedCost::new(model))
            .draws(4_000)
            .run()?
            .verdict()?;
    }
    Ok(())
}

/// Guides that the laws have, where data move them.
#[model]
fn observed() {
    let a = sample!(Mixture(
        [0.4, 0.6],
        Normal(Tensor::from_slice(&[-1.0, 2.0]), 0.5)
    ));
    observe!(Normal(&a, 1.0), 0.7);
    let n = sample!(Multinomial(2, Tensor::from_slice(&[0.5, 0.3, 0.2])));
    observe!(Normal(n.index(-1, 0), 0.8), 1.6);
}

#[test]
fn guides_of_mixtures_and_votes_are_unbiased() -> Result<()> {
    check_unbiased(&observed())?.verdict()
}

const SEEN: [f32; 6] = [-1.3, -0.8, 2.2, 1.7, 2.4, -1.1];

/// A mixture whose shares and places are learned; rows are what they are, whoever comes first.
#[model]
fn clusters() {
    let logits = param!([0.1, -0.1]);
    let locs = param!([-0.5, 0.5]);
    let data = Tensor::from_slice(&SEEN);
    plate!(6 => {
        observe!(Mixture(logits.softmax(-1), Normal(locs.reshape([1, 2]), 0.5)), &data);
    });
    // Counts of both kinds by themselves.
    observe!(
        Multinomial(4, logits = &logits),
        Tensor::from_slice(&[2.0, 2.0])
    );
}

#[test]
fn mixtures_may_be_observed() -> Result<()> {
    let model = clusters();
    let fit = Svi::new(&model)
        .optimizer(Adam::new(0.05))
        .steps(600)
        .progress(false)
        .run()?;
    let locs = fit.params().get("locs").unwrap().to_vec()?;
    assert_near(locs[0].into(), -3.2 / 3.0, 0.01);
    assert_near(locs[1].into(), 6.3 / 3.0, 0.01);
    let shares = fit.params().get("logits").unwrap().softmax(-1).to_vec()?;
    assert_near(shares[0].into(), 0.5, 0.01);
    Ok(())
}

/// One of two intervals, with nothing between them.
#[model]
fn one_of_two_intervals(over_tensors: bool) {
    let weights = [0.2, 0.8];
    let x = if over_tensors {
        let (lows, highs) = (
            Tensor::from_slice(&[0.0, 2.0]),
            Tensor::from_slice(&[1.0, 3.0]),
        );
        sample!(Mixture(weights, Uniform(lows, highs)), name = "x")
    } else {
        let x = sample!(
            Mixture(weights, [Uniform::new(0.0, 1.0), Uniform::new(2.0, 3.0)]),
            name = "x"
        );
        Tensor::scalar(x as f32)
    };
    observe!(Normal(x, 0.5), 1.3);
}

/// The evidence is 0.2 (Φ(2.6) − Φ(0.6)) + 0.8 (Φ(3.4) − Φ(1.4)) = 0.05393 + 0.06434.
#[test]
fn a_number_lies_in_one_of_two_intervals() -> Result<()> {
    for over_tensors in [false, true] {
        let model = one_of_two_intervals(over_tensors);
        let fit = Svi::new(&model)
            .posterior_draws(10_000)
            .seed(1)
            .steps(3_000)
            .progress(false)
            .run()?;
        let posterior = fit.posterior();
        let below = posterior.probability(|draw| draw.number("x").is_ok_and(|x| x < 1.0))?;
        assert_near(below, 0.456, 0.02);
        assert_near(posterior.log_evidence().elbo, -2.135, 0.02);
        let refused = error(Svi::new(&model).guide(&FullRankGuide).steps(1).run());
        assert_says(&refused, &["Mixture", "MeanFieldGuide"]);
    }
    Ok(())
}
