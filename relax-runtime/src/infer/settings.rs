//! Settings shared by everything that estimates gradients.

use super::estimation::Estimation;
use crate::estimator::IntoEstimator;

/// Settings of everything that estimates gradients: [`Svi`](super::Svi), [`Minimize`](super::Minimize),
/// [`Trainer`](super::Trainer) and [`Check`](super::Check). An invalid one is an error at the first estimate.
///
/// ```
/// use relax_runtime::estimator::Rloo;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let b = sample!(Bernoulli(logits = logit));
///     cost!(&b * 0.3 + 0.2);
/// }
///
/// let program = coin();
/// let training = Minimize::new(&program).seed(3).site_estimator("b", Rloo::default());
/// let trained = training.steps(10).run()?;
/// assert_eq!(trained.plan().entries[0].estimator, "rloo");
/// # Ok::<(), Error>(())
/// ```
pub trait Configure: Sized {
    #[doc(hidden)]
    fn estimation(&mut self) -> &mut Estimation;

    /// The seed of all random numbers; the default is 0.
    #[must_use]
    fn seed(mut self, seed: u64) -> Self {
        self.estimation().seed = seed;
        self
    }

    /// The estimator of every discrete site.
    #[must_use]
    fn estimator(mut self, estimator: impl IntoEstimator) -> Self {
        let asked = &mut self.estimation().sites.asked;
        asked.estimate_by(estimator.into_estimator());
        self
    }

    /// The estimator of one site, or of all sites of a loop if the name has no indices. Whether there is such a site is
    /// checked at the end of a run, or by [`Trainer::check_site_estimators`](super::Trainer::check_site_estimators).
    #[must_use]
    fn site_estimator(mut self, site: &str, estimator: impl IntoEstimator) -> Self {
        let asked = &mut self.estimation().sites.asked;
        asked.estimate_site_by(site, estimator.into_estimator());
        self
    }

    /// Lets the plan choose an unbiased estimator that takes at most `evaluations` evaluations of the cost for one
    /// estimate of a site, including the draw's own: an exact one if there is one. Otherwise, at a discrete choice with
    /// a relaxation, those of a list that are valid there and within the budget race for 160 draws before the site's
    /// first estimate, and the least variance × time wins, with [stated](crate::estimator::Estimator::time) times so
    /// that the choice follows from the seed; `docs/budget.md` has the list, and what other choices get. Estimators
    /// that were asked for stay. If all choices are discrete and have at most that many combinations together, each
    /// step runs all of them and is exact. 0 is an error: the draw itself is an evaluation.
    #[must_use]
    fn budget(mut self, evaluations: usize) -> Self {
        let estimation = self.estimation();
        let allowed = estimation.sites.asked.allow(evaluations);
        estimation.take(allowed);
        self
    }

    /// The same for one site, or for all sites of a loop if the name has no indices.
    #[must_use]
    fn site_budget(mut self, site: &str, evaluations: usize) -> Self {
        let estimation = self.estimation();
        let allowed = estimation.sites.asked.allow_site(site, evaluations);
        estimation.take(allowed);
        self
    }
}
