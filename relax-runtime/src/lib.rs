//! Runtime of `relax`: tensors, distributions, gradient estimators for discrete random
//! choices, and variational inference.
//!
//! A function annotated with [`#[model]`](macro@model) becomes a probabilistic program: `sample!`, `observe!`,
//! `param!`, `cost!` and `plate!` mark its random choices, data, parameters, costs and independent
//! rows, `factor!` terms of the log-probability, and `call!` runs another model inside. [`Svi`](infer::Svi) finds its
//! posterior, [`Minimize`](infer::Minimize) minimises its expected cost. Without being asked, discrete choices are summed
//! out exactly where that is cheap, and others get RELAX gradient estimators (Grathwohl, Choi, Wu, Roeder, Duvenaud,
//! "Backpropagation through the Void", ICLR 2018).
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
//! assert!((fit.posterior().mean("rain")? - 0.358).abs() < 1e-3);
//! # Ok(())
//! # }
//! ```

// Kernels alone may hold `unsafe`, each where `tensor::native` says why.
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
pub use relax_macros::{call, cost, factor, model, observe, param, plate, sample};
pub use tensor::{
    Device, Parameter, Shape, Simd, Tensor, grad, set_simd, set_threads, simd, threads,
};

/// What most programs need.
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

/// The README's programs, compiled and run with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExamples;
