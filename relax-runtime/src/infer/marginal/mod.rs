//! Models whose discrete choices are summed out exactly.
//!
//! Each run of the model with given values of its discrete sites (`assign`) tells one number of every term of the
//! log-probability or, if choices are tensors, the term's numbers in each of their cases (`said`, `ran`). `cover` picks
//! the values to run, and what runs have told is kept in a `table` for each term (`told`). `scopes` finds on which
//! sites a term depends, from the runs of `tries` and from `slopes` for parameters that make no difference yet; `graph`
//! stores it. `search` goes on until every number is known, `confirm` tries whether the sum stands, and `apart`
//! whether rows are independent. Choices that are
//! not summed out are the same in all runs (`kept`), except for Gaussian ones that are integrated out at `nodes`.
//! `cheap` decides which sums are taken by default.
//!
//! The tables are the factors (`factor`) of a product, which is summed by variable elimination (`eliminate`):
//! `evidence` is the sum as a number with derivatives, `recover` the posterior of what was summed out, and `left_out` the
//! density of each observation given the others.

mod absent;
mod apart;
mod assign;
mod cheap;
mod confirm;
mod cover;
mod eliminate;
mod evidence;
mod factor;
mod graph;
mod kept;
mod left_out;
mod marginalised;
mod met;
mod nodes;
mod ran;
mod recover;
mod said;
mod scopes;
mod search;
mod slopes;
mod table;
mod told;
mod tries;

pub(in crate::infer) use cheap::{Cheap, Costly};
pub(in crate::infer) use marginalised::{Borrowed, LOG_EVIDENCE, SummedSites};
pub use marginalised::{Marginalised, marginalise};
pub(in crate::infer) use nodes::LARGEST_ERROR as LARGEST_NODE_ERROR;
