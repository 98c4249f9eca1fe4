//! Sparsification of an Ising grid: which couplings to keep (Baptista and Poloczek 2018, section 4.2).

use relax_runtime::prelude::*;

use crate::problem::{BlackBox, Space};

/// A grid of spins with couplings J of neighbours, and the cost KL(p ‖ p_x) + λ Σ x of keeping those with
/// x = 1.
pub(crate) struct Ising {
    side: usize,
    /// Pairs of neighbours, in the order in which a sweep over rows meets the later one: left, then up.
    edges: Vec<(usize, usize)>,
    couplings: Vec<f64>,
    /// E_p[sᵢ sⱼ] by edge.
    correlations: Vec<f64>,
    log_z: f64,
    lambda: f64,
    optimum: Option<f64>,
}

impl Ising {
    /// A grid with couplings ±U(.05, 5).
    pub(crate) fn new(side: usize, lambda: f64, instance: u64) -> Self {
        let mut edges = Vec::new();
        for site in 0..side * side {
            if site % side > 0 {
                edges.push((site - 1, site));
            }
            if site >= side {
                edges.push((site - side, site));
            }
        }
        let mut stream = Key::new(instance).stream("ising");
        let mut coupling = || {
            let size = 0.05 + 4.95 * stream.uniform_f64();
            if stream.uniform_f64() < 0.5 {
                size
            } else {
                -size
            }
        };
        let couplings: Vec<f64> = edges.iter().map(|_| coupling()).collect();
        let mut ising = Self {
            side,
            correlations: correlations(&edges, &couplings, side * side),
            edges,
            couplings,
            log_z: 0.0,
            lambda,
            optimum: None,
        };
        ising.log_z = ising.log_partition(&vec![1.0; ising.edges.len()]);
        ising
    }

    /// The same with its optimum, by the costs of all choices.
    pub(crate) fn enumerated(self) -> Self {
        let n = self.edges.len();
        let mut x = vec![0.0; n];
        let mut best = f64::INFINITY;
        for choice in 0..1_u64 << n {
            for (bit, x) in x.iter_mut().enumerate() {
                *x = (choice >> bit & 1) as f64;
            }
            best = best.min(self.cost(&x));
        }
        self.with_optimum(best)
    }

    /// The same with an optimum known from elsewhere.
    pub(crate) fn with_optimum(self, optimum: f64) -> Self {
        Self {
            optimum: Some(optimum),
            ..self
        }
    }

    /// ln Σ_s exp Σ x J s s′, by a transfer matrix that takes in one spin at a time.
    fn log_partition(&self, keep: &[f64]) -> f64 {
        let side = self.side;
        let mut sums = vec![0.0; 1 << side];
        sums[0] = 1.0;
        let mut edge = 0;
        let mut next = vec![0.0; 1 << side];
        for site in 0..side * side {
            let column = site % side;
            let mut weight = |met: bool| {
                if !met {
                    return 1.0;
                }
                edge += 1;
                (self.couplings[edge - 1] * keep[edge - 1]).exp()
            };
            let (left, up) = (weight(column > 0), weight(site >= side));
            next.fill(0.0);
            for (old, &sum) in sums.iter().enumerate().filter(|(_, sum)| **sum > 0.0) {
                for spin in [0, 1] {
                    let bit = |at: usize| old >> at & 1;
                    let mut factor = sum;
                    if column > 0 {
                        let equal = bit(column - 1) == spin;
                        factor *= if equal { left } else { 1.0 / left };
                    }
                    if site >= side {
                        factor *= if bit(column) == spin { up } else { 1.0 / up };
                    }
                    next[old & !(1 << column) | spin << column] += factor;
                }
            }
            std::mem::swap(&mut sums, &mut next);
        }
        sums.iter().sum::<f64>().ln()
    }
}

/// By a sum over all spins.
fn correlations(edges: &[(usize, usize)], couplings: &[f64], spins: usize) -> Vec<f64> {
    let (mut total, mut sums) = (0.0, vec![0.0; edges.len()]);
    for state in 0..1_u64 << spins {
        let product = |&(i, j): &(usize, usize)| 1.0 - 2.0 * ((state >> i ^ state >> j) & 1) as f64;
        let energy: f64 = edges
            .iter()
            .zip(couplings)
            .map(|(e, c)| product(e) * c)
            .sum();
        let weight = energy.exp();
        total += weight;
        for (sum, edge) in sums.iter_mut().zip(edges) {
            *sum += weight * product(edge);
        }
    }
    sums.iter().map(|sum| sum / total).collect()
}

impl BlackBox for Ising {
    fn name(&self) -> String {
        format!("ising {0}x{0}", self.side)
    }

    fn space(&self) -> Space {
        Space::Bits(self.edges.len())
    }

    fn cost(&self, x: &[f64]) -> f64 {
        let edges = x.iter().zip(&self.couplings).zip(&self.correlations);
        let dropped: f64 = edges.map(|((x, j), m)| (1.0 - x) * j * m).sum();
        let divergence = dropped + self.log_partition(x) - self.log_z;
        divergence + self.lambda * x.iter().sum::<f64>()
    }

    fn optimum(&self) -> Option<f64> {
        self.optimum
    }
}
