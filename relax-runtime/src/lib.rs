//! Runtime of `relax`: tensors, distributions, gradient estimators for discrete random
//! choices, and variational inference.
//!
//! A function annotated with [`#[model]`](macro@model) becomes a probabilistic program: `sample!`, `observe!`,
//! `param!`, `cost!` and `plate!` mark its random choices, data, parameters, costs and independent rows, `factor!`
//! adds terms to the log-probability, and `call!` runs another model inside. [`Svi`](infer::Svi) finds its
//! posterior, and [`Minimize`](infer::Minimize) minimizes its expected cost. By default, discrete choices are summed
//! out exactly where that is cheap, and the others get RELAX gradient estimators (Grathwohl, Choi, Wu, Roeder,
//! Duvenaud, "Backpropagation through the Void", ICLR 2018).
//!
//! ```
//! use relax_runtime::prelude::*;
//!
//! #[model]
//! fn sprinkler(wet: bool) {
//!     let rain = sample!(Bernoulli(0.2));
//!     let sprinkler = sample!(Bernoulli(if rain { 0.01 } else { 0.4 }));
//!     let p = match (rain, sprinkler) {
//!         (true, true) => 0.99,
//!         (true, false) => 0.8,
//!         (false, true) => 0.9,
//!         (false, false) => 0.001,
//!     };
//!     observe!(Bernoulli(p), wet);
//! }
//!
//! # fn main() -> Result<()> {
//! let fit = Svi::new(&sprinkler(true)).run()?;
//! let rain = fit.posterior().mean("rain")?;
//! println!("P(rain | wet) = {rain:.3}");
//! assert!((rain - 0.3573).abs() < 1e-3);
//! # Ok(())
//! # }
//! ```

// Only kernels may contain `unsafe`, each with its reason in `tensor::native`.
#![deny(unsafe_code)]

#[macro_use]
pub mod tensor;

pub mod dist;
mod error;
pub mod estimator;
pub mod infer;
pub mod model;
pub mod nn;
pub mod optim;
#[doc(hidden)]
pub mod plumbing;
mod random;
pub mod report;
mod special;
pub mod surrogate;

pub use error::{Error, Result};
pub use random::{Key, Stream};

/// Runs another model inside a model, as a part with its own names.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin(p: f64) -> bool {
///     let heads = sample!(Bernoulli(p));
///     heads
/// }
///
/// #[model]
/// fn two_coins() -> usize {
///     let first = call!(coin(0.5));
///     let second = call!(coin(0.9));
///     usize::from(first) + usize::from(second)
/// }
///
/// # fn main() -> Result<()> {
/// let run = Simulation::seeded(1).run(&two_coins())?;
/// assert!(run.output <= 2);
/// assert!(run.trace.get("first/heads").is_ok() && run.trace.get("second/heads").is_ok());
/// # Ok(())
/// # }
/// ```
pub use relax_macros::call;

/// Adds to the cost whose expectation [`Minimize`](infer::Minimize) minimizes.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn bet() {
///     let logit = param!(0.0);
///     let b = sample!(Bernoulli(logits = &logit));
///     cost!((b - 0.45).square());
/// }
///
/// # fn main() -> Result<()> {
/// let trained = Minimize::new(&bet()).steps(100).estimator(Enumerate::default()).run()?;
/// // 0 costs 0.45², and 1 costs 0.55².
/// assert!(trained.param("logit")?[0] < 0.0);
/// # Ok(())
/// # }
/// ```
pub use relax_macros::cost;

/// Weighs a run by a log-weight of your own.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn weather() {
///     let rain = sample!(Bernoulli(0.5));
///     factor!(if rain { 1.0 } else { 0.0 });
/// }
///
/// # fn main() -> Result<()> {
/// // Runs with rain weigh e times as much.
/// let e = std::f64::consts::E;
/// let posterior = exact_posterior(&weather())?;
/// assert!((posterior.mean("rain")? - e / (1.0 + e)).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub use relax_macros::factor;

/// The attribute that makes a model of a function.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// /// A coin that may be biased, tossed once.
/// #[model]
/// fn toss(heads: bool) {
///     let fair = sample!(Bernoulli(0.9));
///     observe!(Bernoulli(if fair { 0.5 } else { 0.8 }), heads);
/// }
///
/// # fn main() -> Result<()> {
/// let posterior = exact_posterior(&toss(true))?;
/// // 0.9 · 0.5 out of 0.9 · 0.5 + 0.1 · 0.8.
/// assert!((posterior.mean("fair")? - 0.45 / 0.53).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub use relax_macros::model;

