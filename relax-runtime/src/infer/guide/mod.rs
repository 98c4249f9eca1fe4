//! Guides: the laws q from which a bound draws a model's choices, one file per family.

mod conditional_normal;
mod continuous_alone;
mod delta;
mod full_rank;
mod gaussian;
mod held;
mod low_rank;
mod mean_field;
mod moved;
mod program;
mod recentre;
mod site;
mod skewed;
mod start;
pub(super) mod structure;
mod structured;

use std::cell::Cell;
use std::rc::Rc;

pub(super) use continuous_alone::Guided;
pub use delta::DeltaGuide;
pub use full_rank::FullRankGuide;
pub use low_rank::LowRankGuide;
pub use mean_field::MeanFieldGuide;
pub use site::GuideSite;
pub(super) use site::guide_parameters;
pub use structured::StructuredGuide;

use crate::dist::Law;
use crate::error::{Error, Result};
use crate::infer::draw::{Draw, Laws};
use crate::infer::pass::{Latent, Mode};
use crate::model::{Message, ParamStore, Program, Trace};
use crate::random::Key;
use crate::tensor::{Shape, SiteSet};

/// A family of laws q over a model's choices. Programs are guides; a family that gives each site a law when the model
/// reaches it calls [`Evaluation::by_site`]:
///
/// ```
/// use relax_runtime::dist::{Bernoulli, Distribution, Value};
/// use relax_runtime::infer::{Evaluation, Guide, Proposal};
/// use relax_runtime::prelude::*;
///
/// /// Coins that depend on all coins before them, by tables of logits.
/// struct Tables;
///
/// impl Guide for Tables {
///     fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
///         evaluation.by_site(|site| {
///             let mut row = String::from("logit");
///             site.each_earlier(|entry| {
///                 if let Value::Bool(b) = entry.value {
///                     row.push(if b { '1' } else { '0' });
///                 }
///             });
///             let logit = site.parameter(&row, || Ok(Tensor::scalar(0.0)))?;
///             Bernoulli::logits(logit.get())?.law()
///         })
///     }
/// }
///
/// #[model]
/// fn both_or_none() {
///     let a = sample!(Bernoulli(0.5));
///     let b = sample!(Bernoulli(0.3));
///     observe!(Bernoulli(if a == b { 0.99 } else { 0.01 }), true);
/// }
///
/// # fn main() -> Result<()> {
/// let fit = Svi::new(&both_or_none()).guide(&Tables).steps(2_000).seed(1).run()?;
/// let exact = exact_posterior(&both_or_none())?;
/// assert!((fit.posterior().mean("a")? - exact.mean("a")?).abs() < 0.05);
/// # Ok(())
/// # }
/// ```
pub trait Guide {
    /// Draws the model's choices as the evaluation asks.
    ///
    /// # Errors
    /// Any error from the model or the guide.
    fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal>;

    /// Called from time to time while a run goes on until it has settled. The guide may write its parameters in other
    /// units, in which the rest is learned faster, or add further ones, but must leave every law as it is.
    ///
    /// # Errors
    /// Any error from the model or the guide.
    fn adapt(&self, _evaluation: Evaluation<'_>, _stage: Stage) -> Result<()> {
        Ok(())
    }

    /// Whether [`Svi`](super::Svi) may sum out discrete choices where that is cheap, as with the automatic guide (but
    /// integrate nothing out): it may if the guide covers continuous choices only, and draws each regardless of which
    /// others a run has reached.
    fn leaves_sums(&self) -> bool {
        false
    }

    /// Whether it gives all sites of a model what [`MeanFieldGuide`] does: sums over such a model's host values need no
    /// tensors.
    fn is_mean_field(&self, _model: &dyn Program, _params: &ParamStore) -> bool {
        false
    }
}

/// How far a run has come that goes on until it has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// At its first rate, on the way.
    OnTheWay,
    /// It has settled at its first rate.
    Settled,
}

/// One evaluation of a bound: a model to run, its random numbers, and how to make its choices. See [`Guide`] for an
/// example.
#[derive(Clone, Copy)]
pub struct Evaluation<'a> {
    pub(super) model: &'a dyn Program,
    /// Earlier versions of the model, with more of it summed out, oldest first.
    pub(super) before: &'a [&'a dyn Program],
    pub(super) key: Key,
    pub(super) params: &'a ParamStore,
    pub(super) mode: &'a Mode,
}

/// The choices that a guide has made, and the model's run with them.
pub struct Proposal {
    pub(super) latents: Vec<Latent>,
    /// The model's run.
    pub(super) trace: Trace,
    /// What host code has read.
    pub(super) reads: SiteSet,
}

impl<'a> Evaluation<'a> {
    /// The parameters being trained.
    pub fn params(&self) -> &'a ParamStore {
        self.params
    }

    /// Runs the model, drawing its choices one at a time from the laws that `law` gives, except for those that handlers
    /// hide, which are drawn from their own.
    ///
    /// # Errors
    /// Any error from the model or from `law`.
    pub fn by_site(
        self,
        law: impl Fn(&GuideSite<'_>) -> Result<Rc<dyn Law>> + 'static,
    ) -> Result<Proposal> {
        let laws = BySite {
            params: self.params.clone(),
            law,
        };
        let draw = Draw::new(laws, self.mode.clone());
        let (latents, trace, reads) = draw.run(self.model, self.key, self.params)?;
        Ok(Proposal {
            latents,
            trace,
            reads,
        })
    }
}

/// Checks that a guide's law is of the same kind as the model's, and that its draws, as vertices, have the same shape.
fn expect_fit(law: &dyn Law, guide: &dyn Law, shape: Shape) -> Result<()> {
    let kind = |law: &dyn Law| match law.draws().are_discrete() {
        true => "discrete",
        false => "continuous",
    };
    if kind(law) != kind(guide) {
        return Err(Error::Guide(format!(
            "the model's {} is {}, but the guide's {} is {}",
            law.name(),
            kind(law),
            guide.name(),
            kind(guide)
        )));
    }
    let wanted = law.draw_shape();
    match shape == wanted {
        true => Ok(()),
        false => Err(Error::Guide(format!(
            "a draw of the model has shape {wanted}, but the guide's has shape {shape}"
        ))),
    }
}

/// The laws that a guide gives.
struct BySite<F> {
    params: ParamStore,
    law: F,
}

impl<F: Fn(&GuideSite<'_>) -> Result<Rc<dyn Law>>> Laws for BySite<F> {
    const OF_GUIDE: bool = true;

    fn law(&self, message: &Message<'_>) -> Result<Rc<dyn Law>> {
        let site = GuideSite {
            message,
            params: &self.params,
            fits: Cell::default(),
        };
        let law = (self.law)(&site)?;
        let fits = site.fits.take();
        if !fits.is_some_and(|fits| Rc::ptr_eq(&fits, &law)) {
            expect_fit(&*message.law()?, &*law, law.draw_shape())?;
        }
        Ok(law)
    }
}
