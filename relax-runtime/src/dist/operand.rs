//! The forms in which a distribution's parameter may be given: host numbers or tensors.

use super::checks::{check_values, parameter_error};
use crate::error::{Error, Result};
use crate::tensor::{Device, Parameter, Shape, Tensor};

/// A scalar parameter: `f64`, or a tensor of any shape.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be this parameter of a distribution",
    label = "expected a number (`f64`, such as `1.0`) or a `Tensor`"
)]
pub trait Operand {
    /// `f64` or [`Tensor`].
    type Repr;
    /// The parameter itself.
    fn into_repr(self) -> Self::Repr;
}

/// A vector parameter: `f64`s, or a tensor whose last axis is the vector.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be this parameter of a distribution",
    label = "expected numbers (`f64`s, such as `[0.2, 0.8]`) or a `Tensor`"
)]
pub trait VectorOperand {
    /// `Vec<f64>` or [`Tensor`].
    type Repr;
    /// The parameter itself.
    fn into_repr(self) -> Self::Repr;
}

/// A matrix parameter: rows of `f64`s, or a tensor whose last two axes are the matrix.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be this parameter of a distribution",
    label = "expected a matrix (rows of `f64`s, such as `[[1.0, 0.0], [0.5, 1.0]]`) or a `Tensor`"
)]
pub trait MatrixOperand {
    /// The parameter as a tensor.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) if rows differ in length.
    fn into_matrix(self) -> Result<Tensor>;
}

/// A parameter once it is converted: `f64` or [`Tensor`], or for a vector `Vec<f64>` or [`Tensor`].
pub trait Numbers {
    /// Its shape; a number has rank 0.
    fn shape(&self) -> Shape;

    /// Checks every number; this does not count as a read by the host.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter), naming the first number that is not `valid`.
    fn check_numbers(
        &self,
        distribution: &'static str,
        parameter: &'static str,
        valid: impl Fn(f64) -> bool + Sync,
        problem: &str,
    ) -> Result<()>;

    /// Whether the numbers come from draws, which may be relaxed: counts then lie between whole numbers.
    fn may_be_relaxed(&self) -> bool {
        false
    }
}

impl Numbers for f64 {
    fn shape(&self) -> Shape {
        Shape::SCALAR
    }

    fn check_numbers(
        &self,
        distribution: &'static str,
        parameter: &'static str,
        valid: impl Fn(f64) -> bool + Sync,
        problem: &str,
    ) -> Result<()> {
        match valid(*self) {
            true => Ok(()),
            false => Err(parameter_error(distribution, parameter, *self, problem)),
        }
    }
}

impl Numbers for Vec<f64> {
    fn shape(&self) -> Shape {
        Shape::from([self.len()])
    }

    fn check_numbers(
        &self,
        distribution: &'static str,
        parameter: &'static str,
        valid: impl Fn(f64) -> bool + Sync,
        problem: &str,
    ) -> Result<()> {
        match self.iter().find(|x| !valid(**x)) {
            None => Ok(()),
            Some(&x) => Err(parameter_error(distribution, parameter, x, problem)),
        }
    }
}

impl Numbers for Tensor {
    fn shape(&self) -> Shape {
        Tensor::shape(self)
    }

    fn check_numbers(
        &self,
        distribution: &'static str,
        parameter: &'static str,
        valid: impl Fn(f64) -> bool + Sync,
        problem: &str,
    ) -> Result<()> {
        let valid = |x: f32| valid(f64::from(x));
        check_values(distribution, parameter, self, valid, problem)
    }

    fn may_be_relaxed(&self) -> bool {
        self.provenance().is_some() || self.cases().is_some()
    }
}

macro_rules! operands {
    ($($trait:ident: $type:ty => $repr:ty, $self:ident => $body:expr;)*) => {$(
        impl $trait for $type {
            type Repr = $repr;
            fn into_repr($self) -> $repr {
                $body
            }
        }
    )*};
}

operands! {
    Operand: f64 => f64, self => self;
    Operand: &f64 => f64, self => *self;
    Operand: Tensor => Tensor, self => self;
    Operand: &Tensor => Tensor, self => self.clone();
    Operand: &Parameter => Tensor, self => self.get();
    VectorOperand: Vec<f64> => Vec<f64>, self => self;
    VectorOperand: &Vec<f64> => Vec<f64>, self => self.clone();
    VectorOperand: &[f64] => Vec<f64>, self => self.to_vec();
    VectorOperand: Tensor => Tensor, self => self;
    VectorOperand: &Tensor => Tensor, self => self.clone();
    VectorOperand: &Parameter => Tensor, self => self.get();
}

impl MatrixOperand for Tensor {
    fn into_matrix(self) -> Result<Tensor> {
        Ok(self)
    }
}

impl MatrixOperand for &Tensor {
    fn into_matrix(self) -> Result<Tensor> {
        Ok(self.clone())
    }
}

impl MatrixOperand for &Parameter {
    fn into_matrix(self) -> Result<Tensor> {
        Ok(self.get())
    }
}

impl MatrixOperand for Vec<Vec<f64>> {
    fn into_matrix(self) -> Result<Tensor> {
        let columns = self.first().map_or(0, Vec::len);
        if let Some(row) = self.iter().position(|row| row.len() != columns) {
            return Err(Error::Value(format!(
                "row {row} of a matrix has {} numbers, and row 0 has {columns}; give rows of equal length",
                self[row].len()
            )));
        }
        let shape = [self.len(), columns];
        let numbers = self.iter().flatten().map(|&x| x as f32).collect();
        Tensor::from_vec(numbers, shape, &Device::cpu())
    }
}

impl<const M: usize, const N: usize> MatrixOperand for [[f64; N]; M] {
    fn into_matrix(self) -> Result<Tensor> {
        self.map(|row| row.to_vec()).to_vec().into_matrix()
    }
}

impl<const N: usize> VectorOperand for [f64; N] {
    type Repr = Vec<f64>;
    fn into_repr(self) -> Vec<f64> {
        self.to_vec()
    }
}

impl<const N: usize> VectorOperand for &[f64; N] {
    type Repr = Vec<f64>;
    fn into_repr(self) -> Vec<f64> {
        self.to_vec()
    }
}
