//! Sums over what truncated counts leave of a law, or cut off.

use super::counts::TruncatedFamily;
use crate::dist::counts::{CountFamily, CountOperand};
use crate::error::Result;
use crate::tensor::Tensor;

/// The most values whose masses are summed for each log-mass.
pub(super) const MOST_TERMS: f64 = 1000.0;

/// Where less probability is left, it is summed itself: what is cut off is then so near to 1 that the difference
/// loses digits.
const HALF: f64 = 0.5;
/// Where less is left, single precision knows too little of that difference.
pub(super) const LITTLE: f64 = 1e-3;
/// The share of what is left that a sum over it may lack.
const LACKING: f64 = 1e-9;

/// Rows of which most is cut off, without a high end.
struct Cut {
    /// 1 in these rows and 0 in others, and whether there are no others.
    rows: Tensor,
    everywhere: bool,
    /// The values from `low` on that are summed.
    values: Vec<f64>,
    /// The last value of each row.
    last: Vec<f64>,
}

impl Cut {
    /// What is computed from the values that are left in these rows, and from those that are cut off in others.
    fn either(
        cut: Option<&Self>,
        by_left: impl FnOnce(&Self) -> Tensor,
        by_cut_off: impl FnOnce() -> Tensor,
    ) -> Tensor {
        match cut {
            None => by_cut_off(),
            Some(cut) if cut.everywhere => by_left(cut),
            Some(cut) => cut.rows.select_where(&by_left(cut), &by_cut_off()),
        }
    }
}

impl<F: CountFamily> TruncatedFamily<F> {
    /// The values whose masses say what lies between the ends: those that do, or, without a high end, those that
    /// are cut off; and whether they are these.
    pub(super) fn summed(&self) -> Option<(Vec<f64>, bool)> {
        let (from, to, inside) = match self.high.is_finite() {
            true => (self.low, self.high + 1.0, true),
            false => (self.base.first(), self.low, false),
        };
        let count = to - from;
        (count <= MOST_TERMS).then(|| {
            (
                (0..count as usize).map(|k| from + k as f64).collect(),
                inside,
            )
        })
    }

    /// How many values from `low` on have nearly all that is left, without a high end and where that is the smaller
    /// part; nothing where it is not, or they are too many.
    pub(super) fn terms_left(&self, theta: &[f64], fixed: f64) -> Option<usize> {
        let left = self.between(theta, fixed);
        if self.high.is_finite() || left >= HALF {
            return None;
        }
        let (last, mut count) = (self.last(fixed), 4.0_f64);
        while self.above_up_to(theta, fixed, self.low - 1.0 + count, last) > LACKING * left {
            count = (1.25 * count).ceil();
            if count > MOST_TERMS {
                return None;
            }
        }
        Some(count as usize)
    }

    /// The rows of which most is cut off, if there are any.
    fn cut(&self, theta: &Tensor, fixed: &Tensor) -> Result<Option<Cut>> {
        let (mut rows, mut last, mut count) = (Vec::new(), Vec::new(), 0);
        Tensor::each_event(theta, fixed, self.width(), |theta, fixed| {
            let terms = self.terms_left(theta, fixed);
            rows.push(f32::from(terms.is_some()));
            last.push(self.last(fixed));
            count = count.max(terms.unwrap_or(0));
        })?;
        let everywhere = !rows.contains(&0.0);
        let values = (0..count).map(|k| self.low + k as f64).collect();
        let shape = match self.is_vector() {
            false => theta.shape(),
            true => theta.shape().leading(theta.rank().saturating_sub(1)),
        };
        let rows = Tensor::from_vec(rows, shape, &theta.device())?;
        Ok((count > 0).then_some(Cut {
            rows,
            everywhere,
            values,
            last,
        }))
    }

    /// ln p(k) f(k) of one value as a tensor.
    fn term(&self, theta: &Tensor, fixed: &Tensor, k: f64, weight: fn(f64) -> f64) -> Tensor {
        let value = Tensor::full([], k as f32, &theta.device());
        self.base.log_mass(theta, fixed, &value) + weight(k).ln() as f32
    }

