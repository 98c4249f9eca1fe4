//! How multinomial counts of one row are drawn and relaxed, in plain numbers.

use crate::dist::counts::QuantileLevel;
use crate::dist::{BinomialFamily, Place};

/// The most probable category.
pub(super) fn largest(log_probs: &[f64]) -> usize {
    let largest = |most: usize, k: usize| match log_probs[k] > log_probs[most] {
        true => k,
        false => most,
    };
    (0..log_probs.len()).reduce(largest).unwrap_or(0)
}

/// ln(eᵃ + eᵇ).
fn ln_sum(a: f64, b: f64) -> f64 {
    let most = a.max(b);
    match most.is_finite() {
        true => most + ((a - most).exp() + (b - most).exp()).ln(),
        false => most,
    }
}

/// Draws the counts of a row: each category in turn, except the one that takes the rest, gets a binomial share of
/// what is left. For each it returns how far up its step of the binomial's distribution function the level lies:
/// given all counts, these are independent and uniform.
pub(super) fn draw_row(
    total: f64,
    log_probs: &[f64],
    rest: usize,
    levels: impl Iterator<Item = QuantileLevel>,
) -> Vec<Place> {
    // The probability of everything after each category, from the last on, including the rest.
    let mut behind = vec![0.0; log_probs.len()];
    let mut sum = log_probs.get(rest).copied().unwrap_or(0.0);
    for k in (0..log_probs.len()).rev().filter(|k| *k != rest) {
        behind[k] = sum;
        sum = ln_sum(sum, log_probs[k]);
    }
    let mut left = total;
    let each = log_probs.iter().zip(&behind).zip(levels).enumerate();
    let mut row: Vec<Place> = each
        .map(|(k, ((own, behind), level))| {
            if k == rest || left == 0.0 || !own.is_finite() {
                return Place {
                    b: 0.0,
                    v: level.below,
                };
            }
            let place = Place::of(&BinomialFamily, &[own - behind], left, level);
            left -= place.b;
            place
        })
        .collect();
    if let Some(place) = row.get_mut(rest) {
        *place = Place { b: left, v: 0.5 };
    }
    row
}

/// What is needed of one event.
pub(super) struct Event<'a> {
    pub(super) total: f64,
    /// The category that takes the rest.
    pub(super) rest: usize,
    /// Center and unit of z.
    pub(super) centre: &'a [f32],
    pub(super) unit: &'a [f32],
}

impl Event<'_> {
    /// The count whose step a number of z lies in.
    fn count_at(&self, i: usize, z: f32) -> f64 {
        let s = f64::from(z) * f64::from(self.unit[i]) + f64::from(self.centre[i]);
        // `f64::max` and `min`, so that NaN becomes 0.
        (s + 0.5).floor().max(0.0).min(self.total)
    }

    /// The counts of z.
    pub(super) fn hard(&self, z: &[f32], counts: &mut [f32]) {
        let mut left = self.total;
        for i in (0..z.len()).filter(|i| *i != self.rest) {
            counts[i] = self.count_at(i, z[i]).min(left) as f32;
            // The rest also takes what is rounded away.
            left = (left - f64::from(counts[i])).max(0.0);
        }
        counts[self.rest] = left as f32;
    }

    /// z of a row of places, as close to it as rounding allows within the steps of the counts.
    pub(super) fn relaxed(&self, row: &[Place], z: &mut [f32]) {
        let mut left = self.total;
        for i in (0..z.len()).filter(|i| *i != self.rest && self.unit[*i] > 0.0) {
            let s = row[i].relaxed(0.0, self.total);
            z[i] = self.in_units(i, s);
            while z[i].is_finite() && self.count_at(i, z[i]) < row[i].b {
                z[i] = z[i].next_up();
            }
            while z[i].is_finite() && self.count_at(i, z[i]) > row[i].b {
                z[i] = z[i].next_down();
            }
            left -= s;
        }
        z[self.rest] = self.in_units(self.rest, left);
    }

    fn in_units(&self, i: usize, s: f64) -> f32 {
        match self.unit[i] > 0.0 {
            true => ((s - f64::from(self.centre[i])) / f64::from(self.unit[i])) as f32,
            false => 0.0,
        }
    }
}
