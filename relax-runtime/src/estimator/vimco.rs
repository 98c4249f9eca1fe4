//! VIMCO: leave-one-out signals for bounds of several samples (Mnih and Rezende 2016).

use super::class::SiteClass;
use super::site::Estimator;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// What replaces a sample's weight in the bound without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeftOut {
    /// The geometric mean of the other weights, which the authors prefer.
    #[default]
    Geometric,
    /// Their arithmetic mean.
    Arithmetic,
}

/// The learning signal of each sample, ln (1/K) Σⱼ wⱼ minus the same with wₖ replaced by a mean of the
/// others (Mnih and Rezende 2016), for log-weights `[samples, rows..]`.
///
/// Σₖ signalₖ ∂log q(zₖ)/∂θ plus the direct derivative of the bound is unbiased for the bound's
/// gradient: what is subtracted does not depend on zₖ. The samples' evaluations serve all signals.
/// [`Vimco`] is the estimator for sites of models.
///
/// ```
/// use relax_runtime::Tensor;
/// use relax_runtime::estimator::{LeftOut, vimco};
///
/// # fn main() -> relax_runtime::Result<()> {
/// // Weights 3 and 1: ln ½(3 + 1) − ln ½(1 + 1), and ln ½(3 + 1) − ln ½(3 + 3).
/// let log_weights = Tensor::from_slice(&[3.0_f32.ln(), 0.0]);
/// let signals = vimco(&log_weights, LeftOut::Arithmetic)?.to_vec()?;
/// assert!((signals[0] - 2.0_f32.ln()).abs() < 1e-5);
/// assert!((signals[1] - (2.0_f32 / 3.0).ln()).abs() < 1e-5);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If there are fewer than two samples.
pub fn vimco(log_weights: &Tensor, left_out: LeftOut) -> Result<Tensor> {
    let samples = log_weights.check()?.shape().first().copied().unwrap_or(0);
    if samples < 2 {
        return Err(Error::Config {
            setting: "samples",
            problem: format!(
                "is {samples}; VIMCO needs at least two, to have others as a baseline"
            ),
        });
    }
    let log_weights = log_weights.detach();
    let each: Vec<Tensor> = (0..samples).map(|k| log_weights.index(0, k)).collect();
    let others = (samples - 1) as f32;
    let bound = log_weights.logsumexp(0);
    let signal = |k: usize| {
        let mut rest: Vec<&Tensor> = each.iter().collect();
        rest.remove(k);
        let without = match left_out {
            LeftOut::Geometric => {
                // Not the whole minus its own, which is −∞ + ∞ for an impossible sample.
                let sum = Tensor::stack(&rest, 0).sum(0);
                let mean = sum / others;
                rest.push(&mean);
                Tensor::stack(&rest, 0).logsumexp(0)
            }
            // The mean adds the share 1/(K − 1) of the others' sum.
            LeftOut::Arithmetic => {
                Tensor::stack(&rest, 0).logsumexp(0) + (samples as f32 / others).ln()
            }
        };
        &bound - without
    };
    let signals: Vec<Tensor> = (0..samples).map(signal).collect();
    let signals = Tensor::stack(&signals.iter().collect::<Vec<_>>(), 0);
    Ok(signals.check()?.clone())
}

/// VIMCO, for bounds of several samples.
///
/// ```
/// use relax_runtime::estimator::Vimco;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn weather(wet: bool) {
///     let rain = sample!(Bernoulli(0.2));
///     observe!(Bernoulli(if rain { 0.9 } else { 0.1 }), wet);
/// }
///
/// # fn main() -> Result<()> {
/// let model = weather(true);
/// let training = Svi::new(&model).samples(4).estimator(Vimco::default());
/// let fit = training.steps(100).run()?;
/// let plan = fit.plan();
/// assert_eq!((plan.entries[0].estimator, plan.entries[0].evaluations), ("vimco", 4));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Vimco {
    /// What replaces a sample's weight in the bound without it.
    pub left_out: LeftOut,
}

impl Estimator for Vimco {
    fn name(&self) -> &'static str {
        match self.left_out {
            LeftOut::Geometric => "vimco",
            LeftOut::Arithmetic => "vimco-arithmetic",
        }
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        if class.samples < 2 {
            return Err(
                "VIMCO is for bounds of several samples, `Svi::samples(k)`; use `rloo`, or `relax`"
                    .into(),
            );
        }
        Ok(format!(
            "bound of {} samples: score function, the others as baseline",
            class.samples
        ))
    }

    fn evaluations(&self, class: SiteClass) -> usize {
        class.samples
    }

    fn for_bounds(&self) -> bool {
        true
    }

    fn signals(&self, log_weights: &Tensor) -> Result<Tensor> {
        vimco(log_weights, self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample's own weight has no part in what is subtracted.
    #[test]
    fn the_signal_of_an_impossible_sample_is_finite() -> Result<()> {
        let weights = Tensor::from_slice(&[f32::NEG_INFINITY, -1.0, -2.0]);
        for left_out in [LeftOut::Geometric, LeftOut::Arithmetic] {
            let signals = vimco(&weights, left_out)?.to_vec()?;
            let possible = (-1.0_f32).exp() + (-2.0_f32).exp();
            let mean = match left_out {
                LeftOut::Geometric => (-1.5_f32).exp(),
                LeftOut::Arithmetic => possible / 2.0,
            };
            let expected = (possible / (possible + mean)).ln();
            assert!((signals[0] - expected).abs() < 1e-6, "{signals:?}");
        }
        Ok(())
    }
}
