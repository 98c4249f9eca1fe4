//! What the macro knows of a site.

use std::borrow::Cow;

use crate::tensor::Tensor;

/// One place of a model's source at which something is sampled, observed, learned or paid.
#[derive(Clone, Debug)]
pub struct Site {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) indexed: bool,
    pub(crate) estimator: Option<Cow<'static, str>>,
    pub(crate) context: Option<Tensor>,
}

impl Site {
    /// A site with its name and the user's line.
    pub fn new(name: &'static str, file: &'static str, line: u32) -> Self {
        Self {
            name,
            file,
            line,
            indexed: false,
            estimator: None,
            context: None,
        }
    }

    /// A site inside a loop: each visit in a run gets the next index, `h[0]`, `h[1]`, ...
    #[must_use]
    pub fn indexed(mut self) -> Self {
        self.indexed = true;
        self
    }

    /// The gradient estimator that the user asks for, by name.
    #[must_use]
    pub fn estimator(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.estimator = Some(name.into());
        self
    }

    /// What the site's surrogate may look at beside the relaxed sample: a tensor whose leading
    /// axes are the enclosing plates', computed from nothing random that comes after the site.
    #[must_use]
    pub fn context(mut self, context: &Tensor) -> Self {
        self.context = Some(context.clone());
        self
    }
}