/// Observes data in a model, under a distribution.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn measurement(x: f64) {
///     let mean = sample!(Normal(0.0, 1.0));
///     observe!(Normal(mean, 0.5), x);
/// }
///
/// # fn main() -> Result<()> {
/// // The site has the name of the variable that it observes.
/// let trace = Simulation::seeded(1).run(&measurement(0.8))?.trace;
/// assert_eq!(trace.get("x")?.kind.to_string(), "observe");
/// assert_eq!(trace.get("x")?.value.to_f64s()?, [0.8]);
/// # Ok(())
/// # }
/// ```
pub use relax_macros::observe;

/// Creates a number or tensor that is learned.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn scaled() -> Tensor {
///     let weights = param!(Tensor::ones([3], &Device::cpu()));
///     let scale = param!(0.5, positive);
///     weights * scale
/// }
///
/// # fn main() -> Result<()> {
/// let params = ParamStore::default();
/// let output = Simulation::seeded(1).params(&params).run(&scaled())?.output;
/// assert!((output.sum_all().item()? - 1.5).abs() < 1e-5);
/// assert_eq!(params.names(), ["scale", "weights"]);
/// # Ok(())
/// # }
/// ```
pub use relax_macros::param;

/// Draws independent rows together, as tensors.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn clusters(x: &Tensor) {
///     plate!(x.rows() => {
///         let second = sample!(Bernoulli(0.5));
///         observe!(Normal(second * 4.0, 1.0), x);
///     })
/// }
///
/// # fn main() -> Result<()> {
/// let x = Tensor::from_slice(&[-0.3, 0.2, 4.1]);
/// let trace = Simulation::seeded(1).run(&clusters(&x))?.trace;
/// assert_eq!(trace.get("second")?.value.shape(), Shape::from([3]));
/// # Ok(())
/// # }
/// ```
pub use relax_macros::plate;

/// Makes a random choice, or draws a number, from a distribution.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn game() -> usize {
///     let face = sample!(DiscreteUniform(1, 6));
///     let bonus = sample!(Bernoulli(probs = 0.1), name = "luck");
///     face + usize::from(bonus)
/// }
///
/// # fn main() -> Result<()> {
/// let run = Simulation::seeded(1).run(&game())?;
/// assert!((1..=7).contains(&run.output));
/// // A choice has the name of its `let`, unless it is given another.
/// assert!(run.trace.get("face").is_ok() && run.trace.get("luck").is_ok());
/// # Ok(())
/// # }
/// ```
pub use relax_macros::sample;

pub use tensor::{
    Device, Parameter, Shape, Simd, Tensor, grad, set_simd, set_threads, simd, threads,
};

/// What most programs need: `use relax_runtime::prelude::*;`.
pub mod prelude {
    pub use crate::dist::{Bernoulli, Categorical, Normal, OneHotCategorical};
    pub use crate::dist::{
        Beta, Cauchy, Delta, Dirichlet, Exponential, Gamma, Gumbel, HalfCauchy, HalfNormal,
        InverseGamma, Laplace, LogNormal, Logistic, Mixture, MultivariateNormal, StudentT,
        Truncated, Uniform,
    };
    pub use crate::dist::{BetaBinomial, Binomial, DiscreteUniform, Geometric, Hypergeometric};
    pub use crate::dist::{Multinomial, NegativeBinomial, OrderedLogistic, Poisson, ZeroInflated};
    pub use crate::estimator::{Enumerate, Pathwise, Rebar, Reinforce, Relax, Rloo};
    pub use crate::infer::{
        Check, Configure, ConfigureTraining, DeltaGuide, Draws, Elbo, ExpectedCost, Fit,
        FullRankGuide, LowRankGuide, MeanFieldGuide, Minimize, Posterior, Recording, Svi, Trained,
        Trainer, check_unbiased, exact_gradient, exact_posterior, exact_posterior_at, marginalise,
    };
    pub use crate::model::{
        Model, ParamStore, Program, Simulation, block, condition, mask, replay, scale, substitute,
    };
    pub use crate::nn::{Activation, Linear, Mlp};
    pub use crate::optim::{Adam, Averaged, RmsProp, Sgd};
    pub use crate::report::StepReport;
    pub use crate::{
        Device, Error, Key, Parameter, Result, Shape, Tensor, call, cost, factor, model, observe,
        param, plate, sample,
    };
}

/// The README's programs, compiled and run with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExamples;
