//! Distributions written outside the runtime, with its public interface alone, one file each: what a custom law needs,
//! and tests that it gets valid estimators and an automatic guide.

mod binomial;
mod exponential;
mod geometric;
mod laplace;
mod spin;

pub use binomial::{Binomial, BinomialRelaxation};
pub use exponential::Exponential;
pub use geometric::Geometric;
pub use laplace::Laplace;
pub use spin::Spin;

#[cfg(test)]
mod tests;
