//! Inference: objectives, the trainer that minimizes them, posteriors, and exact enumeration.
//!
//! Read downwards, each part uses those before it: the record of one evaluation (`pass`), how choices are made (`draw`,
//! `guide`), what is minimized (`objective`), the estimates for each site of an evaluation (`sites`), what draws show
//! about the choices (`posterior`), sums over choices (`tally`, `exact`, `marginal`), the estimate of a whole gradient
//! (`estimation`), what made it fail (`blame`) and how little it may vary (`floors`), the density that sums leave (`target`) and chains on it that start
//! from a guide (`hmc`), what a guide misses (`missed`), and what is done with all of it (`train`, `check`).

mod blame;
mod check;
mod checkpoint;
mod draw;
mod estimation;
mod exact;
mod floors;
mod gradients;
mod guide;
mod hmc;
mod impossible;
mod marginal;
mod missed;
mod objective;
mod pass;
mod peak;
mod posterior;
mod settings;
mod sites;
mod tally;
mod target;
mod train;

pub use crate::report::{Ending, Trend};
pub use check::{Check, check_unbiased, check_unbiased_with};
pub use exact::exact_gradient;
pub use exact::posterior::{
    ExactPosterior, exact_posterior, exact_posterior_at, exact_posterior_up_to,
};
pub use gradients::Gradients;
pub use guide::{
    DeltaGuide, Evaluation, FullRankGuide, Guide, GuideSite, LowRankGuide, MeanFieldGuide,
    Proposal, Stage, StructuredGuide,
};
pub use marginal::{Marginalised, marginalise};
pub use objective::{Elbo, ExpectedCost, Objective};
pub use pass::samples::Samples;
pub use pass::{Latent, Mode, Pass, Term};
pub use posterior::{
    DrawRecord, Draws, Elsewhere, ImportanceWeights, InferenceData, LogEvidence, Mixing, Posterior,
    Psis, Summary, SummaryRow, Unchained, psis,
};
pub use settings::Configure;
pub use train::fit::{Fit, Trained};
pub use train::recording::Recording;
pub use train::settings::ConfigureTraining;
pub use train::trainer::Trainer;
pub use train::training::{Minimize, Svi, Training};
pub use train::verdict::{Finding, Verdict};
