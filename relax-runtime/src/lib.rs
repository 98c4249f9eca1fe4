//! Runtime of `relax`: tensors, distributions, gradient estimators for discrete random
//! choices, and variational inference.
//!
//! A function annotated with [`#[model]`](macro@model) becomes a probabilistic program: `sample!`, `observe!`,
//! `param!`, `cost!` and `plate!` mark its random choices, data, parameters, costs and independent
//! rows. [`Svi`](infer::Svi) fits a guide to its posterior, [`Minimize`](infer::Minimize) minimises
//! its expected cost; discrete choices get RELAX gradient estimators (Grathwohl, Choi, Wu, Roeder,
//! Duvenaud, "Backpropagation through the Void", ICLR 2018) without being asked for.

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
    pub use crate::estimator::{Pathwise, Rebar, Reinforce, Relax};
    pub use crate::infer::{
        Check, Configure, ConfigureTraining, Elbo, ExpectedCost, Fit, Minimize, Posterior, Svi,
        Trainer, check_unbiased, exact_gradient, exact_posterior, exact_posterior_at,
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
