//! One term of a cost, and error messages for one that is not finite.

use std::borrow::Cow;
use std::rc::Rc;

use crate::dist::{AnyDistribution, Number, Value};
use crate::error::{Error, Result};
use crate::infer::impossible::{Behind, Broken, look};
use crate::infer::pass::Latent;
use crate::model::{Kind, Known, OutOfSupport, Plate};
use crate::tensor::SiteSet;

/// One term of an objective's cost.
#[derive(Clone, Debug)]
pub struct Term {
    /// Full name of its site.
    pub name: Cow<'static, str>,
    /// What its site does: a cost that is paid, or a choice or an observation whose log-density counts.
    pub kind: Kind,
    /// One number per row of the plates, without [`scale`](Self::scale).
    pub value: Number,
    /// The plates around the site.
    pub plates: Rc<[Plate]>,
    /// Factor of subsampling plates and of handlers.
    pub scale: f64,
    /// Factor of handlers alone.
    pub(crate) weight: f64,
    /// Choices that the term may depend on.
    pub sites: SiteSet,
    /// Whether it is the log-density of a choice under its guide.
    pub(crate) of_guide: bool,
    /// The user's file and line, if the term belongs to a site.
    pub(crate) at: Option<(&'static str, u32)>,
    /// The distribution of a site.
    pub(crate) dist: Option<Rc<dyn AnyDistribution>>,
    /// Why the value is outside its support, if it is.
    pub(crate) outside: Option<Rc<OutOfSupport>>,
}

impl Term {
    /// The whole term, counting each row of the plates once.
    ///
    /// # Errors
    /// If it carries an error.
    pub(in crate::infer) fn once(&self) -> Result<f64> {
        Ok(self.value.peek_total()? * self.weight)
    }

    /// An error that says which term went wrong, with its site's line and the draw of the choices behind it.
    pub(crate) fn not_finite(&self, value: f64, step: u64, latents: &[Latent]) -> Error {
        let name = self.title();
        if self.of_guide {
            return not_finite(self.kind, &name, look(step), self.at, value, step);
        }
        let known = Known::of(self.outside.as_ref(), self.dist.as_ref());
        if let (Known::Outside(outside), Some((file, line))) = (known, self.at)
            && let Some(mistake) = outside.mistake()
        {
            return mistake.clone().at_site(&self.name, file, line);
        }
        let broken = Broken {
            kind: self.kind,
            value,
            known,
            behind: self.behind(latents),
            step,
        };
        let mut error = not_finite(self.kind, &name, broken.hint(), self.at, value, step);
        if let (Kind::Observed | Kind::Factor, true, Error::NotFinite { what, .. }) =
            (self.kind, value == f64::INFINITY, &mut error)
        {
            *what += &self.draw_behind(latents);
        }
        error
    }

    /// ``the cost of `y` (src/main.rs:7)``.
    pub(in crate::infer) fn in_words(&self) -> String {
        in_words(self.kind, &self.title(), self.at)
    }

    /// The name of its site, or of the guide's density there.
    fn title(&self) -> Cow<'_, str> {
        match self.of_guide {
            true => format!("log q({})", self.name).into(),
            false => (&*self.name).into(),
        }
    }

    /// The kind of choices that it may depend on.
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
        /// Maximum number of choices named.
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

/// The description of a term of some kind, with its site's line if it has one.
fn in_words(kind: Kind, term: &str, at: Option<(&'static str, u32)>) -> String {
    let at = at.map(|(file, line)| format!(" ({file}:{line})"));
    let what = match kind {
        Kind::Factor => "factor",
        _ => "cost of",
    };
    format!("the {what} `{term}`{}", at.unwrap_or_default())
}
