//! The parameters of categories, as a [`Categorical`](super::Categorical) keeps them.

use super::checks::{PROBS, check_within};
use super::excluded::{CERTAINTY, finite, open, without};
use super::repeat::behind;
use super::{Support, check_values, expand_parameter, parameter_error};
use crate::error::{Error, Result};
use crate::tensor::{Device, Op, Shape, Tensor, broadcast};

/// How far probabilities may sum from one before it is an error rather than rounding.
const SUM_TOLERANCE: f64 = 1e-4;

/// The parameter of categories in its stored form.
#[derive(Clone, Debug)]
pub struct Weights<P> {
    /// Unnormalized log-probabilities; finite in a tensor, −∞ on the host where excluded.
    pub(super) logits: P,
    /// Where a tensor excludes some categories: 1 for each of those, 0 for the others.
    pub(super) excluded: Option<Tensor>,
    /// Probabilities that come from random choices, while none is 0: other choices may make some
    /// so, and then change what a guide rules out.
    pub(super) open: Option<Tensor>,
}

impl<P> From<P> for Weights<P> {
    fn from(logits: P) -> Self {
        Self {
            logits,
            excluded: None,
            open: None,
        }
    }
}

impl Weights<Tensor> {
    /// Categories with these logits, except for the excluded ones.
    pub(super) fn new(logits: &Tensor, excluded: Option<Tensor>) -> Self {
        let logits = match &excluded {
            None => logits.clone(),
            Some(excluded) => without(logits, excluded),
        };
        Self {
            logits,
            excluded,
            open: None,
        }
    }

    /// Categories with these logits, of which the same ones are excluded.
    pub(super) fn guided(&self, logits: &Tensor) -> Self {
        let guided = Self::new(logits, self.excluded.clone());
        match &self.open {
            None => guided,
            Some(open) => guided.logits.depending_on(open).into(),
        }
    }

    /// The same categories excluded, with other logits.
    pub(super) fn with_logits(&self, logits: &Tensor) -> Self {
        Self {
            logits: logits.clone(),
            excluded: self.excluded.clone(),
            open: self.open.clone(),
        }
    }

    /// One row for each row of the plates.
    pub(super) fn expand(self, distribution: &'static str, plates: &[usize]) -> Result<Self> {
        let expand = |x: &Tensor| expand_parameter(distribution, "parameter", x, plates, 1);
        Ok(Self {
            logits: expand(&self.logits)?,
            excluded: self.excluded.as_ref().map(expand).transpose()?,
            open: self.open,
        })
    }

    /// The same categories with axes of length 1 put in front.
    pub(super) fn behind(self, axes: usize) -> Result<Self> {
        Ok(Self {
            logits: behind(&self.logits, axes)?,
            excluded: self.excluded.map(|x| behind(&x, axes)).transpose()?,
            open: self.open,
        })
    }

    /// As [`Law::excluded`].
    pub(super) fn excluded(&self) -> Result<Option<Vec<bool>>> {
        let Some(excluded) = &self.excluded else {
            return Ok(None);
        };
        Ok(Some(
            excluded.peek()?.into_iter().map(|x| x > 0.0).collect(),
        ))
    }
}

