//! RELAX (Grathwohl, Choi, Wu, Roeder, Duvenaud 2018, algorithm 2).

mod corrected;
mod free_form;
mod function;
mod leave_one_out;
mod plain;
mod residual;
mod site;

pub use corrected::corrected;
pub use function::relax;
pub(super) use function::{surrogate_at_z, twice_mean};
pub use site::{Relax, SurrogateKind};
