//! How terms move with parameters, which tells runs apart when the numbers do not yet differ.
//!
//! If host code reads a choice, only runs show what depends on it: two of them with different numbers. A parameter that
//! starts at 0, such as the size of an effect, makes no difference at first, and without its derivative never would.

use crate::error::Result;
use crate::tensor::Tensor;

/// The tangent of a term's numbers where all parameters [move](crate::tensor::Moving), each number of theirs at a speed
/// of its own.
#[derive(Debug, Default)]
pub(super) struct Slopes(Vec<f32>);

impl Slopes {
    /// The slopes of a term's numbers.
    ///
    /// # Errors
    /// If the tensor carries an error.
    pub(super) fn of(numbers: &Tensor) -> Result<Self> {
        let tangent = numbers.check()?.tangent();
        tangent.map_or(Ok(Vec::new()), |t| t.peek()).map(Self)
    }

    /// Whether they are the same up to rounding; missing ones are 0. Slopes that are not finite are ignored.
    pub(super) fn agree(&self, others: &Self) -> bool {
        const ROUNDING: f32 = 1e-4;
        let (a, b) = (&self.0, &others.0);
        let largest = a.iter().chain(b).map(|x| x.abs());
        let largest = largest.filter(|x| x.is_finite()).fold(0.0, f32::max);
        let at = |slopes: &[f32], row: usize| slopes.get(row).copied().unwrap_or(0.0);
        (0..a.len().max(b.len())).all(|row| {
            let difference = at(a, row) - at(b, row);
            !difference.is_finite() || difference.abs() <= ROUNDING * largest
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slopes(of: &[f32]) -> Slopes {
        Slopes(of.to_vec())
    }

    #[test]
    fn a_derivative_that_is_not_there_is_0() {
        let one = slopes(&[2.0, 0.0]);
        assert!(one.agree(&slopes(&[2.0, 1e-5])));
        assert!(slopes(&[2.0]).agree(&one));
        assert!(one.agree(&slopes(&[2.0])));
        assert!(!slopes(&[]).agree(&one));
        assert!(!one.agree(&slopes(&[2.0, 0.1])));
        assert!(slopes(&[f32::NAN]).agree(&slopes(&[])));
    }
}
