//! Sums and products along an axis, built on other operations.

use super::super::Tensor;

/// Cumulative sums and products. Negative axes count from the end; an axis that does not exist gives a
/// poisoned tensor.
impl Tensor {
    /// Sums of all elements up to each one along an axis: `[1, 2, 3]` gives `[1, 3, 6]`.
    #[track_caller]
    pub fn cumsum(&self, axis: isize) -> Tensor {
        let first = Tensor::zeros_like;
        self.scanned(axis, "cumsum", first, |before, here| before + here)
    }

    /// Products of all elements up to each one along an axis: `[1, 2, 3]` gives `[1, 2, 6]`. The derivative is
    /// right even where some elements are 0.
    #[track_caller]
    pub fn cumprod(&self, axis: isize) -> Tensor {
        let first = Tensor::ones_like;
        self.scanned(axis, "cumprod", first, |before, here| before * here)
    }

    /// Joins all elements up to each one by `join`, whose neutral element is `first`.
    #[track_caller]
    fn scanned(
        &self,
        axis: isize,
        op: &'static str,
        first: impl Fn(&Tensor) -> Tensor,
        join: impl Fn(Tensor, Tensor) -> Tensor,
    ) -> Tensor {
        let index = match self.checked_axis(axis, op) {
            Ok(index) => index,
            Err(refused) => return refused,
        };
        let (axis, n) = (index as isize, self.shape()[index]);
        let mut joined = self.clone();
        // Each element has joined `reach` of them, and adds those that the element `reach` places before has joined.
        let mut reach = 1;
        while reach < n {
            let nothing = first(&self.slice(axis, 0..reach));
            let before = joined.slice(axis, 0..n - reach);
            joined = join(Tensor::concat(&[&nothing, &before], axis), joined);
            reach *= 2;
        }
        joined
    }

    /// Product along an axis, which is removed; the empty product is 1. The derivative is right even where
    /// some elements are 0.
    #[track_caller]
    pub fn prod(&self, axis: isize) -> Tensor {
        let index = match self.checked_axis(axis, "prod") {
            Ok(index) => index,
            Err(refused) => return refused,
        };
        let axis = index as isize;
        let mut factors = self.clone();
        loop {
            let n = factors.shape().get(index).copied().unwrap_or(0);
            match n {
                _ if factors.0.is_err() => return factors,
                0 => return factors.sum(axis) + 1.0,
                1 => return factors.squeeze(axis),
                _ => {}
            }
            let half = n / 2;
            let pairs = factors.slice(axis, 0..half) * factors.slice(axis, half..2 * half);
            factors = match n % 2 {
                0 => pairs,
                _ => Tensor::concat(&[&pairs, &factors.slice(axis, n - 1..n)], axis),
            };
        }
    }
}
