//! Found values beside known ones.

use std::fs;
use std::path::Path;
use std::time::Instant;

use relax_runtime::prelude::*;
use serde::de::DeserializeOwned;

use crate::program::Outcome;

/// Counts what holds.
pub(crate) struct Table {
    seed: u64,
    hmc: bool,
    only: Option<String>,
    holds: usize,
    misses: Vec<String>,
}

/// What is known of a number.
pub(crate) enum Known {
    /// A probability, or the mean of something discrete: within .02.
    Probability(f64),
    /// ln p(observations): within .05.
    Evidence(f64),
    /// A mean and standard deviation: the mean within .1 standard deviations, the deviation within 15 %.
    Spread(f64, f64),
    /// A mean whose standard deviation is not known, and what it is to lie within.
    Mean(f64, f64),
}

impl Table {
    pub(crate) fn new(seed: u64, hmc: bool, only: Option<String>) -> Self {
        Self {
            seed,
            hmc,
            only,
            holds: 0,
            misses: Vec::new(),
        }
    }

    /// Whether a model is to run.
    pub(crate) fn wants(&self, model: &str) -> bool {
        self.only.as_ref().is_none_or(|only| model.contains(only))
    }

    /// Fits a model at default settings.
    pub(crate) fn fit(&self, name: &str, model: &dyn Program) -> Outcome<Fit> {
        let start = Instant::now();
        let svi = Svi::new(model).seed(self.seed).posterior_draws(1_000);
        let svi = if self.hmc { svi.hmc(true) } else { svi };
        let fit = svi.run()?;
        let seconds = start.elapsed().as_secs_f64();
        let bound = fit.posterior().log_evidence().elbo;
        let verdict = fit.verdict();
        let tail = match verdict.pareto_k {
            Some(k) => format!(", Pareto k {k:.2}"),
            None => String::new(),
        };
        println!(
            "{name}: {}, {seconds:.3} s, bound {bound:.3}{tail}",
            fit.ending()
        );
        if let Some(mixing) = fit.posterior().mixing() {
            println!(
                "  chains: R̂ {:.3}, worth {:.0} draws, {} diverged, acceptance {:.2}",
                mixing.r_hat, mixing.effective_samples, mixing.divergences, mixing.acceptance
            );
        }
        for finding in &verdict.findings {
            println!("  verdict: {finding}");
        }
        Ok(fit)
    }

    /// Writes a row.
    pub(crate) fn row(&mut self, model: &str, what: &str, found: (f64, f64), known: &Known) {
        let (mean, sd) = found;
        let (text, holds) = match *known {
            Known::Probability(p) => (format!("{mean:.4}  known {p:.4}"), (mean - p).abs() < 0.02),
            Known::Evidence(log) => (
                format!("{mean:.4}  known {log:.4}"),
                (mean - log).abs() < 0.05,
            ),
            Known::Mean(wanted, within) => (
                format!("{mean:.4} ± {sd:.4}  known {wanted:.4}"),
                (mean - wanted).abs() < within,
            ),
            Known::Spread(wanted, spread) => (
                format!(
                    "{mean:.4} ± {sd:.4}  known {wanted:.4} ± {spread:.4}  ({:+.2} sd, {:+.0} %)",
                    (mean - wanted) / spread,
                    100.0 * (sd / spread - 1.0)
                ),
                (mean - wanted).abs() < 0.1 * spread && (sd / spread - 1.0).abs() < 0.15,
            ),
        };
        println!("  {what:24}{text}{}", if holds { "" } else { "  MISSES" });
        match holds {
            true => self.holds += 1,
            false => self.misses.push(format!("{model}: {what}")),
        }
    }

    /// A row for each element of a site whose mean and standard deviation are known.
    pub(crate) fn spreads(
        &mut self,
        model: &str,
        fit: &Fit,
        known: &[(&str, usize, f64, f64)],
    ) -> Outcome<()> {
        for &(site, at, mean, sd) in known {
            let what = match fit.posterior().sds(site)?.len() {
                1 => site.to_owned(),
                _ => format!("{site} ({at})"),
            };
            self.row(model, &what, of(fit, site, at)?, &Known::Spread(mean, sd));
        }
        Ok(())
    }

    /// Says how much holds.
    pub(crate) fn conclude(&self) -> Outcome<()> {
        println!(
            "\n{} of {} hold",
            self.holds,
            self.holds + self.misses.len()
        );
        for miss in &self.misses {
            println!("misses: {miss}");
        }
        Ok(())
    }
}

/// Reads a file of the data sets.
pub(crate) fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Outcome<T> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()).into())
}

/// Numbers as a tensor.
pub(crate) fn tensor(numbers: &[f64]) -> Tensor {
    Tensor::from_slice(&numbers.iter().map(|&x| x as f32).collect::<Vec<_>>())
}

/// Mean and standard deviation of an element of a site.
pub(crate) fn of(fit: &Fit, site: &str, at: usize) -> Outcome<(f64, f64)> {
    let posterior = fit.posterior();
    Ok((posterior.means(site)?[at], posterior.sds(site)?[at]))
}
