//! The estimators of `table1` that are as published.

use relax_runtime::estimator::Coupling;
use relax_runtime::infer::{Check, ExpectedCost};
use relax_runtime::optim::Adam;
use relax_runtime::prelude::*;

use crate::models;

#[path = "../../examples/table1/published.rs"]
mod table1;

use table1::Published;

/// With surrogates that have learned at a rate at which they are far from where they began.
#[test]
fn those_of_the_table_are_unbiased() -> Result<()> {
    for coupling in [Coupling::Coupled, Coupling::Independent] {
        let published = Published {
            name: "published",
            coupling,
            network: true,
            adam: Adam::new(1e-2).betas(0.9, 0.99999),
        };
        let program = models::two_coins(100, 100);
        let table = Check::new(&ExpectedCost::new(&program))
            .estimator(published)
            .draws(100)
            .run()?;
        table.verdict()?;
    }
    Ok(())
}
