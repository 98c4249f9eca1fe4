//! The full-rank guide: one Gaussian with a covariance between all numbers.

use super::gaussian::{Factor, Met, propose, zeros};
use super::{Evaluation, Guide, GuideSite, Proposal};
use crate::error::Result;
use crate::tensor::Tensor;

/// Draws all continuous choices of a model from one Gaussian N(m, L · Lᵀ) over their unconstrained numbers, mapped to
/// each site's support by [`Law::bijection`](crate::dist::Law::bijection), with the volume of that map in log q
/// (Kucukelbir, Tran, Ranganath, Gelman, Blei, "Automatic Differentiation Variational Inference", JMLR 2017). Rows of
/// plates and numbers of vectors are coordinates like any others. It is right if the posterior is a correlated bell in
/// these coordinates. With d of them it has d (d + 3)/2 parameters; a [`LowRankGuide`](super::LowRankGuide) has fewer.
///
/// Discrete choices keep the law that [`StructuredGuide`](super::StructuredGuide) gives them; the Gaussian does not
/// depend on them. A site that only some runs reach takes its place in those runs, given the continuous sites that the
/// run reached before it. The first law that the model states at a site decides where its numbers start: independent of
/// each other, with the medians and spreads that a mean-field guide starts from.
///
/// ```
/// use relax_runtime::infer::FullRankGuide;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn sum() {
///     let a = sample!(Normal(Tensor::scalar(0.0), 1.0));
///     let b = sample!(Normal(Tensor::scalar(0.0), 1.0));
///     observe!(Normal(&a + &b, 0.5), 1.0);
/// }
///
/// # fn main() -> Result<()> {
/// let model = sum();
/// let fit = Svi::new(&model).guide(&FullRankGuide).steps(2_000).seed(1).progress(false).run()?;
/// // The posterior is Gaussian, and so is the guide.
/// let exact = -0.5 * (1.0 / 2.25 + (std::f64::consts::TAU * 2.25).ln());
/// assert!((fit.posterior().log_evidence().elbo - exact).abs() < 0.01);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// From a step: in a plate that holds a changing sample of rows; if a law does not say how its support is reached; if
/// host code reads a site in a plate, whose rows are drawn together.
#[derive(Clone, Copy, Debug, Default)]
pub struct FullRankGuide;

impl Guide for FullRankGuide {
    fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
        let words = "a Gaussian together with all continuous choices before it";
        propose(evaluation, words, Triangle::default())
    }
}

/// L = diag(σ) · C with a lower triangular C whose diagonal is 1, so that scales and correlations have separate
/// parameters.
#[derive(Default)]
struct Triangle {
    known: Option<Tensor>,
}

impl Factor for Triangle {
    fn with(&mut self, site: &GuideSite<'_>, before: &[Met], scale: &Tensor) -> Result<Tensor> {
        let len = scale.len();
        let device = scale.device();
        let mut own = Tensor::eye(len, &device);
        if len > 1 {
            own = own + zeros(site, "correlation", [len, len])?.tril(-1);
        }
        let mut blocks = Vec::with_capacity(before.len() + 1);
        for met in before {
            let part = format!("correlation with {}", met.name);
            blocks.push(zeros(site, &part, [len, met.len])?);
        }
        blocks.push(own);
        let rows = Tensor::concat(&blocks.iter().collect::<Vec<_>>(), 1) * scale.unsqueeze(-1);
        let all = match &self.known {
            None => rows,
            Some(known) => {
                let above = Tensor::zeros([known.shape()[0], len], &device);
                let known = Tensor::concat(&[known, &above], 1);
                Tensor::concat(&[&known, &rows], 0)
            }
        };
        self.known = Some(all.clone());
        Ok(all)
    }
}
