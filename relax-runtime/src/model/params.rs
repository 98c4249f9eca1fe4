//! Parameters by name.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::dist::Value;
use crate::error::Result;
use crate::tensor::{Parameter, Tensor};

/// The parameters that `param!` sites and automatic guides have created; clones share them.
#[derive(Clone, Debug, Default)]
pub struct ParamStore(Rc<RefCell<BTreeMap<String, Parameter>>>);

impl ParamStore {
    /// A store with the same parameters, to which others can be added without adding them here.
    pub(crate) fn fork(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    /// The current value of a parameter, part of the autodiff graph.
    pub fn get(&self, name: &str) -> Option<Tensor> {
        self.0.borrow().get(name).map(Parameter::get)
    }

    /// The parameter itself, to set it.
    pub fn parameter(&self, name: &str) -> Option<Parameter> {
        self.0.borrow().get(name).cloned()
    }

    /// Adds a parameter with its first value, or returns the existing one's.
    pub fn insert(&self, name: &str, init: &Tensor) -> Tensor {
        self.create(name, init).get()
    }

    /// Adds a parameter with its first value, or returns the existing one.
    pub(crate) fn create(&self, name: &str, init: &Tensor) -> Parameter {
        let mut map = self.0.borrow_mut();
        map.entry(name.to_owned())
            .or_insert_with(|| Parameter::new(init.clone()).named(name))
            .clone()
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.0.borrow().keys().cloned().collect()
    }

    /// All parameters by name, sorted.
    pub fn all(&self) -> Vec<(String, Parameter)> {
        self.0
            .borrow()
            .iter()
            .map(|(name, p)| (name.clone(), p.clone()))
            .collect()
    }
}

/// A first value of a parameter.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the first value of a parameter",
    label = "expected a number (`f64`), numbers, or a `Tensor`"
)]
pub trait IntoParam {
    /// The value as a tensor.
    ///
    /// # Errors
    /// If it carries one.
    fn into_param(self) -> Result<Tensor>;
}

impl IntoParam for f64 {
    fn into_param(self) -> Result<Tensor> {
        Ok(Tensor::scalar(self as f32))
    }
}

impl IntoParam for Tensor {
    fn into_param(self) -> Result<Tensor> {
        self.check()?;
        Ok(self)
    }
}

impl IntoParam for &Tensor {
    fn into_param(self) -> Result<Tensor> {
        self.clone().into_param()
    }
}

impl IntoParam for Vec<f64> {
    fn into_param(self) -> Result<Tensor> {
        Value::Vector(self).to_tensor()
    }
}

impl<const N: usize> IntoParam for [f64; N] {
    fn into_param(self) -> Result<Tensor> {
        self.to_vec().into_param()
    }
}

impl IntoParam for Result<Tensor> {
    fn into_param(self) -> Result<Tensor> {
        self?.into_param()
    }
}
