//! Estimators and surrogates against exact enumeration, in standard errors, with fixed seeds; their
//! identities at fixed noise; and their derivatives against central differences.

mod continuous;
mod derivatives;
mod family;
mod family_sites;
mod identities;
mod ledger;
mod mistakes;
mod models;
mod plan;
mod problems;
mod settings;
mod sites;
mod spread;
mod statistics;
mod unbiased;
