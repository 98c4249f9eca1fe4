//! What a run reports to its user.

mod bias;
mod ending;
mod floor;
mod history;
mod ledger;
mod moments;
mod progress;
mod table;

pub use bias::{BiasRow, BiasTable, Reference, Subject};
pub(crate) use ending::Level;
pub use ending::{Ending, Trend};
pub use floor::Floor;
pub use history::{History, SiteReport, StepReport};
pub use ledger::{Ledger, LedgerEntry, LedgerFailure};
pub(crate) use moments::GradientMoments;
pub(crate) use progress::Progress;
pub(crate) use table::write_table;