    /// ln Σ p(k) f(k) over the values that are summed, as a tensor; nothing where there are none.
    fn log_sum(&self, theta: &Tensor, fixed: &Tensor, weight: fn(f64) -> f64) -> Option<Tensor> {
        let (values, _) = self.summed()?;
        let values = values.into_iter().filter(|k| weight(*k) > 0.0);
        let terms: Vec<Tensor> = values.map(|k| self.term(theta, fixed, k, weight)).collect();
        let all: Vec<&Tensor> = terms.iter().collect();
        (!all.is_empty()).then(|| Tensor::stack(&all, -1).logsumexp(-1))
    }

    /// The same over the values that are left.
    fn log_sum_left(
        &self,
        theta: &Tensor,
        fixed: &Tensor,
        cut: &Cut,
        weight: fn(f64) -> f64,
    ) -> Tensor {
        let values = cut.values.iter().filter(|k| weight(**k) > 0.0);
        let terms: Vec<Tensor> = values
            .map(|k| {
                if cut.last.iter().all(|last| k <= last) {
                    return self.term(theta, fixed, *k, weight);
                }
                // Rows that end before k have no mass there.
                let row = |of: &dyn Fn(f64) -> f64| {
                    let numbers = cut.last.iter().map(|last| of(*last) as f32).collect();
                    Tensor::from_vec(numbers, cut.rows.shape(), &theta.device())
                        .unwrap_or_else(Tensor::poisoned)
                };
                let mass = self.base.log_mass(theta, fixed, &row(&|last| k.min(last)))
                    + weight(*k).ln() as f32;
                let none = mass.full_like(f32::NEG_INFINITY);
                row(&|last| f64::from(u8::from(*k <= last))).select_where(&mass, &none)
            })
            .collect();
        Tensor::stack(&terms.iter().collect::<Vec<_>>(), -1).logsumexp(-1)
    }

    /// ln of the base's probability between the ends, as a tensor.
    pub(super) fn log_between(&self, theta: &Tensor, fixed: &Tensor) -> Option<Tensor> {
        let sum = self.log_sum(theta, fixed, |_| 1.0)?;
        if self.high.is_finite() {
            return Some(sum);
        }
        Some(match self.cut(theta, fixed) {
            Ok(cut) => Cut::either(
                cut.as_ref(),
                |cut| self.log_sum_left(theta, fixed, cut, |_| 1.0),
                || rest(&sum),
            ),
            Err(error) => Tensor::poisoned(error),
        })
    }

    /// E\[f(k)\] between the ends, given that of the base, for f ≥ 0.
    pub(super) fn expected(
        &self,
        theta: &Tensor,
        fixed: &Tensor,
        of_base: Tensor,
        f: fn(f64) -> f64,
    ) -> Tensor {
        let Some(all) = self.log_sum(theta, fixed, |_| 1.0) else {
            return of_base;
        };
        let sum = self.log_sum(theta, fixed, f);
        if self.high.is_finite() {
            return match sum {
                Some(sum) => (sum - all).exp(),
                None => of_base * 0.0,
            };
        }
        let by_left = |cut: &Cut| {
            let [sum, all] = [f, |_| 1.0].map(|f| self.log_sum_left(theta, fixed, cut, f));
            (sum - all).exp()
        };
        let by_cut_off = || match &sum {
            Some(sum) => (&of_base - sum.exp()) / rest(&all).exp(),
            None => &of_base / rest(&all).exp(),
        };
        match self.cut(theta, fixed) {
            Ok(cut) => Cut::either(cut.as_ref(), by_left, by_cut_off),
            Err(error) => Tensor::poisoned(error),
        }
    }

    pub(super) fn mean_square(&self, theta: &Tensor, fixed: &Tensor) -> Tensor {
        let own = self.base.variance(theta, fixed) + self.base.mean(theta, fixed).square();
        self.expected(theta, fixed, own, |k| k * k)
    }
}

/// ln(1 − eˣ) of ln P(cut off); where little is left, which is not computed from this, still a number with a
/// derivative.
fn rest(cut_off: &Tensor) -> Tensor {
    const MOST: f32 = -0.5 * LITTLE as f32;
    (-cut_off.kept_within(f32::NEG_INFINITY, MOST).exp_m1()).ln()
}
