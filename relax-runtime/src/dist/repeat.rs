//! Distributions over host numbers that may be used in a plate, where they are repeated for every row.

use super::counts::{CountFamily, CountOperand, Counts};
use super::weights::on_cpu;
use super::{
    Bernoulli, Categorical, Continuous, Dirichlet, Distribution, Normal, OneHotCategorical, Real,
};
use crate::error::Result;
use crate::tensor::Tensor;

/// A distribution over host numbers with the same draws over tensors, which `sample!` and `observe!` use in its
/// place inside a `plate!` of a model.
pub trait Repeat: Distribution {
    /// The distribution over tensors.
    type Rows: Distribution<Value = Tensor>;

    /// The same distribution over tensors, whose parameters have `axes` axes of length 1 in front of those of
    /// a draw: one for each plate.
    ///
    /// # Errors
    /// If the numbers are not valid parameters in single precision, or a tensor cannot have that many axes.
    fn repeated(self, axes: usize) -> Result<Self::Rows>;
}

/// A tensor with axes of length 1 put in front.
pub(super) fn behind(tensor: &Tensor, axes: usize) -> Result<Tensor> {
    let tensor = (0..axes).fold(tensor.clone(), |tensor, _| tensor.unsqueeze(0));
    tensor.check().cloned()
}

fn scalar(x: f64, axes: usize) -> Result<Tensor> {
    behind(&Tensor::scalar(x as f32), axes)
}

impl Repeat for Bernoulli<f64> {
    type Rows = Bernoulli<Tensor>;
    fn repeated(self, axes: usize) -> Result<Bernoulli<Tensor>> {
        self.over_tensors().behind(axes)
    }
}

impl Repeat for Normal<f64> {
    type Rows = Normal<Tensor>;
    fn repeated(self, axes: usize) -> Result<Normal<Tensor>> {
        let (loc, scale) = self.into_parts();
        Normal::new(scalar(loc, axes)?, scalar(scale, axes)?)
    }
}

impl<D: Continuous<Real = f64>> Repeat for D {
    type Rows = D::Tensors;
    fn repeated(self, axes: usize) -> Result<D::Tensors> {
        let parameters = self.parameters();
        let tensors = parameters.iter().map(|x| behind(&x.tensor(), axes));
        D::Tensors::of(&tensors.collect::<Result<Vec<_>>>()?).checked()
    }
}

impl Repeat for Categorical<Vec<f64>> {
    type Rows = Categorical<Tensor>;
    fn repeated(self, axes: usize) -> Result<Categorical<Tensor>> {
        let weights = on_cpu(&self.into_weights().logits)?.behind(axes)?;
        Ok(Categorical::of_weights(weights))
    }
}

impl Repeat for OneHotCategorical<Vec<f64>> {
    type Rows = OneHotCategorical<Tensor>;
    fn repeated(self, axes: usize) -> Result<OneHotCategorical<Tensor>> {
        let weights = on_cpu(&self.into_weights().logits)?.behind(axes)?;
        Ok(OneHotCategorical::of_weights(weights))
    }
}

impl Repeat for Dirichlet<Vec<f64>> {
    type Rows = Dirichlet<Tensor>;
    fn repeated(self, axes: usize) -> Result<Dirichlet<Tensor>> {
        let numbers: Vec<f32> = self
            .into_concentration()
            .iter()
            .map(|&a| a as f32)
            .collect();
        Dirichlet::new(behind(&Tensor::from_slice(&numbers), axes)?)
    }
}

impl<F: CountFamily> Repeat for Counts<F, f64> {
    type Rows = Counts<F, Tensor>;
    fn repeated(self, axes: usize) -> Result<Counts<F, Tensor>> {
        let (family, theta, fixed) = self.into_parts();
        let parts = theta.iter().map(|&x| scalar(x, axes));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let theta = match family.is_vector() {
            true => Tensor::stack(&parts.iter().collect::<Vec<_>>(), -1),
            false => <Tensor as CountOperand>::theta(&parts)?,
        };
        let theta = theta.check()?.clone();
        Ok(Counts::of_theta(
            family,
            theta,
            Tensor::scalar(fixed as f32),
        ))
    }
}
