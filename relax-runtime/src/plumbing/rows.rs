//! Distributions inside plates: those over host numbers are repeated for every row.
//!
//! A draw of host numbers is one host value, while the rows of a plate are a tensor. So the generated
//! code asks the compiler whether a distribution inside a plate can be repeated, by autoref
//! specialization as in `returns`, and leaves it as it is where it cannot.

use std::marker::PhantomData;

use crate::dist::{IntoDistribution, Repeat};
use crate::error::Result;
use crate::model::Context;

/// The type of a distribution, or of the result of making one.
pub struct Rows<T>(PhantomData<fn() -> T>);

impl<T> Rows<T> {
    /// The type of a distribution, to be asked for its `kind`.
    pub const fn of(_: &T) -> Self {
        Self(PhantomData)
    }
}

/// Host numbers that can be repeated.
pub trait RepeatedRows {
    /// How they are repeated.
    fn kind(&self) -> Repeated;
}

impl<T: IntoDistribution<Distribution: Repeat>> RepeatedRows for Rows<T> {
    fn kind(&self) -> Repeated {
        Repeated
    }
}

/// Anything else.
pub trait OwnRows {
    /// Leaves it as it is.
    fn kind(&self) -> Own;
}

impl<T> OwnRows for &Rows<T> {
    fn kind(&self) -> Own {
        Own
    }
}

/// Makes tensors from host numbers.
pub struct Repeated;

impl Repeated {
    /// The distribution over tensors, with an axis of length 1 for each enclosing plate.
    ///
    /// # Errors
    /// That of making it, or if there are more axes than a tensor can have.
    pub fn rows<T: IntoDistribution<Distribution: Repeat>>(
        self,
        dist: T,
        context: &Context,
    ) -> Result<<T::Distribution as Repeat>::Rows> {
        dist.into_distribution()?.repeated(context.plates_around())
    }
}

/// Leaves a distribution as it is.
pub struct Own;

impl Own {
    /// The distribution unchanged.
    pub fn rows<T>(self, dist: T, _: &Context) -> T {
        dist
    }
}
