//! The variance of a site's gradient beside its floor.

use std::borrow::Cow;

/// How much a site's gradient varies, and the least that it could: the variance of the local expectation, below which
/// no control variate brings that of an estimate from one draw
/// ([`Recording::floors`](crate::infer::Recording::floors)).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Floor {
    /// Variance of the estimate summed over rows, over draws that reach the site, as a mean over coordinates.
    pub variance: Option<f64>,
    /// Standard error of `variance`, from pairs of draws.
    pub variance_error: Option<f64>,
    /// The floor, in the same unit.
    pub value: Option<f64>,
    /// Standard error of `value`; 0 where it is exact.
    pub error: Option<f64>,
    /// Why there is no floor, or why it does not hold for the estimator, or is not reached.
    pub note: Option<Cow<'static, str>>,
}

impl Floor {
    /// The variance as a multiple of the floor, and its standard error; `None` if either is not known, or the floor is
    /// 0 or may be nothing but the rounding of single precision, 10⁻¹⁰ of the variance.
    pub fn above(&self) -> Option<(f64, f64)> {
        const ROUNDING: f64 = 1e-10;
        let variance = self.variance?;
        let counts = |floor: &f64| *floor > 0.0 && *floor > ROUNDING * variance;
        let floor = self.value.filter(counts)?;
        let ratio = variance / floor;
        // The two may come from the same draws; their errors are taken to be independent.
        let share = |error: Option<f64>, of: f64| error.map_or(0.0, |error| error / of);
        let error = share(self.variance_error, variance).hypot(share(self.error, floor));
        let error = if error.is_finite() {
            ratio * error
        } else {
            0.0
        };
        Some((ratio, error))
    }

    /// Its cell in a table; a star where there is a note.
    pub(super) fn cell(&self) -> String {
        let mark = if self.note.is_some() { "*" } else { "" };
        match (self.above(), self.value) {
            (Some((ratio, error)), _) if error > 0.0 => format!("{ratio:.2} ± {error:.2}{mark}"),
            (Some((ratio, _)), _) => format!("{ratio:.2}{mark}"),
            (None, Some(floor)) => format!("of {floor:.1e}{mark}"),
            (None, None) => mark.to_owned(),
        }
    }
}
