//! The numbers of a tensor in all cases.

use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;

use super::super::shape::MAX_RANK;
use super::super::{Inner, Shape, Tensor};

/// A tensor's numbers in all cases: each case's tensor, and all along the first axis of one tensor. Each form is made
/// from the other when it is needed.
pub(crate) struct AllCases {
    apart: Box<[OnceCell<Tensor>]>,
    together: OnceCell<Option<Tensor>>,
}

impl fmt::Debug for AllCases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AllCases").field(&self.count()).finish()
    }
}

/// Whether this project's own engine has the numbers. There, what counts for nothing has no derivative: with all cases
/// together, impossible ones are differentiated, too.
fn is_own(inner: &Rc<Inner>) -> bool {
    inner.data.native().is_some()
}

impl AllCases {
    /// One case for each tensor.
    pub(crate) fn apart(tensors: impl IntoIterator<Item = Tensor>) -> Self {
        Self {
            apart: tensors.into_iter().map(OnceCell::from).collect(),
            together: OnceCell::new(),
        }
    }

    /// `count` cases, along the first axis of a tensor.
    pub(super) fn together(count: usize, tensor: Tensor) -> Self {
        debug_assert_eq!(tensor.rows(), count);
        Self {
            apart: (0..count).map(|_| OnceCell::new()).collect(),
            together: OnceCell::from(Some(tensor)),
        }
    }

    /// Number of cases.
    pub(crate) fn count(&self) -> usize {
        self.apart.len()
    }

    /// The tensor in a case.
    pub(crate) fn at(&self, case: usize) -> &Tensor {
        self.apart[case].get_or_init(|| match self.together.get() {
            Some(Some(all)) => all.index(0, case),
            _ => unreachable!("cases are known apart where they are not together"),
        })
    }

    /// The tensor in each case.
    pub(crate) fn each(&self) -> impl ExactSizeIterator<Item = &Tensor> {
        (0..self.count()).map(|case| self.at(case))
    }

    /// All cases along a first axis; `None` where they do not fit into a tensor.
    pub(crate) fn as_one(&self) -> Option<&Tensor> {
        let all = self.together.get_or_init(|| {
            let shape = self.at(0).shape();
            let fits = |x: &Tensor| x.shape() == shape && x.0.as_ref().is_ok_and(is_own);
            let fits = shape.rank() < MAX_RANK && self.each().all(fits);
            let all: Vec<&Tensor> = self.each().collect();
            let all = fits.then(|| Tensor::stack(&all, 0))?;
            all.check().is_ok().then_some(all)
        });
        all.as_ref()
    }

    /// All cases along a first axis, if they are already there.
    pub(crate) fn if_one(&self) -> Option<&Tensor> {
        self.together.get()?.as_ref()
    }

    /// The shape in a case.
    pub(super) fn shape(&self) -> Shape {
        match self.if_one() {
            Some(all) => all.shape().without(0),
            None => self.at(0).shape(),
        }
    }
}
