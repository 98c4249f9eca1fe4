//! Inference: objectives, the trainer that minimises them, posteriors, and exact enumeration.

mod bound;
mod check;
mod checkpoint;
mod columns;
mod cost_to_go;
mod draw;
mod enumerate;
mod exact;
mod exact_posterior;
mod first_costs;
mod guide;
mod joint;
mod met;
mod objective;
mod pass;
mod posterior;
mod race;
mod record;
mod recording;
mod resume;
mod site;
mod site_estimate;
mod sites;
mod slopes;
mod spread;
mod stem;
mod step;
mod survey;
mod tally;
mod trainer;
mod training;

pub use bound::Samples;
pub use check::{Check, check_unbiased, check_unbiased_with};
pub use exact::exact_gradient;
pub use exact_posterior::{
    ExactPosterior, exact_posterior, exact_posterior_at, exact_posterior_up_to,
};
pub use guide::{Evaluation, Guide, GuideSite, MeanFieldGuide, Proposal};
pub use objective::{Elbo, ExpectedCost, Objective};
pub use pass::{Latent, Mode, Pass, Term};
pub use posterior::{LogEvidence, Posterior};
pub use recording::Recording;
pub use step::Gradients;
pub use trainer::Trainer;
pub use training::{Fit, Minimize, Svi, Trained, Training};
