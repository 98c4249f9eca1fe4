//! Numbers in memory.

use std::rc::Rc;

use super::memory::{self, Numbers};

/// Maximum number of numbers kept without an allocation.
const SHORT: usize = 4;

/// Numbers on the CPU, shared by clones.
#[derive(Clone)]
pub(crate) struct Buffer(Kind);

#[derive(Clone)]
enum Kind {
    /// The count, and the numbers.
    Short(u8, [f32; SHORT]),
    /// Numbers in one allocation that is not pooled.
    Middle(Rc<[f32]>),
    Long(Rc<Block>),
}

/// Numbers whose memory is kept for reuse once it is free.
struct Block(Vec<f32>);

impl Clone for Block {
    fn clone(&self) -> Self {
        Self(memory::copy(&self.0))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        memory::give(std::mem::take(&mut self.0));
    }
}

impl Buffer {
    /// A few numbers, made one by one; `None` if there are too many to be kept this way.
    #[inline]
    fn short(len: usize, each: impl Fn(usize) -> f32) -> Option<Self> {
        if len > SHORT {
            return None;
        }
        let mut values = [0.0; SHORT];
        values[..len]
            .iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x = each(i));
        Some(Self(Kind::Short(len as u8, values)))
    }

    /// The same number everywhere.
    pub(in super::super) fn full(len: usize, value: f32) -> Self {
        Self::short(len, |_| value).unwrap_or_else(|| Self::filled(len, |out| out.fill(value)))
    }

    /// Numbers made one by one.
    #[inline]
    pub(in super::super) fn of_each(len: usize, each: impl Fn(usize) -> f32) -> Self {
        match Self::short(len, &each) {
            Some(short) => short,
            None => Self::filled(len, |out| {
                out.iter_mut().enumerate().for_each(|(i, x)| *x = each(i));
            }),
        }
    }

    /// `len` numbers, all of which `fill` overwrites.
    #[inline]
    pub(in super::super) fn filled(len: usize, fill: impl FnOnce(&mut [f32])) -> Self {
        if len <= SHORT {
            let mut values = [0.0; SHORT];
            fill(&mut values[..len]);
            return Self(Kind::Short(len as u8, values));
        }
        if memory::is_kept(len) {
            let mut values = memory::take(len);
            fill(&mut values);
            return Self(Kind::Long(Rc::new(Block(values))));
        }
        let mut values: Rc<[f32]> = std::iter::repeat_n(0.0, len).collect();
        fill(Rc::make_mut(&mut values));
        Self(Kind::Middle(values))
    }

    /// The numbers.
    #[inline]
    pub(in super::super) fn as_slice(&self) -> &[f32] {
        match &self.0 {
            Kind::Short(len, values) => &values[..usize::from(*len)],
            Kind::Middle(values) => values,
            Kind::Long(block) => &block.0,
        }
    }

    /// The numbers, copied if another buffer shares them.
    pub(in super::super) fn into_vec(self) -> Vec<f32> {
        match self.0 {
            Kind::Short(len, values) => values[..usize::from(len)].to_vec(),
            Kind::Middle(values) => values.to_vec(),
            Kind::Long(block) => {
                let mut block = Rc::unwrap_or_clone(block);
                std::mem::take(&mut block.0)
            }
        }
    }

    /// The numbers, for changing; copied first if another buffer shares them.
    pub(in super::super) fn as_mut_slice(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Kind::Short(len, values) => &mut values[..usize::from(*len)],
            Kind::Middle(values) => Rc::make_mut(values),
            Kind::Long(block) => &mut Rc::make_mut(block).0,
        }
    }
}

impl From<&[f32]> for Buffer {
    fn from(values: &[f32]) -> Self {
        Self::filled(values.len(), |out| out.copy_from_slice(values))
    }
}

impl From<Numbers> for Buffer {
    fn from(values: Numbers) -> Self {
        match values.spilled() {
            true => values.into_vec().into(),
            false => values[..].into(),
        }
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        match Self::short(values.len(), |i| values[i]) {
            Some(short) => short,
            None => Self(Kind::Long(Rc::new(Block(values)))),
        }
    }
}
