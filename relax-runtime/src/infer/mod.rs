//! Inference: objectives, the trainer that minimises them, posteriors, and exact enumeration.

mod bound;
mod check;
mod checkpoint;
mod cost_to_go;
mod draw;
mod enumerate;
mod exact;
mod joint;
mod objective;
mod pass;
mod posterior;
mod record;
mod recording;
mod resume;
mod site;
mod site_estimate;
mod sites;
mod step;
mod tally;
mod trainer;
mod training;

pub use bound::Samples;
pub use check::{Check, check_unbiased, check_unbiased_with};
pub use enumerate::{ExactPosterior, exact_posterior, exact_posterior_at};
pub use exact::exact_gradient;
pub use objective::{Elbo, ExpectedCost, Objective};
pub use pass::{Latent, Mode, Pass, Term};
pub use posterior::{LogEvidence, Posterior};
pub use recording::Recording;
pub use step::Gradients;
pub use trainer::Trainer;
pub use training::{Fit, Minimize, Svi, Trained, Training};
