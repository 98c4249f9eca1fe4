//! What an estimator is given, and what it returns.

use std::panic::Location;

use crate::dist::{Form, Relaxation};
use crate::error::{Error, Result};
use crate::surrogate::{CostAt, Surroundings, VarianceGradient};
use crate::tensor::{Shape, Tensor, grad};

/// The random numbers behind one draw: uniform [noise](crate::dist::noise) of θ's shape.
///
/// ```
/// use relax_runtime::dist::BernoulliRelaxation;
/// use relax_runtime::estimator::{Noise, Problem, differentiable, rebar};
/// use relax_runtime::prelude::*;
/// use relax_runtime::surrogate::RelaxedCost;
///
/// # fn main() -> Result<()> {
/// let theta = Tensor::scalar(0.3);
/// let cost = differentiable(|b: &Tensor| Ok((b - 0.45).square()));
/// let surrogate = RelaxedCost::new(1.0, 0.5, &Device::cpu());
/// let coupled = Noise::coupled(Tensor::scalar(0.6));
/// let independent = Noise { v: Some(Tensor::scalar(0.2)), ..coupled.clone() };
/// for (noise, evaluations) in [(coupled, 2), (independent, 3)] {
///     let problem = Problem::new(&BernoulliRelaxation, &theta, &noise);
///     assert_eq!(rebar(problem, &cost, &surrogate)?.evaluations, evaluations);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Noise {
    /// u, behind z and b.
    pub u: Tensor,
    /// v, behind z̃; `None` couples z̃ to z, so that the two are equal and one evaluation of the
    /// surrogate serves both.
    pub v: Option<Tensor>,
    /// Noise for further draws of the estimator's own, as many tensors as it asks for.
    pub further: Vec<Tensor>,
}

impl Noise {
    /// The noise of one draw, with z̃ coupled to z and no further noise.
    pub fn coupled(u: Tensor) -> Self {
        Self {
            u,
            v: None,
            further: Vec::new(),
        }
    }
}

/// One discrete choice, or a block of independent ones, with every random number given.
///
/// ```
/// use relax_runtime::dist::BernoulliRelaxation;
/// use relax_runtime::estimator::{Noise, Problem, black_box, reinforce};
/// use relax_runtime::prelude::*;
///
/// # fn main() -> Result<()> {
/// // Two rows of a fair coin: the noise makes the first 0 and the second 1.
/// let theta = Tensor::from_slice(&[0.0, 0.0]);
/// let noise = Noise::coupled(Tensor::from_slice(&[0.25, 0.75]));
/// let problem = Problem::new(&BernoulliRelaxation, &theta, &noise).rows();
/// let cost = black_box(|b: &Tensor| Ok((b - 0.45).square()));
/// let gradient = reinforce(problem, &cost, 0.0)?.gradient;
/// // f(b) (b − ½) in each row; over both values their mean is the exact (f(1) − f(0))/4.
/// assert!((gradient.to_vec()?[0] + 0.5 * 0.2025).abs() < 1e-6);
/// assert!((gradient.mean_all().item()? - 0.025).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Problem<'a> {
    /// The law's relaxation, such as [`BernoulliRelaxation`](crate::dist::BernoulliRelaxation).
    pub relaxation: &'a dyn Relaxation,
    /// Logits, `[rows.., event..]`.
    pub theta: &'a Tensor,
    /// The noise.
    pub noise: &'a Noise,
    /// Number of leading axes that are independent rows, each with its own cost.
    pub plates: usize,
    /// What the surrogate may look at besides z and θ, `[rows.., n]`.
    pub context: Option<&'a Tensor>,
}

impl<'a> Problem<'a> {
    /// A choice without rows: θ has shape `[event..]`, and the cost is one number.
    pub fn new(relaxation: &'a dyn Relaxation, theta: &'a Tensor, noise: &'a Noise) -> Self {
        Self {
            relaxation,
            theta,
            noise,
            plates: 0,
            context: None,
        }
    }

    /// Treats the first axis as independent rows: the cost is one number per row.
    #[must_use]
    pub fn rows(mut self) -> Self {
        self.plates = 1;
        self
    }

