//! Dirichlet: vectors of probabilities.

use std::rc::Rc;

use smallvec::smallvec;

use super::family::LEAST_SHARE;
use super::gamma::uniform;
use super::guides::FIRST_SHAPES;
use super::{
    Bijection, Constraint, Distribution, Draws, Law, MeanField, Number, Numbers, Part,
    PerParameter, Real, Support, VectorOperand, check_event_fit, expand_parameter,
};
use crate::error::{Error, Result};
use crate::random::Stream;
use crate::special::HALF_LN_TAU;
use crate::tensor::Tensor;

const NAME: &str = "Dirichlet";
const SUPPORT: &str = "vectors of positive numbers whose sum is 1";
const CONCENTRATION: &str = "concentration";

/// How far the numbers of a vector may sum from one before it is an error rather than rounding.
const SUM_TOLERANCE: f64 = 1e-4;

/// Independent vectors x of positive numbers whose sum is 1, of density Π xₖ^(aₖ − 1)/B(a) with a =
/// `concentration`. Over `f64`s a draw is a `Vec<f64>`; over a tensor, whose last axis is the vector, a
/// tensor of its shape.
///
/// A draw is made of [`Gamma`](super::Gamma) numbers divided by their sum, computed from their logarithms, so
/// that no shape is too small; it is differentiable in the parameter. Its automatic guide is a Dirichlet.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let density = Dirichlet::new([1.0, 1.0, 1.0])?.log_prob(&vec![0.2, 0.3, 0.5])?.total()?;
/// assert!((density - 2.0_f64.ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Dirichlet<P> {
    concentration: P,
}

/// One number's part of the log-density, without what depends on the sum of all parameters alone.
fn term<R: Real>(a: &R, total: &R, x: &R) -> R {
    let mean = a.clone() / total.clone();
    let deviance = a.clone() * (x.clone() / mean).unit_deviance();
    a.ln() * 0.5 - a.stirling_error() - deviance - x.ln()
}

/// The rest of the log-density, for vectors of this length.
fn rest<R: Real>(total: &R, len: usize) -> R {
    total.stirling_error() - total.ln() * 0.5 - HALF_LN_TAU * (len as f64 - 1.0)
}

fn positive(x: f64) -> bool {
    Support::Positive.contains(x)
}

impl<P: Numbers> Dirichlet<P> {
    /// Vectors with mean aₖ/Σ aₖ, which vary less the larger the numbers a = `concentration` are.
    ///
    /// # Errors
    /// If `concentration` is not a vector, is empty, or is not positive and finite.
    pub fn new(concentration: impl VectorOperand<Repr = P>) -> Result<Self> {
        Self::checked(concentration.into_repr())
    }

    fn checked(concentration: P) -> Result<Self> {
        let demand = Support::Positive.demand();
        concentration.check_numbers(NAME, CONCENTRATION, positive, demand)?;
        match concentration.shape().last() {
            Some(1..) => Ok(Self { concentration }),
            _ => Err(Error::Parameter {
                distribution: NAME,
                parameter: CONCENTRATION,
                problem: "is not a vector of one number or more; give one for each category".into(),
            }),
        }
    }
}

impl Dirichlet<Vec<f64>> {
    /// The parameter.
    pub(super) fn into_concentration(self) -> Vec<f64> {
        self.concentration
    }
}

impl Distribution for Dirichlet<Vec<f64>> {
    type Value = Vec<f64>;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Vec<f64>) -> Result<bool> {
        let sum: f64 = value.iter().sum();
        let fits = value.len() == self.concentration.len();
        Ok(fits && value.iter().all(|&x| positive(x)) && (sum - 1.0).abs() <= SUM_TOLERANCE)
    }

    fn log_density(&self, value: &Vec<f64>) -> Result<Number> {
        let total: f64 = self.concentration.iter().sum();
        let terms = self.concentration.iter().zip(value);
        let sum: f64 = terms.map(|(a, x)| term(a, &total, x)).sum();
        Ok((sum + rest(&total, self.concentration.len())).into())
    }

    fn sample(&self, stream: &mut Stream) -> Result<Vec<f64>> {
        let each = self.concentration.iter();
        let logs: Vec<f64> = each
            .map(|a| a.ln() + a.ln_gamma_ratio(&uniform(stream)))
            .collect();
        let largest = logs.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = logs.iter().map(|l| (l - largest).exp()).sum();
        let shares = logs
            .iter()
            .map(|l| ((l - largest).exp() / sum).max(LEAST_SHARE));
        Ok(shares.collect())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let numbers: Vec<f32> = self.concentration.iter().map(|&a| a as f32).collect();
        let concentration = Tensor::from_slice(&numbers);
        Ok(Rc::new(Dirichlet::checked(concentration)?))
    }
}

impl Distribution for Dirichlet<Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        if value.check()?.rank() == 0 {
            return Ok(false);
        }
        let sums = value.detach().sum(-1);
        Ok(value.all(positive)? && sums.all(|sum| (sum - 1.0).abs() <= SUM_TOLERANCE)?)
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        check_event_fit(NAME, self.concentration.shape(), 1, value)?;
        Ok(Law::log_density(self, value).into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(self.clone()))
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        let concentration = expand_parameter(NAME, CONCENTRATION, &self.concentration, plates, 1)?;
        Ok(Self { concentration })
    }
}

impl Law for Dirichlet<Tensor> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        smallvec![self.concentration.clone()]
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        let concentration = parameters[0].clone();
        Rc::new(Self { concentration })
    }

    fn bijection(&self) -> Option<Bijection> {
        Some(Bijection::Simplex)
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Pathwise
    }

    fn event_rank(&self) -> usize {
        1
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        let a = &self.concentration;
        let terms = term(a, &a.sum_keepdim(-1), value).sum(-1);
        terms + rest(&a.sum(-1), a.shape().last().copied().unwrap_or(1))
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        let (shape, device) = (self.concentration.shape(), self.concentration.device());
        <Tensor as Real>::noise(shape, &device, || uniform(stream))
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        let logs = self.concentration.ln() + self.concentration.ln_gamma_ratio(noise);
        Real::kept_within(&logs.softmax(-1), LEAST_SHARE, 1.0)
    }

    fn mirrored(&self, noise: &Tensor) -> Option<Tensor> {
        Some(-noise)
    }

    fn mean_field(&self) -> MeanField<'_> {
        let (least, most) = FIRST_SHAPES;
        let start = self.concentration.kept_within(least, most);
        MeanField::new([Part::positive("log_concentration", &start)], |free| {
            Dirichlet::new(Constraint::Positive.value(&free[0]))?.law()
        })
        .for_draws_about(|loc, scale| {
            // The curvature along the logarithm of the ratio of one share to the last is the sum of the shapes, times
            // share and rest.
            let shares = Bijection::Simplex.value(loc);
            let len = shares.shape().last().copied().unwrap_or(1);
            let first = shares.slice(-1, 0..len - 1);
            let parts = (&first - first.square()) * scale.square();
            let all = parts.sum_keepdim(-1) / (len - 1) as f32;
            [shares.ln() - all.ln()].into_iter().collect()
        })
    }

    fn mean(&self) -> Tensor {
        &self.concentration / self.concentration.sum_keepdim(-1)
    }
}
