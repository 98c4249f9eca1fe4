//! Rounding off the kinks of a computation, so that its derivative is continuous.
//!
//! A tensor that is [rounded](Tensor::rounded), and whatever is computed from it, uses smooth
//! functions in place of |x|, max(x, 0) and the like, where x moves at all and it is known how far it
//! usually moves, which sets the width of a rounded kink. Operations that jump, or have kinks that are
//! not rounded off, mark the computation as rough.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::provenance::{Origin, Reads};
use super::{Provenance, Shape, SiteSet, Tensor};

/// Width of a rounded kink, in units of how far its argument moves: where |x| is much larger than
/// the width, nothing changes.
const WIDTH: f32 = 1.0;

/// One computation whose kinks are rounded off. Its first point has a tangent, the direction in which its
/// numbers are about to move.
#[derive(Clone, Debug)]
pub(crate) struct Rounding(Rc<Course>);

#[derive(Debug)]
struct Course {
    /// Leading axes of the computation's tensors that are independent rows.
    rows: Shape,
    /// How far the argument of each kink moves, in the order in which the kinks are reached.
    known: Vec<Tensor>,
    /// The same, as measured in the present computation.
    met: RefCell<Vec<Tensor>>,
    rough: Cell<bool>,
}

impl Rounding {
    /// A computation in which the arguments of kinks, in the order in which they are reached, move
    /// by `known`: one number per number of a row, or a single one. Kinks of which nothing is known are
    /// not rounded.
    pub(crate) fn new(rows: Shape, known: Vec<Tensor>) -> Self {
        Self(Rc::new(Course {
            rows,
            known,
            met: RefCell::default(),
            rough: Cell::new(false),
        }))
    }

    /// Whether the derivative is continuous, as far as the computation has got.
    pub(crate) fn is_smooth(&self) -> bool {
        !self.0.rough.get()
    }

    /// How far the arguments of all kinks have moved: the mean of |ẋ|, over the rows where a tensor
    /// has them and is not large, and otherwise over all of its numbers.
    pub(crate) fn met(&self) -> Vec<Tensor> {
        self.0.met.borrow().clone()
    }

    /// Width at a kink whose argument is x; `None` where x does not move, or where it is not known
    /// how far.
    fn width(&self, x: &Tensor) -> Option<Tensor> {
        /// Rows with more numbers than this count as one number.
        const MOST: usize = 1 << 12;
        /// Its square is still a normal number.
        const LEAST: f32 = 1e-18;
        let Course {
            rows, known, rough, ..
        } = &*self.0;
        let moved = x.tangent()?.unrounded().abs();
        let (count, shape) = (rows.numel(), x.shape());
        let of_rows = shape.starts_with(rows) && shape.numel() <= MOST * count;
        let moved = match of_rows {
            true => moved.reshape([count, shape.numel() / count.max(1)]).mean(0),
            false => moved.mean_all().reshape(1),
        };
        let mut met = self.0.met.borrow_mut();
        let known = known.get(met.len()).filter(|k| k.len() == moved.len());
        met.push(moved);
        let Some(known) = known else {
            rough.set(true);
            return None;
        };
        let width = (known * WIDTH).clamp(LEAST, LEAST.recip());
        Some(match of_rows {
            true => width.reshape(Shape::try_from(&shape[rows.rank()..]).ok()?),
            false => width.reshape([]),
        })
    }
}

