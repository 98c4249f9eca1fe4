//! Choices that were summed out in a run, and what is known of them.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use crate::dist::Law;
use crate::error::Result;
use crate::random::Key;
use crate::tensor::Tensor;

/// Choices that were summed out in a run, whose posterior given everything else is known.
pub(crate) trait SummedOut: fmt::Debug {
    /// One draw of all of them together, and what is known of each, in the order of the program.
    ///
    /// # Errors
    /// If a value cannot be made.
    fn recover(&self, key: Key) -> Result<Recovered>;

    /// ln Σ p with the weight that training and posteriors give it: rows of a plate that is a part of a larger data
    /// set count as often as they stand for others.
    fn log_sum(&self) -> f64;

    /// The same where each row counts once: ln p of the observations that were made.
    fn log_sum_once(&self) -> f64;

    /// Whether all that could depend on a choice was looked at in every combination. Where host code reads
    /// choices, only runs tell what depends on them, and what shows at few combinations may be missed.
    fn is_certain(&self) -> bool;
}

/// A draw of choices that were summed out.
#[derive(Clone, Debug)]
pub(crate) struct Recovered {
    /// The sites that were summed out, and that some possible run comes by.
    pub(crate) sites: Vec<RecoveredSite>,
    /// Choices that were not summed out.
    pub(crate) kept: Vec<RecoveredKept>,
}

/// A choice that was not summed out, beside a draw of those that were.
#[derive(Clone, Debug)]
pub(crate) struct RecoveredKept {
    pub(crate) name: Cow<'static, str>,
    /// The probability that a run comes by it, whatever was drawn.
    pub(crate) inclusion: f64,
    /// Whether a run with the values that were drawn does.
    pub(crate) is_met: bool,
}

/// A site that was summed out.
#[derive(Clone, Debug)]
pub(crate) struct RecoveredSite {
    pub(crate) name: Cow<'static, str>,
    pub(crate) law: Rc<dyn Law>,
    /// The draw, as a value of the site; nothing if a run with what was drawn does not come by.
    pub(crate) value: Option<Tensor>,
    /// The probability that a run comes by it, whatever was drawn.
    pub(crate) inclusion: f64,
    /// What is known beyond the draw.
    pub(crate) known: RecoveredKnown,
}

/// What is known of a site that was summed out beyond a draw.
#[derive(Clone, Debug)]
pub(crate) enum RecoveredKnown {
    /// Of a discrete one.
    Values(RecoveredValues),
    /// Of one that was integrated out: by how much the evidence of a row may be off, at most.
    Nodes { error: f64 },
}

/// How probable the values of a site are that was summed out.
#[derive(Clone, Debug)]
pub(crate) struct RecoveredValues {
    /// The probability of each value of each event, given that a run comes by, `[rows, events, values]`.
    pub(crate) probabilities: Vec<f64>,
    /// The values of an event as vertices.
    pub(crate) vertices: Rc<Vec<Vec<f32>>>,
}