    /// Checks that all shapes fit and returns θ as a constant: the first step of every function that
    /// estimates.
    ///
    /// # Errors
    /// [`Error::Shape`] if θ has too few axes for its rows and events, or if the noise or the context
    /// has the wrong shape.
    #[track_caller]
    pub(super) fn constant_theta(&self) -> Result<Tensor> {
        let location = Location::caller();
        let misfit = |problem: String, other: &Tensor| {
            Err(Error::Shape {
                op: "estimate",
                problem,
                shapes: vec![self.theta.shape(), other.shape()],
                location,
            })
        };
        let shape = self.theta.check()?.shape();
        if self.plates + self.relaxation.event_rank() > shape.len() {
            let problem = format!(
                "θ needs {} axes of rows and {} of an event",
                self.plates,
                self.relaxation.event_rank()
            );
            return misfit(problem, self.theta);
        }
        let Noise { u, v, further } = self.noise;
        for noise in std::iter::once(u).chain(v).chain(further) {
            if noise.check()?.shape() != shape {
                return misfit("noise needs the shape of θ".into(), noise);
            }
        }
        if let Some(context) = self.context
            && !context.check()?.shape().starts_with(&shape[..self.plates])
        {
            return misfit("the context needs the rows of θ".into(), context);
        }
        Ok(self.theta.detach())
    }

    /// Fails unless the choices are coins.
    pub(super) fn expect_coins(&self, estimator: &str) -> Result<()> {
        self.expect_form(Form::Coins, estimator, "coins")
    }

    /// Fails unless the choices are one-hot vectors.
    pub(super) fn expect_categories(&self, estimator: &str) -> Result<()> {
        self.expect_form(Form::Categories, estimator, "one-hot vectors")
    }

    fn expect_form(&self, form: Form, estimator: &str, kind: &str) -> Result<()> {
        match self.relaxation.form() == form {
            true => Ok(()),
            false => Err(Error::Estimator(format!(
                "`{estimator}` is for {kind}; use `relax` or `rloo`"
            ))),
        }
    }

    pub(super) fn surroundings(&self, cost: &'a CostAt<'a>) -> Surroundings<'a> {
        Surroundings {
            relaxation: Some(self.relaxation),
            theta: self.theta,
            context: self.context,
            plates: self.plates,
            cost,
        }
    }

    /// The means of the events, differentiable in θ.
    pub(super) fn mean(&self, theta: &Tensor) -> Tensor {
        self.relaxation.mean(theta)
    }

    /// The draw from the noise u, and those from the further noise.
    pub(super) fn draws(&self) -> Vec<Tensor> {
        let theta = self.theta.detach();
        let noise = std::iter::once(&self.noise.u).chain(&self.noise.further);
        noise
            .map(|u| self.relaxation.hard(&self.relaxation.relaxed(&theta, u)))
            .collect()
    }

    /// A cost as one number per row, even where the rows share one.
    pub(super) fn each_row(&self, cost: &Tensor) -> Tensor {
        let rows = self.theta.shape().leading(self.plates);
        match cost.len() {
            1 if cost.rank() > rows.rank() => cost.reshape(rows),
            _ => cost.broadcast_to(rows),
        }
    }

    /// One number per row, reshaped to multiply tensors of θ's shape.
    pub(super) fn spread(&self, rows: &Tensor) -> Result<Tensor> {
        spread(rows, self.theta.rank())
    }
}

/// Appends axes of length 1 up to a rank.
pub(super) fn spread(rows: &Tensor, rank: usize) -> Result<Tensor> {
    let mut shape = rows.check()?.shape().to_vec();
    shape.resize(rank.max(shape.len()), 1);
    Ok(rows.reshape(Shape::try_from(&shape[..])?))
}

/// Pulls a cotangent of a sample back to θ.
pub(super) fn pull(
    sample: &dyn Fn(&Tensor) -> Tensor,
    theta: &Tensor,
    cotangent: &Tensor,
) -> Result<Tensor> {
    let leaf = theta.leaf();
    Ok(grad(&[(&sample(&leaf), Some(cotangent))], &[&leaf])?.remove(0))
}

