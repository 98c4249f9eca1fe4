//! Models whose discrete choices are summed out exactly.
//!
//! Each run of the model with given values of its discrete sites tells one number of every term of the
//! log-probability, or, where choices are tensors, its numbers in each case of these (`assign`, `said`, `ran`); which
//! values are run says `cover`, what runs have told stands in a `table` for each term (`told`), and on which sites a
//! term depends is found by `scopes`, from what `tries` has run (and `slopes`
//! says of parameters that make no difference yet), and kept in `graph`; `search` goes on until every number is known; the choices
//! that are not summed out are the same in all runs (`kept`), but for Gaussian ones that are integrated out at
//! `nodes`; `cheap` says which sums are taken unasked. They are the factors (`factor`) of a product, which is
//! summed by variable elimination (`eliminate`): `evidence` is the sum as a number with derivatives, `recover` the
//! posterior of what was summed out.

mod absent;
mod assign;
mod cheap;
mod cover;
mod eliminate;
mod evidence;
mod factor;
mod graph;
mod kept;
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
