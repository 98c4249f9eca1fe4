//! Integrates out Gaussian numbers, as a sum over the nodes of a quadrature.
//!
//! ∫ φ(ε) f(ε) dε is computed by the trapezoidal rule: equal steps h, weights proportional to φ. For smooth f the error
//! comes from aliasing and is at most 2 |χ(2π/h)| of the integral, where χ is the characteristic function of the
//! density ∝ φ f (Trefethen and Weideman, "The Exponentially Convergent Trapezoidal Rule", SIAM Review 2014): 2
//! exp(−2π²s²/h²) if that is Gaussian with standard deviation s.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::factor::rows;
use crate::dist::{AnyDistribution, Law};
use crate::error::{Error, Result};
use crate::model::Plate;
use crate::tensor::{AllCases, Shape, Tensor};

/// Number of nodes; none of them is 0, where a program may have a jump.
pub(super) const NODES: usize = 34;
/// Distance between neighboring nodes.
pub(super) const STEP: f64 = 0.3125;
/// Largest error of a row's evidence at which a sum over nodes still stands for the integral.
pub(in crate::infer) const LARGEST_ERROR: f64 = 0.005;

/// Names of sites to integrate out.
pub(super) type Names = BTreeSet<String>;

/// The nodes, each as a vertex of one number.
pub(super) fn nodes() -> Vec<Vec<f32>> {
    (0..NODES).map(|k| vec![node(k) as f32]).collect()
}

/// The node with number `k`.
pub(super) fn node(k: usize) -> f64 {
    (k as f64 - 0.5 * (NODES - 1) as f64) * STEP
}

/// Estimated error of the evidence of a row whose nodes have these probabilities given the data. Twice |χ| at 2π/h
/// cannot be computed from them; for a Gaussian, |χ| there is the 16th power of that at π/2h, and the 4th of that at
/// π/h.
pub(super) fn error(probabilities: &[f64]) -> f64 {
    let all = probabilities.iter().enumerate();
    let [mut even, mut odd, mut sign] = [0.0, 0.0, 0.0];
    for (k, p) in all {
        let turn = if k % 4 < 2 { *p } else { -*p };
        match k % 2 {
            0 => even += turn,
            _ => odd += turn,
        }
        sign += if k % 2 == 0 { *p } else { -*p };
    }
    let quarter: f64 = even * even + odd * odd;
    2.0 * quarter.powi(8).max(sign.powi(4))
}

/// Moves the standard numbers behind draws of rows at these nodes to anywhere between the midpoints around their nodes,
/// shrunk toward the row's mean to keep its variance. The probabilities are those given all other choices.
pub(super) fn between(vertex: &mut [f32], probabilities: &[f64], mut uniform: impl FnMut() -> f64) {
    for (x, row) in vertex.iter_mut().zip(probabilities.chunks_exact(NODES)) {
        let moment = |power: i32| {
            let terms = row.iter().enumerate();
            terms.map(|(k, p)| p * node(k).powi(power)).sum::<f64>()
        };
        let mean = moment(1);
        let variance = (moment(2) - mean * mean).max(0.0);
        let anywhere = f64::from(*x) + STEP * (uniform() - 0.5) - mean;
        let narrower = (variance / (variance + STEP * STEP / 12.0)).sqrt();
        *x = (mean + anywhere * narrower) as f32;
    }
}

/// The logarithms of the nodes' weights.
pub(super) fn log_weights() -> Vec<f64> {
    let at = |k: usize| -0.5 * node(k).powi(2);
    let all: f64 = (0..NODES).map(|k| at(k).exp()).sum();
    (0..NODES).map(|k| at(k) - all.ln()).collect()
}

/// The logarithms of the nodes' weights, repeated for each row.
pub(super) fn weights(sizes: &[usize], law: &dyn Law) -> Result<Rc<AllCases>> {
    let (shape, device) = (Shape::try_from(sizes)?, law.device());
    let weights = log_weights().into_iter();
    let rows = weights.map(|weight| Tensor::full(shape, weight as f32, &device));
    Ok(Rc::new(AllCases::apart(rows)))
}

/// Whether a choice can be integrated out: a tensor with one number per row, each a function of its own Gaussian
/// number.
pub(super) fn fits(dist: &dyn AnyDistribution, law: &dyn Law, plates: &[Plate]) -> bool {
    let is_plain = law.is_gaussian() && law.event_rank() == 0;
    is_plain && !dist.is_host() && law.draw_shape().numel() == rows(plates)
}

