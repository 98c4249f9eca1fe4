//! Strided views of a flat buffer: one description for broadcasting, transposing, slicing and
//! summing, and three loops that read, accumulate and scatter through it.

use super::super::shape::MAX_RANK;
use super::{memory, rows::sum, sums};

/// Maps positions of a row-major array of shape `shape` to positions `offset + Σ i_k strides_k`
/// of a buffer. A stride of 0 repeats (broadcast) or, when scattering, sums.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct View {
    pub(in super::super) shape: [usize; MAX_RANK],
    pub(in super::super) strides: [usize; MAX_RANK],
    pub(in super::super) offset: usize,
}

impl View {
    /// The buffer in its own order, for a row-major array of this shape.
    pub(in super::super) fn contiguous(shape: [usize; MAX_RANK]) -> Self {
        let mut strides = [1; MAX_RANK];
        for k in (0..MAX_RANK - 1).rev() {
            strides[k] = strides[k + 1] * shape[k + 1];
        }
        Self {
            shape,
            strides,
            offset: 0,
        }
    }

    /// The view along an axis of this many buffers of this size, one after the other, each with this many axes;
    /// `None` where there is no axis left.
    pub(in super::super) fn repeated(
        mut self,
        count: usize,
        size: usize,
        rank: usize,
    ) -> Option<Self> {
        let front = (MAX_RANK - 1).checked_sub(rank)?;
        self.shape[front] = count;
        self.strides[front] = size;
        Some(self)
    }

    pub(in super::super) fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// The same map with neighboring axes merged where one stride continues the other, so that
    /// inner loops are long.
    fn merged(&self) -> Self {
        let mut shape = [1; MAX_RANK];
        let mut strides = [0; MAX_RANK];
        let mut k = MAX_RANK;
        for axis in (0..MAX_RANK).rev().filter(|&axis| self.shape[axis] != 1) {
            if k < MAX_RANK && self.strides[axis] == strides[k] * shape[k] {
                shape[k] *= self.shape[axis];
            } else {
                k -= 1;
                shape[k] = self.shape[axis];
                strides[k] = self.strides[axis];
            }
        }
        Self {
            shape,
            strides,
            offset: self.offset,
        }
    }

    /// Calls `run(array_start, buffer_start, len, stride)` for each innermost run.
    fn runs(&self, mut run: impl FnMut(usize, usize, usize, usize)) {
        let View {
            shape: [a, b, c, len],
            strides: [sa, sb, sc, stride],
            offset,
        } = self.merged();
        if len == 0 {
            return;
        }
        let mut at = 0;
        for i in 0..a {
            for j in 0..b {
                for k in 0..c {
                    run(at, offset + i * sa + j * sb + k * sc, len, stride);
                    at += len;
                }
            }
        }
    }

    /// Buffer positions in the array's order.
    #[cfg(feature = "dfdx")]
    pub(in super::super) fn indices(&self) -> Vec<usize> {
        let mut indices = Vec::with_capacity(self.numel());
        self.runs(|_, from, len, stride| indices.extend((0..len).map(|i| from + i * stride)));
        indices
    }

    /// The array read from `buffer`.
    pub(in super::super) fn gather(&self, buffer: &[f32]) -> Vec<f32> {
        let mut array = memory::take(self.numel());
        self.gather_into(buffer, &mut array);
        array
    }

    /// `array = ` what the view reads from `buffer`.
    pub(in super::super) fn gather_into(&self, buffer: &[f32], array: &mut [f32]) {
        self.runs(|at, from, len, stride| {
            let array = &mut array[at..at + len];
            match stride {
                0 => array.fill(buffer[from]),
                1 => array.copy_from_slice(&buffer[from..from + len]),
                _ => {
                    let source = buffer[from..].iter().step_by(stride);
                    array.iter_mut().zip(source).for_each(|(x, y)| *x = *y);
                }
            }
        });
    }

    /// `array += ` what the view reads from `buffer`.
    pub(in super::super) fn gather_add(&self, buffer: &[f32], array: &mut [f32]) {
        self.runs(|at, from, len, stride| {
            let array = &mut array[at..at + len];
            match stride {
                0 => array.iter_mut().for_each(|x| *x += buffer[from]),
                1 => super::add(array, &buffer[from..from + len]),
                _ => {
                    let source = buffer[from..].iter().step_by(stride);
                    array.iter_mut().zip(source).for_each(|(x, y)| *x += y);
                }
            }
        });
    }

    /// Adds every element of `array` to the place of `buffer` that the view maps it to.
    pub(in super::super) fn scatter_add(&self, array: &[f32], buffer: &mut [f32]) {
        if array.len() > sums::FEW * buffer.len() {
            // Places repeat only along whole axes, and the others are in the buffer's order.
            let View { shape, strides, .. } = self.merged();
            return sums::add_axes(buffer, array, shape, strides.map(|stride| stride == 0));
        }
        self.runs(|at, to, len, stride| {
            let array = &array[at..at + len];
            match stride {
                0 => buffer[to] += sum(array),
                1 => super::add(&mut buffer[to..to + len], array),
                _ => {
                    let target = buffer[to..].iter_mut().step_by(stride);
                    target.zip(array).for_each(|(x, y)| *x += y);
                }
            }
        });
    }
}
