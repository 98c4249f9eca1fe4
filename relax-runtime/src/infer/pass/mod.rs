//! One evaluation of an objective: the random choices it made and the resulting costs.

mod latent;
pub(super) mod memory;
pub(super) mod odometer;
pub(super) mod other_rows;
pub(super) mod samples;
pub(super) mod slopes;
pub(super) mod spread;
pub(super) mod survey;
mod term;

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::dist::{Draws, Number, Relaxation};
use crate::error::Result;
use crate::estimator::{DrawKind, SiteClass};
use crate::model::{SummedOut, within};
use crate::random::Key;
use crate::tensor::{SiteSet, Tensor};
pub use latent::Latent;
use odometer::Odometer;
use other_rows::OtherRows;
use samples::Samples;
pub use term::Term;
pub(in crate::infer) use term::not_finite;

/// What happened in one evaluation.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// The random choices, in order; a [`SiteSet`] refers to them by their place here.
    pub latents: Vec<Latent>,
    /// The terms of the cost.
    pub terms: Vec<Term>,
    /// Choices that host code has read.
    pub reads: SiteSet,
    /// The samples of a bound of several samples: the latents are those of all samples, one sample after the other,
    /// each with its own places in its [`SiteSet`]s.
    pub samples: Option<Rc<Samples>>,
    /// Choices that were summed out, with the key for a draw of them.
    pub(crate) summed: Vec<(Rc<dyn SummedOut>, Key)>,
}

/// How an evaluation makes its random choices.
#[derive(Clone)]
#[non_exhaustive]
pub enum Mode {
    /// Draws each from its law.
    Draw,
    /// The same, with discrete draws that could be relaxed as leaves of the graph: the reverse pass through the terms
    /// then also gives the cost's slope at them.
    DrawLeaves,
    /// Repeats `hard`, but with another draw at one site; later choices that depend on it are made again with their own
    /// noise.
    Replaced {
        /// The evaluation to repeat.
        hard: Rc<Pass>,
        /// Place of the replaced choice.
        site: usize,
        /// Its draw: a value of its support, or a relaxed one.
        draw: Tensor,
        /// λ, of rank 0, at which later choices are relaxed; `None` draws them from their laws.
        temperature: Option<Tensor>,
    },
    /// Takes each discrete choice's next value, so that repeated evaluations run through every combination.
    Enumerate(Rc<Odometer>),
    /// Gives choices these values, by the full names of their sites, if the model allows them; others are drawn.
    Given(Rc<BTreeMap<String, Tensor>>),
    /// Draws each from its law, some rows of a plate anew.
    OtherRows(Rc<OtherRows>),
}

impl Mode {
    /// The evaluation that is repeated, and the place of the choice with another draw.
    pub(in crate::infer) fn replaced(&self) -> Option<(&Pass, usize)> {
        match self {
            Self::Replaced { hard, site, .. } => Some((hard, *site)),
            Self::Draw
            | Self::DrawLeaves
            | Self::Enumerate(_)
            | Self::Given(_)
            | Self::OtherRows(_) => None,
        }
    }

    /// Whether choices may lie between the values of their support.
    pub(in crate::infer) fn is_relaxed(&self) -> bool {
        matches!(
            self,
            Self::Replaced {
                temperature: Some(_),
                ..
            }
        )
    }
}

impl Pass {
    /// The whole cost, with plates scaled.
    ///
    /// # Errors
    /// If a term carries an error.
    pub fn total(&self) -> Result<f64> {
        self.terms
            .iter()
            .map(|term| Ok(term.value.peek_total()? * term.scale))
            .sum()
    }

    /// The whole cost, or an error that names the first term that is not finite.
    pub(in crate::infer) fn finite_total(&self, step: u64) -> Result<f64> {
        let total = self.total()?;
        if total.is_finite() {
            return Ok(total);
        }
        // A bound of several samples is a single term; those of the samples tell more.
        let runs = self.samples.iter().flat_map(|samples| samples.runs());
        for run in runs.chain([self]) {
            for term in &run.terms {
                let value = term.value.peek_total()?;
                if !value.is_finite() {
                    return Err(term.not_finite(value, step, &run.latents));
                }
            }
        }
        Ok(total)
    }

    /// How many draws of everything it consists of, each an evaluation of the cost.
    pub(in crate::infer) fn draws_of_everything(&self) -> usize {
        self.samples.as_ref().map_or(1, |samples| samples.count())
    }

    /// What kind of choice the latent at a place is, as far as this evaluation shows.
    pub fn class(&self, place: usize) -> SiteClass {
        let separate = self.separate(place);
        if let Some(samples) = &self.samples {
            return samples.class_in_bound(samples.class(place), separate);
        }
        let later = self.latents.iter().enumerate().skip(place + 1);
        let mut outside = Outside {
            read: self.reads.contains(place),
            severed: self.severed(place),
            blocked: false,
            followed: false,
            separate,
        };
        for (at, later) in later.filter(|(_, later)| later.depends_on.contains(place)) {
            outside.blocked |= later.is_hard(self.reads.contains(at));
            outside.followed |= later.law.draws().are_discrete();
        }
        self.class_within(place, outside)
    }