/// How a sample moves along a tangent of θ.
pub(super) fn push(sample: &dyn Fn(&Tensor) -> Tensor, theta: &Tensor, tangent: &Tensor) -> Tensor {
    let moved = sample(&theta.with_tangent(tangent));
    moved.tangent().unwrap_or_else(|| moved.zeros_like())
}

/// Value and slope of the cost at a point of the support's hull; later choices are relaxed at
/// `temperature`.
pub(super) fn slope(cost: &dyn Cost, at: &Tensor, temperature: f32) -> Result<(Tensor, Tensor)> {
    let temperature = Tensor::full([], temperature, &at.device());
    value_and_slope(&|draw: &Tensor| cost.relaxed(draw, &temperature), at)
}

/// Value and slope of a function of a draw, one number per row.
pub(crate) fn value_and_slope(
    cost: &dyn Fn(&Tensor) -> Result<Tensor>,
    at: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let at = at.detach().leaf();
    let f = cost(&at)?;
    let slope = grad(&[(&f, None)], &[&at])?.remove(0);
    Ok((f.check()?.detach(), slope))
}

/// The cost f of a draw, one number per row: [`differentiable`] or a [`black_box`], or that of a model's
/// site.
// `drawn` and `drawn_with_slope` are more than shortcuts: estimators are counted by their evaluations,
// and the draw's own cost is known without another one.
pub trait Cost {
    /// f(b) at a hard draw, as 0/1 or one-hot vertices of θ's shape.
    ///
    /// # Errors
    /// If the cost fails.
    fn hard(&self, b: &Tensor) -> Result<Tensor>;

    /// f(b) at the draw that the noise u gives. At a model's site it is already known from the run that
    /// made the draw.
    ///
    /// # Errors
    /// If the cost fails.
    fn drawn(&self, b: &Tensor) -> Result<Tensor> {
        self.hard(b)
    }

    /// f(b) at a hard draw and its slope ∂f/∂b there, from one evaluation. Later choices stay hard, and
    /// the slope does not pass through them.
    ///
    /// # Errors
    /// If the cost is a black box, or fails.
    fn with_slope(&self, b: &Tensor) -> Result<(Tensor, Tensor)>;

    /// The same at the draw that the noise u gives. At a model's site both are known from the run that
    /// made the draw, as far as its graph reaches.
    ///
    /// # Errors
    /// As [`with_slope`](Self::with_slope).
    fn drawn_with_slope(&self, b: &Tensor) -> Result<(Tensor, Tensor)> {
        self.with_slope(b)
    }

    /// f at a relaxed draw, differentiable in it; `temperature` is that of later choices.
    ///
    /// # Errors
    /// If the cost is a black box.
    fn relaxed(&self, draw: &Tensor, temperature: &Tensor) -> Result<Tensor>;
}

