//! The one error type of the runtime: what went wrong, where, and what to do about it.
//!
//! Shape errors hold shapes and tensors return errors, so this file and `tensor` depend on each other.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::tensor::Shape;

/// Result of every fallible function of this crate.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// fn reading(line: &str) -> Result<f64> {
///     line.parse::<f64>().map_err(Error::user)
/// }
///
/// assert_eq!(reading("36.6")?, 36.6);
/// assert!(matches!(reading("n/a"), Err(Error::User(_))));
/// # Ok::<(), Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. Cheap to clone, because a [`Tensor`](crate::Tensor) computed from an invalid one
/// carries the error of the first failed operation.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn lawn() {
///     let rain = sample!(Bernoulli(0.2));
///     observe!(Bernoulli(if rain { 0.9 } else { 0.1 }), true);
/// }
///
/// # fn main() -> Result<()> {
/// let error = exact_posterior(&lawn())?.mean("rian").unwrap_err();
/// assert!(matches!(error, Error::UnknownSite { .. }));
/// assert_eq!(error.to_string(), "no site is named `rian`; the sites are `rain`");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Shapes that an operation cannot combine.
    #[error("{op}: {problem}, got {}{}", Shapes(.shapes), At(.location))]
    Shape {
        /// The operation.
        op: &'static str,
        /// What the operation needs.
        problem: String,
        /// Shapes of the operands, in order.
        shapes: Vec<Shape>,
        /// Where the user's code called the operation.
        location: &'static Location<'static>,
    },

    /// Operands that live on different devices.
    #[error(
        "{op}: operands are on {left} and {right}; move one with `to_device`, or make it there{}",
        At(.location)
    )]
    Device {
        /// The operation.
        op: &'static str,
        /// Device of the first operand.
        left: String,
        /// Device of the second operand.
        right: String,
        /// Where the user's code called the operation.
        location: &'static Location<'static>,
    },

    /// The device failed: out of memory, no such GPU, a driver error.
    #[error("{device}: {message}")]
    Backend {
        /// The device.
        device: String,
        /// The message of the driver or allocator.
        message: String,
    },

    /// A derivative that cannot be taken.
    #[error("{0}")]
    Autodiff(String),

    /// A parameter outside a distribution's domain.
    #[error("{distribution}: {parameter} {problem}")]
    Parameter {
        /// The distribution.
        distribution: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// What is wrong, with the offending number.
        problem: String,
    },

    /// A value outside a distribution's support.
    #[error("{distribution}: value {value} is outside the support, {support}{}", Missing(.value))]
    Support {
        /// The distribution.
        distribution: &'static str,
        /// The value.
        value: String,
        /// The support.
        support: &'static str,
    },

    /// An error at a site of a model, with the site's name and line.
    #[error("site `{site}` ({file}:{line}): {source}")]
    Site {
        /// Full name of the site.
        site: String,
        /// The user's file.
        file: &'static str,
        /// The user's line.
        line: u32,
        /// What went wrong there.
        #[source]
        source: Box<Error>,
    },

    /// Two sites of one run have the same name.
    #[error("a second site is named `{0}` in the same run; give one of them `name = \"...\"`")]
    DuplicateSite(String),

    /// A name that no site can have.
    #[error(
        "a site cannot be named `{0}`: a name is not empty and has no `/`, which marks sub-models"
    )]
    SiteName(String),

    /// Models that call each other endlessly.
    #[error("models call each other {0} deep; use a loop, or check whether the recursion ends")]
    CallDepth(usize),

    /// A run that reaches more sites than the limit.
    #[error(
        "the run reached {0} sites, the limit: check whether the loop here ends; independent rows can be one site \
         in a `plate!`"
    )]
    TooManySites(usize),

    /// As [`Error::TooManySites`], if the last site is a coin that always lands on the same side.
    #[error(
        "the run reached {0} sites, the limit: check whether the loop here ends; the probability of this coin is 0 or \
         1, so it is the same in every iteration and cannot end the loop"
    )]
    EndlessLoop(usize),

    /// A name that no site has.
    #[error("no site is named `{name}`; the sites are {known}")]
    UnknownSite {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },

    /// A name that no parameter has.
    #[error("no parameter is named `{name}`; the parameters are {known}")]
    UnknownParameter {
        /// The name asked for.
        name: String,
        /// The names that exist: those of `param!` sites, and of automatic guides.
        known: String,
    },

    /// Rows that do not match the plates around them, or plates that do not match each other.
    #[error("{0}")]
    Plates(String),
    /// Rows of a plate that depend on each other.
    #[error(
        "a row of `{term}` depends on `{site}` in other rows of its plate, but rows of a plate are independent: state \
         what ties them together outside the plate, in a plate of another name if there is one, or make the choices in \
         a loop"
    )]
    TiedRows {
        /// The term that depends on several rows.
        term: String,
        /// The choice in these rows.
        site: String,
    },

    /// A value that a site cannot take: of the wrong type or shape, or for a site that does not exist.
    #[error("{0}")]
    Value(String),

    /// A site whose kind or size differs from before.
    #[error("{0}")]
    Inconsistent(String),

    /// A guide that does not fit its model.
    #[error("{0}")]
    Guide(String),

    /// A law or a relaxation that breaks its trait's contract.
    #[error("{0}")]
    Law(String),

    /// An estimator that is not valid for a choice, or a cost that cannot be evaluated the way it needs.
    #[error("{0}")]
    Estimator(String),

    /// Choices that cannot be summed over: too many combinations, unboundedly many values, or rows that meet.
    #[error("{0}")]
    Enumeration(String),

    /// Observations to which a model gives probability 0 whatever its choices, or whatever those that are summed out.
    #[error("{0}")]
    Impossible(String),

    /// A query that the draws of a site cannot answer, such as a single mean of several numbers.
    #[error("{0}")]
    Query(String),

    /// A program that an inference routine cannot handle as written.
    #[error("{0}")]
    Model(String),

    /// A setting with an invalid value.
    #[error("{setting}: {problem}")]
    Config {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it, and what would be valid.
        problem: String,
    },

    /// A number that became NaN or infinite during training.
    #[error("{what} is {value} at step {step}; {hint}")]
    NotFinite {
        /// What the number is.
        what: String,
        /// Its value.
        value: f64,
        /// The step, from 0.
        step: u64,
        /// What to try.
        hint: &'static str,
    },

    /// Gradient estimates whose mean is not the gradient.
    #[error("biased gradients, beyond {threshold:.2} standard errors: {findings}")]
    Biased {
        /// The affected sites and parameters.
        names: Vec<String>,
        /// What was found at each.
        findings: String,
        /// Standard errors beyond which a mean counts as biased.
        threshold: f64,
    },

    /// A checkpoint that cannot be written, read, or does not fit the model.
    #[error("checkpoint{}: {problem}", Named(.path))]
    Checkpoint {
        /// The file; empty if the state of a file read earlier does not fit a site.
        path: String,
        /// What is wrong.
        problem: String,
    },

    /// An error of the user's own code, passed through `?` in a model's body. If it cannot be sent to other threads,
    /// its text and that of its sources.
    #[error("{0}")]
    User(Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Adds the name and line of the site where the error arose, unless it already has them.
    pub(crate) fn at_site(self, site: &str, file: &'static str, line: u32) -> Self {
        match self {
            located @ Self::Site { .. } => located,
            source => Self::Site {
                site: site.to_owned(),
                file,
                line,
                source: Box::new(source),
            },
        }
    }

    /// Whether a value is outside this support but may lie in another one. NaN lies in none.
    pub(crate) fn is_of_this_support(&self) -> bool {
        matches!(self, Self::Support { value, .. } if !value.contains("NaN"))
    }

    /// Whether a law gives a value probability 0.
    pub(crate) fn is_of_exclusion(&self) -> bool {
        self.cause().is_of_this_support()
    }

    /// Whether a run reached more sites than the limit.
    pub(crate) fn is_of_endless_run(&self) -> bool {
        matches!(self.cause(), Self::TooManySites(_) | Self::EndlessLoop(_))
    }

    /// Whether choices could not be summed over.
    pub(crate) fn is_of_enumeration(&self) -> bool {
        matches!(self.cause(), Self::Enumeration(_))
    }

    /// The error itself, without the site where it arose.
    pub(crate) fn cause(&self) -> &Self {
        match self {
            Self::Site { source, .. } => source.cause(),
            cause => cause,
        }
    }

    /// Wraps an error of another type, so that a model's body may use `?` on it.
    pub fn user(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::User(Arc::new(error))
    }
}

