//! Coefficients learned from past rows.

use crate::error::Result;
use crate::tensor::{Device, Shape, Tensor};

/// For each number i of a row the aᵢ = Σ yᵢ xᵢ / Σ xᵢ² over past rows, with which aᵢ xᵢ is nearest to yᵢ. y is in
/// the unit of the cost, which changes from step to step; x has none.
#[derive(Debug, Default)]
pub(super) struct LeastSquares {
    /// Weighted sums of yᵢ xᵢ, in the cost's own unit.
    products: Vec<f64>,
    /// Weighted sums of xᵢ².
    squares: Vec<f64>,
}

impl LeastSquares {
    /// Σ xᵢ² below which a coefficient is shrunk: for curvature, that of a few rows where the choice was between its
    /// values; for baselines, that of a thousand rows of a choice with p (1 − p) = 10⁻³.
    const LEAST: f64 = 1.0;

    /// The coefficients for a cost in this unit, of a row's shape; zeros before anything is known of such rows.
    pub(super) fn of_row(&self, row: Shape, unit: f32, device: &Device) -> Result<Tensor> {
        let len: usize = row.iter().product();
        if self.products.len() != len {
            return Ok(Tensor::zeros(row, device));
        }
        let pairs = self.products.iter().zip(&self.squares);
        let unit = f64::from(unit);
        let of = |(product, square)| (product / (square + Self::LEAST) / unit) as f32;
        Tensor::from_vec(pairs.map(of).collect(), row, device)
    }

    /// Takes in a step's sums of yᵢ xᵢ over its rows and those of xᵢ², of a cost in this unit; those of the past keep
    /// this share of their weight.
    pub(super) fn learn(&mut self, products: &[f32], squares: &[f32], unit: f32, kept: f64) {
        if self.products.len() != products.len() {
            self.products = vec![0.0; products.len()];
            self.squares = vec![0.0; products.len()];
        }
        let sums = self.products.iter_mut().zip(&mut self.squares);
        let new = products.iter().zip(squares);
        for ((product, square), (&new_product, &new_square)) in sums.zip(new) {
            // Nothing can be learned about a number where something has overflowed.
            if new_product.is_finite() && new_square.is_finite() {
                *product = kept * *product + f64::from(new_product) * f64::from(unit);
                *square = kept * *square + f64::from(new_square);
            }
        }
    }

    /// What was learned, to be saved: the length, and the sums.
    pub(super) fn state(&self) -> Vec<f64> {
        [
            &[self.products.len() as f64][..],
            &self.products,
            &self.squares,
        ]
        .concat()
    }

    /// Restores saved numbers, and returns those left over, too; `None` if there are too few. Without any, as in files
    /// that were saved before these were, nothing is known.
    pub(super) fn restored(saved: &[f64]) -> Option<(Self, &[f64])> {
        let Some((&len, rest)) = saved.split_first() else {
            return Some((Self::default(), saved));
        };
        let (products, rest) = rest.split_at_checked(len as usize)?;
        let (squares, rest) = rest.split_at_checked(len as usize)?;
        let (products, squares) = (products.to_vec(), squares.to_vec());
        Some((Self { products, squares }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(fit: &LeastSquares, len: usize) -> Result<Vec<f32>> {
        let row = Shape::try_from(&[len][..])?;
        fit.of_row(row, 1.0, &Device::cpu())?.to_vec()
    }

    #[test]
    fn it_is_the_ratio_of_the_sums() -> Result<()> {
        let mut fit = LeastSquares::default();
        assert_eq!(numbers(&fit, 2)?, [0.0, 0.0]);
        (0..5_000).for_each(|_| fit.learn(&[6.0, -1.0], &[2.0, 0.0], 1.0, 0.999));
        let found = numbers(&fit, 2)?;
        assert!((found[0] - 3.0).abs() < 0.01, "{found:?}");
        fit.learn(&[f32::NAN, 1e6], &[1.0, 1.0], 1.0, 0.999);
        let after = numbers(&fit, 2)?;
        assert_eq!(after[0], found[0], "what is not finite is left out");
        assert!(after[1] > 0.0, "{after:?}: the other number is learned");
        Ok(())
    }

    /// A single tiny x must not make a coefficient of millions.
    #[test]
    fn what_is_hardly_known_is_small() -> Result<()> {
        let mut fit = LeastSquares::default();
        fit.learn(&[1e-3], &[1e-8], 1.0, 0.999);
        assert!(numbers(&fit, 1)?[0] < 2e-3);
        Ok(())
    }

    #[test]
    fn rows_of_another_length_start_anew() -> Result<()> {
        let mut fit = LeastSquares::default();
        fit.learn(&[1.0], &[1.0], 1.0, 0.999);
        assert_eq!(numbers(&fit, 2)?, [0.0, 0.0]);
        fit.learn(&[1.0, 2.0], &[1.0, 1.0], 1.0, 0.999);
        assert_eq!(numbers(&fit, 2)?, [0.5, 1.0]);
        Ok(())
    }

    #[test]
    fn it_goes_on_from_its_state() {
        let mut fit = LeastSquares::default();
        fit.learn(&[1.0, 2.0], &[3.0, 4.0], 1.0, 0.999);
        let mut saved = fit.state();
        saved.push(7.0);
        let (restored, rest) = LeastSquares::restored(&saved).expect("all of it");
        assert_eq!((restored.state(), rest), (fit.state(), &[7.0][..]));
        assert!(LeastSquares::restored(&saved[..4]).is_none());
        let (nothing, _) = LeastSquares::restored(&[]).expect("a file of before");
        assert_eq!(nothing.state(), [0.0]);
    }

    /// The unit of a site's costs changes from step to step; what is known of the cost does not.
    #[test]
    fn a_unit_changes_nothing() -> Result<()> {
        let mut fit = LeastSquares::default();
        fit.learn(&[30.0], &[9.0], 1.0, 0.999);
        fit.learn(&[3.0], &[9.0], 10.0, 0.999);
        let row = Shape::try_from(&[1][..])?;
        let found = fit.of_row(row, 10.0, &Device::cpu())?.item()?;
        assert!((found - 60.0 / 19.0 / 10.0).abs() < 1e-3, "{found}");
        Ok(())
    }
}
