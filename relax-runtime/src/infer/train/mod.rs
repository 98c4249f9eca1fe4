//! Training: the trainer, the builders that add an objective, and the records of a run.

mod anew;
mod average;
pub(super) mod fit;
pub(super) mod ledger;
mod outcome;
pub(super) mod recording;
#[cfg(all(test, feature = "dfdx"))]
mod residence;
mod resume;
pub(super) mod settings;
mod starts;
mod steps;
pub(super) mod stopping;
pub(super) mod trainer;
pub(super) mod training;
pub(super) mod verdict;