/// The parameter of a categorical: `Vec<f64>` or [`Tensor`].
pub trait CategoricalOperand: Sized {
    /// ln p, checked.
    fn of_probs(self, distribution: &'static str) -> Result<Weights<Self>>;
    /// ln p, checked, for a law that does not remember which categories are excluded: a tensor has a finite number
    /// far below the others there.
    fn of_shares(self, distribution: &'static str) -> Result<Self>;
    /// An error if there is no category or a logit is NaN.
    fn check_logits(&self, distribution: &'static str) -> Result<()>;
}

const FINITE: &str =
    "logits must be finite; look at what computes them (-1e4 rules a category out)";

fn empty(distribution: &'static str, parameter: &'static str) -> Error {
    Error::Parameter {
        distribution,
        parameter,
        problem: "is empty; give at least one category along the last axis".into(),
    }
}

fn is_one(sum: f64) -> bool {
    (sum - 1.0).abs() <= SUM_TOLERANCE
}

fn check_sum(distribution: &'static str, sum: f64) -> Result<()> {
    if is_one(sum) {
        return Ok(());
    }
    let problem = format!("sum to {sum}, not 1; divide by the sum, or give `logits`");
    Err(Error::Parameter {
        distribution,
        parameter: "probs",
        problem,
    })
}

impl CategoricalOperand for Vec<f64> {
    fn of_probs(self, distribution: &'static str) -> Result<Weights<Self>> {
        if self.is_empty() {
            return Err(empty(distribution, "probs"));
        }
        if let Some(&p) = self.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(parameter_error(distribution, "probs", p, PROBS));
        }
        check_sum(distribution, self.iter().sum())?;
        let logits: Self = self.into_iter().map(f64::ln).collect();
        Ok(logits.into())
    }

    fn of_shares(self, distribution: &'static str) -> Result<Self> {
        Ok(self.of_probs(distribution)?.logits)
    }

    fn check_logits(&self, distribution: &'static str) -> Result<()> {
        if self.is_empty() {
            return Err(empty(distribution, "logits"));
        }
        // On the host −∞ is a category of probability 0, as long as another one remains.
        let impossible = self.iter().all(|&x| x == f64::NEG_INFINITY);
        let refused = |x: f64| impossible || x.is_nan() || x == f64::INFINITY;
        match self.iter().find(|x| refused(**x)) {
            None => Ok(()),
            Some(&x) => Err(parameter_error(distribution, "logits", x, FINITE)),
        }
    }
}

/// ln p, finite at 0, where its derivative is 0.
fn ln_of(p: &Tensor) -> Tensor {
    /// For more elements vectorized loops are faster.
    const FEW: usize = 1_024;
    const LEAST: f64 = f32::MIN_POSITIVE as f64;
    let of_case = |[p]: [&Tensor; 1]| Some(ln_of(p));
    if let Some(out) = broadcast([p], || Some(Op::new("ln p", [])), of_case) {
        return out;
    }
    // In one step: 1/p times the sum of many terms may be infinite, and would not become 0 again.
    let ln = |[p]: [f64; 1]| p.clamp(LEAST, 1.0).ln();
    let slope = |_, [p]: [f64; 1]| match (LEAST..=1.0).contains(&p) {
        true => 1.0 / p,
        false => 0.0,
    };
    let few = (p.len() <= FEW).then(|| Tensor::each_in_double([p], p.shape(), ln, slope));
    few.flatten()
        .unwrap_or_else(|| p.kept_within(f32::MIN_POSITIVE, 1.0).ln())
}

impl CategoricalOperand for Tensor {
    fn of_probs(self, distribution: &'static str) -> Result<Weights<Self>> {
        let shape = self.check()?.shape();
        let categories = shape.last().copied().filter(|&k| k > 0);
        let categories = categories.ok_or_else(|| empty(distribution, "probs"))?;
        check_values(
            distribution,
            "probs",
            &self,
            |p| (0.0..=1.0).contains(&p),
            PROBS,
        )?;
        let sum = |row: &[f32]| row.iter().map(|&p| f64::from(p)).sum();
        let sums_to_one = |p: &[f32]| p.chunks(categories).all(|row| is_one(sum(row)));
        if !self.tells(sums_to_one)? {
            for row in self.peek()?.chunks(categories) {
                check_sum(distribution, sum(row))?;
            }
        }
        let logits = ln_of(&self);
        let possible = Support::Positive.holds_all(&self)?;
        let excluded = (!possible).then(|| self.le(0.0));
        Ok(Weights {
            open: excluded.is_none().then(|| open(&self)).flatten(),
            ..Weights::new(&logits, excluded)
        })
    }

    fn of_shares(self, distribution: &'static str) -> Result<Self> {
        let Weights {
            logits, excluded, ..
        } = self.of_probs(distribution)?;
        Ok(match excluded {
            None => logits,
            Some(excluded) => excluded.select_where(&logits.full_like(-CERTAINTY), &logits),
        })
    }

    fn check_logits(&self, distribution: &'static str) -> Result<()> {
        if self.check()?.shape().last().is_none_or(|&k| k == 0) {
            return Err(empty(distribution, "logits"));
        }
        check_within(distribution, "logits", self, Support::Real, FINITE)
    }
}

/// log softmax on the host.
pub(super) fn normalised(logits: &[f64]) -> impl Iterator<Item = f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = logits.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
    // The largest first: beside it the logarithm of a sum may be lost.
    logits.iter().map(move |x| x - max - log_sum)
}

/// The logits of host numbers as a tensor.
pub(super) fn on_cpu(logits: &[f64]) -> Result<Weights<Tensor>> {
    let numbers = |values| Tensor::from_vec(values, Shape::from([logits.len()]), &Device::cpu());
    let kept = normalised(logits).map(finite).collect();
    let excludes = |x: &f64| *x == f64::NEG_INFINITY;
    let excluded = || {
        logits
            .iter()
            .map(|x| f32::from(u8::from(excludes(x))))
            .collect()
    };
    let any = logits.iter().any(excludes);
    let excluded = any.then(|| numbers(excluded())).transpose()?;
    Ok(Weights::new(&numbers(kept)?, excluded))
}

/// Whether a category has a probability of exactly 0.
pub(super) fn excludes_some(logits: &[f64]) -> bool {
    logits.contains(&f64::NEG_INFINITY)
}
