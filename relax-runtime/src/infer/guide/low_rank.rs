//! The low-rank guide: one Gaussian whose numbers are correlated along few directions.

use super::gaussian::{Factor, Met, of_shape, propose};
use super::{Evaluation, Guide, GuideSite, Proposal};
use crate::error::{Error, Result};
use crate::random::Key;
use crate::tensor::{Shape, Tensor};

/// As [`FullRankGuide`](super::FullRankGuide), with the covariance diag(σ) (1 + W · Wᵀ) diag(σ), where W has `rank`
/// columns: d (`rank` + 2) parameters for d numbers (Ong, Nott, Smith, "Gaussian variational approximation with a
/// factor covariance structure", JCGS 2018). A step factorizes d by d matrices.
///
/// ```
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
/// let guide = LowRankGuide { rank: 1 };
/// let fit = Svi::new(&model).guide(&guide).posterior_draws(2_000).seed(1).run()?;
/// // The exact covariance of `a` and `b` is −4/9, and each has mean 4/9.
/// let covariance = fit.posterior().expectation(|draw| {
///     let centered = |site: &str| draw.number(site).expect("a number") - 4.0 / 9.0;
///     centered("a") * centered("b")
/// })?;
/// assert!((covariance + 4.0 / 9.0).abs() < 0.1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LowRankGuide {
    /// Number of directions along which numbers are correlated, at least 1.
    pub rank: usize,
}

impl Guide for LowRankGuide {
    fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
        if self.rank == 0 {
            return Err(Error::Config {
                setting: "rank",
                problem: "of a low-rank guide is 0; give at least one, or use `MeanFieldGuide`"
                    .into(),
            });
        }
        let words = format!(
            "a Gaussian of rank {} together with all continuous choices before it",
            self.rank
        );
        let factor = Directions {
            rank: self.rank,
            known: None,
        };
        propose(evaluation, &words, factor)
    }
}

/// σ and W for all numbers so far.
struct Directions {
    rank: usize,
    known: Option<(Tensor, Tensor)>,
}

impl Directions {
    /// The site's rows of W, which start from small numbers: no gradient leads away from zeros.
    fn own(&self, site: &GuideSite<'_>, scale: &Tensor) -> Result<Tensor> {
        const SMALL: f32 = 0.1;
        let shape = Shape::from([scale.len(), self.rank]);
        let parameter = site.parameter("directions", || {
            let mut stream = Key::new(0).stream(site.name());
            let start = stream.normals(shape, &scale.device())?;
            Ok(start * (SMALL / (self.rank as f32).sqrt()))
        })?;
        of_shape(&parameter, shape)
    }
}

impl Factor for Directions {
    fn with(&mut self, site: &GuideSite<'_>, _: &[Met], scale: &Tensor) -> Result<Tensor> {
        let own = self.own(site, scale)?;
        let (scale, along) = match &self.known {
            None => (scale.clone(), own),
            Some((scales, along)) => (
                Tensor::concat(&[scales, scale], 0),
                Tensor::concat(&[along, &own], 0),
            ),
        };
        self.known = Some((scale.clone(), along.clone()));
        let covariance = along.matmul_nt(&along) + Tensor::eye(scale.len(), &scale.device());
        Ok(covariance.cholesky() * scale.unsqueeze(-1))
    }
}
