//! The pathwise (reparameterised) estimator: the draw is differentiable in its parameters, so the
//! reverse pass through the cost is the estimate.

use super::site::{Estimator, SiteClass};

/// Nothing to estimate: the reverse pass through the draw does it all.
#[derive(Clone, Copy, Debug)]
pub struct Pathwise;

impl Estimator for Pathwise {
    fn name(&self) -> &'static str {
        "pathwise"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        match (class.discrete, class.differentiable) {
            (false, true) => Ok("continuous, draw differentiable in its parameters".into()),
            (true, _) => Err("a discrete draw has no pathwise derivative; use `relax`".into()),
            (false, false) => Err(
                "its draw is read by host code, which has no derivative; use `reinforce`".into(),
            ),
        }
    }

    fn evaluations(&self, class: SiteClass) -> usize {
        class.samples
    }

    fn for_bounds(&self) -> bool {
        true
    }

    fn needs_estimate(&self) -> bool {
        false
    }
}
