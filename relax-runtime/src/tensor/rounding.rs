//! Rounding off the kinks of a computation, so that its derivative is continuous.
//!
//! A tensor that is [rounded](Tensor::rounded), and whatever is computed from it, takes smooth
//! functions in place of |x|, max(x, 0) and their kin. Operations that jump, or have kinks which
//! are not rounded off, say so.

use std::cell::Cell;
use std::rc::Rc;

use super::provenance::Origin;
use super::{Provenance, SiteSet, Tensor};

/// Width of a rounded kink: where |x| is much larger, nothing changes.
const WIDTH: f32 = 0.1;

/// One computation whose kinks are rounded off.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounding(Rc<Cell<bool>>);

impl Rounding {
    /// Whether its derivative is continuous, as far as it has come.
    pub(crate) fn is_smooth(&self) -> bool {
        !self.0.get()
    }
}

impl Tensor {
    /// The tensor as the start of a computation whose kinks are rounded off.
    pub(crate) fn rounded(&self, rounding: &Rounding) -> Self {
        let known = self.provenance();
        self.with_provenance(Provenance::from(Origin {
            sites: known.map_or(SiteSet::EMPTY, |p| p.sites),
            severed: known.map_or(SiteSet::EMPTY, |p| p.severed),
            reads: known.map_or_else(Rc::default, |p| Rc::clone(&p.reads)),
            rounding: Some(rounding.clone()),
        }))
    }

    /// The tensor outside any computation of rounded kinks.
    pub(crate) fn unrounded(&self) -> Self {
        match self.provenance() {
            Some(known) if known.rounding.is_some() => {
                self.with_provenance(Provenance::from(Origin {
                    rounding: None,
                    ..Origin::clone(known)
                }))
            }
            _ => self.clone(),
        }
    }

    /// The computation of rounded kinks that the tensor is part of.
    pub(crate) fn rounding(&self) -> Option<&Rounding> {
        self.provenance()?.rounding.as_ref()
    }

    /// Says that what is computed next from the tensor jumps or has a kink.
    pub(super) fn mark_rough(&self) {
        if let Some(Rounding(rough)) = self.rounding() {
            rough.set(true);
        }
    }

    /// √(x² + w²) in place of |x|, where kinks are rounded off.
    pub(super) fn rounded_abs(&self) -> Option<Tensor> {
        self.rounding()?;
        Some((self.square() + WIDTH * WIDTH).sqrt())
    }

    /// In place of max(x, 0): half of x and the rounded |x|.
    pub(super) fn rounded_relu(&self) -> Option<Tensor> {
        Some((self.rounded_abs()? + self) * 0.5)
    }

    /// In place of x moved into [low, high].
    pub(super) fn rounded_clamp(&self, low: f32, high: f32) -> Option<Tensor> {
        self.rounding()?;
        let mut x = self.clone();
        if low.is_finite() {
            x = (x - low).rounded_relu()? + low;
        }
        if high.is_finite() {
            x = high - (high - x).rounded_relu()?;
        }
        Some(x)
    }

    /// In place of max(x − y, 0), where kinks of either are rounded off.
    #[track_caller]
    pub(super) fn rounded_excess(&self, other: &Tensor) -> Option<Tensor> {
        self.rounding().or(other.rounding())?;
        (self - other).rounded_relu()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Op = fn(&Tensor) -> Tensor;

    const KINKED: [(&str, Op); 7] = [
        ("abs", |x| x.abs()),
        ("relu", |x| x.relu()),
        ("leaky_relu", |x| x.leaky_relu(0.2)),
        ("elu", |x| x.elu(0.5)),
        ("clamp", |x| x.clamp(0.0, 4.0)),
        ("maximum", |x| x.maximum(&Tensor::scalar(0.0))),
        ("minimum", |x| Tensor::scalar(0.0).minimum(x)),
    ];

    fn slopes(op: Op, x: &[f32], rounding: Option<&Rounding>) -> crate::Result<Vec<f32>> {
        let x = Tensor::from_slice(x);
        let x = rounding.map_or_else(|| x.clone(), |rounding| x.rounded(rounding));
        let moved = op(&x.with_tangent(&x.ones_like()));
        moved.tangent().map_or(Ok(Vec::new()), |t| t.to_vec())
    }

    #[test]
    fn slopes_do_not_jump() -> crate::Result<()> {
        for (name, op) in KINKED {
            let rounding = Rounding::default();
            let sides = slopes(op, &[-1e-3, 1e-3], Some(&rounding))?;
            assert!((sides[1] - sides[0]).abs() < 0.05, "{name}: {sides:?}");
            assert!(rounding.is_smooth(), "{name}");
            let sharp = slopes(op, &[-1e-3, 1e-3], None)?;
            assert!((sharp[1] - sharp[0]).abs() > 0.4, "{name}: {sharp:?}");
        }
        Ok(())
    }

    #[test]
    fn nothing_changes_far_from_kinks() -> crate::Result<()> {
        for (name, op) in KINKED {
            let rounding = Rounding::default();
            let x = Tensor::from_slice(&[-9.0, -2.0, 2.0, 9.0]);
            let (sharp, smooth) = (op(&x).to_vec()?, op(&x.rounded(&rounding)).to_vec()?);
            for (sharp, smooth) in sharp.iter().zip(&smooth) {
                assert!((sharp - smooth).abs() < 3e-3, "{name}: {sharp} {smooth}");
            }
        }
        Ok(())
    }

    #[test]
    fn what_stays_rough_is_noticed() {
        let jumps: [(&str, Op); 5] = [
            ("gt", |x| x.gt(0.5)),
            ("sign", |x| x.sign()),
            ("max", |x| x.max(0)),
            ("max_all", |x| x.max_all()),
            ("argmax", |x| x.argmax(0)),
        ];
        for (name, op) in jumps {
            let rounding = Rounding::default();
            let x = Tensor::from_slice(&[0.0, 1.0]).rounded(&rounding);
            let inner = (&x * 2.0).exp();
            assert!(rounding.is_smooth(), "{name}");
            op(&inner);
            assert!(!rounding.is_smooth(), "{name}");
        }
    }
}
