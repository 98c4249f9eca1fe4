//! A choice in a joint sum: the guide's probabilities of its values, and the sums of their costs.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::dist::AnyDistribution;
use crate::error::Result;
use crate::estimator::{DrawKind, SiteClass};
use crate::infer::guide::guide_parameters;
use crate::model::{ParamStore, Place};
use crate::tensor::{Parameter, Tensor};

/// A choice that some run has reached.
pub(in crate::infer) struct Choice {
    pub(in crate::infer) name: Cow<'static, str>,
    pub(in crate::infer) distribution: &'static str,
    pub(in crate::infer) class: SiteClass,
    pub(in crate::infer) estimator: Option<Cow<'static, str>>,
    pub(in crate::infer) file: &'static str,
    pub(in crate::infer) line: u32,
    pub(in crate::infer) parameter: Parameter,
    /// The last step that reached it.
    pub(in crate::infer) step: u64,
    /// q and ln q of each value.
    pub(in crate::infer) masses: Vec<(f64, f64)>,
    /// Σ q C over the combinations with each value.
    pub(in crate::infer) sums: Vec<f64>,
}

impl Choice {
    /// A choice that has not been met before; `None` if the automatic guide represents it by something other than
    /// logits.
    pub(in crate::infer) fn meet(
        params: &ParamStore,
        at: &Place<'_>,
        dist: &dyn AnyDistribution,
        values: usize,
    ) -> Result<Option<Self>> {
        let law = dist.law()?;
        let draws = DrawKind::of(law.draws());
        let Some(shape) = law.mean_field().logits().filter(|_| draws.is_relaxed()) else {
            return Ok(None);
        };
        let logits = shape.numel();
        if values == 0 || (logits != values && logits + 1 != values) {
            return Ok(None);
        }
        let name = at.name();
        Ok(Some(Self {
            parameter: guide_parameters(params, &name, &law.mean_field(), true)?.remove(0),
            name,
            distribution: dist.name(),
            class: SiteClass {
                draws,
                relaxable: false,
                differentiable: false,
                mirrored: false,
                values,
                changes: values - 1,
                separate: true,
                rows_differ: false,
                followed: false,
                samples: 1,
            },
            estimator: at.site.estimator.clone(),
            file: at.site.file,
            line: at.site.line,
            step: 0,
            masses: vec![(0.0, 0.0); values],
            sums: vec![0.0; values],
        }))
    }

    /// Reads the guide's logits, and discards the sums of earlier steps.
    pub(in crate::infer) fn start(&mut self, step: u64) -> Result<()> {
        self.step = step;
        self.sums.fill(0.0);
        let masses = &mut self.masses;
        let first = masses.len() - self.parameter.shape().numel();
        masses.fill((0.0, 0.0));
        self.parameter.get().with_values(|logits| {
            let pairs = masses[first..].iter_mut().zip(logits);
            pairs.for_each(|((_, logit), &x)| *logit = x.into());
        })?;
        let logits = masses.iter().map(|(_, logit)| *logit);
        let max = logits.fold(f64::NEG_INFINITY, f64::max);
        let mut total = 0.0;
        for (mass, logit) in &mut *masses {
            *mass = (*logit - max).exp();
            total += *mass;
        }
        let log_total = max + total.ln();
        for (mass, logit) in masses {
            *mass /= total;
            *logit -= log_total;
        }
        Ok(())
    }

    /// The gradient by the guide's logits, and its mean square.
    pub(in crate::infer) fn gradient(&self) -> (Tensor, f64) {
        let shape = self.parameter.shape();
        let first = self.sums.len() - shape.numel();
        let all: f64 = self.sums.iter().sum();
        let pairs = self.sums.iter().zip(&self.masses).skip(first);
        let values: SmallVec<[f32; 4]> = pairs
            .map(|(sum, (mass, _))| (sum - mass * all) as f32)
            .collect();
        let squares: f64 = values.iter().map(|g| f64::from(g * g)).sum();
        let mean_square = squares / values.len().max(1) as f64;
        (Tensor::of_numbers(&values, shape), mean_square)
    }
}
