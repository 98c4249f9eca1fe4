//! One evaluation of an objective: the random choices it made and the costs that followed.

pub(super) mod memory;
pub(super) mod odometer;
pub(super) mod samples;
pub(super) mod slopes;
pub(super) mod spread;
pub(super) mod survey;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::dist::{AnyDistribution, Draws, Law, Number, Relaxation, Value};
use crate::error::{Error, Result};
use crate::estimator::{DrawKind, SiteClass};
use crate::infer::impossible::{Behind, Broken, look};
use crate::model::{Kind, Known, OutOfSupport, Plate, SummedOut, Weight};
use crate::random::Key;
use crate::tensor::{Device, Shape, SiteSet, Tensor};
use odometer::Odometer;
use samples::Samples;

/// One random choice of an objective, drawn from the law whose parameters are to be trained.
#[derive(Clone, Debug)]
pub struct Latent {
    /// Full name of its site.
    pub name: Cow<'static, str>,
    /// The law that it was drawn from: the guide's, if there is one.
    pub law: Rc<dyn Law>,
    /// The noise behind the draw.
    pub noise: Tensor,
    /// The draw.
    pub value: Tensor,
    /// The plates around the site: the model's, also where a guide draws it.
    pub plates: Rc<[Plate]>,
    /// Factor of subsampling plates.
    pub scale: f64,
    /// How much handlers let its log-probability under the guide count.
    pub(crate) weight: Option<Rc<Weight>>,
    /// Earlier choices that the law depends on.
    pub(crate) depends_on: SiteSet,
    /// Those by which the law's derivatives do not tell how it changes.
    pub(crate) severed: SiteSet,
    pub(crate) estimator: Option<Cow<'static, str>>,
    pub(crate) context: Option<Tensor>,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
}

impl Latent {
    /// Wraps an error with the site's name and line.
    pub(crate) fn locate(&self, error: Error) -> Error {
        error.at_site(&self.name, self.file, self.line)
    }

    /// Whether it keeps what it depends on from being relaxed.
    pub(in crate::infer) fn is_hard(&self, read: bool) -> bool {
        match self.law.draws() {
            Draws::Pathwise => false,
            Draws::Opaque | Draws::Discrete(None) => true,
            Draws::Discrete(Some(_)) => read || !self.law.takes_relaxed_values(),
        }
    }

    /// Whether the rows of its plates have other parameters than each other, as far as this is to be
    /// seen without copying them from a GPU.
    fn rows_differ(&self) -> bool {
        let rows: usize = self.plates.iter().map(|plate| plate.size).product();
        let differ = |parameter: &Tensor| {
            let differ = |numbers: &[f32]| {
                let row = numbers.len() / rows;
                let (first, others) = numbers.split_at(row);
                row * rows == numbers.len() && others.chunks(row.max(1)).any(|other| other != first)
            };
            parameter.device() != Device::cpu() || parameter.with_values(differ).unwrap_or(false)
        };
        rows > 1 && self.law.parameters().iter().any(differ)
    }

    /// Brings a term with rows of its own plates to the rows of the choice's plates: axes that both
    /// have stay, the term's others are summed, the choice's others get length 1.
    #[inline]
    pub(in crate::infer) fn align(&self, term: &Tensor, from: &[Plate]) -> Result<Tensor> {
        let pairs = from.iter().zip(&*self.plates);
        let common = pairs.take_while(|(a, b)| a.same_rows(b)).count();
        let rank = self.plates.len();
        if common == from.len() && common == rank {
            return Ok(term.clone());
        }
        let sum = if term.rank() > common {
            term.sum_from(common)
        } else {
            term.clone()
        };
        let mut shape = sum.check()?.shape().to_vec();
        shape.resize(rank, 1);
        Ok(sum.reshape(Shape::try_from(&shape[..])?))
    }

