//! Values of sites, typed and untyped.

use std::fmt;

use crate::error::{Error, Result};
use crate::tensor::{Device, Shape, SiteSet, Tensor};

/// The value of a site.
#[derive(Clone, Debug)]
pub enum Value {
    /// A host Bernoulli draw.
    Bool(bool),
    /// A host categorical draw.
    Index(usize),
    /// A host real number.
    Real(f64),
    /// A host vector, such as a one-hot draw.
    Vector(Vec<f64>),
    /// A tensor, on any device.
    Tensor(Tensor),
}

impl Value {
    /// The value as a tensor: numbers become rank 0, vectors rank 1.
    ///
    /// # Errors
    /// If it is a tensor that carries an error.
    pub fn to_tensor(&self) -> Result<Tensor> {
        match self {
            Value::Bool(b) => Ok(Tensor::scalar(f32::from(u8::from(*b)))),
            Value::Index(k) => Ok(Tensor::scalar(*k as f32)),
            Value::Real(x) => Ok(Tensor::scalar(*x as f32)),
            Value::Vector(v) => {
                let data: Vec<f32> = v.iter().map(|&x| x as f32).collect();
                let shape = Shape::from([data.len()]);
                Tensor::from_vec(data, shape, &Device::cpu())
            }
            Value::Tensor(t) => t.check().cloned(),
        }
    }

    /// The value's elements as `f64`, in row-major order. Counts as a read of the random sites that a tensor came from.
    ///
    /// # Errors
    /// If it is a tensor that carries an error.
    pub fn to_f64s(&self) -> Result<Vec<f64>> {
        if let Value::Tensor(t) = self {
            t.mark_read();
        }
        self.peek_f64s()
    }

    /// As [`to_f64s`](Self::to_f64s), but does not count as a read.
    pub(crate) fn peek_f64s(&self) -> Result<Vec<f64>> {
        match self {
            Value::Bool(b) => Ok(vec![f64::from(u8::from(*b))]),
            Value::Index(k) => Ok(vec![*k as f64]),
            Value::Real(x) => Ok(vec![*x]),
            Value::Vector(v) => Ok(v.clone()),
            Value::Tensor(t) => Ok(t.peek()?.into_iter().map(f64::from).collect()),
        }
    }

    /// Shape of the value as a tensor.
    pub fn shape(&self) -> Shape {
        match self {
            Value::Bool(_) | Value::Index(_) | Value::Real(_) => Shape::from([]),
            Value::Vector(v) => Shape::from([v.len()]),
            Value::Tensor(t) => t.shape(),
        }
    }

    fn single(&self, wanted: &'static str) -> Result<f64> {
        let only = |values: &[f32]| match values {
            [x] => Some(f64::from(*x)),
            _ => None,
        };
        let found = match self {
            Value::Bool(b) => Some(f64::from(u8::from(*b))),
            Value::Index(k) => Some(*k as f64),
            Value::Real(x) => Some(*x),
            Value::Vector(v) => v.first().copied().filter(|_| v.len() == 1),
            Value::Tensor(t) => t.with_values(only)?,
        };
        found.ok_or_else(|| mismatch(wanted, self))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 6;
        match self {
            Value::Bool(b) => return write!(f, "{b}"),
            Value::Index(k) => return write!(f, "{k}"),
            Value::Real(x) => return write!(f, "{x:.4}"),
            Value::Vector(_) | Value::Tensor(_) => {}
        }
        let values = match self.peek_f64s() {
            Ok(values) => values,
            Err(error) => return write!(f, "({error})"),
        };
        let scalar = self.shape().rank() == 0;
        if !scalar {
            f.write_str("[")?;
        }
        for (i, x) in values.iter().take(SHOWN).enumerate() {
            let gap = if i == 0 { "" } else { ", " };
            let digits = if x.fract() == 0.0 { 0 } else { 4 };
            write!(f, "{gap}{x:.digits$}")?;
        }
        if values.len() > SHOWN {
            f.write_str(", ..")?;
        }
        if scalar { Ok(()) } else { f.write_str("]") }
    }
}

fn mismatch(wanted: &'static str, value: &Value) -> Error {
    Error::Value(format!(
        "the site holds {wanted}, but was given {value} of shape {}",
        value.shape()
    ))
}

/// A type that a site can hold.
pub trait SiteValue: Clone + 'static {
    /// Whether it can be read without a device: control flow may depend on it unseen.
    const HOST: bool;
    /// Erases the type of the value.
    fn into_value(self) -> Value;
    /// Restores the type of the value.
    ///
    /// # Errors
    /// If the value is of another kind, such as a vector for a `bool`.
    fn from_value(value: &Value) -> Result<Self>;
}

impl<T: SiteValue> From<T> for Value {
    fn from(value: T) -> Self {
        value.into_value()
    }
}

