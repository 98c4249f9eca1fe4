//! Draws from a guide, a few at a time.

use super::collect::Collected;
use super::draws::expect_some;
use super::importance::ImportanceWeights;
use super::record::Record;
use super::{KnownElsewhere, LogWeights, Posterior, weights_of};
use crate::error::Result;
use crate::infer::objective::Objective;
use crate::infer::pass::{Mode, Pass};
use crate::infer::sites::apart::tied;
use crate::model::ParamStore;
use crate::random::Key;
use crate::tensor::Holding;

/// Probability from which a site counts as certain.
const SURE: f64 = 1.0 - 1e-6;

/// The first draws of a posterior; they may decide whether more are taken.
pub(in crate::infer) struct Drawing<'a> {
    objective: &'a dyn Objective,
    params: &'a ParamStore,
    seed: u64,
    collected: Collected,
    log_weights: LogWeights,
    scaled: Option<String>,
    /// Whether a choice left beside sums was not certain to be present.
    comes_and_goes: bool,
    /// Whether rows of the plate around everything depend on each other, so that a draw has one weight.
    are_tied: bool,
    /// If nothing but sums is left, one evaluation serves all draws.
    whole: Option<Pass>,
}

impl<'a> Drawing<'a> {
    pub(in crate::infer) fn new(
        objective: &'a dyn Objective,
        params: &'a ParamStore,
        seed: u64,
    ) -> Self {
        Self {
            objective,
            params,
            seed,
            collected: Collected::default(),
            log_weights: LogWeights::default(),
            scaled: None,
            comes_and_goes: false,
            are_tied: false,
            whole: None,
        }
    }

    /// Draws until there are `n` draws, showing each new one to `see`.
    ///
    /// # Errors
    /// Whatever goes wrong in model or guide; `n` of 0.
    pub(in crate::infer) fn draw_until(
        &mut self,
        n: usize,
        mut see: impl FnMut(&Pass),
    ) -> Result<()> {
        expect_some("posterior draws", n)?;
        let _holding = Holding::start();
        for drawn in self.log_weights.len()..n {
            let key = Key {
                seed: self.seed,
                // Training steps count up from 0; these draws count down from the maximum.
                step: u64::MAX - drawn as u64,
                particle: 0,
            };
            let mut pass = match self.whole.take() {
                Some(pass) => pass,
                None => self.objective.evaluate(key, self.params, &Mode::Draw)?,
            };
            pass.summed.iter_mut().for_each(|(_, at)| *at = key);
            if drawn == 0 && !pass.latents.is_empty() {
                self.collected = Collected::to_weight();
            }
            let mut record = Record::of(&pass)?;
            if drawn == 0 && record.log_weights.len() > 1 {
                let tied = tied(self.objective, self.params, &pass, key, &|_| true)?;
                self.are_tied = tied.is_some();
            }
            if self.are_tied {
                record.log_weights = vec![record.log_weights.iter().sum()];
            }
            see(&pass);
            let mut left = record.sites.iter().take(pass.latents.len());
            self.comes_and_goes |= left.any(|site| site.inclusion < SURE);
            if pass.latents.is_empty() && !pass.summed.is_empty() {
                self.whole = Some(pass);
            }
            self.log_weights
                .push(record.log_weights.clone(), record.surplus);
            self.scaled = self.scaled.take().or_else(|| record.scaled.clone());
            self.collected.add(record)?;
        }
        self.params.check_restored()
    }

    /// Whether some draw had a choice left beside sums that was not certain to be present.
    pub(in crate::infer) fn comes_and_goes(&self) -> bool {
        self.comes_and_goes
    }

    /// ln(p(x, z)/q(z)) of the draws so far.
    pub(in crate::infer) fn log_weights(&self) -> &LogWeights {
        &self.log_weights
    }

    /// The importance weights of the draws so far.
    ///
    /// # Errors
    /// As [`Posterior::importance_weights`].
    pub(in crate::infer) fn importance_weights(&self) -> Result<ImportanceWeights> {
        weights_of(&self.log_weights.of_posterior(), self.scaled.as_deref())
    }

    /// The draws so far.
    pub(in crate::infer) fn posterior(self) -> Posterior {
        Posterior {
            node_errors: self.collected.node_errors(),
            draws: self.collected.equal(),
            log_weights: self.log_weights.once,
            surpluses: self.log_weights.surpluses,
            scaled: self.scaled,
            mixing: None,
            unchained: None,
            elsewhere: KnownElsewhere::default(),
            missed: None,
        }
    }
}