/// Lets models, and functions that run them, return an `io::Result`.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

// Errors can be sent to other threads and converted into `Box<dyn Error + Send + Sync>`.
const _: () = {
    const fn shared<T: Send + Sync + 'static>() {}
    shared::<Error>();
};

/// A name in quotes after a space, if there is one.
struct Named<'a>(&'a str);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            name => write!(f, " `{name}`"),
        }
    }
}

/// Advice for a value that holds NaN.
struct Missing<'a>(&'a str);

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.contains("NaN") {
            false => Ok(()),
            true => f.write_str(
                "; NaN is not a number: leave missing data out, or draw them with `sample!`",
            ),
        }
    }
}

/// Where the user's code made the call, in parentheses. Omitted for a line of this crate, which means nothing to the
/// user; the site's line helps then.
struct At<'a>(&'a Location<'a>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = file!().trim_end_matches("error.rs");
        match self.0.file().starts_with(sources) {
            true => Ok(()),
            false => write!(f, " (at {})", self.0),
        }
    }
}

/// `[2, 3] and [4]`
struct Shapes<'a>(&'a [Shape]);

impl fmt::Display for Shapes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, shape) in self.0.iter().enumerate() {
            write!(f, "{}{shape}", if i == 0 { "" } else { " and " })?;
        }
        Ok(())
    }
}