    /// Terms that add up to `tensors` and, the same in every row, to `host`: a number a row.
    #[inline]
    pub(in crate::infer) fn total(&self, tensors: Option<Tensor>, host: f64) -> Result<Tensor> {
        let rows = match self.plates.is_empty() {
            true => Shape::SCALAR,
            false => {
                let sizes = self.plates.iter().map(|plate| plate.size);
                Shape::try_from(&sizes.collect::<Vec<_>>()[..])?
            }
        };
        let total = || Tensor::full(rows, host as f32, &self.law.device());
        Ok(match tensors {
            Some(sum) if sum.shape() == rows && host == 0.0 => sum,
            Some(sum) if sum.shape() == rows => sum + host as f32,
            Some(sum) => total() + sum,
            None => total(),
        })
    }
}

/// One term of an objective's cost.
#[derive(Clone, Debug)]
pub struct Term {
    /// Full name of its site.
    pub name: Cow<'static, str>,
    /// What its site does: a cost that is paid, or a choice or an observation whose log-density
    /// counts.
    pub kind: Kind,
    /// A number a row of the plates, without the plates' scale.
    pub value: Number,
    /// The plates around the site.
    pub plates: Rc<[Plate]>,
    /// Factor of subsampling plates.
    pub scale: f64,
    /// Choices that the term may depend on.
    pub sites: SiteSet,
    /// Whether it is the log-density of a choice under its guide.
    pub(crate) of_guide: bool,
    /// The user's file and line, where the term is a site's.
    pub(crate) at: Option<(&'static str, u32)>,
    /// The distribution of a site.
    pub(crate) dist: Option<Rc<dyn AnyDistribution>>,
    /// That its support does not have the value.
    pub(crate) outside: Option<Rc<OutOfSupport>>,
}

impl Term {
    /// An error that says which term went wrong, with its site's line, and with which draw of the choices behind it.
    pub(crate) fn not_finite(&self, value: f64, step: u64, latents: &[Latent]) -> Error {
        let name = &self.name;
        if self.of_guide {
            let name = format!("log q({name})");
            return not_finite(Kind::Latent, &name, look(step), self.at, value, step);
        }
        let known = Known::of(self.outside.as_ref(), self.dist.as_ref());
        if let (Known::Outside(outside), Some((file, line))) = (known, self.at)
            && let Some(mistake) = outside.mistake()
        {
            return mistake.clone().at_site(name, file, line);
        }
        let broken = Broken {
            kind: self.kind,
            value,
            known,
            behind: self.behind(latents),
            step,
        };
        let mut error = not_finite(self.kind, name, broken.hint(), self.at, value, step);
        if let (Kind::Observed | Kind::Factor, true, Error::NotFinite { what, .. }) =
            (self.kind, value == f64::INFINITY, &mut error)
        {
            *what += &self.draw_behind(latents);
        }
        error
    }

    /// ``the cost of `y` (src/main.rs:7)``.
    pub(in crate::infer) fn in_words(&self) -> String {
        let name = match self.of_guide {
            true => Cow::Owned(format!("log q({})", self.name)),
            false => Cow::Borrowed(&*self.name),
        };
        in_words(self.kind, &name, self.at)
    }

    /// On what choices it may depend.
    fn behind(&self, latents: &[Latent]) -> Behind {
        let all = latents.iter().enumerate();
        let behind = all.filter(|(place, _)| self.sites.contains(*place));
        let kinds = behind.map(|(_, latent)| match latent.law.draws().are_discrete() {
            true => Behind::Choices,
            false => Behind::Numbers,
        });
        kinds.fold(Behind::Nothing, |found, kind| match found {
            Behind::Choices => found,
            Behind::Nothing | Behind::Numbers => kind,
        })
    }

