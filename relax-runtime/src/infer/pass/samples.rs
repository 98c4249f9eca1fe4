//! The samples behind one evaluation of a bound of several. They are evaluations themselves, so this file and that of
//! [`Pass`] need each other.

use std::cell::RefCell;
use std::rc::Rc;

use super::Pass;
use crate::error::Result;
use crate::estimator::{Estimator, SiteClass};
use crate::tensor::Tensor;

/// The samples behind one evaluation of a bound.
#[derive(Clone, Debug)]
pub struct Samples {
    /// ln wₖ, constants, `[samples, rows]` if everything stands in one plate, whose rows are weighted one by one, and
    /// `[samples]` otherwise.
    pub log_weights: Tensor,
    runs: Vec<Pass>,
    /// The learning signals that estimators have computed from the log-weights.
    signals: RefCell<Vec<(Rc<dyn Estimator>, Tensor)>>,
}

impl Samples {
    pub(in crate::infer) fn new(log_weights: Tensor, runs: Vec<Pass>) -> Self {
        Self {
            log_weights,
            runs,
            signals: RefCell::default(),
        }
    }

    /// The number of samples.
    pub(in crate::infer) fn count(&self) -> usize {
        self.runs.len()
    }

    /// The evaluation behind each sample.
    pub(in crate::infer) fn runs(&self) -> &[Pass] {
        &self.runs
    }

    /// An estimator's learning signals, computed once for the site's choices in all samples.
    pub(in crate::infer) fn signals(&self, estimator: &Rc<dyn Estimator>) -> Result<Tensor> {
        let mut known = self.signals.borrow_mut();
        if let Some((_, signals)) = known.iter().find(|(of, _)| Rc::ptr_eq(of, estimator)) {
            return Ok(signals.clone());
        }
        let signals = estimator.signals(&self.log_weights)?;
        known.push((Rc::clone(estimator), signals.clone()));
        Ok(signals)
    }

    /// The sample that a latent of the whole evaluation belongs to, and its place there.
    pub(in crate::infer) fn find(&self, place: usize) -> (usize, usize) {
        let mut first = 0;
        for (sample, run) in self.runs.iter().enumerate() {
            if place < first + run.latents.len() {
                return (sample, place - first);
            }
            first += run.latents.len();
        }
        (self.runs.len(), place - first)
    }

    /// What kind of choice a latent is within its sample.
    pub(in crate::infer) fn class(&self, place: usize) -> SiteClass {
        let (sample, place) = self.find(place);
        self.runs[sample].class(place)
    }

    /// The class in the bound of a choice that is of class `within` in its sample; `separate` says whether its rows
    /// are.
    pub(in crate::infer) fn class_in_bound(&self, within: SiteClass, separate: bool) -> SiteClass {
        SiteClass {
            samples: self.count(),
            relaxable: false,
            followed: false,
            separate,
            ..within
        }
    }
}
