//! Reports of single steps, and of a whole run.

use std::fmt;
use std::sync::Arc;

use super::Level;

/// What one optimization step measured.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let heads = sample!(Bernoulli(logits = &logit));
///     cost!(heads);
/// }
///
/// # fn main() -> Result<()> {
/// let mut trainer = Trainer::new(1).estimator(Rloo::default());
/// let report = trainer.step(&ExpectedCost::new(&coin()))?;
/// println!("{report}");
/// assert!(report.step == 0 && (0.0..=1.0).contains(&report.loss));
/// assert_eq!(report.site("heads").map(|site| site.estimator), Some("rloo"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepReport {
    /// The step, from 0.
    pub step: u64,
    /// The estimated objective that was minimized: the negative ELBO, or the expected cost.
    pub loss: f64,
    /// Each random site that got a gradient estimate, in the order of the run.
    pub sites: Vec<SiteReport>,
    /// Evaluations of the cost for the gradient, relaxed ones included; the passes that train
    /// surrogates are not counted.
    pub evaluations: usize,
}

impl StepReport {
    /// The ELBO, where the objective is its negative.
    pub fn elbo(&self) -> f64 {
        -self.loss
    }

    /// The report of a site.
    pub fn site(&self, name: &str) -> Option<&SiteReport> {
        self.sites.iter().find(|site| *site.name == *name)
    }
}

/// What one step measured at one site.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SiteReport {
    /// Full name of the site, in memory that all steps share.
    pub name: Arc<str>,
    /// The estimator's name.
    pub estimator: &'static str,
    /// Mean square of the gradient by the site's parameters, over rows and coordinates.
    pub mean_square: f64,
    /// Running variance of the gradient by the site's parameters, summed over rows, as a mean over
    /// coordinates: exponential moving averages over the last hundred or so steps.
    pub variance: f64,
}

/// The reports of a run, in order.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn parabola() {
///     let x = param!(3.0);
///     cost!(x.square());
/// }
///
/// # fn main() -> Result<()> {
/// let history = Minimize::new(&parabola()).steps(100).run()?.history;
/// assert_eq!(history.steps.len(), 100);
/// assert!(history.recent_loss(10) < history.steps[0].loss);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct History {
    /// One report per step.
    pub steps: Vec<StepReport>,
}

impl History {
    /// The level of the last losses.
    pub(crate) fn level(&self) -> Level {
        const LAST: usize = 100;
        let losses: Vec<f64> = self.steps.iter().map(|report| report.loss).collect();
        Level::of(&losses[losses.len().saturating_sub(LAST)..])
    }

    /// Mean loss over the last `n` steps.
    pub fn recent_loss(&self, n: usize) -> f64 {
        let tail = &self.steps[self.steps.len().saturating_sub(n)..];
        tail.iter().map(|report| report.loss).sum::<f64>() / tail.len().max(1) as f64
    }
}

impl fmt::Display for StepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: loss {:.4}", self.step, self.loss)?;
        for site in &self.sites {
            write!(f, ", {} variance {:.3e}", site.name, site.variance)?;
        }
        Ok(())
    }
}
