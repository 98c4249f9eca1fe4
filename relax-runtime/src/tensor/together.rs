//! Parameters that are read and moved together: their numbers are in one piece of memory, rather than each in a
//! leaf of its own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::{Parameter, Shape};

/// The numbers of parameters, one after the other.
///
/// A parameter whose leaf is requested has its numbers there from then on, until it is
/// [gathered](Self::gather).
#[derive(Debug)]
pub(crate) struct Together {
    numbers: RefCell<Vec<f32>>,
    /// How many parameters have their numbers elsewhere.
    apart: Cell<usize>,
}

/// A parameter's share of the numbers.
#[derive(Clone, Debug)]
pub(super) struct Part {
    all: Rc<Together>,
    from: usize,
    pub(super) shape: Shape,
}

impl Together {
    /// Puts the numbers of parameters on the CPU together.
    pub(crate) fn of(parameters: &[Parameter]) -> Rc<Self> {
        let together = Rc::new(Self {
            numbers: RefCell::new(vec![0.0; parameters.iter().map(Parameter::len).sum()]),
            apart: Cell::new(parameters.len()),
        });
        together.gather(parameters.iter());
        together
    }

    /// Takes back the numbers of its parameters that are elsewhere, if no tensor computed from them
    /// remains.
    pub(crate) fn gather<'p>(self: &Rc<Self>, parameters: impl Iterator<Item = &'p Parameter>) {
        let mut from = 0;
        for parameter in parameters {
            let len = parameter.len();
            let part = |shape| Part {
                all: Rc::clone(self),
                from,
                shape,
            };
            let own = from..from + len;
            if parameter.give(part, |values| {
                self.numbers.borrow_mut()[own].copy_from_slice(values)
            }) {
                self.apart.set(self.apart.get() - 1);
            }
            from += len;
        }
    }

    /// Applies `look` to the numbers, if all are here.
    #[inline]
    pub(crate) fn with_values<R>(&self, look: impl FnOnce(&[f32]) -> R) -> Option<R> {
        (self.apart.get() == 0).then(|| look(&self.numbers.borrow()))
    }

    /// Changes the numbers, if all are here; returns whether it did.
    #[inline]
    pub(crate) fn update(&self, change: impl FnOnce(&mut [f32])) -> bool {
        let whole = self.apart.get() == 0;
        if whole {
            change(&mut self.numbers.borrow_mut());
        }
        whole
    }
}

impl Part {
    fn own(&self) -> std::ops::Range<usize> {
        self.from..self.from + self.len()
    }

    pub(super) fn len(&self) -> usize {
        self.shape.numel()
    }

    pub(super) fn with_values<R>(&self, look: impl FnOnce(&[f32]) -> R) -> R {
        look(&self.all.numbers.borrow()[self.own()])
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut [f32])) {
        change(&mut self.all.numbers.borrow_mut()[self.own()]);
    }

    /// Records that the numbers are elsewhere from now on.
    pub(super) fn leave(self) {
        self.all.apart.set(self.all.apart.get() + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tensor;
    use super::*;
    use crate::error::Result;

    fn numbers(together: &Together) -> Option<Vec<f32>> {
        together.with_values(<[f32]>::to_vec)
    }

    /// Users see no difference between places where a parameter's numbers may be.
    #[test]
    fn parameters_leave_and_come_back() -> Result<()> {
        let value = |numbers: &[f32]| Tensor::from_slice(numbers);
        let parameters = [&[1.0, 2.0][..], &[3.0]].map(|x| Parameter::new(value(x)).named("p"));
        let [a, b] = &parameters;
        let together = Together::of(&parameters);
        assert_eq!(numbers(&together), Some(vec![1.0, 2.0, 3.0]));
        assert_eq!((a.len(), a.shape()[..].to_vec(), b.len()), (2, vec![2], 1));
        assert!(together.update(|all| all.iter_mut().for_each(|x| *x += 1.0)));
        b.update(|own| own[0] *= 10.0)?;
        assert_eq!(a.with_values(<[f32]>::to_vec)?, [2.0, 3.0]);
        assert_eq!(numbers(&together), Some(vec![2.0, 3.0, 40.0]));

        // Both uses of a parameter share one leaf.
        let product = a.get() * a.get();
        let gradients = crate::tensor::grad_parameters(&[(&product.sum_all(), None)])?;
        assert_eq!(gradients[0].0.key(), a.key());
        assert_eq!(gradients[0].1.peek()?, [4.0, 6.0]);
        assert!(numbers(&together).is_none() && !together.update(|_| panic!("one is apart")));
        a.update(|own| own[0] = 7.0)?;
        assert_eq!(product.peek()?, [4.0, 9.0], "made before");

        // While a tensor computed from it remains, it stays.
        let held = a.get();
        together.gather(parameters.iter());
        assert!(numbers(&together).is_none());
        drop((held, gradients, product));
        together.gather(parameters.iter());
        assert_eq!(numbers(&together), Some(vec![7.0, 3.0, 40.0]));

        b.set(value(&[-1.0]))?;
        assert!(b.set(value(&[0.0, 0.0])).is_err(), "another shape");
        assert!(numbers(&together).is_none());
        together.gather(parameters.iter());
        assert_eq!(numbers(&together), Some(vec![7.0, 3.0, -1.0]));
        Ok(())
    }
}
