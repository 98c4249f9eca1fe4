//! Choices that were summed out in a run, and what is known about them.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use crate::dist::Law;
use crate::error::Result;
use crate::model::Plate;
use crate::random::Key;
use crate::tensor::Tensor;

/// Choices that were summed out in a run, whose posterior given everything else is known.
pub(crate) trait SummedOut: fmt::Debug {
    /// Draws all of them jointly; returns the draw and what is known about each, in program order.
    ///
    /// # Errors
    /// If a value cannot be made.
    fn recover(&self, key: Key) -> Result<Recovered>;

    /// ln Σ p as weighted by training and posteriors: each row of a plate that is a sample of a larger data set counts
    /// once for every row it stands for.
    fn log_sum(&self) -> f64;

    /// ln Σ p with each row counted once: ln p of the actual observations.
    fn log_sum_once(&self) -> f64;

    /// The observations, each given all others and what was not summed out.
    fn beside_sum(&self) -> BesideSum;

    /// Whether everything that could depend on a choice was examined in every combination. If host code reads choices,
    /// only runs show what depends on them, and what shows at few combinations may be missed.
    fn is_certain(&self) -> bool;
}

/// What stands beside a sum.
#[derive(Clone, Debug)]
pub(crate) struct BesideSum {
    pub(crate) observed: Vec<GivenOthers>,
    /// The names of choices that were not summed out, but whose laws depend on choices that were.
    pub(crate) following: Vec<Cow<'static, str>>,
}

/// An observation beside a sum.
#[derive(Clone, Debug)]
pub(crate) struct GivenOthers {
    pub(crate) name: Cow<'static, str>,
    pub(crate) plates: Rc<[Plate]>,
    /// Whether it is observed whatever the values of the choices in the sum.
    pub(crate) is_everywhere: bool,
    /// Of each row, given all others.
    pub(crate) log_densities: Vec<f64>,
}

/// A draw of choices that were summed out.
#[derive(Clone, Debug)]
pub(crate) struct Recovered {
    /// The summed-out sites that some possible run reaches.
    pub(crate) sites: Vec<RecoveredSite>,
    /// Choices that were not summed out.
    pub(crate) kept: Vec<RecoveredKept>,
}

/// A choice that was not summed out, beside a draw of those that were.
#[derive(Clone, Debug)]
pub(crate) struct RecoveredKept {
    pub(crate) name: Cow<'static, str>,
    /// The probability that a run reaches it, whatever was drawn.
    pub(crate) inclusion: f64,
    /// Whether a run with the drawn values reaches it.
    pub(crate) is_met: bool,
}

/// A site that was summed out.
#[derive(Clone, Debug)]
pub(crate) struct RecoveredSite {
    pub(crate) name: Cow<'static, str>,
    pub(crate) law: Rc<dyn Law>,
    /// The draw, as a value of the site; `None` if a run with the drawn values does not reach it.
    pub(crate) value: Option<Tensor>,
    /// The probability that a run reaches it, whatever was drawn.
    pub(crate) inclusion: f64,
    /// What is known beyond the draw.
    pub(crate) known: RecoveredKnown,
}

/// What is known about a summed-out site beyond a draw.
#[derive(Clone, Debug)]
pub(crate) enum RecoveredKnown {
    /// For a discrete site.
    Values(RecoveredValues),
    /// For an integrated-out site: the maximum error of a row's evidence.
    Nodes { error: f64 },
}

/// The probabilities of a summed-out site's values.
#[derive(Clone, Debug)]
pub(crate) struct RecoveredValues {
    /// The probability of each value of each event, given that a run reaches the site: `[rows, events, values]`.
    pub(crate) probabilities: Vec<f64>,
    /// The values of an event as vertices.
    pub(crate) vertices: Rc<Vec<Vec<f32>>>,
}
