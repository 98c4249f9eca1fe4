//! Inference: objectives, the trainer that minimises them, posteriors, and exact enumeration.
//!
//! Read downwards, each part uses those before it: what one evaluation leaves (`pass`), how choices are
//! made (`draw`, `guide`), what is minimised (`objective`), what each site's estimator says of an
//! evaluation (`sites`), sums over all choices (`tally`, `exact`), the estimate of a whole gradient
//! (`estimation`), and what is done with it (`train`, `check`).

mod check;
mod checkpoint;
mod draw;
mod estimation;
mod exact;
mod gradients;
mod guide;
mod objective;
mod pass;
mod posterior;
mod settings;
mod sites;
mod tally;
mod train;

pub use check::{Check, check_unbiased, check_unbiased_with};
pub use exact::exact_gradient;
pub use exact::posterior::{
    ExactPosterior, exact_posterior, exact_posterior_at, exact_posterior_up_to,
};
pub use gradients::Gradients;
pub use guide::{
    DeltaGuide, Evaluation, FullRankGuide, Guide, GuideSite, LowRankGuide, MeanFieldGuide,
    Proposal, StructuredGuide,
};
pub use objective::{Elbo, ExpectedCost, Objective};
pub use pass::samples::Samples;
pub use pass::{Latent, Mode, Pass, Term};
pub use posterior::{LogEvidence, Posterior};
pub use settings::Configure;
pub use train::recording::Recording;
pub use train::settings::ConfigureTraining;
pub use train::settling::Ending;
pub use train::trainer::Trainer;
pub use train::training::{Fit, Minimize, Svi, Trained, Training};
