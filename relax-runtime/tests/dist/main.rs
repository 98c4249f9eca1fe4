//! The distributions: densities, draws, derivatives, relaxations, and what they refuse.

#[macro_use]
#[path = "../support/engines.rs"]
mod engines;

mod composed;
mod confident;
mod constraints;
mod continuous;
mod counts;
mod errors;
mod laws;
mod relaxation;
mod vectors;
