//! Where the runs in two operands start.

use std::ops::Range;

use super::super::shape::MAX_RANK;

/// Counts runs. An iterator, because a closure would not be inlined into a vectorized loop.
pub(super) struct Starts<'a> {
    shape: &'a [usize; MAX_RANK],
    strides: [[usize; MAX_RANK]; 2],
    at: [usize; 3],
    left: usize,
}

impl<'a> Starts<'a> {
    /// The starts of these runs of an array of this shape, whose last axis is a run; strides are the operands'.
    #[inline(always)]
    pub(super) fn new(
        shape: &'a [usize; MAX_RANK],
        strides: [[usize; MAX_RANK]; 2],
        runs: Range<usize>,
    ) -> Self {
        let [_, b, c, _] = *shape;
        let at = match runs.start {
            0 => [0; 3],
            start => [start / (b * c), start / c % b, start % c],
        };
        Self {
            shape,
            strides,
            at,
            left: runs.len(),
        }
    }
}

impl Iterator for Starts<'_> {
    type Item = [usize; 2];

    #[inline(always)]
    fn next(&mut self) -> Option<[usize; 2]> {
        self.left = self.left.checked_sub(1)?;
        let ([_, b, c, _], at) = (*self.shape, self.at);
        let [x, y] = &self.strides;
        let starts = [
            at[0] * x[0] + at[1] * x[1] + at[2] * x[2],
            at[0] * y[0] + at[1] * y[1] + at[2] * y[2],
        ];
        self.at[2] += 1;
        if self.at[2] == c {
            (self.at[1], self.at[2]) = (at[1] + 1, 0);
            if self.at[1] == b {
                (self.at[0], self.at[1]) = (at[0] + 1, 0);
            }
        }
        Some(starts)
    }
}
