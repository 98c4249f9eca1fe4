//! Sites with a distribution: choices and observations.

use std::rc::Rc;

use super::{Context, UNKNOWN};
use crate::dist::{
    AnyDistribution, Distribution, IntoDistribution, IntoSiteValue, SiteValue, Value,
};
use crate::error::{Error, Result};
use crate::model::{Entry, Kind, Message, OutOfSupport, Site};
use crate::tensor::{Provenance, SiteSet};

impl Context {
    /// Draws from a distribution, or takes the value that a handler provides.
    ///
    /// # Errors
    /// If the distribution's parameters are wrong, the value does not fit, or the name is taken.
    pub fn sample<I: IntoDistribution>(
        &self,
        site: Site,
        dist: I,
    ) -> Result<<I::Distribution as Distribution>::Value> {
        site.check_name()?;
        if let Some(host) = &self.host {
            return host.sample(&site, dist);
        }
        let mut entry = self.entry(site, Kind::Latent, UNKNOWN);
        let drawn = dist
            .into_distribution()
            .and_then(|dist| self.draw(&mut entry, dist));
        entry.value = drawn.map_err(|e| entry.locate(e))?;
        let typed = SiteValue::from_value(&entry.value).map_err(|e| entry.locate(e))?;
        self.record(entry)?;
        Ok(typed)
    }

    fn draw<D: Distribution>(&self, entry: &mut Entry, dist: D) -> Result<Value> {
        let original: Rc<dyn AnyDistribution> = Rc::new(dist.clone());
        let sizes = entry.sizes();
        if let Some(context) = &entry.context {
            let shape = context.check()?.shape();
            if !shape.starts_with(&sizes) {
                return Err(Error::Plates(format!(
                    "the context has shape {shape} inside plates of sizes {sizes:?}; its leading \
                     axes must be the plates'"
                )));
            }
        }
        entry.weight = self.weigh(&entry.name)?;
        let full_name = &entry.name;
        let mut message = Message {
            name: full_name,
            full_name,
            hidden: false,
            weight: entry.weight.as_ref(),
            dist: &original,
            plates: &entry.plates,
            scale: entry.scale,
            file: entry.file,
            line: entry.line,
            key: self.key,
            influence: &entry.influence,
            reads: &self.reads,
            estimator: entry.estimator.as_ref(),
            context: entry.context.as_ref(),
            find: &|name, see| {
                self.state
                    .borrow()
                    .trace
                    .find(name)
                    .into_iter()
                    .for_each(see)
            },
            earlier: &|see| self.state.borrow().trace.entries().iter().for_each(see),
            expand: &|| Ok(Rc::new(dist.clone().expand(&sizes)?)),
            law: &|| match sizes.is_empty() {
                true => Distribution::law(&dist),
                false => Distribution::law(&dist.clone().expand(&sizes)?),
            },
            value: None,
            observed: false,
            origin: None,
        };
        message.hidden = self.pass_by(full_name, |handler, name| {
            message.name = &full_name[full_name.len() - name.len()..];
            handler.sample(&mut message)
        })?;
        message.name = full_name;
        if let Some(interpreter) = &self.interpreter {
            interpreter.sample(&mut message)?;
        }
        let Message {
            value,
            observed,
            hidden,
            origin,
            ..
        } = message;
        entry.hidden = hidden;
        if observed {
            entry.kind = Kind::Observed;
        }
        let Some(value) = value else {
            let dist = dist.expand(&entry.sizes())?;
            let value = AnyDistribution::sample(&dist, &mut self.key.stream(&entry.name))?;
            entry.dist = Some(Rc::new(dist));
            return Ok(value);
        };
        let value = original.convert(&value)?;
        entry.dist = Some(original);
        // A site's own density depends on its value, which a host number does not show.
        if let Some(origin) = origin {
            // A guide's law may depend on what it has read since the site was reached.
            self.reads.add_to(&mut entry.influence);
            entry.influence.insert(origin);
        }
        Ok(match origin {
            Some(origin) => self.attribute(value, origin),
            None => value,
        })
    }

    /// Marks a value as coming from a random site, so that costs know what they depend on.
    fn attribute(&self, value: Value, origin: usize) -> Value {
        match value {
            Value::Tensor(t) => {
                let mut sites = t.sites();
                sites.insert(origin);
                let reads = self.reads.clone();
                let rounding = t.rounding().cloned();
                Value::Tensor(t.with_provenance(Provenance::new(sites, reads, rounding)))
            }
            host => {
                self.state.borrow_mut().host_sites.insert(origin);
                host
            }
        }
    }

    /// Records a value and its log-probability: −∞ if host values drawn before led to a distribution whose support does
    /// not contain the value.
    ///
    /// # Errors
    /// If the distribution's parameters are wrong, the value lies outside its support whatever was drawn, or a tensor
    /// does not have the rows of the plates.
    pub fn observe<I: IntoDistribution>(
        &self,
        site: Site,
        dist: I,
        value: impl IntoSiteValue<<I::Distribution as Distribution>::Value>,
    ) -> Result<()> {
        site.check_name()?;
        if let Some(host) = &self.host {
            return host.observe(&site, dist, value);
        }
        let mut entry = self.entry(site, Kind::Observed, UNKNOWN);
        let dist = dist.into_distribution().map_err(|e| entry.locate(e))?;
        entry.value = value.into_site_value().into_value();
        match AnyDistribution::check(&dist, &entry.value) {
            // The support may depend on choices: others may fit the value.
            Err(error)
                if error.is_of_this_support()
                    && entry.influence != SiteSet::EMPTY
                    && entry.plates.is_empty()
                    && entry.value.shape().numel() == 1 =>
            {
                let by_parameters = AnyDistribution::may_contain(&dist, &entry.value);
                let by_parameters = by_parameters.map_err(|e| entry.locate(e))?;
                entry.outside = Some(Rc::new(OutOfSupport::new(error, by_parameters)));
            }
            checked => checked.map_err(|e| entry.locate(e))?,
        }
        entry.expect_observed_rows().map_err(|e| entry.locate(e))?;
        entry
            .expect_one_reading(&dist)
            .map_err(|e| entry.locate(e))?;
        entry.dist = Some(Rc::new(dist));
        entry.weight = self.weigh(&entry.name).map_err(|e| entry.locate(e))?;
        self.record(entry)
    }
}