    /// The same, if what else there is to it is known.
    #[inline]
    pub(in crate::infer) fn class_within(&self, place: usize, outside: Outside) -> SiteClass {
        let Outside {
            read,
            severed,
            blocked,
            followed,
            separate,
        } = outside;
        let latent = &self.latents[place];
        let law = latent.law.draws();
        let draws = match latent.law.support_moves() {
            true => DrawKind::Moving,
            false => DrawKind::of(law),
        };
        let (values, changes) = match law {
            Draws::Pathwise | Draws::Opaque => (0, 0),
            Draws::Discrete(None) => (usize::MAX, usize::MAX),
            Draws::Discrete(Some(relaxation)) => values_a_row(relaxation, latent),
        };
        let relaxable = separate
            && draws.is_relaxed()
            && latent.law.takes_relaxed_values()
            && !read
            && !severed
            && !blocked;
        SiteClass {
            draws,
            relaxable,
            differentiable: matches!(law, Draws::Pathwise) && !read && !severed,
            mirrored: latent.law.mirrored(&latent.noise).is_some(),
            rows_differ: SiteClass::SOME_VALUES.contains(&values) && latent.rows_differ(),
            followed: relaxable && followed,
            values,
            changes,
            separate,
            samples: 1,
        }
    }

    /// Whether something between the latent at a place and a term, or a later choice's law, stops derivatives: a
    /// comparison, an index, a tensor taken as a constant. A relaxed draw's cost then changes by more than its
    /// derivative says, which would bias estimators that rely on it. (How the guide's density depends on the latent
    /// shows in the guide's laws.)
    fn severed(&self, place: usize) -> bool {
        let mut later = self.latents[place + 1..].iter();
        let mut by_terms = false;
        self.each_severed_term(|sites| by_terms |= sites.contains(place));
        by_terms || later.any(|latent| latent.severed.contains(place))
    }

    /// Calls `f` with the choices for which a term's derivative does not tell how it changes.
    pub(in crate::infer) fn each_severed_term(&self, mut f: impl FnMut(&SiteSet)) {
        for term in self.terms.iter().filter(|term| !term.of_guide) {
            if let Number::Tensor(value) = &term.value
                && let Some(known) = value.provenance()
            {
                f(&known.severed);
            }
        }
    }

    /// Whether every later choice and every term that can depend on the latent at a place stands in its plates, so that
    /// each of their rows depends on the latent's row alone.
    fn separate(&self, place: usize) -> bool {
        let latent = &self.latents[place];
        let mut later = self.latents[place + 1..].iter();
        let mut terms = self.terms.iter();
        latent.plates.is_empty()
            || (!self.reads.contains(place)
                && later.all(|later| {
                    !later.depends_on.contains(place) || within(&later.plates, &latent.plates)
                })
                && terms.all(|term| {
                    !term.sites.contains(place) || within(&term.plates, &latent.plates)
                }))
    }

    /// The sum of the terms that can depend on the latent at a place, in units of one row of its plates: one number per
    /// row. Terms of other plates are summed and count for every row.
    ///
    /// # Errors
    /// If a term carries an error.
    pub fn cost_to_go(&self, place: usize) -> Result<Tensor> {
        self.cost_to_go_from(place, 0.0)
    }

    /// The same minus `origin`, which is subtracted from the terms in host numbers before they are rounded: what is
    /// left of large numbers close to it is as exact as they are.
    ///
    /// # Errors
    /// If a term carries an error.
    pub fn cost_to_go_from(&self, place: usize, origin: f64) -> Result<Tensor> {
        let latent = &self.latents[place];
        let mut tensors: Option<Tensor> = None;
        let mut host = -origin;
        for term in self.terms.iter().filter(|term| term.sites.contains(place)) {
            match term.value.scale(term.scale / latent.scale) {
                Number::Host(x) => host += x,
                Number::Tensor(t) => {
                    let t = latent.align(&t, &term.plates)?;
                    tensors = Some(match tensors {
                        None => t,
                        Some(sum) => sum + t,
                    });
                }
            }
        }
        latent.total(tensors, host)
    }
}

/// What stands between a choice and its costs.
pub(in crate::infer) struct Outside {
    /// Host code, which has read it.
    pub(in crate::infer) read: bool,
    /// A break in derivatives.
    pub(in crate::infer) severed: bool,
    /// A later choice that cannot be relaxed.
    pub(in crate::infer) blocked: bool,
    /// Whether a later choice that depends on it is discrete.
    pub(in crate::infer) followed: bool,
    /// Nothing that joins its rows.
    pub(in crate::infer) separate: bool,
}

/// How many values the events of one row have together, `usize::MAX` if there are more; and how many of those can be
/// reached by changing a single event.
fn values_a_row(relaxation: &dyn Relaxation, latent: &Latent) -> (usize, usize) {
    let shape = latent.law.draw_shape();
    let (values, events) =
        relaxation.values_and_events(&shape[latent.plates.len().min(shape.rank())..]);
    let together = u32::try_from(events).map_or(usize::MAX, |n| values.saturating_pow(n));
    let changes = match values {
        usize::MAX => values,
        _ => events.saturating_mul(values.saturating_sub(1)),
    };
    (together, changes)
}
