//! The table of a check for bias.

use std::fmt;

use super::Floor;
use crate::error::{Error, Result};

/// What gradient estimates were compared with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reference {
    /// The exact gradient: the sum over every combination of discrete values.
    Exact {
        /// Number of combinations; rows of a plate are enumerated in step and count as one.
        combinations: usize,
    },
    /// The mean of many draws of REINFORCE with a baseline.
    Sampled {
        /// Number of draws.
        draws: u64,
        /// Why the gradient was not enumerated.
        why: String,
    },
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { combinations } => {
                write!(f, "exact enumeration of {combinations} combinations")
            }
            Self::Sampled { draws, why } => {
                write!(
                    f,
                    "{draws} draws of REINFORCE with a baseline, because {why}"
                )
            }
        }
    }
}

/// What a row of a [`BiasTable`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// The gradient by the parameters of a site's law, which the site's estimator estimates.
    Site {
        /// The site's distribution.
        distribution: &'static str,
        /// Its estimator.
        estimator: &'static str,
        /// Whether the estimator declares itself biased.
        declared: bool,
        /// Whether the site has a gradient estimate. A pathwise site has none: the reverse pass
        /// takes its gradient straight to the parameters, whose rows cover it.
        measured: bool,
    },
    /// The gradient by a parameter of the programs, which comes from all sites.
    Parameter,
    /// The objective's own value.
    Objective,
}

/// The mean of one gradient estimate, compared with what it should be.
#[derive(Clone, Debug)]
pub struct BiasRow {
    /// Name of the site or parameter.
    pub name: String,
    /// What it is.
    pub subject: Subject,
    /// Number of coordinates compared. At a site these are all of the gradient, their sums over rows, and
    /// sums weighted by tanh θ, in which a bias does not cancel over what came before the site; a
    /// large gradient is folded into 256 signed sums.
    pub coordinates: usize,
    /// Distance between mean and reference in standard errors of their difference, at the
    /// coordinate where it is largest.
    pub z: f64,
    /// That distance itself, with its sign, in units of one row of the plates.
    pub bias: f64,
    /// The bias that would have been found at every coordinate: the threshold times the largest
    /// standard error.
    pub resolution: f64,
    /// Largest coordinate of the reference.
    pub size: f64,
    /// Mean variance of a coordinate of one draw's estimate; at a site with rows, of their sum.
    pub variance: f64,
    /// The variance over draws that reach the site beside the least that it could be; `None` for what is not a site's
    /// estimate.
    pub floor: Option<Floor>,
    /// Evaluations of the cost for one estimate, relaxed ones included; only known for sites.
    pub evaluations: f64,
    /// Whether `z` exceeds the table's threshold.
    pub biased: bool,
}

/// What a check for bias found: a row for every site, every parameter, and the objective. Prints as a
/// table.
///
/// A row counts as biased where its distance exceeds `threshold` standard errors, √(2 ln(1000 m))
/// with m coordinates in the whole table. A normal variable lies beyond z, on either side, with
/// probability below exp(−z²/2), and so any of m lies beyond the threshold with probability below
/// 1/1000: at most one table in a thousand of unbiased estimators shows a bias. (Means are normal only
/// for many draws; events too rare to have been drawn are accounted for by a standard error of at least
/// the largest cost over the number of draws.)
#[derive(Clone, Debug)]
pub struct BiasTable {
    /// Sites in the order in which they were reached, then parameters, then the objective.
    pub rows: Vec<BiasRow>,
    /// What the means were compared with.
    pub reference: Reference,
    /// Number of draws whose mean was taken.
    pub draws: u64,
    /// Standard errors beyond which a mean counts as biased.
    pub threshold: f64,
}

impl BiasTable {
    /// The row of a site.
    pub fn site(&self, name: &str) -> Option<&BiasRow> {
        let is_site = |row: &&BiasRow| matches!(row.subject, Subject::Site { .. });
        self.rows
            .iter()
            .filter(is_site)
            .find(|row| row.name == name)
    }

    /// The rows that were found to be biased.
    pub fn biased(&self) -> impl Iterator<Item = &BiasRow> {
        self.rows.iter().filter(|row| row.biased)
    }

    /// Fails if a row is biased.
    ///
    /// # Errors
    /// [`Error::Biased`] with the names of the biased sites and parameters, including those whose
    /// estimators declare themselves biased.
    pub fn verdict(&self) -> Result<()> {
        let names: Vec<String> = self.biased().map(|row| row.name.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let why = |row: &BiasRow| {
            let what = match row.subject {
                Subject::Site {
                    estimator,
                    declared: true,
                    ..
                } => format!(
                    "site `{}`, whose estimator `{estimator}` is a biased one",
                    row.name
                ),
                Subject::Site { estimator, .. } => {
                    format!("site `{}` with `{estimator}`", row.name)
                }
                Subject::Parameter => format!("parameter `{}`", row.name),
                Subject::Objective => "the objective's value".to_owned(),
            };
            format!(
                "{what}: off by {:.3e}, {:.1} standard errors",
                row.bias, row.z
            )
        };
        Err(Error::Biased {
            names,
            findings: self.biased().map(why).collect::<Vec<_>>().join("; "),
            threshold: self.threshold,
        })
    }
}

impl BiasRow {
    fn cells(&self) -> [String; 9] {
        let measured = !matches!(
            self.subject,
            Subject::Site {
                measured: false,
                ..
            }
        );
        let (kind, estimator) = match self.subject {
            Subject::Site {
                distribution,
                estimator,
                ..
            } => (distribution, estimator),
            Subject::Parameter => ("parameter", ""),
            Subject::Objective => ("value", ""),
        };
        let verdict = match (self.subject, self.biased) {
            (Subject::Site { declared: true, .. }, true) => "biased, as declared",
            (Subject::Site { declared: true, .. }, false) => "no bias seen, though declared",
            (_, true) => "BIASED",
            (_, false) if !measured => "see parameters",
            (_, false) => "unbiased",
        };
        let number = |text: String| if measured { text } else { String::new() };
        let counted = self.evaluations > 0.0 && measured;
        let whole = self.evaluations.fract() == 0.0;
        [
            self.name.clone(),
            kind.to_owned(),
            estimator.to_owned(),
            number(format!("{:.2}", self.z)),
            number(format!("{:.1e}", self.bias)),
            number(format!("{:.3e}", self.variance)),
            self.floor.as_ref().map_or(String::new(), Floor::cell),
            match (counted, whole) {
                (false, _) => String::new(),
                (true, true) => format!("{:.0}", self.evaluations),
                (true, false) => format!("{:.1}", self.evaluations),
            },
            verdict.to_owned(),
        ]
    }
}

impl fmt::Display for BiasTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = [
            "gradient",
            "of",
            "estimator",
            "bias/s.e.",
            "bias",
            "variance",
            "× floor",
            "evaluations",
            "verdict",
        ];
        let mut rows = vec![header.map(String::from)];
        rows.extend(self.rows.iter().map(BiasRow::cells));
        super::write_table(f, &rows)?;
        write!(
            f,
            "\n{} draws against {}; biased beyond {:.2} standard errors",
            self.draws, self.reference, self.threshold
        )?;
        for row in &self.rows {
            if let (Subject::Site { estimator, .. }, Some(floor)) = (row.subject, &row.floor)
                && let Some(note) = &floor.note
            {
                write!(f, "\n* {}, {estimator}: {note}", row.name)?;
            }
        }
        Ok(())
    }
}
