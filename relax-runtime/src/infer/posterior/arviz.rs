//! Draws in the layout read by ArviZ.

use std::io;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

use super::column::Column;
use super::draws::Draws;
use super::predictive::observed;
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::model::{ParamStore, Program};

/// Groups of draws in ArviZ's layout: `posterior`, `sample_stats`, `posterior_predictive`, `log_likelihood` and
/// `observed_data`. In Python, `arviz.from_json("fit.json")` reads what [`to_json`](Self::to_json) writes, and so does
/// `arviz.from_dict(**json.load(file))`.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn toss(heads: bool) {
///     let fair = sample!(Bernoulli(0.5));
///     observe!(Bernoulli(if fair { 0.5 } else { 0.9 }), heads);
/// }
///
/// # fn main() -> Result<()> {
/// let model = toss(true);
/// let fit = Svi::new(&model).steps(50).posterior_draws(20).seed(1).run()?;
/// let json = fit.inference_data(&model)?.to_json()?;
/// assert!(json.starts_with(r#"{"posterior":{"fair":[["#));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct InferenceData {
    posterior: Draws,
    /// ln(p(x, z)/q(z)) of each draw, summed over rows, if the draws are a guide's.
    log_weights: Option<Vec<f64>>,
    /// Whether the draws were resampled, so that log-weights belong to other draws.
    is_resampled: bool,
    posterior_predictive: Draws,
    log_likelihood: Draws,
    observed_data: Draws,
}

impl Draws {
    /// Combines the draws with a model's predicted data, its observed data and their log-likelihood, for export to
    /// ArviZ. ArviZ has no weights, so weighted draws are [resampled](Self::resample): as many as there are, and at
    /// least 1,000. Log-likelihoods are those of [`log_likelihood`](Self::log_likelihood), as `arviz.loo` asks for: beside a
    /// sum, of each datum given the others. Where [that](Self::log_likelihood) is an
    /// [`Error::Query`], they are left out. Terms of `factor!` are not data, and not among them.
    ///
    /// # Errors
    /// As [`predictive`](Self::predictive), or if there are no whole draws.
    pub fn inference_data(
        &self,
        model: &dyn Program,
        params: &ParamStore,
        seed: u64,
    ) -> Result<InferenceData> {
        const RESAMPLED: usize = 1_000;
        let is_resampled = !matches!(self.weights, Weights::Equal);
        let posterior = match is_resampled {
            false => self.clone(),
            true => self.resample(self.count.max(RESAMPLED), seed)?,
        };
        Ok(InferenceData {
            posterior_predictive: posterior.predictive(model, params, posterior.count, seed)?,
            log_likelihood: match posterior.log_likelihoods(model, params) {
                Err(error) if matches!(error.cause(), Error::Query(_)) => {
                    Draws::of_equal(Vec::new(), posterior.count)
                }
                found => found?,
            },
            observed_data: observed(&posterior, model, params)?,
            log_weights: None,
            is_resampled,
            posterior,
        })
    }
}

impl InferenceData {
    /// Adds the log-weights of a guide's draws to the `sample_stats`, unless the draws were resampled: those count
    /// alike.
    pub(in crate::infer) fn with_log_weights(mut self, log_weights: &[Vec<f64>]) -> Self {
        let sums = log_weights.iter().map(|rows| rows.iter().sum());
        self.log_weights = (!self.is_resampled).then(|| sums.collect());
        self
    }

    /// Writes the groups as JSON: each variable is an array with axes for the one chain, its draws, and the axes of its
    /// value; observed data have no axes for chain and draw. A site missing from a draw is `NaN` there, as in Python's
    /// JSON, and so is a number that is not finite: ArviZ reads `NaN` as a missing number, but turns `null` into an
    /// array of objects. For a reader of strict JSON, replace `NaN` by `null`.
    ///
    /// # Errors
    /// If a site does not have the same shape in all draws that contain it.
    pub fn to_json(&self) -> Result<String> {
        let of_draws = |draws: &Draws| -> Result<Group> {
            let columns = draws.columns.iter();
            let columns = columns.filter(|column| !column.values.is_empty());
            let variables = columns.map(|column| Variable::of_column(column, draws.count));
            variables.collect()
        };
        let mut groups = vec![("posterior", of_draws(&self.posterior)?)];
        if let Some(log_weights) = &self.log_weights {
            let variable = Variable {
                name: "log_weight".into(),
                shape: vec![1, log_weights.len()],
                numbers: log_weights.clone(),
            };
            groups.push(("sample_stats", vec![variable]));
        }
        groups.push((
            "posterior_predictive",
            of_draws(&self.posterior_predictive)?,
        ));
        groups.push(("log_likelihood", of_draws(&self.log_likelihood)?));
        let mut observed = of_draws(&self.observed_data)?;
        for variable in &mut observed {
            variable.shape.drain(..2);
        }
        groups.push(("observed_data", observed));
        groups.retain(|(_, group)| !group.is_empty());
        let mut bytes = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Python);
        let named = groups.iter().map(|(name, group)| (name, Named(group)));
        let written = serializer.collect_map(named);
        written.map_err(|error| Error::Query(format!("the draws cannot be written: {error}")))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

type Group = Vec<Variable>;

/// A named array.
struct Variable {
    name: String,
    shape: Vec<usize>,
    /// In row-major order.
    numbers: Vec<f64>,
}

impl Variable {
    /// A site in all draws of the one chain.
    fn of_column(column: &Column, draws: usize) -> Result<Self> {
        let values = column.numbers()?;
        let own = column.values.first().map(|value| value.shape().to_vec());
        let own = own.unwrap_or_default();
        if column
            .values
            .iter()
            .any(|value| value.shape()[..] != own[..])
        {
            return Err(Error::Query(format!(
                "site `{}` does not have the same shape in all draws, so it is not an array",
                column.name
            )));
        }
        let width: usize = own.iter().product();
        let mut numbers = vec![f64::NAN; draws * width];
        for (draw, place) in column.present() {
            numbers[draw * width..(draw + 1) * width].copy_from_slice(&values[place]);
        }
        Ok(Self {
            name: column.name.clone(),
            shape: [&[1, draws], &own[..]].concat(),
            numbers,
        })
    }
}

/// The variables of a group by name.
struct Named<'g>(&'g [Variable]);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for Variable {
            name,
            shape,
            numbers,
        } in self.0
        {
            map.serialize_entry(name, &Nested { shape, numbers })?;
        }
        map.end()
    }
}

/// Numbers as nested arrays.
struct Nested<'n> {
    shape: &'n [usize],
    numbers: &'n [f64],
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Some((length, shape)) = self.shape.split_first() else {
            return self.numbers[0].serialize(serializer);
        };
        let width: usize = shape.iter().product();
        let mut list = serializer.serialize_seq(Some(*length))?;
        for i in 0..*length {
            let numbers = &self.numbers[i * width..(i + 1) * width];
            list.serialize_element(&Nested { shape, numbers })?;
        }
        list.end()
    }
}

/// JSON as Python reads and writes it: `NaN` for what serde writes as `null`.
struct Python;

impl Formatter for Python {
    fn write_null<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"NaN")
    }
}
