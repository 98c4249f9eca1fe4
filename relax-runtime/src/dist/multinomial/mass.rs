//! The log-mass of multinomial counts, in terms that are small where factorials and powers are large.

use std::f64::consts::TAU;

use crate::dist::double::{Smooth, in_double};
use crate::dist::excluded::{numbers_of, ruled_out};
use crate::dist::weights::Weights;
use crate::special::{polygamma, stirling_error};
use crate::tensor::Tensor;

/// ln[n!/(x₁! .. x_K!) Π pₖ^xₖ] of each event.
pub(super) fn log_mass(weights: &Weights<Tensor>, total: &Tensor, value: &Tensor) -> Tensor {
    let density = log_mass_of_logits(&weights.logits, total, value);
    match &weights.excluded {
        None => density,
        Some(excluded) => {
            let drawn = numbers_of(value).gt(0.0) * excluded;
            density + ruled_out(&drawn).sum(-1)
        }
    }
}

/// As [`log_mass`], where nothing is excluded.
pub(super) fn log_mass_of_logits(logits: &Tensor, total: &Tensor, value: &Tensor) -> Tensor {
    let log_p = logits.log_softmax(-1);
    let terms = in_double([&log_p, &total.unsqueeze(-1), value], &Category);
    terms.sum(-1) + in_double([total], &Trials)
}

/// ln(pˣ/x!) + x ln n − n p as a function of ln p, n and x, which stays small where x is near its mean n p.
///
/// The terms beside ln(pˣ/x!) sum to n ln n − n over all categories, whatever counts and probabilities are, and
/// [`Trials`] subtracts that. So the derivatives with respect to n and x are those of ln(pˣ/x!) alone. With respect
/// to ln p it is x − n p, which keeps more digits than x does: after a softmax both are the same.
#[derive(Clone)]
struct Category;

impl Smooth<3> for Category {
    fn value(&self, [log_p, n, x]: [f64; 3]) -> f64 {
        if x <= 0.0 {
            return -n * log_p.exp();
        }
        // ln of the mean divided by the count.
        let log_ratio = n.ln() + log_p - x.ln();
        -x * (log_ratio.exp_m1() - log_ratio) - beside_power(x)
    }

    fn slopes(&self, x: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|i| self.slope(i, x))
    }

    fn slope(&self, i: usize, [log_p, n, x]: [f64; 3]) -> f64 {
        match i {
            0 => x - n * log_p.exp(),
            1 => 0.0,
            _ => log_p - polygamma(0, x + 1.0),
        }
    }

    fn bends(&self, [log_p, n, x]: [f64; 3]) -> [[f64; 3]; 3] {
        [
            [-n * log_p.exp(), 0.0, 1.0],
            [0.0; 3],
            [1.0, 0.0, -polygamma(1, x + 1.0)],
        ]
    }
}

/// ln n! − n ln n + n as a function of n, with the derivatives of ln n!.
#[derive(Clone)]
struct Trials;

impl Smooth<1> for Trials {
    fn value(&self, [n]: [f64; 1]) -> f64 {
        beside_power(n)
    }

    fn slopes(&self, [n]: [f64; 1]) -> [f64; 1] {
        [polygamma(0, n + 1.0)]
    }

    fn bends(&self, [n]: [f64; 1]) -> [[f64; 1]; 1] {
        [[polygamma(1, n + 1.0)]]
    }
}

/// ln x! − x ln x + x, by Stirling's formula.
fn beside_power(x: f64) -> f64 {
    match x <= 0.0 {
        true => 0.0,
        false => 0.5 * (TAU * x).ln() + stirling_error(0, x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::tensor::grad;

    /// The same, from large terms.
    fn plain([logits, total, value]: [&Tensor; 3]) -> Tensor {
        let terms = value * logits.log_softmax(-1) - (value + 1.0).lgamma();
        terms.sum(-1) + (total + 1.0).lgamma()
    }

    #[test]
    fn derivatives_of_both_orders_are_those_of_the_plain_form() -> Result<()> {
        let at = [
            Tensor::from_slice(&[0.3, -0.2, 0.5]),
            Tensor::scalar(5.0),
            Tensor::from_slice(&[2.0, 0.0, 3.0]),
        ];
        let steps = [
            Tensor::from_slice(&[1.0, -0.4, 0.3]),
            Tensor::scalar(0.7),
            Tensor::from_slice(&[0.2, 0.9, -0.5]),
        ];
        let numbers = |f: &dyn Fn([&Tensor; 3]) -> Tensor| -> Result<Vec<f32>> {
            let leaves = at.each_ref().map(Tensor::leaf);
            // A backward pass uses a graph up.
            let run = || {
                let moving: [Tensor; 3] =
                    std::array::from_fn(|i| leaves[i].with_tangent(&steps[i]));
                f(moving.each_ref())
            };
            let moved = || run().tangent().expect("it moves").sum_all();
            let wrt = leaves.each_ref();
            let mut all = vec![run().primal(), moved()];
            all.extend(grad(&[(&run().primal().sum_all(), None)], &wrt)?);
            all.extend(grad(&[(&moved(), None)], &wrt)?);
            let all = all.iter().map(Tensor::to_vec).collect::<Result<Vec<_>>>()?;
            Ok(all.concat())
        };
        let found = numbers(&|[logits, total, value]| log_mass_of_logits(logits, total, value))?;
        let wanted = numbers(&plain)?;
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
        }
        Ok(())
    }
}
