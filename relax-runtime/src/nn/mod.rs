//! Layers for the neural parts of models, guides and surrogates.

mod linear;
mod mlp;

pub use linear::Linear;
pub use mlp::{Activation, Mlp};
