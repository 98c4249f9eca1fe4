//! A Bayesian network as a model.

use relax_runtime::prelude::*;

use crate::bif::Network;

/// Each variable is drawn from the row of its table that its parents' values select, or known.
#[model]
pub(crate) fn network(network: &Network, given: &[Option<usize>]) {
    let mut state = Vec::with_capacity(given.len());
    for (variable, given) in network.variables.iter().zip(given) {
        let probabilities = variable.row(&state, network).to_vec();
        state.push(match given {
            Some(value) => {
                observe!(
                    Categorical(probabilities),
                    *value,
                    name = variable.name.clone()
                );
                *value
            }
            None => sample!(Categorical(probabilities), name = variable.name.clone()),
        });
    }
}
