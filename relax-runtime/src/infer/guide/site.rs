//! A site of a model as a guide sees it.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use crate::dist::{Law, MeanField, Part, PerParameter};
use crate::error::{Error, Result};
use crate::model::{Entry, Message, ParamStore, Plate};
use crate::tensor::{Parameter, Shape, SiteSet, Tensor};

/// A random choice of a model for which a guide gives the law. See [`Guide`](super::Guide) for an example.
pub struct GuideSite<'a> {
    pub(super) message: &'a Message<'a>,
    pub(super) params: &'a ParamStore,
    /// The last law made here, which fits the model's by construction.
    pub(super) fits: Cell<Option<Rc<dyn Law>>>,
}

impl fmt::Debug for GuideSite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuideSite").field(&self.name()).finish()
    }
}

impl GuideSite<'_> {
    /// The full name of the site.
    pub fn name(&self) -> &str {
        self.message.full_name
    }

    /// The law that the model states, with a row for every member of the plates.
    ///
    /// # Errors
    /// If the distribution has none, or does not fit the plates.
    pub fn stated(&self) -> Result<Rc<dyn Law>> {
        self.message.law()
    }

    /// The plates around the site, outermost first.
    pub fn plates(&self) -> &[Plate] {
        self.message.plates
    }

    /// Shows everything that the run has reached before, in order: choices, observations, parameters. A law computed
    /// from their values depends on them as it would in a program.
    pub fn each_earlier(&self, mut see: impl FnMut(&Entry)) {
        (self.message.earlier)(&mut see);
    }

    /// A parameter of the guide, named `site.part`, created with the first value if missing.
    ///
    /// # Errors
    /// If the first value carries an error or is not finite, or a checkpoint has another shape for it.
    pub fn parameter(
        &self,
        part: &str,
        first: impl FnOnce() -> Result<Tensor>,
    ) -> Result<Parameter> {
        let always = self.is_met_always();
        let name = [self.name(), ".", part].concat();
        match self.params.settled(&name) {
            Some(parameter) => Ok(parameter),
            None => self.params.create(&name, &first()?, always),
        }
    }

    /// Whether every run reaches this site: nothing that was drawn has decided about it.
    fn is_met_always(&self) -> bool {
        let mut influence = self.message.influence.clone();
        self.message.reads.add_to(&mut influence);
        influence == SiteSet::EMPTY
    }

    /// The law of a mean-field guide: of the stated law's family, with free parameters.
    ///
    /// # Errors
    /// In plates that hold a changing sample of rows, or as for [`parameter`](Self::parameter).
    pub fn mean_field(&self) -> Result<Rc<dyn Law>> {
        self.expect_all_rows()?;
        let stated = self.stated()?;
        let guide = stated.mean_field();
        let always = self.is_met_always();
        let first = |number: usize, part: &Part| {
            let middle = part.first_value()?;
            Ok(match self.displacement(&*stated, &guide, number)? {
                Some(apart) => middle + apart,
                None => middle,
            })
        };
        let parameters = guide_parameters_from(self.params, self.name(), &guide, always, first)?;
        let free: PerParameter<Tensor> = parameters.iter().map(Parameter::for_guide).collect();
        let law = guide.law(&free)?;
        self.in_units(&guide, &free, |part| {
            std::slice::from_ref(&parameters[part])
        })?;
        self.fitting(law)
    }

    /// Has the parameters of each part move in its unit, if the training asks for that.
    pub(super) fn in_units<'p>(
        &self,
        guide: &MeanField<'_>,
        free: &[Tensor],
        parameters: impl Fn(usize) -> &'p [Parameter],
    ) -> Result<()> {
        if !self.params.wants_units() {
            return Ok(());
        }
        let constants: PerParameter<Tensor> = free.iter().map(Tensor::detach).collect();
        guide.units(&constants).try_for_each(|(part, unit)| {
            let rows = self.plates().len();
            parameters(part).iter().try_for_each(|parameter| {
                // A table has an axis after the plates.
                match parameter.shape().rank() > unit.shape().rank() {
                    true => parameter.set_unit(&unit.unsqueeze(rows as isize)),
                    false => parameter.set_unit(&unit),
                }
            })
        })
    }

    /// A law of the family and shape that the model states.
    pub(super) fn fitting(&self, law: Rc<dyn Law>) -> Result<Rc<dyn Law>> {
        self.fits.set(Some(Rc::clone(&law)));
        Ok(law)
    }

    /// An error if parameters for every row would belong to other rows in the next step.
    pub(super) fn expect_all_rows(&self) -> Result<()> {
        if self.message.scale == 1.0 {
            return Ok(());
        }
        let is_discrete = self.stated().is_ok_and(|law| law.draws().are_discrete());
        let sum = match is_discrete {
            true => {
                ", or sum the choices out of the model with `.marginalise()`, which needs no guide for them"
            }
            false => "",
        };
        Err(Error::Guide(format!(
            "an automatic guide keeps parameters for every row, but this plate holds a changing sample \
             of rows; write a guide that computes them from the data, and pass it with `guide`{sum}"
        )))
    }

    /// Shows the entry with a full name, if the run has reached it.
    pub(super) fn with_earlier(&self, name: &str, see: &mut dyn FnMut(&Entry)) {
        (self.message.find)(name, see);
    }
}

/// The parameters of a site's automatic guide, created with first values if missing; `always` says that every run
/// reaches the site.
///
/// # Errors
/// If one exists with another shape, or a first value is not finite.
pub(in crate::infer) fn guide_parameters(
    params: &ParamStore,
    site: &str,
    guide: &MeanField<'_>,
    always: bool,
) -> Result<PerParameter<Parameter>> {
    guide_parameters_from(params, site, guide, always, |_, part| part.first_value())
}

/// The same, with parts starting from what `first` gives.
fn guide_parameters_from(
    params: &ParamStore,
    site: &str,
    guide: &MeanField<'_>,
    always: bool,
    first: impl Fn(usize, &Part) -> Result<Tensor>,
) -> Result<PerParameter<Parameter>> {
    let mut found = PerParameter::new();
    for (number, part) in guide.parts().iter().enumerate() {
        let name = [site, ".", part.name()].concat();
        let parameter = match params.settled(&name) {
            Some(parameter) => parameter,
            None => params.create(&name, &first(number, part)?, always)?,
        };
        expect_shape(&parameter, part.shape())?;
        found.push(parameter);
    }
    Ok(found)
}

/// An error if an existing parameter does not have the shape that the site needs.
pub(super) fn expect_shape(parameter: &Parameter, shape: Shape) -> Result<()> {
    match parameter.shape() == shape {
        true => Ok(()),
        false => Err(Error::Guide(format!(
            "the automatic guide's parameter `{}` has shape {}, but the site now needs {shape}; give sites of another \
             size another name, as with `name = format!(\"x of {{n}}\")`, or give a choice its largest range and \
             exclude impossible values with `factor!(f64::NEG_INFINITY)`; or write a guide for sites whose shape changes",
            parameter.name().unwrap_or_default(),
            parameter.shape(),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Bernoulli, Distribution};
    use crate::tensor::Device;

    #[test]
    fn first_values_of_another_shape_are_an_error() -> Result<()> {
        let part = Part::starting("x", &Tensor::zeros([2], &Device::cpu()), |x| x.sum_all());
        let guide = MeanField::new([part], |free| Bernoulli::logits(&free[0])?.law());
        let error = guide_parameters(&ParamStore::default(), "x", &guide, true).unwrap_err();
        assert!(error.to_string().contains("first value"), "{error}");
        Ok(())
    }
}
