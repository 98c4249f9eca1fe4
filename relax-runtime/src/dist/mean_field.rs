//! Mean-field guides: what an automatic guide has in place of a law, with free parameters of its own.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use smallvec::SmallVec;

use super::{Law, PerParameter};
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// The mean-field guide of one site: its unconstrained parameters, their first values, and the law that
/// they determine.
///
/// ```
/// # use std::rc::Rc;
/// # use relax_runtime::dist::{Distribution, Law, MeanField, Normal, Part};
/// # use relax_runtime::{Result, Tensor};
/// # fn main() -> Result<()> {
/// # let (loc, scale) = (Tensor::scalar(2.0), Tensor::scalar(1.0));
/// let guide = MeanField::new(
///     [Part::real("loc", &loc), Part::positive("log_scale", &scale)],
///     |free| Normal::new(&free[0], free[1].exp()).and_then(|normal| normal.law()),
/// );
/// assert_eq!(guide.law(&guide.first_values()?)?.mean().item()?, 2.0);
/// # Ok(())
/// # }
/// ```
pub struct MeanField<'a> {
    parts: PerParameter<Part>,
    is_table: bool,
    build: Box<Build<'a>>,
    units: SmallVec<[(usize, Unit); 1]>,
    about: Option<Box<About<'a>>>,
}

type Build<'a> = dyn Fn(&[Tensor]) -> Result<Rc<dyn Law>> + 'a;

/// How far a step of one moves each number of a part, given the values of all parts.
type Unit = fn(&[Tensor]) -> Tensor;

/// The values of all parts for draws around some unconstrained numbers, with these standard deviations.
type About<'a> = dyn Fn(&Tensor, &Tensor) -> PerParameter<Tensor> + 'a;

/// One unconstrained parameter of a [`MeanField`].
#[derive(Clone, Debug)]
pub struct Part {
    name: Cow<'static, str>,
    shape: Shape,
    prior: Tensor,
    start: fn(&Tensor) -> Tensor,
    /// What is added to the first value.
    offset: f32,
}

impl Part {
    /// A parameter that may be any real number, and starts from the law's own.
    pub fn real(name: &'static str, prior: &Tensor) -> Self {
        Self::starting(name, prior, Tensor::clone)
    }

    /// The logarithm of a positive parameter, which starts from that of the law's own.
    pub fn positive(name: &'static str, prior: &Tensor) -> Self {
        Self::starting(name, prior, Tensor::ln)
    }

    /// A parameter that starts from `start` of the law's own, as a constant.
    pub fn starting(name: &'static str, prior: &Tensor, start: fn(&Tensor) -> Tensor) -> Self {
        Self {
            name: Cow::Borrowed(name),
            shape: prior.shape(),
            prior: prior.clone(),
            start,
            offset: 0.0,
        }
    }

    /// The same part with one number per element of a shape that the law's parameter broadcasts to.
    #[must_use]
    pub fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// The same part with a first value that is `offset` above the law's own: a guide that starts narrower than the
    /// prior has no rare draws whose gradients are thousands of times those of the others.
    #[must_use]
    pub fn first_at(self, offset: f32) -> Self {
        Self { offset, ..self }
    }

    /// How far the first value is above the law's own.
    pub(crate) fn offset(&self) -> f32 {
        self.offset
    }

    /// Its name, which is put after the site's and a dot.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The first value, a constant.
    ///
    /// # Errors
    /// If the law's parameter carries an error, or has another shape than `start` leaves.
    pub fn first_value(&self) -> Result<Tensor> {
        let own = self.from(self.prior.detach())?;
        Ok(match self.offset {
            0.0 => own,
            offset => own + offset,
        })
    }

    /// The first value as part of the graph that the law's own parameter is part of.
    ///
    /// # Errors
    /// As [`first_value`](Self::first_value).
    pub fn live_value(&self) -> Result<Tensor> {
        self.from(self.prior.clone())
    }

    /// `start` applied to the law's own parameter.
    fn from(&self, prior: Tensor) -> Result<Tensor> {
        let prior = match prior.shape() == self.shape {
            true => prior,
            false => prior.broadcast_to(self.shape),
        };
        let first = (self.start)(&prior);
        match first.check()?.shape() == self.shape {
            true => Ok(first),
            false => Err(Error::Guide(format!(
                "the automatic guide's `{}` has shape {}, but a first value of shape {}",
                self.name,
                self.shape,
                first.shape()
            ))),
        }
    }
}

/// Numbers repeated names, since parts with one name would be one parameter: the first keeps its own.
fn number_repeated(parts: &mut [Part]) {
    // From the back, so that earlier parts still have their original names.
    for at in (1..parts.len()).rev() {
        let name = parts[at].name.clone();
        let before = parts[..at].iter().filter(|part| part.name == name);
        let before = before.count();
        if before == 0 {
            continue;
        }
        let is_free = |own: &String| parts.iter().all(|part| part.name != *own);
        let mut numbered = (before + 1..).map(|number| format!("{name}_{number}"));
        parts[at].name = numbered.find(is_free).map_or(name, Cow::Owned);
    }
}

