//! Animals that are caught, or never seen; and surveys of how many there are.

use std::path::Path;

use relax_runtime::prelude::*;
use serde::Deserialize;

use crate::program::Outcome;
use crate::table::{Known, Table, of, read};

#[derive(Deserialize)]
struct Histories {
    y: Vec<Vec<f64>>,
}

impl Histories {
    fn tensor(&self) -> Result<Tensor> {
        let flat: Vec<f32> = self.y.iter().flatten().map(|&x| x as f32).collect();
        Tensor::from_vec(flat, [self.y.len(), self.y[0].len()], &Device::cpu())
    }

    /// Whether each animal was seen the time before, `[animals, occasions]`.
    fn before(&self) -> Result<Tensor> {
        let flat: Vec<f32> = self
            .y
            .iter()
            .flat_map(|row| std::iter::once(0.0).chain(row[..row.len() - 1].iter().copied()))
            .map(|x| x as f32)
            .collect();
        Tensor::from_vec(flat, [self.y.len(), self.y[0].len()], &Device::cpu())
    }

    fn never_seen(&self) -> Option<usize> {
        self.y.iter().position(|row| row.iter().all(|&x| x == 0.0))
    }
}

/// Each animal is there with probability ω, and one that is there is seen with probability p each time.
#[model]
fn m0(y: &Tensor) {
    let omega = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    let p = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    plate!(y.rows() => {
        let there = sample!(Bernoulli(omega.broadcast_to([y.rows()])));
        let seen = (&there * &p).unsqueeze(-1).broadcast_to(y.shape());
        observe!(Bernoulli(seen), y);
    })
}

/// One that was seen the time before is seen with another probability c.
#[model]
fn mb(y: &Tensor, before: &Tensor) {
    let omega = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    let p = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    let c = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    plate!(y.rows() => {
        let there = sample!(Bernoulli(omega.broadcast_to([y.rows()])));
        let seen = before * &c + (1.0 - before) * &p;
        observe!(Bernoulli(there.unsqueeze(-1) * seen), y);
    })
}

#[derive(Deserialize)]
struct Survey {
    nmax: usize,
    k: Vec<u64>,
}

/// How many were asked, if each answers with the same probability?
#[model]
fn survey(data: &Survey) {
    let theta = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    let n = sample!(DiscreteUniform(1, data.nmax));
    for k in &data.k {
        observe!(Binomial(n, &theta), *k as f64);
    }
}

pub(crate) fn all(table: &mut Table, folder: &Path) -> Outcome<()> {
    let name = "M0";
    if table.wants(name) {
        let data: Histories = read(folder, "M0_data.json")?;
        let fit = table.fit(name, &m0(&data.tensor()?))?;
        table.row(
            name,
            "omega",
            of(&fit, "omega", 0)?,
            &Known::Spread(0.42346, 0.03869),
        );
        table.row(
            name,
            "p",
            of(&fit, "p", 0)?,
            &Known::Spread(0.49697, 0.03816),
        );
        let there = fit.posterior().means("there")?;
        let count: f64 = there.iter().sum();
        table.row(
            name,
            "how many there are",
            (count, 0.0),
            &Known::Mean(100.207, 0.5),
        );
        if let Some(never) = data.never_seen() {
            let found = (there[never], 0.0);
            table.row(
                name,
                "there, never seen",
                found,
                &Known::Probability(0.08805),
            );
        }
    }
    let name = "Mb";
    if table.wants(name) {
        let data: Histories = read(folder, "Mb_data.json")?;
        let fit = table.fit(name, &mb(&data.tensor()?, &data.before()?))?;
        table.row(
            name,
            "omega",
            of(&fit, "omega", 0)?,
            &Known::Spread(0.64942, 0.04409),
        );
        table.row(
            name,
            "p",
            of(&fit, "p", 0)?,
            &Known::Spread(0.28810, 0.02618),
        );
        table.row(
            name,
            "c",
            of(&fit, "c", 0)?,
            &Known::Spread(0.40075, 0.02993),
        );
        let count: f64 = fit.posterior().means("there")?.iter().sum();
        table.row(
            name,
            "how many there are",
            (count, 0.0),
            &Known::Mean(206.81, 1.5),
        );
    }
    let name = "Survey";
    if table.wants(name) {
        let data: Survey = read(folder, "Survey_data.json")?;
        let fit = table.fit(name, &survey(&data))?;
        table.row(
            name,
            "theta",
            of(&fit, "theta", 0)?,
            &Known::Spread(0.19550, 0.14764),
        );
        table.row(name, "n", of(&fit, "n", 0)?, &Known::Spread(187.24, 127.63));
    }
    Ok(())
}
