//! Capture and recapture (Kéry and Schaub 2012, chapter 6): animals of which some are seen now and then, and others
//! that may or may not be there.

use std::path::Path;

use relax_runtime::prelude::*;
use serde::Deserialize;

use crate::program::Outcome;
use crate::table::{Known, Table, read, tensor};

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

/// Each occasion has a probability of its own.
#[model]
fn mt(y: &Tensor, occasions: usize) {
    let omega = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    let p = sample!(Uniform(Tensor::zeros([occasions], &Device::cpu()), 1.0));
    plate!(y.rows() => {
        let there = sample!(Bernoulli(omega.broadcast_to([y.rows()])));
        observe!(Bernoulli(there.unsqueeze(-1) * &p), y);
    })
}

/// How often each animal was seen, of T times.
#[derive(Deserialize)]
struct Counts {
    y: Vec<f64>,
    #[serde(rename = "T")]
    occasions: usize,
}

/// Each animal is as easily seen as it is: an effect on the logit of p.
#[model]
fn mh(y: &Tensor, occasions: usize) {
    let omega = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    let p = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    let sigma = sample!(Uniform(Tensor::scalar(0.0), 5.0));
    plate!(y.rows() => {
        let there = sample!(Bernoulli(omega.broadcast_to([y.rows()])));
        let effect = sample!(Normal(Tensor::zeros([y.rows()], &Device::cpu()), 1.0));
        let seen = (logit(&p) + &sigma * effect).sigmoid();
        observe!(Binomial(occasions, there * seen), y);
    })
}

/// Both: occasions, and animals.
#[model]
fn mth(y: &Tensor, occasions: usize) {
    let omega = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    let p = sample!(Uniform(Tensor::zeros([occasions], &Device::cpu()), 1.0));
    let sigma = sample!(Uniform(Tensor::scalar(0.0), 5.0));
    plate!(y.rows() => {
        let there = sample!(Bernoulli(omega.broadcast_to([y.rows()])));
        let effect = sample!(Normal(Tensor::zeros([y.rows()], &Device::cpu()), 1.0));
        let seen = (logit(&p) + (&sigma * effect).unsqueeze(-1)).sigmoid();
        observe!(Bernoulli(there.unsqueeze(-1) * seen), y);
    })
}

/// And whether it was seen the time before.
#[model]
fn mtbh(y: &Tensor, before: &Tensor, occasions: usize) {
    let omega = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    let p = sample!(Uniform(Tensor::zeros([occasions], &Device::cpu()), 1.0));
    let gamma = sample!(Normal(Tensor::scalar(0.0), 10.0));
    let sigma = sample!(Uniform(Tensor::scalar(0.0), 3.0));
    plate!(y.rows() => {
        let there = sample!(Bernoulli(omega.broadcast_to([y.rows()])));
        let effect = sample!(Normal(Tensor::zeros([y.rows()], &Device::cpu()), 1.0));
        let seen = logit(&p) + (&sigma * effect).unsqueeze(-1) + before * &gamma;
        observe!(Bernoulli(there.unsqueeze(-1) * seen.sigmoid()), y);
    })
}

fn logit(p: &Tensor) -> Tensor {
    p.ln() - (1.0 - p).ln()
}

/// How many animals there are.
fn count(fit: &Fit) -> Outcome<(f64, f64)> {
    Ok((fit.posterior().means("there")?.iter().sum(), 0.0))
}

pub(crate) fn all(table: &mut Table, folder: &Path) -> Outcome<()> {
    const COUNT: &str = "how many there are";
    let name = "M0";
    if table.wants(name) {
        let data: Histories = read(folder, "M0_data.json")?;
        let fit = table.fit(name, &m0(&data.tensor()?))?;
        let known = [("omega", 0, 0.42346, 0.03869), ("p", 0, 0.49697, 0.03816)];
        table.spreads(name, &fit, &known)?;
        table.row(name, COUNT, count(&fit)?, &Known::Mean(100.207, 0.5));
        if let Some(never) = data.never_seen() {
            let found = (fit.posterior().means("there")?[never], 0.0);
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
        let known = [
            ("omega", 0, 0.64942, 0.04409),
            ("p", 0, 0.28810, 0.02618),
            ("c", 0, 0.40075, 0.02993),
        ];
        table.spreads(name, &fit, &known)?;
        table.row(name, COUNT, count(&fit)?, &Known::Mean(206.81, 1.5));
    }
    let name = "Mt_data";
    if table.wants(name) {
        let data: Histories = read(folder, "Mt_data.json")?;
        let fit = table.fit(name, &mt(&data.tensor()?, data.y[0].len()))?;
        let known = [
            ("omega", 0, 0.42426, 0.03958),
            ("p", 0, 0.13708, 0.03471),
            ("p", 1, 0.58784, 0.05807),
            ("p", 2, 0.63690, 0.05838),
        ];
        table.spreads(name, &fit, &known)?;
        table.row(name, COUNT, count(&fit)?, &Known::Mean(100.35, 0.5));
    }
    let name = "Mh_data";
    if table.wants(name) {
        let data: Counts = read(folder, "Mh_data.json")?;
        let fit = table.fit(name, &mh(&tensor(&data.y), data.occasions))?;
        let known = [
            ("omega", 0, 0.34484, 0.08793),
            ("p", 0, 0.24591, 0.08990),
            ("sigma", 0, 1.46957, 0.43164),
        ];
        table.spreads(name, &fit, &known)?;
        table.row(name, COUNT, count(&fit)?, &Known::Mean(132.4, 3.2));
    }
    let name = "Mth_data";
    if table.wants(name) {
        let data: Histories = read(folder, "Mth_data.json")?;
        let fit = table.fit(name, &mth(&data.tensor()?, data.y[0].len()))?;
        let known = [
            ("omega", 0, 0.27402, 0.03467),
            ("p", 0, 0.39584, 0.07415),
            ("p", 1, 0.29966, 0.06691),
            ("p", 2, 0.28923, 0.06545),
            ("p", 3, 0.45076, 0.07667),
            ("p", 4, 0.43981, 0.07663),
            ("sigma", 0, 1.01096, 0.29843),
        ];
        table.spreads(name, &fit, &known)?;
        table.row(name, COUNT, count(&fit)?, &Known::Mean(105.58, 1.0));
    }
    let name = "Mtbh_data";
    if table.wants(name) {
        let data: Histories = read(folder, "Mtbh_data.json")?;
        let (y, before) = (data.tensor()?, data.before()?);
        let fit = table.fit(name, &mtbh(&y, &before, data.y[0].len()))?;
        let known = [
            ("omega", 0, 0.29171, 0.06301),
            ("p", 0, 0.24120, 0.08261),
            ("p", 1, 0.29116, 0.09559),
            ("p", 2, 0.29151, 0.09592),
            ("p", 3, 0.21912, 0.08313),
            ("p", 4, 0.31558, 0.09810),
            ("gamma", 0, -0.01930, 0.50297),
            ("sigma", 0, 0.68473, 0.42967),
        ];
        table.spreads(name, &fit, &known)?;
        table.row(name, COUNT, count(&fit)?, &Known::Mean(42.16, 0.7));
    }
    Ok(())
}
