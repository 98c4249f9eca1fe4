//! What an estimator is given, and what it returns.

use std::panic::Location;

use crate::dist::{Form, Relaxation};
use crate::error::{Error, Result};
use crate::surrogate::{CostAt, Surroundings, VarianceGradient};
use crate::tensor::{Shape, Tensor, grad};

/// The random numbers behind one draw, of θ's shape: uniform [noise](crate::dist::noise).
#[derive(Clone, Debug)]
pub struct Noise {
    /// u, behind z and b.
    pub u: Tensor,
    /// v, behind z̃; `None` couples z̃ to z, so that the two are equal and one evaluation of the
    /// surrogate serves both.
    pub v: Option<Tensor>,
    /// As many further ones as the estimator asks for: behind draws of its own.
    pub further: Vec<Tensor>,
}

impl Noise {
    /// The noise of one draw, with z̃ coupled to z and nothing further.
    pub fn coupled(u: Tensor) -> Self {
        Self {
            u,
            v: None,
            further: Vec::new(),
        }
    }
}

/// One discrete choice, or a block of independent ones, with every random number given.
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
    /// What the surrogate may look at beside z and θ, `[rows.., n]`.
    pub context: Option<&'a Tensor>,
}

impl<'a> Problem<'a> {
    /// A choice without rows: θ `[event..]`, the cost one number.
    pub fn new(relaxation: &'a dyn Relaxation, theta: &'a Tensor, noise: &'a Noise) -> Self {
        Self {
            relaxation,
            theta,
            noise,
            plates: 0,
            context: None,
        }
    }

    /// Takes the first axis as independent rows: the cost is one number a row.
    #[must_use]
    pub fn rows(mut self) -> Self {
        self.plates = 1;
        self
    }

    /// θ as a constant, once the shapes of all that is given fit: what a function that estimates
    /// starts with.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are more rows' axes than θ has beside its events, or if noise or
    /// context have other shapes than they are to have.
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

    /// An error unless the choices are coins.
    pub(super) fn expect_coins(&self, estimator: &str) -> Result<()> {
        self.expect_form(Form::Coins, estimator, "coins")
    }

    /// An error unless the choices are one-hot vectors.
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

    /// The draw of the noise u, and those of the further noise.
    pub(super) fn draws(&self) -> Vec<Tensor> {
        let theta = self.theta.detach();
        let noise = std::iter::once(&self.noise.u).chain(&self.noise.further);
        noise
            .map(|u| self.relaxation.hard(&self.relaxation.relaxed(&theta, u)))
            .collect()
    }

    /// A cost as a number a row, also where the rows share one.
    pub(super) fn each_row(&self, cost: &Tensor) -> Tensor {
        let rows = self.theta.shape().leading(self.plates);
        match cost.len() {
            1 if cost.rank() > rows.rank() => cost.reshape(rows),
            _ => cost.broadcast_to(rows),
        }
    }

    /// A number a row, shaped to multiply tensors of θ's shape.
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

/// A cotangent of a sample, brought to θ.
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

/// Value and slope of a function of a draw, a number a row.
pub(crate) fn value_and_slope(
    cost: &dyn Fn(&Tensor) -> Result<Tensor>,
    at: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let at = at.detach().leaf();
    let f = cost(&at)?;
    let slope = grad(&[(&f, None)], &[&at])?.remove(0);
    Ok((f.check()?.detach(), slope))
}

/// The cost f of a draw, a number a row.
// `drawn` and `drawn_with_slope` belong here: that the draw's own cost is known without another
// evaluation is what estimators are counted by, not only a shorter way.
pub trait Cost {
    /// f(b) at a hard draw, as 0/1 or one-hot vertices of θ's shape.
    ///
    /// # Errors
    /// The cost's own.
    fn hard(&self, b: &Tensor) -> Result<Tensor>;

    /// f(b) at the draw that the noise u gives: already known at the site of a model, whose first
    /// evaluation it was.
    ///
    /// # Errors
    /// The cost's own.
    fn drawn(&self, b: &Tensor) -> Result<Tensor> {
        self.hard(b)
    }

    /// f(b) at a hard draw and its slope ∂f/∂b there, from one evaluation. Choices made later are
    /// as hard as ever, and the slope does not pass through them.
    ///
    /// # Errors
    /// If the cost is a black box, or its own.
    fn with_slope(&self, b: &Tensor) -> Result<(Tensor, Tensor)>;

    /// The same at the draw that the noise u gives. At the site of a model both are known from the
    /// run that made the draw, as far as its graph reaches.
    ///
    /// # Errors
    /// As [`with_slope`](Self::with_slope).
    fn drawn_with_slope(&self, b: &Tensor) -> Result<(Tensor, Tensor)> {
        self.with_slope(b)
    }

    /// f at a relaxed draw, differentiable in it; `temperature` is that of choices made later.
    ///
    /// # Errors
    /// If the cost is a black box.
    fn relaxed(&self, draw: &Tensor, temperature: &Tensor) -> Result<Tensor>;
}

/// A cost that can be evaluated, and differentiated, between the values of the support. Estimators
/// that take its slope for its changes refuse it where a comparison, `detach`, or a read on the host
/// lies between the draw and the cost: they would be biased.
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
    /// f(b), a number a row.
    pub cost: Tensor,
    /// The estimate of ∂E\[f\]/∂θ, row by row, of θ's shape.
    pub gradient: Tensor,
    /// ∂/∂φ of the mean square of `gradient` over rows and coordinates, a tensor a parameter of
    /// the surrogate: its expectation is the gradient of the variance.
    pub variance_gradient: VarianceGradient,
    /// How many times f was evaluated for the gradient, as the literature counts. Where a surrogate
    /// that contains f is trained, its relaxed evaluations carry a tangent.
    pub evaluations: usize,
}
