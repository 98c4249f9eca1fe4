//! Sites with a parameter.

use super::{Context, UNKNOWN};
use crate::dist::Value;
use crate::error::Result;
use crate::model::into_param::IntoParam;
use crate::model::{Kind, Site};
use crate::tensor::{SiteSet, Tensor};

impl Context {
    /// The parameter of a site, if it already exists; if constrained, as a value that satisfies the constraint.
    ///
    /// # Errors
    /// If the name is taken in this run, or a handler gives a value that the constraint excludes.
    pub fn param(&self, site: Site) -> Result<Option<Tensor>> {
        site.check_name()?;
        if let Some(host) = &self.host {
            return Err(host.refuse());
        }
        let name = self.state.borrow().scope.full(&site);
        let mut substituted = None;
        self.pass_by(&name, |handler, name| {
            substituted = substituted.take().or_else(|| handler.param(name));
            Ok(())
        })?;
        let value = match (substituted, site.constraint) {
            (Some(value), None) => value.check().cloned(),
            (Some(value), Some(constraint)) => constraint.check(&value).map(|()| value),
            (None, constraint) => match self.params.settled(&name) {
                Some(parameter) => self.params.constrained(&name, &parameter, constraint),
                None => return Ok(None),
            },
        };
        let value = value.map_err(|e| e.at_site(&name, site.file, site.line))?;
        self.record_param(site, value).map(Some)
    }

    /// Creates the parameter of a site with its initial value, which must satisfy its constraint.
    ///
    /// # Errors
    /// If `init` violates the constraint, carries an error or holds a number that is not finite, if a checkpoint has
    /// another shape for it, or if the name is taken in this run.
    pub fn new_param(&self, site: Site, init: impl IntoParam) -> Result<Tensor> {
        site.check_name()?;
        let name = self.state.borrow().scope.full(&site);
        let created = init.into_param().and_then(|init| {
            let always = self.influence(&self.state.borrow()) == SiteSet::EMPTY;
            let free = match site.constraint {
                Some(constraint) => constraint.free(&init)?,
                None => init,
            };
            let parameter = self.params.create(&name, &free, always)?;
            self.params.constrained(&name, &parameter, site.constraint)
        });
        match created {
            Ok(value) => self.record_param(site, value),
            Err(error) => Err(self.entry(site, Kind::Param, UNKNOWN).locate(error)),
        }
    }

    fn record_param(&self, site: Site, value: Tensor) -> Result<Tensor> {
        self.record(self.entry(site, Kind::Param, Value::Tensor(value.clone())))?;
        Ok(value)
    }
}
