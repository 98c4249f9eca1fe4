//! Tensors: values, derivatives, graphs, and what operations refuse.

mod derivatives;
mod edges;
mod graph;
mod sums;
mod values;
