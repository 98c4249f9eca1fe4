//! Operations that several runs apply to the same tensors, computed once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::graph::Node;
use super::op::Op;
use super::provenance::Provenance;
use super::storage::Data;
use super::{Inner, Shape, Tensor};

/// The result of an operation.
struct Made {
    shape: Shape,
    data: Data,
    node: Option<Rc<Node>>,
}

/// Results by operation and the nodes of its operands.
type All = FxHashMap<(Op, [u64; 2]), Made>;

thread_local! {
    static MADE: RefCell<Option<All>> = const { RefCell::new(None) };
    /// Whether results are shared: every operation looks at this.
    static IS_SHARED: Cell<bool> = const { Cell::new(false) };
}

/// A period in which results are shared between runs.
pub(crate) struct Sharing {
    before: Option<All>,
}

impl Sharing {
    /// From now on, until this is dropped, repeating an operation on the same variables gives its earlier result.
    pub(crate) fn start() -> Self {
        Self::instead(Some(All::default()))
    }

    /// From now on, until this is dropped, operations do not reuse results: for results that must be told apart.
    pub(crate) fn pause() -> Self {
        Self::instead(None)
    }

    fn instead(made: Option<All>) -> Self {
        IS_SHARED.set(made.is_some());
        Self {
            before: MADE.replace(made),
        }
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        IS_SHARED.set(self.before.is_some());
        drop(MADE.replace(self.before.take()));
    }
}

/// The nodes of variables that identify an operation's operands; 0 for a missing one.
#[inline]
fn nodes<const N: usize>(operands: [&Tensor; N]) -> Option<[u64; 2]> {
    let mut ids = [0; 2];
    for (id, operand) in ids.iter_mut().zip(operands) {
        let inner = operand.0.as_ref().ok()?;
        if inner.tangent.is_some() || inner.cases.is_some() {
            return None;
        }
        *id = inner.node.as_ref()?.id;
    }
    Some(ids)
}

/// The result of an operation on one or two operands, made by `make` unless it was made before.
#[inline]
pub(super) fn once<const N: usize>(
    operands: [&Tensor; N],
    op: impl FnOnce() -> Op,
    make: impl FnOnce() -> Tensor,
) -> Tensor {
    if !IS_SHARED.get() {
        return make();
    }
    let Some(ids) = nodes(operands) else {
        return make();
    };
    let key = (op(), ids);
    let sources = operands.into_iter().filter_map(Tensor::provenance);
    let known = MADE.with_borrow(|all| {
        let made = all.as_ref()?.get(&key)?;
        // A model may have differentiated what it has computed.
        if made.node.as_ref().is_some_and(|node| node.is_used_up()) {
            return None;
        }
        Some(Tensor::new(Inner {
            node: made.node.clone(),
            provenance: Provenance::union(sources),
            ..Inner::constant(made.shape, made.data.clone())
        }))
    });
    known.unwrap_or_else(|| {
        let out = make();
        if let Ok(inner) = &out.0 {
            let made = Made {
                shape: inner.shape,
                data: inner.data.clone(),
                node: inner.node.clone(),
            };
            MADE.with_borrow_mut(|all| all.as_mut().map(|all| all.insert(key, made)));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::tensor::grad;

    fn node(x: &Tensor) -> Option<u64> {
        Some(x.0.as_ref().ok()?.node.as_ref()?.id)
    }

    #[test]
    fn equal_operations_are_made_once() -> Result<()> {
        let x = Tensor::from_slice(&[0.3, -1.2, 0.7]).leaf();
        let y = Tensor::from_slice(&[2.0, 0.5, 1.0]).leaf();
        let apart = |x: &Tensor, y: &Tensor| {
            let both = x.exp() * y;
            (both.sum_all() + (x * 2.0).sum_all() + (x * 3.0).sum_all()).item()
        };
        let wanted = apart(&x, &y)?;
        let sharing = Sharing::start();
        assert_eq!(node(&x.exp()), node(&x.exp()));
        assert_eq!(node(&(&x * &y)), node(&(&x * &y)));
        assert_ne!(node(&(&x * &y)), node(&(&y * &x)));
        assert_ne!(node(&(&x * 2.0)), node(&(&x * 3.0)));
        assert_ne!(node(&x.slice(0, 0..1)), node(&x.slice(0, 1..2)));
        assert_eq!(apart(&x, &y)?, wanted);
        let twice = (x.exp() + x.exp()).sum_all();
        let found = grad(&[(&twice, None)], &[&x])?[0].to_vec()?;
        for (found, x) in found.iter().zip(x.to_vec()?) {
            assert!((found - 2.0 * x.exp()).abs() < 1e-5, "{found}");
        }
        let paused = Sharing::pause();
        assert_ne!(node(&x.ln_1p()), node(&x.ln_1p()));
        drop(paused);
        assert_eq!(node(&x.square()), node(&x.square()));
        drop(sharing);
        assert_ne!(node(&x.square()), node(&x.square()));
        Ok(())
    }
}
