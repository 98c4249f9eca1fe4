//! Gaussian numbers that are integrated out: a sum over the nodes of a quadrature in place of the integral.
//!
//! ∫ φ(ε) f(ε) dε by the trapezoidal rule: equal steps h, weights proportional to φ. For f analytic the error is of the
//! order of exp(−2π²s²/h²), where φ f is as wide as a Gaussian of standard deviation s (Trefethen and Weideman
//! 2014, sections 1 and 4).

use std::collections::BTreeSet;
use std::rc::Rc;

use super::factor::rows;
use crate::dist::{AnyDistribution, Law};
use crate::error::{Error, Result};
use crate::model::Plate;
use crate::tensor::{Shape, Tensor};

/// How many nodes there are, and how far from 0 the last ones.
pub(super) const NODES: usize = 33;
const REACH: f64 = 5.0;
/// From one node to the next.
pub(super) const STEP: f64 = 2.0 * REACH / (NODES - 1) as f64;

/// Names of sites that are integrated out.
pub(super) type Names = BTreeSet<String>;

/// The nodes, each as a vertex of one number.
pub(super) fn nodes() -> Vec<Vec<f32>> {
    let node = |k: usize| vec![(k as f64 * STEP - REACH) as f32];
    (0..NODES).map(node).collect()
}

/// The logarithms of their weights.
pub(super) fn log_weights() -> Vec<f64> {
    let at = |k: usize| -0.5 * (k as f64 * STEP - REACH).powi(2);
    let all: f64 = (0..NODES).map(|k| at(k).exp()).sum();
    (0..NODES).map(|k| at(k) - all.ln()).collect()
}

/// The weights as numbers for each row.
pub(super) fn weights(sizes: &[usize], law: &dyn Law) -> Result<Rc<[Tensor]>> {
    let (shape, device) = (Shape::try_from(sizes)?, law.device());
    let weights = log_weights().into_iter();
    Ok(weights
        .map(|weight| Tensor::full(shape, weight as f32, &device))
        .collect())
}

/// Whether a choice can be integrated out: a tensor with one number a row, each a function of a Gaussian number of its
/// own.
pub(super) fn fits(dist: &dyn AnyDistribution, law: &dyn Law, plates: &[Plate]) -> bool {
    let is_plain = law.is_gaussian() && law.event_rank() == 0;
    is_plain && !dist.is_host() && law.draw_shape().numel() == rows(plates)
}

/// The parameters of a law of rows where other choices have been drawn, a value a row.
///
/// # Errors
/// If the law was stated for other values alone.
pub(super) fn drawn(law: &dyn Law, shape: Shape, drawn: &[Vec<usize>]) -> Result<Rc<dyn Law>> {
    let parameters = law.parameters();
    if parameters.iter().all(|x| x.cases().is_none()) {
        return Ok(law.with_parameters(&parameters));
    }
    let rows = shape.numel();
    let of_rows = |parameter: &Tensor| -> Result<Tensor> {
        let Some(cases) = parameter.cases() else {
            return Ok(parameter.clone());
        };
        let all = cases.tensors.iter();
        let all = all.map(|t| t.broadcast_to(shape).detach().peek());
        let all = all.collect::<Result<Vec<_>>>()?;
        let row = |row: usize| {
            let case = cases.choices.iter().fold(0, |at, choice| {
                let of_plate = &drawn[choice.variable];
                // Plates around the row's own have fewer rows.
                at * choice.size + of_plate[row * of_plate.len() / rows]
            });
            all[case][row]
        };
        Tensor::from_vec((0..rows).map(row).collect(), shape, &parameter.device())
    };
    let parameters: Result<Vec<Tensor>> = parameters.iter().map(of_rows).collect();
    Ok(law.with_parameters(&parameters?))
}

/// The error of a model whose host code looks at what is integrated out, or at choices that decide about it.
pub(super) fn looked_at() -> Error {
    Error::Enumeration(
        "a choice cannot be integrated out, as host code reads it, or a discrete choice that it depends on; \
         compute with tensors from there, or have it drawn"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ∫ φ(ε) exp(aε) dε = exp(a²/2), and a probability that has no closed form.
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
