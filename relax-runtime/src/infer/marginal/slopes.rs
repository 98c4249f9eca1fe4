//! Slopes of terms with respect to parameters, which tell runs apart when the numbers do not yet differ.
//!
//! If host code reads a choice, only runs show what depends on it: two of them with different numbers. A parameter that
//! starts at 0, such as the size of an effect, makes no difference at first, and without its derivative never would.

use crate::error::Result;
use crate::tensor::{Sharing, Tensor, grad_parameters};

/// The derivative of a term's numbers with respect to each parameter, summed over rows with different weights.
#[derive(Debug, Default)]
pub(super) struct Slopes(Vec<(u64, Vec<f32>)>);

impl Slopes {
    /// The slopes of a term's numbers.
    ///
    /// # Errors
    /// If the tensor carries an error.
    pub(super) fn of(numbers: &Tensor) -> Result<Self> {
        if !numbers.is_tracked() {
            return Ok(Self::default());
        }
        /// The golden ratio, whose multiples modulo 1 are all different.
        const SECTION: f64 = 0.618_033_988_749_895;
        let shape = numbers.check()?.shape();
        let weight = |row: usize| (1.0 + (row as f64 * SECTION).fract()) as f32;
        let weights = (0..shape.numel()).map(weight).collect();
        let _pause = Sharing::pause();
        let weights = Tensor::from_vec(weights, shape, &numbers.device())?;
        let gradients = grad_parameters(&[(numbers, Some(&weights))])?;
        let slopes = gradients.into_iter();
        let slopes = slopes.map(|(parameter, slope)| Ok((parameter.key(), slope.peek()?)));
        slopes.collect::<Result<_>>().map(Self)
    }

    /// Whether they are the same up to rounding. Slopes that are not finite are ignored.
    pub(super) fn agree(&self, others: &Self) -> bool {
        let has_all = |these: &Self, those: &Self| {
            these.0.iter().all(|(parameter, slope)| {
                let other = those.0.iter().find(|(other, _)| other == parameter);
                is_same(slope, other.map_or(&[], |(_, slope)| slope))
            })
        };
        has_all(self, others) && has_all(others, self)
    }
}

/// Whether two derivatives are the same; a missing one is 0.
fn is_same(a: &[f32], b: &[f32]) -> bool {
    const ROUNDING: f32 = 1e-4;
    let largest = a.iter().chain(b).map(|x| x.abs());
    let largest = largest.filter(|x| x.is_finite()).fold(0.0, f32::max);
    a.iter().enumerate().all(|(at, x)| {
        let difference = x - b.get(at).copied().unwrap_or(0.0);
        !difference.is_finite() || difference.abs() <= ROUNDING * largest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slopes(of: &[(u64, &[f32])]) -> Slopes {
        Slopes(
            of.iter()
                .map(|(key, slope)| (*key, slope.to_vec()))
                .collect(),
        )
    }

    #[test]
    fn a_derivative_that_is_not_there_is_0() {
        let one = slopes(&[(1, &[2.0, 0.0]), (2, &[0.0])]);
        assert!(one.agree(&slopes(&[(1, &[2.0, 1e-5])])));
        assert!(slopes(&[(1, &[2.0, 1e-5])]).agree(&one));
        assert!(!one.agree(&slopes(&[(2, &[0.0])])));
        assert!(!slopes(&[]).agree(&one));
        assert!(!one.agree(&slopes(&[(1, &[2.0, 0.1])])));
        assert!(slopes(&[(1, &[f32::NAN])]).agree(&slopes(&[])));
    }
}