impl SiteValue for bool {
    const HOST: bool = true;
    fn into_value(self) -> Value {
        Value::Bool(self)
    }
    fn from_value(value: &Value) -> Result<Self> {
        match value {
            Value::Bool(b) => Ok(*b),
            other => {
                let x = other.single("true or false")?;
                if x == 0.0 || x == 1.0 {
                    Ok(x == 1.0)
                } else {
                    Err(mismatch("true or false", value))
                }
            }
        }
    }
}

impl SiteValue for usize {
    const HOST: bool = true;
    fn into_value(self) -> Value {
        Value::Index(self)
    }
    fn from_value(value: &Value) -> Result<Self> {
        match value {
            Value::Index(k) => Ok(*k),
            other => {
                let x = other.single("an index")?;
                if x >= 0.0 && x.fract() == 0.0 {
                    Ok(x as usize)
                } else {
                    Err(mismatch("an index", value))
                }
            }
        }
    }
}

impl SiteValue for f64 {
    const HOST: bool = true;
    fn into_value(self) -> Value {
        Value::Real(self)
    }
    fn from_value(value: &Value) -> Result<Self> {
        value.single("a number")
    }
}

impl SiteValue for Vec<f64> {
    const HOST: bool = true;
    fn into_value(self) -> Value {
        Value::Vector(self)
    }
    fn from_value(value: &Value) -> Result<Self> {
        value.peek_f64s()
    }
}

impl SiteValue for Tensor {
    const HOST: bool = false;
    fn into_value(self) -> Value {
        Value::Tensor(self)
    }
    fn from_value(value: &Value) -> Result<Self> {
        value.to_tensor()
    }
}

/// A value that `observe!` accepts for a site that holds `V`.
#[diagnostic::on_unimplemented(
    message = "a site that holds `{V}` cannot observe `{Self}`",
    label = "expected `{V}`"
)]
pub trait IntoSiteValue<V> {
    /// The value as the site holds it.
    fn into_site_value(self) -> V;
}

macro_rules! site_values {
    ($($from:ty => $to:ty, $x:ident => $body:expr;)*) => {$(
        impl IntoSiteValue<$to> for $from {
            fn into_site_value(self) -> $to {
                let $x = self;
                $body
            }
        }
    )*};
}

site_values! {
    bool => bool, x => x;
    &bool => bool, x => *x;
    usize => usize, x => x;
    &usize => usize, x => *x;
    f64 => f64, x => x;
    &f64 => f64, x => *x;
    Vec<f64> => Vec<f64>, x => x;
    &Vec<f64> => Vec<f64>, x => x.clone();
    &[f64] => Vec<f64>, x => x.to_vec();
    Tensor => Tensor, x => x;
    &Tensor => Tensor, x => x.clone();
    f64 => Tensor, x => Tensor::scalar(x as f32);
    bool => Tensor, x => Tensor::scalar(f32::from(u8::from(x)));
    usize => Tensor, x => Tensor::scalar(x as f32);
}

/// A number of the objective: computed on the host, or a tensor with one row per plate member.
#[derive(Clone, Debug)]
pub enum Number {
    /// A host number.
    Host(f64),
    /// A tensor.
    Tensor(Tensor),
}

impl Number {
    /// Sums a tensor over the axes after the first `plates`.
    #[must_use]
    pub fn sum_from(self, plates: usize) -> Self {
        match self {
            Number::Tensor(t) if t.rank() > plates => Number::Tensor(t.sum_from(plates)),
            other => other,
        }
    }

    /// The number times a constant.
    #[must_use]
    pub fn scale(&self, factor: f64) -> Self {
        match self {
            Number::Host(x) => Number::Host(x * factor),
            Number::Tensor(t) if factor == 1.0 => Number::Tensor(t.clone()),
            Number::Tensor(t) => Number::Tensor(t * factor as f32),
        }
    }

    /// The sum of all elements, as `f64`. Counts as a read of the random sites that a tensor came from: what a model
    /// makes of it depends on them.
    ///
    /// # Errors
    /// If it is a tensor that carries an error.
    pub fn total(&self) -> Result<f64> {
        if let Number::Tensor(t) = self {
            t.mark_read();
        }
        self.peek_total()
    }

    /// As [`total`](Self::total), but does not count as a read.
    pub(crate) fn peek_total(&self) -> Result<f64> {
        match self {
            Number::Host(x) => Ok(*x),
            Number::Tensor(t) => t.with_values(|x| x.iter().map(|&x| f64::from(x)).sum()),
        }
    }

    /// The random sites that a tensor came from; for a host number they are unknown, and the set is empty.
    pub fn sites(&self) -> SiteSet {
        match self {
            Number::Host(_) => SiteSet::default(),
            Number::Tensor(t) => t.sites(),
        }
    }
}

impl From<f64> for Number {
    fn from(x: f64) -> Self {
        Number::Host(x)
    }
}

impl From<Tensor> for Number {
    fn from(t: Tensor) -> Self {
        Number::Tensor(t)
    }
}

impl From<&Tensor> for Number {
    fn from(t: &Tensor) -> Self {
        Number::Tensor(t.clone())
    }
}
