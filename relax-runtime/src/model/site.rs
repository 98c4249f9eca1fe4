//! What the macro knows about a site.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::dist::Constraint;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// The iterations of loops, outermost first.
pub(crate) type Iterations = SmallVec<[usize; 2]>;

/// A place in a model's source where something is sampled, observed, learned or paid.
#[derive(Clone, Debug)]
pub struct Site {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    /// The name computed by the user's code, in place of `name`.
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

    /// Sets the iteration of the loop around the site: `h[0]`, `h[1]`, ... For nested loops, the outermost comes first:
    /// `h[0][1]`.
    #[must_use]
    pub fn iteration(mut self, iteration: usize) -> Self {
        self.iterations.push(iteration);
        self
    }

    /// Sets a name computed while the model runs. It is used as it is, without an index.
    #[must_use]
    pub fn named(mut self, name: impl AsRef<str>) -> Self {
        self.computed = Some(name.as_ref().into());
        self
    }

    /// Checks a name computed by the user's code; the macro has checked the others.
    ///
    /// # Errors
    /// If it is not a valid name.
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

    /// Sets the gradient estimator that the user asks for, by name.
    #[must_use]
    pub fn estimator(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.estimator = Some(name.into());
        self
    }

    /// Sets the constraint that a parameter's values satisfy.
    #[must_use]
    pub fn constrained(mut self, constraint: Constraint) -> Self {
        self.constraint = Some(constraint);
        self
    }

    /// Sets what the site's surrogate sees besides the relaxed sample: a tensor whose leading axes are the enclosing
    /// plates', and that depends on nothing random after the site.
    #[must_use]
    pub fn context(mut self, context: &Tensor) -> Self {
        self.context = Some(context.clone());
        self
    }
}
