//! Reused memory: an evaluation needs as much as the one before, and fresh pages take as long as the work done with
//! them.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Latent, Pass, Term};

thread_local! {
    /// What a finished evaluation has left.
    static SPARE: RefCell<(Vec<Latent>, Vec<Term>)> = RefCell::default();
}

/// For the choices of an evaluation.
pub(in crate::infer) fn spare_latents() -> Vec<Latent> {
    SPARE.with_borrow_mut(|(latents, _)| std::mem::take(latents))
}

/// For `count` terms of an evaluation.
pub(in crate::infer) fn spare_terms(count: usize) -> Vec<Term> {
    let mut terms = SPARE.with_borrow_mut(|(_, terms)| std::mem::take(terms));
    terms.reserve(count);
    terms
}

/// Ends an evaluation, and leaves its memory to a later one unless it is still in use.
pub(in crate::infer) fn end(pass: Rc<Pass>) {
    if let Some(Pass {
        mut latents,
        mut terms,
        ..
    }) = Rc::into_inner(pass)
    {
        latents.clear();
        terms.clear();
        SPARE.set((latents, terms));
    }
}