impl<'a> MeanField<'a> {
    /// A guide with these parts, from whose values, in order, `build` makes a law. Values of probability 0
    /// under the guided law must have it under the guide's, too. Each part gets a name of its own: a repeated
    /// name is numbered, as in `logits` and `logits_2`.
    pub fn new(
        parts: impl IntoIterator<Item = Part>,
        build: impl Fn(&[Tensor]) -> Result<Rc<dyn Law>> + 'a,
    ) -> Self {
        let mut parts: PerParameter<Part> = parts.into_iter().collect();
        number_repeated(&mut parts);
        Self {
            parts,
            is_table: false,
            build: Box::new(build),
            units: SmallVec::new(),
            about: None,
        }
    }

    /// Declares that the `part`-th part is the location of the law's draws, on the scale of their
    /// [unconstrained numbers](Law::bijection), and how far a step of one of the default optimizer moves it, given the
    /// values of all parts: about as far as the law's draws spread, so that a number known to a thousandth and
    /// one known to a thousand are learned in equally many steps. The default is one.
    #[must_use]
    pub fn in_units(mut self, part: usize, unit: fn(&[Tensor]) -> Tensor) -> Self {
        self.units.push((part, unit));
        self
    }

    /// Declares which values of the parts have draws whose unconstrained numbers are around the first ones, with the
    /// second ones as standard deviations, as nearly as the guide can: a fit that restarts from elsewhere begins there.
    #[must_use]
    pub fn for_draws_about(
        self,
        about: impl Fn(&Tensor, &Tensor) -> PerParameter<Tensor> + 'a,
    ) -> Self {
        Self {
            about: Some(Box::new(about)),
            ..self
        }
    }

    /// Those values, if the guide declares them.
    pub(crate) fn about(&self, loc: &Tensor, scale: &Tensor) -> Option<PerParameter<Tensor>> {
        self.about.as_ref().map(|about| about(loc, scale))
    }

    /// The units of the parts whose unit is not one, at values of the parts.
    pub(crate) fn units(&self, free: &[Tensor]) -> impl Iterator<Item = (usize, Tensor)> {
        self.units.iter().map(|&(part, unit)| (part, unit(free)))
    }

    /// The part that is the law's location among the unconstrained numbers: the one with a unit.
    pub(crate) fn location(&self) -> Option<usize> {
        self.units.first().map(|&(part, _)| part)
    }

    /// Declares that the only part holds, for each event, the logit of each value in the order of
    /// [`Relaxation::vertices`](super::Relaxation::vertices), or of each but the first, whose logit
    /// is 0. Sums over all values of a program's choices are then computed in host numbers.
    #[must_use]
    pub fn of_logits(self) -> Self {
        Self {
            is_table: true,
            ..self
        }
    }

    /// The parts.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The shape of the logits, where [`of_logits`](Self::of_logits) declared that there is nothing else.
    pub(crate) fn logits(&self) -> Option<Shape> {
        match &self.parts[..] {
            [part] if self.is_table => Some(part.shape),
            _ => None,
        }
    }

    /// The first values of the parts.
    ///
    /// # Errors
    /// As [`Part::first_value`].
    pub fn first_values(&self) -> Result<PerParameter<Tensor>> {
        self.parts.iter().map(Part::first_value).collect()
    }

    /// The guide's law at values of the parts, in their order: differentiable in them.
    ///
    /// # Errors
    /// If the values are not valid parameters of the law, or there are more or fewer than parts.
    pub fn law(&self, free: &[Tensor]) -> Result<Rc<dyn Law>> {
        match free.len() == self.parts.len() {
            true => (self.build)(free),
            false => Err(Error::Guide(format!(
                "the automatic guide has {} parameters, but was given {}",
                self.parts.len(),
                free.len()
            ))),
        }
    }
}

impl fmt::Debug for MeanField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeanField")
            .field("parts", &self.parts)
            .field("is_table", &self.is_table)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Bernoulli, Distribution};

    fn names(given: &[&'static str]) -> Vec<String> {
        let parts = given
            .iter()
            .map(|name| Part::real(name, &Tensor::scalar(0.0)));
        let guide = MeanField::new(parts, |free| Bernoulli::logits(&free[0])?.law());
        guide
            .parts()
            .iter()
            .map(|part| part.name().to_owned())
            .collect()
    }

    #[test]
    fn no_two_parts_share_a_name() {
        assert_eq!(names(&["loc", "log_scale"]), ["loc", "log_scale"]);
        assert_eq!(names(&["a", "b", "a", "a"]), ["a", "b", "a_2", "a_3"]);
        // A number that is taken is skipped.
        assert_eq!(names(&["a", "a", "a_2"]), ["a", "a_3", "a_2"]);
    }
}
