//! A stochastic block model (Holland, Laskey and Leinhardt 1983): people in two groups, who know each other more often
//! within a group than between groups.
//!
//! Each pair is a term of its own, which leaves nothing to sum out one by one, so the groups of all people are drawn,
//! with gradients by RELAX. The groups that the network was made with are known, and given the groups the rates are
//! Beta, so a sum over all 2¹⁹ groupings tells what can be known. Rates that are drawn stay uncertain while the groups
//! are; as parameters (`param!`) they would first meet in the middle, where no group is likelier than another, and stay
//! there.

use relax_runtime::prelude::*;

use crate::known::{fit, log_sum_exp, near};
use crate::program::Outcome;

const PEOPLE: usize = 20;
/// How likely two people know each other, in the network that was made.
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
    let within = sample!(Beta(Tensor::scalar(1.0), 1.0));
    let between = sample!(Beta(Tensor::scalar(1.0), 1.0));
    let others = sample!(Bernoulli(Tensor::full([PEOPLE - 1], 0.5, &Device::cpu())));
    // Groups have no names: the first person's is 0.
    let group = Tensor::concat(&[&Tensor::zeros([1], &Device::cpu()), &others], 0);
    let (first, second) = pairs();
    let (first, second) = (group.gather(0, &first), group.gather(0, &second));
    let same = &first * &second + (1.0 - &first) * (1.0 - &second);
    observe!(
        Bernoulli(&same * &within + (1.0 - &same) * &between),
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

/// ln p(network), and the posterior means of both rates, by a sum over all groups.
fn exact(acquainted: &[f32]) -> (f64, [f64; 2]) {
    let mut knows = [0_u32; PEOPLE];
    let (first, second) = pairs();
    for ((i, j), &known) in first.into_iter().zip(second).zip(acquainted) {
        if known > 0.5 {
            knows[i] |= 1 << j;
        }
    }
    let all: u32 = knows.iter().map(|row| row.count_ones()).sum();
    let mut log_factorials = vec![0.0; PEOPLE * PEOPLE];
    for n in 1..log_factorials.len() {
        log_factorials[n] = log_factorials[n - 1] + (n as f64).ln();
    }
    // ln ∫ rateᵏ (1 − rate)ⁿ⁻ᵏ, and the mean of the rate.
    let integrated = |k: u32, n: u32| {
        let (k, n) = (k as usize, n as usize);
        let log = log_factorials[k] + log_factorials[n - k] - log_factorials[n + 1];
        (log, (k + 1) as f64 / (n + 2) as f64)
    };
    let terms = (0..1_u32 << (PEOPLE - 1)).map(|others| {
        let group = others << 1;
        let same: u32 = (0..PEOPLE)
            .map(|i| {
                let alike = if group >> i & 1 == 1 { group } else { !group };
                (knows[i] & alike).count_ones()
            })
            .sum();
        let size = group.count_ones();
        let apart = size * (PEOPLE as u32 - size);
        let pairs = (PEOPLE * (PEOPLE - 1) / 2) as u32;
        let (log_within, within) = integrated(same, pairs - apart);
        let (log_between, between) = integrated(all - same, apart);
        (log_within + log_between, [within, between])
    });
    let terms: Vec<_> = terms.collect();
    let logs: Vec<f64> = terms.iter().map(|(log, _)| *log).collect();
    let total = log_sum_exp(&logs);
    let means = [0, 1].map(|of| {
        let weighted = terms
            .iter()
            .map(|(log, means)| (log - total).exp() * means[of]);
        weighted.sum()
    });
    (total - (PEOPLE - 1) as f64 * std::f64::consts::LN_2, means)
}

pub(crate) fn run() -> Outcome<()> {
    let acquainted = Simulation::seeded(1).run(&network())?.output;
    let fit = fit(&blocks(&acquainted))?;
    let (log_evidence, [within, between]) = exact(&acquainted.to_vec()?);
    let posterior = fit.posterior();
    let bound = posterior.log_evidence().elbo;
    near("bound on ln p(network)", bound, log_evidence, 1.0)?;
    near("rate within", posterior.mean("within")?, within, 0.01)?;
    near("rate between", posterior.mean("between")?, between, 0.01)?;
    let others = posterior.means("others")?;
    let right = (1..PEOPLE).filter(|&person| (others[person - 1] > 0.5) == planted(person));
    near(
        "people in their group",
        1.0 + right.count() as f64,
        PEOPLE as f64,
        0.0,
    )
}
