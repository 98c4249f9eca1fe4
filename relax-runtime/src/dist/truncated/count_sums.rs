//! Sums over the values that truncated counts keep of a law, or over those that they cut off.

use super::counts::TruncatedFamily;
use crate::dist::counts::{CountFamily, CountOperand};
use crate::error::Result;
use crate::tensor::{MAX_RANK, Shape, Tensor};

/// Maximum number of values whose masses are summed for each log-mass.
pub(super) const MOST_TERMS: f64 = 1000.0;

/// Where less probability is left, it is summed directly: what is cut off is then so close to 1 that the difference
/// loses digits.
const HALF: f64 = 0.5;
/// Where less is left, the difference is too inaccurate in single precision.
pub(super) const LITTLE: f64 = 1e-3;
/// The share of what is left that a sum over it may miss.
const LACKING: f64 = 1e-9;

/// Rows that are mostly cut off, without a high end.
struct Cut {
    /// 1 in these rows and 0 in the others, and whether there are no others.
    rows: Tensor,
    everywhere: bool,
    /// The values from `low` on that are summed.
    values: Vec<f64>,
    /// The last value of each row.
    last: Vec<f64>,
}

impl Cut {
    /// Combines what is computed from the values that are left, in these rows, with what is computed from those
    /// that are cut off, in the others.
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
    /// The values whose masses determine the probability between the ends: those between them, or, without a high end,
    /// those cut off; and whether it is the latter.
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

    /// How many values from `low` on hold nearly all that is left, where there is no high end and what is left is the
    /// smaller part; `None` otherwise, or where they are too many.
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

