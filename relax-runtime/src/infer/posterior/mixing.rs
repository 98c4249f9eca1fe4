//! Diagnostics of whether chains have mixed.

use serde::{Deserialize, Serialize};

use super::saved;

/// How well chains of Hamiltonian Monte Carlo mixed: diagnostics of their agreement, the worst over all unconstrained
/// numbers.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn thermometer(reading: f64) {
///     let temperature = sample!(Normal(Tensor::scalar(20.0), 5.0));
///     observe!(Normal(temperature, 1.0), reading);
/// }
///
/// # fn main() -> Result<()> {
/// let fit = Svi::new(&thermometer(17.0)).hmc(true).seed(1).run()?;
/// let mixing = fit.posterior().mixing().expect("chains made the draws");
/// assert!(mixing.r_hat < 1.05 && mixing.effective_samples > 50.0);
/// assert!(mixing.divergences <= mixing.transitions);
/// assert!((0.0..=1.0).contains(&mixing.acceptance));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mixing {
    /// R̂: how much wider the spread of all chains together is than that of each half of a chain. 1 if they agree, and
    /// at most 1.01 for many draws of chains that do (Vehtari et al. 2021, without rank normalization).
    #[serde(with = "saved::r_hat")]
    pub r_hat: f64,
    /// Number of independent draws that all counted trajectories are worth when estimating a mean. The draws that the
    /// posterior keeps of them are worth no more than their number.
    pub effective_samples: f64,
    /// Number of counted trajectories that diverged: the posterior is not explored near where they did.
    pub divergences: usize,
    /// Number of counted trajectories; the posterior keeps some of them as draws.
    #[serde(default)]
    pub transitions: usize,
    /// The mean probability of acceptance.
    pub acceptance: f64,
}

/// Largest R̂ of chains that count as mixed, and the fewest independent draws they must be worth.
pub(in crate::infer) const LARGEST_R_HAT: f64 = 1.05;
pub(in crate::infer) const FEWEST: f64 = 50.0;

/// Totals over transitions.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::infer) struct Seen {
    pub(in crate::infer) transitions: usize,
    pub(in crate::infer) divergences: usize,
    /// The sum of all probabilities of acceptance.
    pub(in crate::infer) acceptance: f64,
}

impl Mixing {
    /// Diagnoses the states of each chain.
    pub(in crate::infer) fn of(chains: &[&[Vec<f64>]], seen: Seen) -> Self {
        let dims = chains.iter().copied().flatten().next().map_or(0, Vec::len);
        let (mut r_hat, mut effective_samples) = (1.0_f64, f64::INFINITY);
        for at in 0..dims {
            let halves: Vec<Vec<f64>> = chains
                .iter()
                .flat_map(|chain| {
                    let half = chain.len() / 2;
                    let of = |part: &[Vec<f64>]| part.iter().map(|x| x[at]).collect::<Vec<_>>();
                    [of(&chain[..half]), of(&chain[chain.len() - half..])]
                })
                .collect();
            let (r, n) = agreement(&halves);
            // Nothing is known about a number that never moved.
            r_hat = if r.is_nan() {
                f64::INFINITY
            } else {
                r_hat.max(r)
            };
            effective_samples = if n.is_nan() {
                0.0
            } else {
                effective_samples.min(n)
            };
        }
        Self {
            r_hat,
            effective_samples,
            divergences: seen.divergences,
            transitions: seen.transitions,
            acceptance: seen.acceptance / seen.transitions.max(1) as f64,
        }
    }
}

/// R̂ of sequences of equal length, and the number of independent draws they are worth (Vehtari et al. 2021, equations
/// 3 to 13, with Geyer's initial monotone sequence).
fn agreement(chains: &[Vec<f64>]) -> (f64, f64) {
    let (m, n) = (chains.len() as f64, chains.first().map_or(0, Vec::len));
    let length = n as f64;
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let means: Vec<f64> = chains.iter().map(|chain| mean(chain)).collect();
    let covariance = |chain: &[f64], mean: f64, lag: usize| {
        let pairs = chain.iter().zip(&chain[lag..]);
        pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / length
    };
    let at_lag = |lag: usize| {
        let pairs = chains.iter().zip(&means);
        pairs
            .map(|(chain, &mean)| covariance(chain, mean, lag))
            .sum::<f64>()
            / m
    };
    let within = at_lag(0) * length / (length - 1.0);
    let grand = mean(&means);
    let between = means.iter().map(|x| (x - grand).powi(2)).sum::<f64>() / (m - 1.0);
    let whole = within * (length - 1.0) / length + between;
    let correlation = |lag: usize| 1.0 - (within - at_lag(lag) * length / (length - 1.0)) / whole;
    let (mut sum, mut least, mut lag) = (0.0, f64::INFINITY, 0);
    while lag + 1 < n {
        let pair = correlation(lag) + correlation(lag + 1);
        if pair < 0.0 {
            break;
        }
        least = least.min(pair);
        sum += least;
        lag += 2;
    }
    let time = (2.0 * sum - 1.0).max(1.0 / (m * length).log10());
    ((whole / within).sqrt(), m * length / time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;

    /// Chains xₜ = ρ xₜ₋₁ + √(1 − ρ²) ε, each around its own mean.
    fn chains(rho: f64, apart: f64) -> Vec<Vec<Vec<f64>>> {
        let mut stream = Key::new(3).stream("test");
        let chain = |number: usize| {
            let mut x = stream.normal();
            let mut next = || {
                x = rho * x + (1.0 - rho * rho).sqrt() * stream.normal();
                vec![x + apart * number as f64]
            };
            (0..2_000).map(|_| next()).collect()
        };
        (0..4).map(chain).collect()
    }

    fn mixing(chains: &[Vec<Vec<f64>>]) -> Mixing {
        let chains: Vec<&[Vec<f64>]> = chains.iter().map(Vec::as_slice).collect();
        Mixing::of(&chains, Seen::default())
    }

    #[test]
    fn draws_are_worth_what_their_correlation_leaves() {
        // A share of (1 − ρ)/(1 + ρ).
        for (rho, wanted) in [
            (0.0, 8_000.0),
            (0.5, 8_000.0 / 3.0),
            (0.9, 8_000.0 / 19.0),
            (-0.5, 24_000.0),
        ] {
            let mixing = mixing(&chains(rho, 0.0));
            let found = mixing.effective_samples;
            assert!(
                (found / wanted - 1.0).abs() < 0.25,
                "{rho}: {found}, not {wanted}"
            );
            assert!(mixing.r_hat < 1.03, "{}", mixing.r_hat);
        }
    }

    #[test]
    fn chains_apart_have_not_mixed() {
        let apart = mixing(&chains(0.5, 1.0));
        assert!(
            apart.r_hat > 1.2 && apart.effective_samples < 100.0,
            "{apart:?}"
        );
        let stuck = vec![vec![vec![1.0]; 10]; 4];
        let stuck = mixing(&stuck);
        assert!(stuck.r_hat.is_infinite() && stuck.effective_samples == 0.0);
        // JSON has no infinity.
        for mixing in [stuck, apart] {
            let saved = serde_json::to_string(&mixing).unwrap();
            let loaded: Mixing = serde_json::from_str(&saved).unwrap();
            assert_eq!(loaded, mixing, "{saved}");
        }
    }
}
