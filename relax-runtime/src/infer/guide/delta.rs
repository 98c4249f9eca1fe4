//! The guide of points: maximum a posteriori.

use std::rc::Rc;

use super::continuous_alone::continuous_alone;
use super::gaussian::{Start, bijection_of, of_shape};
use super::{Evaluation, Guide, GuideSite, Proposal};
use crate::dist::{Delta, Distribution, Law};
use crate::error::Result;

/// Puts every continuous choice at a point of its own, which is learned: the bound is then the log-joint at these
/// points, and its maximum the maximum a posteriori. The density is that of the sites' own numbers, not of
/// unconstrained ones, as with Pyro's `AutoDelta`: the point of a `Beta(a, b)` is (a − 1)/(a + b − 2). If that density
/// has no maximum within the support, as for `Gamma(0.5, 1.0)`, the points run to its end.
///
/// Discrete choices are summed out where that is cheap, and otherwise keep the law that
/// [`StructuredGuide`](super::StructuredGuide) gives them, which amounts to a sum as far as that law is their
/// posterior: the points maximize the evidence given them, as in expectation maximization. Points start from the
/// medians that a mean-field guide starts from. What a [`Posterior`](crate::infer::Posterior) says about the evidence
/// is meaningless for points.
///
/// ```
/// use relax_runtime::infer::DeltaGuide;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let p = sample!(Beta(Tensor::scalar(2.0), 3.0));
///     observe!(Binomial(10, &p), 7.0);
/// }
///
/// # fn main() -> Result<()> {
/// let model = coin();
/// let fit = Svi::new(&model).guide(&DeltaGuide).seed(1).progress(false).run()?;
/// assert!((fit.posterior().mean("p")? - 8.0 / 13.0).abs() < 1e-3);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// From a step: in a plate that holds a changing sample of rows; if a law does not say how its support is reached; if
/// host code reads a continuous site, whose point then has no gradient: give its distribution tensors.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeltaGuide;

impl Guide for DeltaGuide {
    fn leaves_sums(&self) -> bool {
        true
    }

    fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
        continuous_alone(evaluation, "a point of its own", point)
    }
}

/// A point at the site, with a parameter for its unconstrained numbers.
fn point(site: &GuideSite<'_>, stated: &dyn Law) -> Result<Rc<dyn Law>> {
    let bijection = bijection_of(stated)?;
    let shape = stated.draw_shape();
    let free = bijection.free_shape(shape);
    let parameter = site.parameter("point", || Ok(Start::of(stated)?.loc.reshape(free)))?;
    let value = bijection.value(&of_shape(&parameter, free)?);
    Delta::new(value.broadcast_to(shape))?.law()
}
