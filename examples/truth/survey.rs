//! How many were asked? A survey of which only the number of yeses is known (Lee and Wagenmakers 2014, section 3.6).

use std::path::Path;

use relax_runtime::prelude::*;
use serde::Deserialize;

use crate::program::Outcome;
use crate::table::{Table, read};

#[derive(Deserialize)]
struct Survey {
    nmax: usize,
    k: Vec<u64>,
}

/// How many were asked, if each answers with the same probability?
#[model]
fn survey(data: &Survey) {
    let theta = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    // A tensor, so that one run tells the likelihood of every number.
    let n = sample!(DiscreteUniform(Tensor::scalar(1.0), data.nmax));
    for k in &data.k {
        observe!(Binomial(&n, &theta), *k as f64);
    }
}

pub(crate) fn all(table: &mut Table, folder: &Path) -> Outcome<()> {
    let name = "Survey";
    if table.wants(name) {
        let data: Survey = read(folder, "Survey_data.json")?;
        let fit = table.fit(name, &survey(&data))?;
        let known = [("theta", 0, 0.19550, 0.14764), ("n", 0, 187.24, 127.63)];
        table.spreads(name, &fit, &known)?;
    }
    Ok(())
}
