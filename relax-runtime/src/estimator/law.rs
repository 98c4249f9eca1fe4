//! Input and output of estimators that know a choice by its law alone.

use std::panic::Location;

use super::Cost;
use super::site::SiteTask;
use crate::dist::Law;
use crate::error::{Error, Result};
use crate::surrogate::{CostAt, Surroundings, VarianceGradient};
use crate::tensor::{Shape, Tensor, grad};

/// One choice known by its law alone (continuous, or discrete without a relaxation), or a block of
/// independent ones, with every random number given.
#[derive(Clone, Copy)]
pub struct LawProblem<'a> {
    /// The law.
    pub law: &'a dyn Law,
    /// The noise behind the draw.
    pub noise: &'a Tensor,
    /// Noise for further draws of the estimator's own, as many tensors as it asks for.
    pub further: &'a [Tensor],
    /// Number of leading axes of a draw that are independent rows, each with its own cost.
    pub plates: usize,
    /// What a surrogate may look at besides the draw and the parameters, `[rows.., n]`.
    pub context: Option<&'a Tensor>,
}

/// The work at a site without a relaxation in one step.
pub type LawTask<'a> = SiteTask<'a, LawProblem<'a>>;

/// What an estimator returns at such a choice; all tensors are constants.
#[derive(Clone, Debug)]
pub struct LawEstimate {
    /// f(b), one number per row.
    pub cost: Tensor,
    /// The estimate of ∂E\[f\]/∂θ for each parameter of the law, of its shape.
    pub gradients: Vec<Tensor>,
    /// ∂/∂φ of the mean square of all `gradients`' coordinates, one tensor per parameter of the
    /// surrogate.
    pub variance_gradient: VarianceGradient,
    /// How many times f was evaluated.
    pub evaluations: usize,
}

impl<'a> LawProblem<'a> {
    /// The law's parameters as constants.
    fn parameters(&self) -> Vec<Tensor> {
        self.law.parameters().iter().map(Tensor::detach).collect()
    }

    /// The draw that a noise gives, as a constant.
    pub(super) fn draw(&self, noise: &Tensor) -> Tensor {
        self.law
            .with_parameters(&self.parameters())
            .draw(noise)
            .detach()
    }

    /// Pulls a cotangent of the draw back to the parameters.
    pub(super) fn pull(&self, cotangent: &Tensor) -> Result<Vec<Tensor>> {
        let leaves: Vec<Tensor> = self.parameters().iter().map(Tensor::leaf).collect();
        let draw = self.law.with_parameters(&leaves).draw(self.noise);
        let leaves: Vec<&Tensor> = leaves.iter().collect();
        grad(&[(&draw, Some(cotangent))], &leaves)
    }

    /// How the draw moves along tangents of the parameters, and how its log-density changes with the
    /// value held fixed, one number per row.
    pub(super) fn push(&self, tangents: &[Tensor]) -> (Tensor, Tensor) {
        let moved = self.parameters();
        let moved: Vec<Tensor> = moved
            .iter()
            .zip(tangents)
            .map(|(parameter, tangent)| parameter.with_tangent(tangent))
            .collect();
        let law = self.law.with_parameters(&moved);
        let tangent = |x: Tensor| x.tangent().unwrap_or_else(|| x.zeros_like());
        let density = tangent(law.log_density(&self.draw(self.noise)));
        (tangent(law.draw(self.noise)), density.sum_from(self.plates))
    }

    /// The parameters of each row, `[rows.., n]`: they tell a surrogate where it stands.
    pub(super) fn theta(&self) -> Result<Tensor> {
        let shape = self.draw(self.noise).check()?.shape();
        let rows: usize = shape.iter().take(self.plates).product();
        let numbers = shape.numel() / rows.max(1);
        let flat: Vec<Tensor> = self
            .parameters()
            .iter()
            .map(
                |parameter| match parameter.shape().broadcast(&shape) == Some(shape) {
                    true => parameter.broadcast_to(shape).reshape([rows, numbers]),
                    // Such as matrices, where draws are vectors.
                    false => parameter.reshape([rows, parameter.len() / rows.max(1)]),
                },
            )
            .collect();
        let theta = Tensor::concat(&flat.iter().collect::<Vec<_>>(), 1);
        let mut target = shape[..self.plates].to_vec();
        target.extend(theta.check()?.shape().last());
        Ok(theta.reshape(Shape::try_from(&target[..])?))
    }

    pub(super) fn surroundings(&self, theta: &'a Tensor, cost: &'a CostAt<'a>) -> Surroundings<'a> {
        Surroundings {
            relaxation: None,
            theta,
            context: self.context,
            plates: self.plates,
            cost,
        }
    }
}

/// The draw already made and its cost, as constants: the first step of every function that estimates.
///
/// # Errors
/// If the cost fails; [`Error::Shape`] if a draw has too few axes for its rows, or if the further noise
/// or the context has the wrong shape.
#[track_caller]
pub(super) fn drawn(problem: LawProblem<'_>, cost: &dyn Cost) -> Result<(Tensor, Tensor)> {
    let location = Location::caller();
    let b = problem.draw(problem.noise);
    let shape = b.check()?.shape();
    let misfit = |problem: &str, other: Shape| {
        Err(Error::Shape {
            op: "estimate",
            problem: problem.into(),
            shapes: vec![shape, other],
            location,
        })
    };
    if problem.plates > shape.len() {
        let problem = format!("a draw needs {} axes of rows", problem.plates);
        return misfit(&problem, shape);
    }
    for noise in problem.further {
        if noise.check()?.shape() != problem.noise.shape() {
            return misfit("further noise needs the shape of the noise", noise.shape());
        }
    }
    if let Some(context) = problem.context
        && !context
            .check()?
            .shape()
            .starts_with(&shape[..problem.plates])
    {
        return misfit("the context needs the rows of the draw", context.shape());
    }
    let f = cost.drawn(&b)?;
    Ok((b, f))
}
