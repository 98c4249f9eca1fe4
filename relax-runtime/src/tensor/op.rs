//! What distinguishes an operation from others of the same operands.

use smallvec::SmallVec;

use super::Shape;
use super::native::view::View;
use crate::special::Special;

/// An operation, with everything that distinguishes it from others of the same operands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Op {
    name: &'static str,
    numbers: SmallVec<[u64; 4]>,
}

impl Op {
    pub(crate) fn new(name: &'static str, numbers: impl IntoIterator<Item = u64>) -> Self {
        Self {
            name,
            numbers: numbers.into_iter().collect(),
        }
    }
}

/// A number that distinguishes an operation from those with other numbers.
pub(super) trait Bits {
    /// A number that differs between different values.
    fn of(&self) -> u64;
}

macro_rules! bits {
    ($($type:ty: $number:ident => $bits:expr;)*) => {$(
        impl Bits for $type {
            fn of(&self) -> u64 {
                let $number = *self;
                $bits
            }
        }
    )*};
}

bits! {
    f32: x => x.to_bits().into();
    i32: x => x as u64;
    isize: x => x as u64;
    Special: x => x.number();
}

impl Shape {
    /// Numbers that distinguish the shape from others.
    pub(super) fn numbers(self) -> impl Iterator<Item = u64> {
        let rank = self.rank();
        self.padded().into_iter().chain([rank]).map(|n| n as u64)
    }
}

impl View {
    /// Numbers that distinguish the view from others.
    pub(super) fn numbers(self) -> impl Iterator<Item = u64> {
        let axes = self.shape.into_iter().chain(self.strides);
        axes.chain([self.offset]).map(|n| n as u64)
    }
}