/// A cost that can be evaluated and differentiated between the values of the support.
///
/// Estimators that take its slope for its changes refuse it where a comparison, `detach`, or a read on
/// the host lies between the draw and the cost: they would be biased.
///
/// ```
/// use relax_runtime::dist::BernoulliRelaxation;
/// use relax_runtime::estimator::{Noise, Problem, differentiable, muprop};
/// use relax_runtime::prelude::*;
/// use relax_runtime::surrogate::Zero;
///
/// # fn main() -> Result<()> {
/// let theta = Tensor::from_slice(&[0.0, 0.0]);
/// let noise = Noise::coupled(Tensor::from_slice(&[0.25, 0.75]));
/// let problem = Problem::new(&BernoulliRelaxation, &theta, &noise);
/// let weights = Tensor::from_slice(&[1.0, -2.0]);
/// let linear = differentiable(|b: &Tensor| Ok((b * &weights).sum(0)));
/// // A Taylor expansion of a linear cost is exact: p (1 − p) times the weights.
/// let gradient = muprop(problem, &linear, 0.5, &Zero)?.gradient.to_vec()?;
/// assert!((gradient[0] - 0.25).abs() < 1e-6 && (gradient[1] + 0.5).abs() < 1e-6);
/// let step = differentiable(|b: &Tensor| Ok(b.gt(0.5).sum(0)));
/// assert!(muprop(problem, &step, 0.5, &Zero).is_err());
/// # Ok(())
/// # }
/// ```
pub fn differentiable(cost: impl Fn(&Tensor) -> Result<Tensor>) -> impl Cost {
    struct Differentiable<F>(F);
    impl<F: Fn(&Tensor) -> Result<Tensor>> Cost for Differentiable<F> {
        fn hard(&self, b: &Tensor) -> Result<Tensor> {
            Ok((self.0)(b)?.check()?.detach())
        }
        fn with_slope(&self, b: &Tensor) -> Result<(Tensor, Tensor)> {
            value_and_slope(&self.0, b)
        }
        fn relaxed(&self, draw: &Tensor, _: &Tensor) -> Result<Tensor> {
            draw.unbroken(&self.0, || {
                Error::Estimator(
                    "the cost's slope does not tell how it changes with the draw: a comparison, \
                     `detach`, or a read on the host lies between; use `black_box` with `rloo` or a \
                     free-form surrogate"
                        .into(),
                )
            })
        }
    }
    Differentiable(cost)
}

/// A cost that can only be evaluated at hard draws.
///
/// ```
/// use relax_runtime::dist::BernoulliRelaxation;
/// use relax_runtime::estimator::{Noise, Problem, black_box, muprop, reinforce};
/// use relax_runtime::prelude::*;
/// use relax_runtime::surrogate::Zero;
///
/// # fn main() -> Result<()> {
/// let theta = Tensor::from_slice(&[0.0, 0.0]);
/// let noise = Noise::coupled(Tensor::from_slice(&[0.25, 0.75]));
/// let problem = Problem::new(&BernoulliRelaxation, &theta, &noise);
/// let cost = black_box(|b: &Tensor| {
///     let coins = b.to_vec()?;
///     Ok(Tensor::scalar(if coins[0] == coins[1] { 0.0 } else { 1.0 }))
/// });
/// // The draw is (0, 1), at cost 1: the estimate is its score.
/// let gradient = reinforce(problem, &cost, 0.0)?.gradient.to_vec()?;
/// assert!((gradient[0] + 0.5).abs() < 1e-6 && (gradient[1] - 0.5).abs() < 1e-6);
/// assert!(muprop(problem, &cost, 0.5, &Zero).is_err());
/// # Ok(())
/// # }
/// ```
pub fn black_box(cost: impl Fn(&Tensor) -> Result<Tensor>) -> impl Cost {
    struct BlackBox<F>(F);
    impl<F: Fn(&Tensor) -> Result<Tensor>> Cost for BlackBox<F> {
        fn hard(&self, b: &Tensor) -> Result<Tensor> {
            Ok((self.0)(b)?.check()?.detach())
        }
        fn with_slope(&self, _: &Tensor) -> Result<(Tensor, Tensor)> {
            Err(Error::Estimator(
                "a black-box cost has no slope; use `rloo`, or a free-form surrogate".into(),
            ))
        }
        fn relaxed(&self, _: &Tensor, _: &Tensor) -> Result<Tensor> {
            Err(Error::Estimator(
                "a black-box cost cannot be evaluated at a relaxed draw; use a free-form surrogate"
                    .into(),
            ))
        }
    }
    BlackBox(cost)
}

/// What an estimator returns; all tensors are constants.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// f(b), one number per row.
    pub cost: Tensor,
    /// The estimate of ∂E\[f\]/∂θ, row by row, of θ's shape.
    pub gradient: Tensor,
    /// ∂/∂φ of the mean square of `gradient` over rows and coordinates, one tensor per parameter of
    /// the surrogate: its expectation is the gradient of the variance.
    pub variance_gradient: VarianceGradient,
    /// How many times f was evaluated for the gradient, counted as in the literature. Where a surrogate
    /// that contains f is trained, its relaxed evaluations carry a tangent.
    pub evaluations: usize,
}
