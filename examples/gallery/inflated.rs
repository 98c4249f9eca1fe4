//! Episodes of urinary tract infection of 98 men with HIV (van den Broek 1995): some men cannot have any, and some of
//! the others had none.
//!
//! The maximum of the likelihood is known: the mean of the counts above 0 is λ/(1 − e^−λ), and that of all counts is (1
//! − π) λ.

use relax_runtime::prelude::*;

use crate::known::{fit, near};
use crate::program::Outcome;

/// How many men had so many.
const MEN: [usize; 4] = [81, 9, 7, 1];

#[model]
fn inflated(episodes: &Tensor) {
    let share = param!(0.5, unit);
    let rate = param!(1.0, positive);
    plate!(episodes.rows() => {
        let immune = sample!(Bernoulli(share.broadcast_to(episodes.shape())));
        observe!(Poisson(immune.select_where(&Tensor::scalar(1e-9), &rate)), episodes);
    })
}

pub(crate) fn run() -> Outcome<()> {
    let episodes = (0..).zip(MEN).flat_map(|(k, men)| vec![k as f32; men]);
    let episodes = Tensor::from_slice(&episodes.collect::<Vec<_>>());
    let fit = fit(&inflated(&episodes))?;

    let (total, men) = (
        (0..).zip(MEN).map(|(k, men)| k * men).sum::<usize>(),
        MEN.iter().sum::<usize>(),
    );
    let above = total as f64 / (men - MEN[0]) as f64;
    let mut rate = above;
    for _ in 0..200 {
        rate = above * -f64::exp_m1(-rate);
    }
    let share = 1.0 - total as f64 / men as f64 / rate;
    let none = share / (share + (1.0 - share) * (-rate).exp());

    near("rate", f64::from(fit.param("rate")?[0]), rate, 0.01)?;
    near(
        "share that is immune",
        f64::from(fit.param("share")?[0]),
        share,
        0.005,
    )?;
    near(
        "immune, if there were none",
        fit.posterior().means("immune")?[0],
        none,
        0.005,
    )
}
