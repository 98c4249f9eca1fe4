//! Functions whose derivatives are computed on the host, together with their values.

use super::super::Tensor;
use super::super::cases::broadcast;
use crate::error::Result;

impl Tensor {
    /// f(x, y) of the elements x of `self` and y of `other`, a constant that broadcasts with it, by
    /// host code in double precision: differentiable in x, twice. `f` gives values, `with_slopes`
    /// the same values with their first and second derivatives with respect to x, which is called where `self`
    /// has a derivative.
    ///
    /// The result is the Taylor polynomial around the numbers themselves: it has the same value, gradient,
    /// tangent and gradient of the tangent.
    #[track_caller]
    pub(crate) fn expanded(
        &self,
        other: &Tensor,
        f: impl Fn(f32, f32) -> f64 + Copy,
        with_slopes: impl Fn(f32, f32) -> [f64; 3] + Copy,
    ) -> Tensor {
        /// Larger numbers would not be finite in f32, and neither would what is computed from them.
        const MOST: f64 = 1e30;
        let of_case = |[x, y]: [&Tensor; 2]| Some(x.expanded(y, f, with_slopes));
        if let Some(out) = broadcast([self, other], || None, of_case) {
            return out;
        }
        let (x, y) = match self.aligned(other, "expanded") {
            Ok(operands) => operands,
            Err(refused) => return refused,
        };
        let moves = x.is_tracked() || x.tangent().is_some();
        let constants = || -> Result<[Tensor; 3]> {
            let (points, others) = (x.peek()?, y.peek()?);
            let each = points.iter().zip(&others);
            let parts = if moves {
                each.map(|(&x, &y)| with_slopes(x, y)).collect::<Vec<_>>()
            } else {
                each.map(|(&x, &y)| [f(x, y), 0.0, 0.0]).collect()
            };
            let device = x.inner()?.device();
            let part = |k: usize| {
                let numbers = parts.iter().map(|part| part[k].clamp(-MOST, MOST) as f32);
                Tensor::upload(numbers.collect(), x.shape(), &device)
            };
            Ok([part(0)?, part(1)?, part(2)?])
        };
        match constants() {
            Err(error) => Tensor::poisoned(error),
            Ok([value, ..]) if !moves => match x.provenance() {
                Some(provenance) => value.with_provenance(provenance.clone()),
                None => value,
            },
            Ok([value, slope, curvature]) => {
                // Not `detach`: the polynomial has the derivative that the constant lacks.
                let by = &x - x.without_history();
                value + &by * (slope + &by * (curvature * 0.5))
            }
        }
    }
}
