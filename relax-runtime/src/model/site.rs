//! What the macro knows of a site.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::dist::Constraint;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// The iterations of loops, outermost first.
pub(crate) type Iterations = SmallVec<[usize; 2]>;

/// One place of a model's source at which something is sampled, observed, learned or paid.
#[derive(Clone, Debug)]
pub struct Site {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    /// The name that the user's code has computed, in place of `name`.
    pub(crate) computed: Option<Box<str>>,
    /// The iterations of the loops around it, outermost first.
    pub(crate) iterations: Iterations,
    pub(crate) estimator: Option<Cow<'static, str>>,
    pub(crate) context: Option<Tensor>,
    pub(crate) constraint: Option<Constraint>,
}

impl Site {
    /// A site with its name and the user's line.
    pub fn new(name: &'static str, file: &'static str, line: u32) -> Self {
        Self {
            name,
            file,
            line,
            computed: None,
            iterations: Iterations::new(),
            estimator: None,
            context: None,
            constraint: None,
        }
    }

    /// A site inside a loop, in this iteration of it: `h[0]`, `h[1]`, ... Of several loops the
    /// outermost is told first: `h[0][1]`.
    #[must_use]
    pub fn iteration(mut self, iteration: usize) -> Self {
        self.iterations.push(iteration);
        self
    }

    /// Another name, computed while the model runs. It stands as it is, without index.
    #[must_use]
    pub fn named(mut self, name: impl AsRef<str>) -> Self {
        self.computed = Some(name.as_ref().into());
        self
    }

    /// Checks a name that the user's code has computed; the macro has seen to the others.
    ///
    /// # Errors
    /// If it is no name.
    #[inline]
    pub(crate) fn check_name(&self) -> Result<()> {
        match &self.computed {
            Some(name) if name.is_empty() || name.contains('/') => {
                let error = Error::SiteName(name.as_ref().into());
                Err(error.at_site(self.text(), self.file, self.line))
            }
            _ => Ok(()),
        }
    }

    /// The name without sub-models and indices.
    pub(crate) fn text(&self) -> &str {
        self.computed.as_deref().unwrap_or(self.name)
    }

    /// The gradient estimator that the user asks for, by name.
    #[must_use]
    pub fn estimator(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.estimator = Some(name.into());
        self
    }

    /// The set that a parameter's values stay in.
    #[must_use]
    pub fn constrained(mut self, constraint: Constraint) -> Self {
        self.constraint = Some(constraint);
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
