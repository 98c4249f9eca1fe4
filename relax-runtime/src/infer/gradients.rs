//! The result of a gradient estimate.

use crate::report::SiteReport;
use crate::tensor::{Parameter, Tensor};

/// An estimate of an objective and its gradient.
#[derive(Debug)]
#[non_exhaustive]
pub struct Gradients {
    /// The estimated objective.
    pub loss: f64,
    /// The gradient by every parameter that the objective depends on.
    pub parameters: Vec<(Parameter, Tensor)>,
    /// What was measured at each site.
    pub sites: Vec<SiteReport>,
    /// Evaluations of the cost for the gradient, relaxed ones included; passes that train surrogates, give first
    /// estimates a baseline, or decide between estimators are not counted.
    pub evaluations: usize,
}