/// A law of rows given the drawn values of the other choices, one per row.
///
/// # Errors
/// The error that a parameter carries.
pub(super) fn drawn(law: &dyn Law, shape: Shape, drawn: &[Vec<usize>]) -> Result<Rc<dyn Law>> {
    let rows = shape.numel();
    let of_rows = |parameter: &Tensor| -> Result<Tensor> {
        let Some(cases) = parameter.cases() else {
            return Ok(parameter.clone());
        };
        let all = cases.all.each();
        let all = all.map(|t| t.broadcast_to(shape).detach().peek());
        let all = all.collect::<Result<Vec<_>>>()?;
        let row = |row: usize| {
            let case = cases.choices.iter().fold(0, |at, choice| {
                let of_plate = &drawn[choice.variable];
                // Outer plates have fewer rows.
                at * choice.size + of_plate[row * of_plate.len() / rows]
            });
            all[case][row]
        };
        Tensor::from_vec((0..rows).map(row).collect(), shape, &parameter.device())
    };
    let parameters: Result<Vec<Tensor>> = law.parameters().iter().map(of_rows).collect();
    Ok(law.with_parameters(&parameters?))
}

/// The error of a model whose host code reads what is integrated out, or choices that it depends on.
pub(super) fn looked_at() -> Error {
    Error::Enumeration(
        "a choice cannot be integrated out, as host code reads it, or a discrete choice that it depends on; \
         compute with tensors from there, or let it be drawn"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The estimated error of a Gaussian posterior is at least the actual one, wherever it lies between two nodes, and
    /// that of a mixture of two is as large as that of one.
    #[test]
    fn narrow_posteriors_have_errors() {
        let density = |x: f64, mean: f64, sd: f64| (-0.5 * ((x - mean) / sd).powi(2)).exp();
        let said = |peaks: &[(f64, f64)]| {
            let at = |k: usize| -> f64 {
                let peaks = peaks.iter();
                peaks.map(|&(mean, sd)| density(node(k), mean, sd)).sum()
            };
            let all: Vec<f64> = (0..NODES).map(at).collect();
            let sum: f64 = all.iter().sum();
            error(&all.iter().map(|p| p / sum).collect::<Vec<_>>())
        };
        for eighth in 0..8 {
            let mean = 0.7 + STEP * f64::from(eighth) / 8.0;
            for sd in [0.02, 0.06, 0.1, 0.14, 0.18, 0.25, 0.5] {
                let nodes = (0..NODES).map(|k| density(node(k), mean, sd));
                let exact = sd * std::f64::consts::TAU.sqrt();
                let found = (STEP * nodes.sum::<f64>() / exact - 1.0).abs();
                let said_here = said(&[(mean, sd)]);
                if found > LARGEST_ERROR {
                    assert!(
                        said_here > LARGEST_ERROR,
                        "{mean} {sd}: {said_here}, {found}"
                    );
                }
                if sd > 0.2 {
                    assert!(said_here < LARGEST_ERROR, "{mean} {sd}: {said_here}");
                }
                if sd < 0.1 {
                    let two = said(&[(mean, sd), (mean - 1.0, sd)]);
                    assert!(two > LARGEST_ERROR, "{mean} {sd}: {two}");
                }
            }
        }
    }

    /// ∫ φ(ε) exp(aε) dε = exp(a²/2), and a probability without a closed form.
    #[test]
    fn sums_over_nodes_are_integrals() {
        let sum = |f: &dyn Fn(f64) -> f64| -> f64 {
            let pairs = nodes().into_iter().zip(log_weights());
            pairs.map(|(x, w)| w.exp() * f(f64::from(x[0]))).sum()
        };
        assert!((sum(&|_| 1.0) - 1.0).abs() < 1e-12);
        assert!((sum(&|x| x * x) - 1.0).abs() < 5e-5);
        assert!((sum(&|x| (0.7 * x).exp()) - (0.245_f64).exp()).abs() < 5e-5);
        // 7 of 14 with probability σ(2ε): by a grid a hundred times as fine.
        let f = |x: f64| {
            let p = 1.0 / (1.0 + (-2.0 * x).exp());
            (p * (1.0 - p)).powi(7)
        };
        let fine = (-80_000..80_000).map(|k| f64::from(k) * 1e-4);
        let wanted: f64 = fine
            .map(|x| 1e-4 * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt() * f(x))
            .sum();
        assert!((sum(&f) / wanted - 1.0).abs() < 1e-4);
    }
}