impl Tensor {
    /// The tensor as the start of a computation whose kinks are rounded off.
    pub(crate) fn rounded(&self, rounding: &Rounding) -> Self {
        let known = self.provenance();
        self.with_provenance(Provenance::from(Origin {
            sites: known.map_or(SiteSet::EMPTY, |p| p.sites.clone()),
            severed: known.map_or(SiteSet::EMPTY, |p| p.severed.clone()),
            reads: known.map_or_else(Reads::default, |p| p.reads.clone()),
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

    /// The computation with rounded kinks that the tensor is part of.
    pub(crate) fn rounding(&self) -> Option<&Rounding> {
        self.provenance()?.rounding.as_ref()
    }

    /// Records that the next operation on the tensor jumps or has a kink.
    pub(crate) fn mark_rough(&self) {
        if let Some(Rounding(course)) = self.rounding() {
            course.rough.set(true);
        }
    }

    /// √(x² + w²) in place of |x|, where kinks are rounded off.
    pub(super) fn rounded_abs(&self) -> Option<Tensor> {
        let width = self.rounding()?.width(self)?;
        Some((self.square() + width.square()).sqrt())
    }

    /// In place of max(x, 0): half of x plus half of the rounded |x|.
    pub(super) fn rounded_relu(&self) -> Option<Tensor> {
        Some((self.rounded_abs()? + self) * 0.5)
    }

    /// In place of x clamped to [low, high].
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

    /// A rounding in which the arguments of up to three kinks, `numbers` each, are known to move by 1.
    fn rounding(numbers: usize) -> Rounding {
        let known = Tensor::from_slice(&vec![1.0; numbers]);
        Rounding::new(Shape::from([]), vec![known; 3])
    }

    fn moving(x: &[f32]) -> Tensor {
        let x = Tensor::from_slice(x);
        x.with_tangent(&x.ones_like())
    }

    fn slopes(op: Op, x: &[f32], rounding: Option<&Rounding>) -> crate::Result<Vec<f32>> {
        let x = moving(x);
        let moved = op(&rounding.map_or_else(|| x.clone(), |rounding| x.rounded(rounding)));
        moved.tangent().map_or(Ok(Vec::new()), |t| t.to_vec())
    }

    #[test]
    fn slopes_do_not_jump() -> crate::Result<()> {
        for (name, op) in KINKED {
            let rounding = rounding(2);
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
            let x = moving(&[-90.0, -20.0, 20.0, 90.0]);
            let smooth = op(&x.rounded(&rounding(4))).to_vec()?;
            for (sharp, smooth) in op(&x).to_vec()?.iter().zip(&smooth) {
                let distance = (sharp - smooth).abs();
                assert!(distance < 0.1 * WIDTH * WIDTH, "{name}: {sharp} {smooth}");
            }
        }
        Ok(())
    }

    /// A change of units does not change the function.
    #[test]
    fn widths_follow_the_unit() -> crate::Result<()> {
        let known = |scale| vec![Tensor::from_slice(&[0.7 * scale, 2.0 * scale]); 2];
        let values = |op: Op, scale: f32| {
            let x = Tensor::from_slice(&[0.3, -0.5]);
            let x = x.with_tangent(&x.ones_like());
            let x = x.rounded(&Rounding::new(Shape::from([]), known(scale)));
            (op(&(x * scale)) / scale).to_vec()
        };
        let ops: [(&str, Op); 3] = [
            ("abs", |x| x.abs()),
            ("relu", |x| x.relu()),
            ("leaky_relu", |x| x.leaky_relu(0.2)),
        ];
        for (name, op) in ops {
            let expected = values(op, 1.0)?;
            for scale in [1e-6, 1e6] {
                for (found, expected) in values(op, scale)?.iter().zip(&expected) {
                    let distance = (found - expected).abs();
                    assert!(distance < 1e-5, "{name}, {scale}: {found} {expected}");
                }
            }
        }
        Ok(())
    }

    /// Each number of a row has its own width, where a tensor begins with the rows.
    #[test]
    fn what_moves_is_measured() -> crate::Result<()> {
        let rounding = Rounding::new(Shape::from([2]), Vec::new());
        let x = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0]).reshape([2, 2]);
        let t = Tensor::from_slice(&[1.0, -2.0, -3.0, 6.0]).reshape([2, 2]);
        let x = x.with_tangent(&t).rounded(&rounding);
        x.relu();
        x.sum(0).abs();
        Tensor::from_slice(&[1.0]).rounded(&rounding).relu();
        let met = rounding.met();
        assert_eq!(met.len(), 2, "a constant does not move");
        assert_eq!(met[0].to_vec()?, [2.0, 4.0]);
        assert_eq!(met[1].to_vec()?, [3.0]);
        assert!(!rounding.is_smooth(), "nothing is known yet");
        Ok(())
    }

    #[test]
    fn what_does_not_move_stays_as_it_is() -> crate::Result<()> {
        let still = Tensor::from_slice(&[0.0, 2.0]);
        let still = still.with_tangent(&still.zeros_like());
        let known = vec![still.zeros_like(); 3];
        for (name, op) in KINKED {
            let rounding = Rounding::new(Shape::from([]), known.clone());
            let rounded = op(&still.rounded(&rounding));
            assert!(rounding.is_smooth(), "{name}");
            for (rounded, sharp) in rounded.to_vec()?.iter().zip(op(&still).to_vec()?) {
                assert!((rounded - sharp).abs() < 1e-6, "{name}: {rounded} {sharp}");
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
            let rounding = rounding(2);
            let x = moving(&[0.0, 1.0]).rounded(&rounding);
            let inner = (&x * 2.0).exp();
            assert!(rounding.is_smooth(), "{name}");
            op(&inner);
            assert!(!rounding.is_smooth(), "{name}");
        }
    }
}
