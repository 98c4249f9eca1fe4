//! Observations outside the support that earlier choices led to.

use std::rc::Rc;

use crate::dist::AnyDistribution;
use crate::error::Error;

/// An observation outside the support that earlier choices led to: other choices may lead to another distribution, so
/// it has probability 0 here, and the run continues.
#[derive(Clone, Debug)]
pub(crate) struct OutOfSupport {
    /// The error that the value is outside the support.
    error: Error,
    /// Whether the same distribution with other parameters may contain the value.
    is_by_parameters: bool,
}

impl OutOfSupport {
    pub(crate) fn new(error: Error, is_by_parameters: bool) -> Self {
        Self {
            error,
            is_by_parameters,
        }
    }

    /// The error of a value that the distribution contains under no parameters, so that it is wrong whatever was drawn.
    pub(crate) fn mistake(&self) -> Option<&Error> {
        (!self.is_by_parameters).then_some(&self.error)
    }
}

/// What is known about a term besides its number.
#[derive(Clone, Copy)]
pub(crate) enum Known<'a> {
    /// Nothing, or the term is not the log-density of a value.
    Nothing,
    /// The distribution, whose support contains the value.
    Inside(&'a dyn AnyDistribution),
    /// That the support does not contain the value.
    Outside(&'a OutOfSupport),
}

impl<'a> Known<'a> {
    /// What is known about a term with this distribution, whose value may lie outside its support.
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
