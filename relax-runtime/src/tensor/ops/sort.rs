//! Sorting along an axis.

use super::super::{Shape, Tensor};

/// Sorting along an axis. Negative axes count from the end; an axis that does not exist gives a poisoned tensor.
impl Tensor {
    /// The numbers along an axis from the smallest to the largest, with NaN last; each keeps its derivative.
    #[track_caller]
    pub fn sort(&self, axis: isize) -> Tensor {
        if let Some(out) = self.along_in_cases(axis, "sort", |x, axis| x.sort(axis)) {
            return out;
        }
        match self.order(axis, "sort") {
            Ok((places, _)) => self.taken(places, self.shape()),
            Err(refused) => refused,
        }
    }

    /// The indices along an axis that [`sort`](Self::sort) puts in order; the sort is stable. A constant.
    #[track_caller]
    pub fn argsort(&self, axis: isize) -> Tensor {
        if let Some(out) = self.along_in_cases(axis, "argsort", |x, axis| x.argsort(axis)) {
            return out;
        }
        match self.order(axis, "argsort") {
            Ok((_, indices)) => {
                let to_numbers = |_: &[f32]| indices.into_iter().map(|i| i as f32).collect();
                self.on_host(self.shape(), to_numbers).severed()
            }
            Err(refused) => refused,
        }
    }

    /// The quantile `q` along an axis, which is removed, with linear interpolation between neighbors
    /// (definition 7 of Hyndman and Fan, "Sample quantiles in statistical packages", 1996, as in
    /// NumPy and PyTorch); 0.5 gives the median. NaN counts as larger than all numbers. A share outside [0, 1], or an axis without
    /// numbers, gives a poisoned tensor.
    #[track_caller]
    pub fn quantile(&self, q: f32, axis: isize) -> Tensor {
        let index = match self.checked_axis(axis, "quantile") {
            Ok(index) => index,
            Err(refused) => return refused,
        };
        let (axis, n) = (index as isize, self.shape()[index]);
        if n == 0 || !(0.0..=1.0).contains(&q) {
            let problem = match n {
                0 => format!("axis {index} has no numbers"),
                _ => format!("{q} is not a share between 0 and 1"),
            };
            return Tensor::poisoned(self.misfit("quantile", problem));
        }
        let place = q * (n - 1) as f32;
        let below = (place as usize).min(n - 1);
        let (sorted, share) = (self.sort(axis), place - below as f32);
        let low = sorted.index(axis, below);
        // The number itself, rather than a neighbor that may be infinite times 0.
        match share == 0.0 {
            true => low,
            false => low * (1.0 - share) + sorted.index(axis, below + 1) * share,
        }
    }

    /// For each place of the result, the place in the buffer and the index along the axis of what goes there.
    #[track_caller]
    fn order(&self, axis: isize, op: &'static str) -> Result<(Vec<usize>, Vec<usize>), Tensor> {
        let axis = self.checked_axis(axis, op)?;
        self.mark_rough();
        let shape: Shape = self.shape();
        let (outer, n, inner) = shape.split(axis);
        let values = self.peek().map_err(Tensor::poisoned)?;
        let (mut places, mut indices) = (vec![0; values.len()], vec![0; values.len()]);
        let mut order: Vec<usize> = Vec::with_capacity(n);
        for row in 0..outer {
            for column in 0..inner {
                let place = |i: usize| (row * n + i) * inner + column;
                // NaN may have either sign.
                let key = |i: &usize| {
                    let x = values[place(*i)];
                    (x.is_nan(), x)
                };
                order.clear();
                order.extend(0..n);
                order.sort_by(|i, j| {
                    let ((a_nan, a), (b_nan, b)) = (key(i), key(j));
                    a_nan
                        .cmp(&b_nan)
                        .then(a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal))
                });
                for (at, &i) in order.iter().enumerate() {
                    places[place(at)] = place(i);
                    indices[place(at)] = i;
                }
            }
        }
        Ok((places, indices))
    }
}
