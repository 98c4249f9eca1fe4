//! A stochastic block model (Holland, Laskey and Leinhardt 1983): people in two groups, who know each other
//! more often within a group than between groups.
//!
//! Each pair is a term of its own, which leaves nothing to sum out one by one: the groups of all are drawn,
//! with gradients by RELAX. The groups that the network was made with are known.

use relax_runtime::prelude::*;

use crate::known::{fit, near};
use crate::program::Outcome;

const PEOPLE: usize = 20;
/// How likely two people know each other.
const WITHIN: f32 = 0.7;
const BETWEEN: f32 = 0.15;

/// Both people of each pair.
fn pairs() -> (Vec<usize>, Vec<usize>) {
    (0..PEOPLE)
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .unzip()
}

#[model]
fn blocks(acquainted: &Tensor) {
    let others = sample!(Bernoulli(Tensor::full([PEOPLE - 1], 0.5, &Device::cpu())));
    // Groups have no names: the first person's is 0.
    let group = Tensor::concat(&[&Tensor::zeros([1], &Device::cpu()), &others], 0);
    let (first, second) = pairs();
    let (first, second) = (group.gather(0, &first), group.gather(0, &second));
    let same = &first * &second + (1.0 - &first) * (1.0 - &second);
    observe!(
        Bernoulli(&same * WITHIN + (1.0 - &same) * BETWEEN),
        acquainted
    );
}

/// Whom the network's maker put into the other group.
fn planted(person: usize) -> bool {
    person % 5 > 2
}

/// Who knows whom.
#[model]
fn network() -> Tensor {
    let (first, second) = pairs();
    let each = first
        .iter()
        .zip(&second)
        .map(|(&i, &j)| match planted(i) == planted(j) {
            true => WITHIN,
            false => BETWEEN,
        });
    let acquainted = sample!(Bernoulli(Tensor::from_slice(&each.collect::<Vec<_>>())));
    acquainted
}

pub(crate) fn run() -> Outcome<()> {
    let acquainted = Simulation::seeded(1).run(&network())?.output;
    let fit = fit(&blocks(&acquainted))?;
    let others = fit.posterior().means("others")?;
    let right = (1..PEOPLE).filter(|&person| (others[person - 1] > 0.5) == planted(person));
    near(
        "people in their group",
        1.0 + right.count() as f64,
        PEOPLE as f64,
        0.0,
    )
}
