//! Weights of draws.

use serde::{Deserialize, Serialize};

use super::column::{Column, never};
use crate::error::Result;

/// Weights of draws, which sum to 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Weights {
    /// The same for all.
    Equal,
    /// One per draw.
    Whole(Vec<f64>),
    /// For each row of the plate that everything is in, one per draw.
    Rows(Vec<Vec<f64>>),
}

impl Weights {
    /// The weight of a draw as a whole.
    pub(super) fn whole(&self, draw: usize, draws: usize) -> f64 {
        match self {
            Self::Whole(weights) => weights[draw],
            Self::Equal | Self::Rows(_) => 1.0 / draws as f64,
        }
    }

    /// The probability that a run reaches a site.
    pub(super) fn inclusion(&self, column: &Column, draws: usize) -> f64 {
        match self {
            Self::Equal | Self::Rows(_) => column.present().count() as f64 / draws as f64,
            Self::Whole(weights) => {
                let present: f64 = column.present().map(|(draw, _)| weights[draw]).sum();
                let more = column.in_draws.iter().map(|known| {
                    let draw = known.draw as usize;
                    let is_present = column.value(draw).is_some();
                    weights[draw] * (known.inclusion - f64::from(u8::from(is_present)))
                });
                present + more.sum::<f64>()
            }
        }
    }

    /// The weights of the draws that contain a site, as shares of their total.
    ///
    /// # Errors
    /// If their total weight is 0.
    pub(super) fn shares<'w>(&'w self, column: &Column) -> Result<Shares<'w>> {
        let present = || column.present().map(|(draw, _)| draw);
        let mass = |weights: &[f64]| present().map(|draw| weights[draw]).sum::<f64>();
        let (rows, masses): (Vec<&[f64]>, Vec<f64>) = match self {
            Self::Equal => (Vec::new(), vec![present().count() as f64]),
            Self::Whole(weights) => (vec![weights], vec![mass(weights)]),
            Self::Rows(rows) => rows.iter().map(|row| (&row[..], mass(row))).unzip(),
        };
        if masses.iter().any(|mass| *mass <= 0.0) {
            return Err(never(&column.name));
        }
        Ok(Shares { rows, masses })
    }
}

/// The weights of some of the draws, as shares of their sum.
pub(super) struct Shares<'w> {
    /// Empty if all weights are equal.
    rows: Vec<&'w [f64]>,
    masses: Vec<f64>,
}

impl Shares<'_> {
    /// The share of one of a draw's `elements`, whose leading axis is the rows.
    pub(super) fn of(&self, draw: usize, element: usize, elements: usize) -> f64 {
        let row = element * self.masses.len() / elements.max(1);
        let weight = self.rows.get(row).map_or(1.0, |weights| weights[draw]);
        weight / self.masses[row]
    }
}