    /// The rows that are mostly cut off, if there are any.
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
        let rows = Tensor::from_vec(rows, self.shape_of_counts(theta.shape()), &theta.device())?;
        Ok((count > 0).then_some(Cut {
            rows,
            everywhere,
            values,
            last,
        }))
    }

    /// Values along a first axis, before those of a count.
    fn along_first(&self, theta: &Tensor, values: &[f64]) -> Tensor {
        let mut shape = vec![values.len()];
        shape.resize(1 + self.shape_of_counts(theta.shape()).rank(), 1);
        let numbers = values.iter().map(|k| *k as f32).collect();
        let shape = Shape::try_from(&shape[..]);
        let values = shape.and_then(|shape| Tensor::from_vec(numbers, shape, &theta.device()));
        values.unwrap_or_else(Tensor::poisoned)
    }

    /// ln p of values along a first axis: all at once, unless a family that needs another axis has none left.
    fn masses(&self, theta: &Tensor, fixed: &Tensor, values: &[f64]) -> Tensor {
        let rows = self.shape_of_counts(theta.shape()).rank();
        if rows + 2 <= MAX_RANK {
            let along = self.along_first(theta, values);
            return self.base.log_mass(theta, fixed, &along);
        }
        let of_value = |k: &f64| {
            let value = Tensor::full([], *k as f32, &theta.device());
            self.base.log_mass(theta, fixed, &value)
        };
        let each: Vec<Tensor> = values.iter().map(of_value).collect();
        Tensor::stack(&each.iter().collect::<Vec<_>>(), 0)
    }

    /// The values that are summed, and ln p of each along a first axis; `None` where there are none.
    fn terms(&self, theta: &Tensor, fixed: &Tensor) -> Option<(Vec<f64>, Tensor)> {
        let (values, _) = self.summed()?;
        (!values.is_empty()).then(|| {
            let terms = self.masses(theta, fixed, &values);
            (values, terms)
        })
    }

    /// ln p of each value that is left, along a first axis.
    fn terms_of_cut(&self, theta: &Tensor, fixed: &Tensor, cut: &Cut) -> Tensor {
        let is_in_all = |k: &f64| cut.last.iter().all(|last| k <= last);
        if cut.values.iter().all(is_in_all) {
            return self.masses(theta, fixed, &cut.values);
        }
        // Rows that end before k have no mass there.
        let of_value = |k: &f64| {
            let row = |of: &dyn Fn(f64) -> f64| {
                let numbers = cut.last.iter().map(|last| of(*last) as f32).collect();
                Tensor::from_vec(numbers, cut.rows.shape(), &theta.device())
                    .unwrap_or_else(Tensor::poisoned)
            };
            let mass = self.base.log_mass(theta, fixed, &row(&|last| k.min(last)));
            let none = mass.full_like(f32::NEG_INFINITY);
            row(&|last| f64::from(u8::from(*k <= last))).select_where(&mass, &none)
        };
        let each: Vec<Tensor> = cut.values.iter().map(of_value).collect();
        Tensor::stack(&each.iter().collect::<Vec<_>>(), 0)
    }

    /// ln of the base's probability between the ends, as a tensor.
    pub(super) fn log_between(&self, theta: &Tensor, fixed: &Tensor) -> Option<Tensor> {
        let (_, terms) = self.terms(theta, fixed)?;
        let sum = terms.logsumexp(0);
        if self.high.is_finite() {
            return Some(sum);
        }
        Some(match self.cut(theta, fixed) {
            Ok(cut) => Cut::either(
                cut.as_ref(),
                |cut| self.terms_of_cut(theta, fixed, cut).logsumexp(0),
                || rest(&sum),
            ),
            Err(error) => Tensor::poisoned(error),
        })
    }

    /// E\[k − c\] and E\[(k − c)²\] between the ends, for a constant c of each event: with c close by, the numbers are
    /// small and no large ones are subtracted from each other.
    fn about(&self, theta: &Tensor, fixed: &Tensor, centre: &Tensor) -> [Tensor; 2] {
        let of_base = || {
            let apart = self.base.mean(theta, fixed) - centre;
            let square = self.base.variance(theta, fixed) + apart.square();
            [apart, square]
        };
        let Some((values, terms)) = self.terms(theta, fixed) else {
            return of_base();
        };
        // k − c along a first axis, and its square.
        let powers = |values: &[f64]| {
            let apart = self.along_first(theta, values) - centre;
            [apart.clone(), apart.square()]
        };
        let by_left = |values: &[f64], terms: &Tensor| {
            let shares = terms.softmax(0);
            powers(values).map(|power| (&shares * power).sum(0))
        };
        if self.high.is_finite() {
            return by_left(&values, &terms);
        }
        let by_cut_off = || {
            let (left, masses) = (rest(&terms.logsumexp(0)).exp(), terms.exp());
            let cut_off = powers(&values).map(|power| (&masses * power).sum(0));
            let [[first, second], [first_off, second_off]] = [of_base(), cut_off];
            [(first - first_off) / &left, (second - second_off) / &left]
        };
        match self.cut(theta, fixed) {
            Err(error) => [(); 2].map(|()| Tensor::poisoned(error.clone())),
            Ok(None) => by_cut_off(),
            Ok(Some(cut)) => {
                let of_left = by_left(&cut.values, &self.terms_of_cut(theta, fixed, &cut));
                if cut.everywhere {
                    return of_left;
                }
                let others = by_cut_off();
                [0, 1].map(|i| cut.rows.select_where(&of_left[i], &others[i]))
            }
        }
    }

    /// The mean between the ends.
    pub(super) fn mean_between(&self, theta: &Tensor, fixed: &Tensor) -> Tensor {
        let low = Tensor::full([], self.low as f32, &theta.device());
        let [from_low, _] = self.about(theta, fixed, &low);
        from_low + self.low as f32
    }

    /// The variance between the ends.
    pub(super) fn variance_between(&self, theta: &Tensor, fixed: &Tensor) -> Tensor {
        let mean = self.mean_between(theta, fixed).detach();
        let [apart, square] = self.about(theta, fixed, &mean);
        // What is subtracted is only rounding, except for second derivatives.
        square - apart.square()
    }
}

/// ln(1 − eˣ), where x is ln P(cut off); where little is left, which is not computed from this, still a number with
/// a derivative.
fn rest(cut_off: &Tensor) -> Tensor {
    const MOST: f32 = -0.5 * LITTLE as f32;
    (-cut_off.kept_within(f32::NEG_INFINITY, MOST).exp_m1()).ln()
}
