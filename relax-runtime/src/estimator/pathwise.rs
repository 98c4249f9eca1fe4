//! The pathwise (reparameterized) estimator: the draw is differentiable in its parameters, so the
//! reverse pass through the cost is the estimate.

use super::class::{DrawKind, SiteClass};
use super::site::Estimator;

/// The pathwise estimator: the reverse pass through a differentiable draw is the whole estimate.
///
/// It is the default of continuous sites.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn aim() {
///     let mu = param!(0.0);
///     let x = sample!(Normal(&mu, 1.0));
///     cost!((x - 1.0).square());
/// }
///
/// # fn main() -> Result<()> {
/// let trained = Minimize::new(&aim()).steps(400).site_estimator("x", Pathwise).run()?;
/// assert_eq!(trained.plan().entries[0].estimator, "pathwise");
/// assert!((trained.param("mu")?[0] - 1.0).abs() < 0.4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Pathwise;

impl Estimator for Pathwise {
    fn name(&self) -> &'static str {
        "pathwise"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        match (class.draws, class.differentiable) {
            (DrawKind::Pathwise | DrawKind::Moving, true) => {
                Ok("continuous, draw differentiable in its parameters".into())
            }
            (DrawKind::Pathwise, false) => Err(
                "its draw is read by host code, which has no derivative; use `reinforce`".into(),
            ),
            (DrawKind::Moving, false) => Err(
                "its support moves with its parameters, or a guide's rows of a plate are drawn together, \
                 and its draw is read by host code: neither derivatives nor score functions see that; \
                 draw from a law whose support is fixed, such as `Uniform(0.0, 1.0)`, and compute the \
                 number from that, or use `MeanFieldGuide`"
                    .into(),
            ),
            (DrawKind::Opaque, _) => Err(
                "the distribution's draws have no derivative by its parameters; use `rloo`".into(),
            ),
            (DrawKind::Discrete, _) => {
                Err("a discrete draw has no pathwise derivative; use `rloo`".into())
            }
            _ => Err("a discrete draw has no pathwise derivative; use `relax`".into()),
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

    fn weighs_rows(&self) -> bool {
        false
    }
}