    /// ` where `n` is 2`: the choices that the term may depend on, as they were drawn; the last ones of many.
    pub(in crate::infer) fn draw_behind(&self, latents: &[Latent]) -> String {
        /// So many are named.
        const NAMED: usize = 4;
        let behind = latents.iter().enumerate().rev();
        let mut behind = behind.filter(|(place, _)| self.sites.contains(*place));
        let named = behind.by_ref().take(NAMED).map(|(_, latent)| {
            let value = Value::Tensor(latent.value.clone());
            format!("`{}` is {value}", latent.name)
        });
        let mut named: Vec<String> = named.collect();
        if behind.next().is_some() {
            named.push("and earlier ones as drawn".into());
        }
        match named.is_empty() {
            true => String::new(),
            false => format!(" where {}", named.join(", ")),
        }
    }
}

/// An error that says which term of a cost went wrong, a factor by its own log-weight, with its site's line if it has
/// one, and what to try.
pub(in crate::infer) fn not_finite(
    kind: Kind,
    term: &str,
    hint: &'static str,
    at: Option<(&'static str, u32)>,
    value: f64,
    step: u64,
) -> Error {
    Error::NotFinite {
        what: in_words(kind, term, at),
        value: match kind {
            Kind::Factor => -value,
            _ => value,
        },
        step,
        hint,
    }
}

/// What a term of a kind is called, with its site's line if it has one.
fn in_words(kind: Kind, term: &str, at: Option<(&'static str, u32)>) -> String {
    let at = at.map(|(file, line)| format!(" ({file}:{line})"));
    let what = match kind {
        Kind::Factor => "factor",
        _ => "cost of",
    };
    format!("the {what} `{term}`{}", at.unwrap_or_default())
}

/// What happened in one evaluation.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// The random choices, in order; a [`SiteSet`] refers to them by their place here.
    pub latents: Vec<Latent>,
    /// The terms of the cost.
    pub terms: Vec<Term>,
    /// Choices that host code has read.
    pub reads: SiteSet,
    /// What a bound of several samples is made of: the latents are those of all samples, one sample
    /// after the other, each with places of its own in its [`SiteSet`]s.
    pub samples: Option<Rc<Samples>>,
    /// Choices that were summed out, and where in the random numbers a draw of them stands.
    pub(crate) summed: Vec<(Rc<dyn SummedOut>, Key)>,
}

/// How an evaluation makes its random choices.
#[derive(Clone)]
#[non_exhaustive]
pub enum Mode {
    /// Draws each from its law.
    Draw,
    /// The same, with discrete draws that could be relaxed as leaves of the graph: the reverse pass
    /// through the terms then gives the cost's slope at them, too.
    DrawLeaves,
    /// Repeats `hard`, but with another draw at one site; later choices that depend on it are made
    /// again with their own noise.
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
    /// Takes each discrete choice's next value, over all evaluations every combination.
    Enumerate(Rc<Odometer>),
    /// Gives choices these values, by the full names of their sites, if the model can have them; others are drawn.
    Given(Rc<BTreeMap<String, Tensor>>),
}

impl Mode {
    /// The evaluation that is repeated, and the place of the choice with another draw.
    pub(in crate::infer) fn replaced(&self) -> Option<(&Pass, usize)> {
        match self {
            Self::Replaced { hard, site, .. } => Some((hard, *site)),
            Self::Draw | Self::DrawLeaves | Self::Enumerate(_) | Self::Given(_) => None,
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
    /// The whole cost, plates scaled.
    ///
    /// # Errors
    /// If a term carries an error.
    pub fn total(&self) -> Result<f64> {
        self.terms
            .iter()
            .map(|term| Ok(term.value.total()? * term.scale))
            .sum()
    }

    /// The whole cost, or an error that names the first term that is not finite.
    pub(in crate::infer) fn finite_total(&self, step: u64) -> Result<f64> {
        let total = self.total()?;
        if total.is_finite() {
            return Ok(total);
        }
        // A bound of several samples is one term, of which the samples' own tell more.
        let runs = self.samples.iter().flat_map(|samples| samples.runs());
        for run in runs.chain([self]) {
            for term in &run.terms {
                let value = term.value.total()?;
                if !value.is_finite() {
                    return Err(term.not_finite(value, step, &run.latents));
                }
            }
        }
        Ok(total)
    }

    /// How many draws of everything it is made of, each an evaluation of the cost.
    pub(in crate::infer) fn draws_of_everything(&self) -> usize {
        self.samples.as_ref().map_or(1, |samples| samples.count())
    }

    /// What kind of choice the latent at a place is, as far as this evaluation shows.
    pub fn class(&self, place: usize) -> SiteClass {
        let separate = self.separate(place);
        if let Some(samples) = &self.samples {
            return samples.class_in_bound(samples.class(place), separate);
        }
        let mut later = self.latents.iter().enumerate().skip(place + 1);
        self.class_within(
            place,
            Outside {
                read: self.reads.contains(place),
                severed: self.severed(place),
                blocked: later.any(|(at, later)| {
                    later.is_hard(self.reads.contains(at)) && later.depends_on.contains(place)
                }),
                separate,
            },
        )
    }

    /// The same, where it is known what else there is to it.
    #[inline]
    pub(in crate::infer) fn class_within(&self, place: usize, outside: Outside) -> SiteClass {
        let Outside {
            read,
            severed,
            blocked,
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
        SiteClass {
            draws,
            relaxable: separate
                && draws.is_relaxed()
                && latent.law.takes_relaxed_values()
                && !read
                && !severed
                && !blocked,
            differentiable: matches!(law, Draws::Pathwise) && !read && !severed,
            mirrored: latent.law.mirrored(&latent.noise).is_some(),
            rows_differ: SiteClass::SOME_VALUES.contains(&values) && latent.rows_differ(),
            values,
            changes,
            separate,
            samples: 1,
        }
    }

    /// Whether something between the latent at a place and a term, or a later choice's law, keeps
    /// derivatives from passing: a comparison, an index, a tensor taken as a constant. A relaxed
    /// draw's cost then changes by more than its derivative says, which would bias estimators that
    /// rely on it. (How the guide's density depends on the latent shows in the guide's laws.)
    fn severed(&self, place: usize) -> bool {
        let mut later = self.latents[place + 1..].iter();
        let mut by_terms = false;
        self.each_severed_term(|sites| by_terms |= sites.contains(place));
        by_terms || later.any(|latent| latent.severed.contains(place))
    }

    /// Calls `f` with the choices by which a term's derivative does not tell how it changes.
    pub(in crate::infer) fn each_severed_term(&self, mut f: impl FnMut(&SiteSet)) {
        for term in self.terms.iter().filter(|term| !term.of_guide) {
            if let Number::Tensor(value) = &term.value
                && let Some(known) = value.provenance()
            {
                f(&known.severed);
            }
        }
    }

    /// Whether every later choice and every term that can depend on the latent at a place stand in
    /// its plates, so that a row of them depends on the latent's row alone.
    fn separate(&self, place: usize) -> bool {
        let latent = &self.latents[place];
        let within = |plates: &[Plate]| {
            let pairs = plates.iter().zip(&*latent.plates);
            pairs.take_while(|(a, b)| a.same_rows(b)).count() == latent.plates.len()
        };
        let mut later = self.latents[place + 1..].iter();
        let mut terms = self.terms.iter();
        latent.plates.is_empty()
            || (!self.reads.contains(place)
                && later.all(|later| !later.depends_on.contains(place) || within(&later.plates))
                && terms.all(|term| !term.sites.contains(place) || within(&term.plates)))
    }

    /// The sum of the terms that can depend on the latent at a place, in units of one row of its
    /// plates: a number a row. Terms of other plates are summed and count for every row.
    ///
    /// # Errors
    /// If a term carries an error.
    pub fn cost_to_go(&self, place: usize) -> Result<Tensor> {
        self.cost_to_go_from(place, 0.0)
    }

    /// The same less `origin`, which is taken off the terms in host numbers before these are
    /// rounded: what is left of large numbers close to it is as exact as they are.
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
    /// A break of derivatives.
    pub(in crate::infer) severed: bool,
    /// A later choice that cannot be relaxed.
    pub(in crate::infer) blocked: bool,
    /// Nothing that joins its rows.
    pub(in crate::infer) separate: bool,
}

/// How many values the events of one row have together, `usize::MAX` where there are more; and how
/// many of those a change of a single event leads to.
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
