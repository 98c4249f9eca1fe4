//! Observations outside of the support that earlier choices have led to.

use std::rc::Rc;

use crate::dist::AnyDistribution;
use crate::error::Error;

/// An observation outside of the support that earlier choices have led to: others may lead to another
/// distribution, so that it has probability 0 here, and the run goes on.
#[derive(Clone, Debug)]
pub(crate) struct OutOfSupport {
    /// That the value is outside of the support.
    error: Error,
    /// Whether the same distribution with other parameters may have the value.
    is_by_parameters: bool,
}

impl OutOfSupport {
    pub(crate) fn new(error: Error, is_by_parameters: bool) -> Self {
        Self {
            error,
            is_by_parameters,
        }
    }

    /// The error of a value that the distribution has under no parameters, so that it is wrong there whatever was
    /// drawn.
    pub(crate) fn mistake(&self) -> Option<&Error> {
        (!self.is_by_parameters).then_some(&self.error)
    }
}

/// What is known of a term beside its number.
#[derive(Clone, Copy)]
pub(crate) enum Known<'a> {
    /// Nothing, or the term is no value's log-density.
    Nothing,
    /// The distribution, whose support has the value.
    Inside(&'a dyn AnyDistribution),
    /// That its support does not have it.
    Outside(&'a OutOfSupport),
}

impl<'a> Known<'a> {
    /// Of a term with this distribution, whose value may lie outside of its support.
    pub(crate) fn of(
        outside: Option<&'a Rc<OutOfSupport>>,
        dist: Option<&'a Rc<dyn AnyDistribution>>,
    ) -> Self {
        match (outside, dist) {
            (Some(outside), _) => Self::Outside(outside),
            (None, Some(dist)) => Self::Inside(&**dist),
            (None, None) => Self::Nothing,
        }
    }
}
