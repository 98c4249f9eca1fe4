//! Multivariate normal: vectors of Gaussian numbers that depend on each other.

use std::rc::Rc;

use smallvec::smallvec;

use super::guides::NARROWER;
use super::{
    Bijection, Constraint, Distribution, Draws, Join, Law, MatrixOperand, MeanField, Number,
    Numbers, Part, PerParameter, Real, Support, VectorOperand, check_event_fit, check_values,
    expand_parameter,
};
use crate::error::{Error, Result};
use crate::random::Stream;
use crate::special::HALF_LN_TAU;
use crate::tensor::{Shape, Tensor};

const NAME: &str = "MultivariateNormal";
const SUPPORT: &str = "vectors of real numbers";
const SCALE_TRIL: &str = "scale_tril";

/// Independent Gaussian vectors with mean `loc`, `[.., d]`, and covariance `scale_tril` · `scale_trilᵀ`,
/// where `scale_tril`, `[.., d, d]`, is lower triangular with a positive diagonal: [`Tensor::cholesky`] makes it
/// from a covariance. Draws are tensors, of vectors along the last axis.
///
/// Its automatic guide is a multivariate normal with a covariance of its own.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let law = MultivariateNormal::new([0.0, 1.0], [[2.0, 0.0], [1.0, 0.5]])?;
/// let density = law.log_prob(&Tensor::from_slice(&[0.0, 1.0]))?.total()?;
/// assert!((density + std::f64::consts::TAU.ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MultivariateNormal {
    loc: Tensor,
    scale_tril: Tensor,
}

fn parameter(parameter: &'static str, problem: String) -> Error {
    Error::Parameter {
        distribution: NAME,
        parameter,
        problem,
    }
}

impl MultivariateNormal {
    /// Vectors with mean `loc` and covariance `scale_tril` · `scale_trilᵀ`.
    ///
    /// # Errors
    /// If a number is not finite, `scale_tril` is not lower triangular with a positive diagonal, or
    /// their shapes do not fit.
    pub fn new<A: VectorOperand, B: MatrixOperand>(loc: A, scale_tril: B) -> Result<Self>
    where
        A::Repr: IntoVector,
    {
        let (loc, matrix) = loc
            .into_repr()
            .into_vector()
            .join(scale_tril.into_matrix()?);
        loc.check_numbers(NAME, "loc", f64::is_finite, Support::Real.demand())?;
        const NUMBERS: &str = "its numbers must be finite; `cholesky` gives NaN where a matrix is not positive \
                               definite: add a little to its diagonal, such as `Tensor::eye(d, &device) * 1e-4`";
        matrix.check_numbers(NAME, SCALE_TRIL, f64::is_finite, NUMBERS)?;
        let (mean, square) = (loc.shape(), matrix.shape());
        let d = match (&mean[..], &square[..]) {
            ([.., d], [.., m, n]) if d == m && m == n && *d > 0 => *d,
            _ => {
                let problem = format!(
                    "has shape {square} beside loc of shape {mean}; give [.., d, d] and [.., d]"
                );
                return Err(parameter(SCALE_TRIL, problem));
            }
        };
        let positive = |x: f32| x > 0.0;
        const DIAGONAL: &str = "it needs a positive diagonal, as with `param!(.., lower_cholesky)` or `cholesky` of a \
                                covariance";
        let constant = matrix.detach();
        check_values(NAME, SCALE_TRIL, &constant.diagonal(), positive, DIAGONAL)?;
        const ABOVE: &str =
            "its numbers above the diagonal must be 0; for a covariance use `cholesky`";
        let above = &constant - constant.tril(0);
        check_values(NAME, SCALE_TRIL, &above, |x| x == 0.0, ABOVE)?;
        // One matrix for each mean.
        let rows = mean.leading(mean.rank() - 1);
        let batch = rows.broadcast(&square.leading(square.rank() - 2));
        let shapes = batch.and_then(|batch| Some((batch.join(&[d])?, batch.join(&[d, d])?)));
        let Some((mean, square)) = shapes else {
            let problem = format!("of shape {square} does not broadcast with loc of shape {mean}");
            return Err(parameter(SCALE_TRIL, problem));
        };
        Ok(Self {
            loc: loc.broadcast_to(mean),
            scale_tril: matrix.broadcast_to(square),
        })
    }
}

/// The forms in which a mean may be given.
pub trait IntoVector {
    /// The vector as a tensor.
    fn into_vector(self) -> Tensor;
}

impl IntoVector for Tensor {
    fn into_vector(self) -> Tensor {
        self
    }
}

impl IntoVector for Vec<f64> {
    fn into_vector(self) -> Tensor {
        let numbers: Vec<f32> = self.iter().map(|&x| x as f32).collect();
        Tensor::from_slice(&numbers)
    }
}

impl Distribution for MultivariateNormal {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        value.all(f64::is_finite)
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        check_event_fit(NAME, self.loc.shape(), 1, value)?;
        Ok(Law::log_density(self, value).into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(self.clone()))
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        Ok(Self {
            loc: expand_parameter(NAME, "loc", &self.loc, plates, 1)?,
            scale_tril: expand_parameter(NAME, SCALE_TRIL, &self.scale_tril, plates, 2)?,
        })
    }
}

impl Law for MultivariateNormal {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        smallvec![self.loc.clone(), self.scale_tril.clone()]
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        Rc::new(Self {
            loc: parameters[0].clone(),
            scale_tril: parameters[1].clone(),
        })
    }

    fn bijection(&self) -> Option<Bijection> {
        Some(Bijection::Real)
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Pathwise
    }

    fn event_rank(&self) -> usize {
        1
    }

    fn draw_shape(&self) -> Shape {
        self.loc.shape()
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        let distance = (value - &self.loc).unsqueeze(-1);
        let standard = self.scale_tril.solve_lower(&distance).squeeze(-1);
        let d = self.loc.shape().last().copied().unwrap_or(0) as f64;
        let terms = standard.square() * 0.5 + self.scale_tril.diagonal().ln();
        -terms.sum(-1) - d * HALF_LN_TAU
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.normals(self.loc.shape(), &self.loc.device())
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        &self.loc + (&self.scale_tril.tril(0) * noise.unsqueeze(-2)).sum(-1)
    }

    fn mirrored(&self, noise: &Tensor) -> Option<Tensor> {
        Some(-noise)
    }

    /// By `loc`, and numbers that stand for the matrix.
    fn mean_field(&self) -> MeanField<'_> {
        const CHOLESKY: Constraint = Constraint::LowerCholesky;
        let start = |matrix: &Tensor| {
            let narrower = matrix * NARROWER.exp();
            CHOLESKY.free(&narrower).unwrap_or_else(Tensor::poisoned)
        };
        let parts = [
            Part::real("loc", &self.loc),
            Part::starting("scale_tril", &self.scale_tril, start),
        ];
        MeanField::new(parts, |free| {
            let (loc, scale_tril) = (free[0].clone(), CHOLESKY.value(&free[1]));
            Ok(Rc::new(Self { loc, scale_tril }))
        })
        .in_units(0, |free| CHOLESKY.value(&free[1]).square().sum(-1).sqrt())
        .for_draws_about(|loc, scale| {
            let size = scale.shape().last().copied().unwrap_or(1);
            let diagonal = scale.unsqueeze(-1) * Tensor::eye(size, &scale.device());
            let free = CHOLESKY.free(&diagonal);
            [loc.clone(), free.unwrap_or_else(Tensor::poisoned)].into()
        })
    }

    fn mean(&self) -> Tensor {
        self.loc.clone()
    }
}
