//! Runs of a part of the program inside a run, and what they leave to it.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Context, Installed, State};
use crate::dist::Value;
use crate::error::{Error, Result};
use crate::model::{Entry, Interpreter, Kind, ParamStore, Site, SummedOut};
use crate::random::Key;
use crate::tensor::SiteSet;

impl Context {
    /// Position of the run in the random numbers.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// The parameters.
    pub(crate) fn params(&self) -> &ParamStore {
        &self.params
    }

    /// What makes the choices.
    pub(crate) fn interpreter(&self) -> Option<Rc<dyn Interpreter>> {
        self.interpreter.clone()
    }

    /// Whether this is one of several runs inside another.
    pub(crate) fn is_inside(&self) -> bool {
        self.is_inside
    }

    /// A context for one of several runs of a part of the program, with the position, handlers and parameters of this
    /// one, what host code has read here, and its own trace.
    pub(crate) fn inside(&self, interpreter: Rc<dyn Interpreter>) -> Self {
        let handlers = self
            .handlers
            .borrow()
            .iter()
            .map(Installed::clone)
            .collect();
        let state = {
            let outer = self.state.borrow();
            State {
                scope: outer.scope.clone(),
                host_sites: self.influence(&outer),
                ..State::new()
            }
        };
        Self {
            handlers: RefCell::new(handlers),
            state: RefCell::new(state),
            depth: self.depth.clone(),
            is_inside: true,
            ..Self::new(self.key, Some(interpreter), self.params.clone())
        }
    }

    /// # Errors
    /// Inside a plate, or in a run in host numbers.
    pub(crate) fn expect_outside(&self, what: &str) -> Result<()> {
        if let Some(host) = &self.host {
            return Err(host.refuse());
        }
        match self.state.borrow().plates.around().is_empty() {
            true => Ok(()),
            false => Err(Error::Plates(format!(
                "{what} is used inside a plate; put the plate into the model that it takes"
            ))),
        }
    }

    /// Takes over a result of the runs of [`inside`](Self::inside).
    ///
    /// # Errors
    /// If a name is taken.
    pub(crate) fn adopt(&self, entry: Entry) -> Result<()> {
        self.record(entry)
    }

    /// A term at the current place.
    pub(crate) fn term(&self, site: Site, kind: Kind, value: Value) -> Entry {
        self.entry(site, kind, value)
    }

    /// Notes that host code has seen sites.
    pub(crate) fn see(&self, sites: &SiteSet) {
        self.state.borrow_mut().host_sites.add(sites);
    }

    /// Adds choices that were summed out to the trace.
    pub(crate) fn add_summed(&self, summed: Rc<dyn SummedOut>) {
        self.state.borrow_mut().trace.summed.push(summed);
    }
}
