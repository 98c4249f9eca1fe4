//! Problems on which the estimators are compared, each with a single block of discrete choices.

use relax_runtime::infer::Objective;
use relax_runtime::prelude::*;

use crate::program::Outcome;

/// What a task does with an objective.
pub(crate) type Use<'a> = dyn FnMut(&dyn Objective) -> Result<()> + 'a;

/// A problem and the weights that are learned in it. All its choices stand at one site whose logits
/// are a tensor, so that the same objective serves to train the weights, from which the logits are
/// computed, and to look at the gradient by the logits, which are a parameter themselves then.
pub(crate) trait Task {
    /// What it is, with the data that it uses.
    fn title(&self) -> String;

    /// What [`value`](Self::value) is called.
    fn value_name(&self) -> &'static str;

    /// Adam's rate for the weights.
    fn learning_rate(&self) -> f32;

    /// Evaluations of f, a row, that make a telling comparison.
    fn evaluations(&self) -> usize;

    /// Rows of a training step.
    fn rows(&self) -> usize;

    /// Rows that measurements of the gradient use.
    fn probe_rows(&self) -> usize;

    /// A batch: what the rows see.
    ///
    /// # Errors
    /// If the device cannot hold it.
    fn batch(&self, key: Key, rows: usize) -> Result<Tensor>;

    /// Logits of the choices for a batch, differentiable in the weights.
    fn logits(&self, batch: &Tensor) -> Tensor;

    /// Does something with the objective; the choices have the logits that are given, or else those
    /// that the weights say.
    ///
    /// # Errors
    /// What is done with it may fail.
    fn with_objective(
        &self,
        batch: &Tensor,
        given: Option<&Parameter>,
        then: &mut Use<'_>,
    ) -> Result<()>;

    /// Whether few enough choices depend on a row's logits to enumerate them.
    fn enumerable(&self) -> bool {
        false
    }

    /// How good the weights are, higher is better: exact, or from fixed draws on data that were not
    /// trained on.
    ///
    /// # Errors
    /// Whatever goes wrong in the objective.
    fn value(&self, trainer: &Trainer) -> Outcome<f64>;
}
