//! Estimators and surrogates against exact enumeration, in standard errors, with fixed seeds; their
//! identities at fixed noise; and their derivatives against central differences.

#[macro_use]
#[path = "../../relax-runtime/tests/support/engines.rs"]
mod engines;

mod analytic;
mod apart;
mod bounds;
mod choice;
mod continuous;
mod corrected;
mod defaults;
mod derivatives;
mod family;
mod first;
mod floors;
mod followed;
mod guards;
mod identities;
mod learned;
mod ledger;
mod matrix;
mod mistakes;
mod models;
mod moved;
mod museum;
mod plan;
mod problems;
mod published;
mod settings;
mod slopes;
mod spanning;
mod spread;
mod statistics;
mod unbiased;
