//! Run-time shapes of rank 0 to 4.

use std::fmt;
use std::ops::Deref;
use std::panic::Location;

use crate::error::Error;

/// Largest number of axes of a [`Tensor`](crate::Tensor).
pub const MAX_RANK: usize = 4;

/// Lengths of the axes of a tensor, outermost first; `[]` is a single number.
///
/// ```
/// use relax_runtime::{Device, Shape, Tensor};
/// let shape = Shape::from([2, 3]);
/// assert_eq!((shape.rank(), shape.numel()), (2, 6));
/// assert_eq!(shape.to_string(), "[2, 3]");
/// // Functions that take a shape take arrays, too.
/// assert_eq!(Tensor::zeros([2, 3], &Device::cpu()).shape(), shape);
/// // A list of axes of any length is converted by `try_from`.
/// let axes: &[usize] = &[1, 2, 3, 4, 5];
/// assert!(Shape::try_from(axes).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Aligned to the right, where broadcasting begins, with 1 before the first axis.
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// The shape of a single number.
    pub const SCALAR: Self = Self {
        dims: [1; MAX_RANK],
        rank: 0,
    };

    /// Number of elements: the product of all axes, or `usize::MAX` where that is larger.
    pub fn numel(&self) -> usize {
        self.dims.iter().fold(1, |n, &len| n.saturating_mul(len))
    }

    /// The shape, if memory can hold an array of it. As in NumPy an empty axis counts as one of
    /// length 1, so that no stride overflows either.
    #[track_caller]
    pub(crate) fn in_memory(self, op: &'static str) -> Result<Self, Error> {
        const MOST: usize = isize::MAX as usize / size_of::<f32>();
        /// Up to this size, a quarter GiB, no check is made.
        const SURE: usize = 1 << 26;
        let axes = self.dims.iter();
        let numbers = axes.fold(1, |n: usize, &len| n.saturating_mul(len.max(1)));
        if numbers <= SURE {
            return Ok(self);
        }
        let problem = if numbers > MOST {
            "has more elements than fit in any memory".into()
        } else if Vec::<f32>::new().try_reserve_exact(self.numel()).is_err() {
            let needed = numbers as f64 * size_of::<f32>() as f64 / (1u64 << 30) as f64;
            format!(
                "needs {needed:.1} GiB, more than the machine can provide; use fewer rows at a time"
            )
        } else {
            return Ok(self);
        };
        Err(Error::Shape {
            op,
            problem,
            shapes: vec![self],
            location: Location::caller(),
        })
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Builds a shape from at most [`MAX_RANK`] axes.
    fn build(axes: &[usize]) -> Self {
        let mut dims = [1; MAX_RANK];
        dims[MAX_RANK - axes.len()..].copy_from_slice(axes);
        Self {
            dims,
            rank: axes.len(),
        }
    }

    /// Position of an axis; a negative number counts from the end.
    pub(crate) fn axis(&self, axis: isize) -> Option<usize> {
        let rank = self.rank as isize;
        let index = if axis < 0 { axis + rank } else { axis };
        (0..rank).contains(&index).then_some(index as usize)
    }

    /// `(outer, n, inner)`: the number of elements before, along and after `axis`.
    pub(crate) fn split(&self, axis: usize) -> (usize, usize, usize) {
        (
            self[..axis].iter().product(),
            self[axis],
            self[axis + 1..].iter().product(),
        )
    }

    /// The shape with `axis` of length `len`.
    pub(crate) fn with_axis(mut self, axis: usize, len: usize) -> Self {
        self.dims[MAX_RANK - self.rank + axis] = len;
        self
    }

    /// The shape without `axis`.
    pub(crate) fn without(mut self, axis: usize) -> Self {
        let place = MAX_RANK - self.rank + axis;
        self.dims.copy_within(..place, 1);
        self.dims[0] = 1;
        self.rank -= 1;
        self
    }

    /// The first `k` axes.
    pub(crate) fn leading(&self, k: usize) -> Self {
        Self::build(&self[..k.min(self.rank)])
    }

    /// The axes from the `k`-th on.
    pub(crate) fn trailing(&self, k: usize) -> Self {
        Self::build(&self[k.min(self.rank)..])
    }

    /// The shape with an axis of length `len` put before `axis`; `None` beyond [`MAX_RANK`].
    pub(crate) fn inserted(&self, axis: usize, len: usize) -> Option<Self> {
        let mut axes = self.to_vec();
        axes.insert(axis, len);
        (axes.len() <= MAX_RANK).then(|| Self::build(&axes))
    }

    /// `self` followed by the axes of `tail`; `None` beyond [`MAX_RANK`].
    pub(crate) fn join(&self, tail: &[usize]) -> Option<Self> {
        let axes = [&self[..], tail].concat();
        (axes.len() <= MAX_RANK).then(|| Self::build(&axes))
    }

    /// Axes aligned to the right of [`MAX_RANK`] places, padded with 1.
    #[inline]
    pub(crate) fn padded(&self) -> [usize; MAX_RANK] {
        self.dims
    }

    /// For each element of a shape that this one broadcasts to, in order, the index of its element in this one.
    pub(super) fn places_in(&self, whole: Self) -> Vec<usize> {
        let axes = self.dims.iter().zip(whole.dims);
        axes.fold(vec![0], |places, (&own, len)| {
            let along = move |place| (0..len).map(move |i| place * own + i.min(own - 1));
            places.into_iter().flat_map(along).collect()
        })
    }

    /// The shape that both broadcast to, by NumPy's rule.
    pub(crate) fn broadcast(&self, other: &Self) -> Option<Self> {
        let mut shape = *self;
        shape.rank = self.rank.max(other.rank);
        for (a, &b) in shape.dims.iter_mut().zip(&other.dims) {
            match (*a, b) {
                (x, y) if x == y => {}
                (1, y) => *a = y,
                (_, 1) => {}
                _ => return None,
            }
        }
        Some(shape)
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.dims[MAX_RANK - self.rank..]
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! from_array {
    ($($rank:literal)*) => {$(
        impl From<[usize; $rank]> for Shape {
            fn from(axes: [usize; $rank]) -> Self {
                Self::build(&axes)
            }
        }
    )*};
}
from_array!(0 1 2 3 4);

impl From<usize> for Shape {
    fn from(len: usize) -> Self {
        Self::build(&[len])
    }
}

impl From<()> for Shape {
    fn from((): ()) -> Self {
        Self::SCALAR
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        *shape
    }
}

impl TryFrom<&[usize]> for Shape {
    type Error = Error;

    #[track_caller]
    fn try_from(axes: &[usize]) -> Result<Self, Error> {
        if axes.len() <= MAX_RANK {
            return Ok(Self::build(axes));
        }
        Err(Error::Shape {
            op: "shape",
            problem: format!(
                "a tensor has at most {MAX_RANK} axes, not {} (the first {MAX_RANK} are shown)",
                axes.len()
            ),
            shapes: vec![Self::build(&axes[..MAX_RANK])],
            location: Location::caller(),
        })
    }
}
