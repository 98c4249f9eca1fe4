//! Values for sites, by name.

use std::collections::BTreeMap;

use crate::dist::Value;
use crate::error::{Error, Result};
use crate::model::{Kind, Ran};

/// Values by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Given(BTreeMap<String, Value>);

impl Given {
    pub(super) fn of(site: &str, value: impl Into<Value>) -> Self {
        Self::default().and(site, value)
    }

    pub(super) fn and(mut self, site: &str, value: impl Into<Value>) -> Self {
        self.0.insert(site.to_owned(), value.into());
        self
    }

    pub(super) fn get(&self, site: &str) -> Option<&Value> {
        self.0.get(site)
    }

    /// Checks that each value had a site to go to, made by one of the macros.
    pub(super) fn expect_sites(&self, ran: &Ran<'_>, macros: &str, kinds: &[Kind]) -> Result<()> {
        for name in self.0.keys() {
            let entry = ran.get(name)?;
            if entry.hidden {
                let problem = "a value was given to it, but a `block` inside hides it; give the \
                               value inside the block";
                return Err(entry.locate(Error::Value(problem.into())));
            }
            if !kinds.contains(&entry.written) {
                let problem = format!("a value was given to it, but it is not a {macros} site");
                return Err(entry.locate(Error::Value(problem)));
            }
        }
        Ok(())
    }
}
