//! Functions of a few tensors whose terms are large and nearly cancel, computed in `f64`.

use super::excluded::numbers_of;
use crate::tensor::{Shape, Tensor, broadcast};

/// A smooth function of N numbers with its first and second derivatives, each of which is computed only
/// where a tensor needs it.
pub trait Smooth<const N: usize>: Clone + 'static {
    /// The function.
    fn value(&self, x: [f64; N]) -> f64;
    /// Its derivatives with respect to each number.
    fn slopes(&self, x: [f64; N]) -> [f64; N];
    /// Its derivative with respect to the `i`-th number alone.
    fn slope(&self, i: usize, x: [f64; N]) -> f64 {
        self.slopes(x)[i]
    }
    /// Its second derivatives, a symmetric matrix whose lower half is read.
    fn bends(&self, x: [f64; N]) -> [[f64; N]; N];
}

/// `f` of the operands' elements, which broadcast. The result carries gradients, tangents and gradients
/// of tangents of the operands: it is f's second-order Taylor polynomial around their numbers.
#[track_caller]
pub(super) fn in_double<const N: usize>(operands: [&Tensor; N], f: &impl Smooth<N>) -> Tensor {
    if let Some(out) = broadcast(operands, || None, |operands| Some(in_double(operands, f))) {
        return out;
    }
    let mut shape = Shape::SCALAR;
    for operand in operands {
        match shape.broadcast(&operand.shape()) {
            Some(joint) if operand.check().is_ok() => shape = joint,
            // Adding them reports what is wrong, and where.
            _ => {
                return operands
                    .iter()
                    .skip(1)
                    .fold(operands[0].clone(), |a, b| a + *b);
            }
        }
    }
    let in_one_step =
        |operands| Tensor::each_in_double(operands, shape, |x| f.value(x), |i, x| f.slope(i, x));
    if let Some(out) = in_one_step(operands) {
        return out;
    }
    let all = operands.map(|x| match x.shape() == shape {
        true => x.clone(),
        false => x.broadcast_to(shape),
    });
    if let Some(out) = in_one_step(all.each_ref()) {
        return out;
    }
    let mut numbers: [Vec<f32>; N] = [const { Vec::new() }; N];
    for (numbers, x) in numbers.iter_mut().zip(&all) {
        match x.peek() {
            Ok(values) => *numbers = values,
            Err(error) => return Tensor::poisoned(error),
        }
    }
    let each = |g: &dyn Fn([f64; N]) -> f64| {
        let at = |i| std::array::from_fn(|operand| f64::from(numbers[operand][i]));
        let values = (0..shape.numel()).map(|i| g(at(i)) as f32).collect();
        Tensor::from_vec(values, shape, &all[0].device()).unwrap_or_else(Tensor::poisoned)
    };
    let moves = |x: &Tensor| x.is_tracked() || x.tangent().is_some();
    let is_pushed = all.iter().any(|x| x.tangent().is_some());
    // Zeros, whose derivative with respect to the operand is 1.
    let apart = all.each_ref().map(|x| x - numbers_of(x));
    let mut out = each(&|x| f.value(x));
    for i in 0..N {
        if !moves(&all[i]) {
            // What an operand depends on, the result depends on.
            if all[i].provenance().is_some() {
                out = out + &apart[i];
            }
            continue;
        }
        out = out + each(&|x| f.slope(i, x)) * &apart[i];
        for j in (0..=i).filter(|&j| is_pushed && moves(&all[j])) {
            let share = if i == j { 0.5 } else { 1.0 };
            out = out + each(&|x| share * f.bends(x)[i][j]) * &apart[i] * &apart[j];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::tensor::grad;

    /// x² y + eˣ.
    #[derive(Clone)]
    struct Cubic;

    impl Smooth<2> for Cubic {
        fn value(&self, [x, y]: [f64; 2]) -> f64 {
            x * x * y + x.exp()
        }
        fn slopes(&self, [x, y]: [f64; 2]) -> [f64; 2] {
            [2.0 * x * y + x.exp(), x * x]
        }
        fn bends(&self, [x, y]: [f64; 2]) -> [[f64; 2]; 2] {
            [[2.0 * y + x.exp(), 2.0 * x], [2.0 * x, 0.0]]
        }
    }

    fn composed(x: &Tensor, y: &Tensor) -> Tensor {
        x.square() * y + x.exp()
    }

    #[test]
    fn derivatives_of_both_orders_are_those_of_operations() -> Result<()> {
        let x = Tensor::from_slice(&[0.3, -1.2, 0.7]);
        let y = Tensor::scalar(1.7);
        let (dx, dy) = (Tensor::from_slice(&[1.0, 0.5, -2.0]), Tensor::scalar(0.4));
        type Function<'a> = &'a dyn Fn(&Tensor, &Tensor) -> Tensor;
        let numbers = |f: Function<'_>| -> Result<Vec<f32>> {
            let (x, y) = (x.leaf(), y.leaf());
            // A backward pass uses a graph up.
            let run = || f(&x.with_tangent(&dx), &y.with_tangent(&dy));
            let moved = |out: &Tensor| out.tangent().expect("it moves").sum_all();
            let mut all = vec![run().primal(), moved(&run())];
            all.extend(grad(&[(&run().primal().sum_all(), None)], &[&x, &y])?);
            all.extend(grad(&[(&moved(&run()), None)], &[&x, &y])?);
            let all = all.iter().map(Tensor::to_vec).collect::<Result<Vec<_>>>()?;
            Ok(all.concat())
        };
        let found = numbers(&|x, y| in_double([x, y], &Cubic))?;
        let wanted = numbers(&composed)?;
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
        }
        Ok(())
    }

    #[test]
    fn derivatives_without_tangents_are_those_of_operations() -> Result<()> {
        let x = Tensor::from_slice(&[0.3, -1.2, 0.7]);
        let y = Tensor::scalar(1.7);
        let gradient = |f: &dyn Fn(&Tensor, &Tensor) -> Tensor| -> Result<Vec<f32>> {
            let (x, y) = (x.leaf(), y.leaf());
            let found = grad(&[(&(f(&x, &y) * &x).sum_all(), None)], &[&x, &y])?;
            let all = found
                .iter()
                .map(Tensor::to_vec)
                .collect::<Result<Vec<_>>>()?;
            Ok(all.concat())
        };
        let found = gradient(&|x, y| in_double([x, y], &Cubic))?;
        for (found, wanted) in found.iter().zip(&gradient(&composed)?) {
            assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_an_error() {
        let (x, y) = (
            Tensor::from_slice(&[1.0, 2.0]),
            Tensor::from_slice(&[1.0; 3]),
        );
        let error = in_double([&x, &y], &Cubic).check().unwrap_err().to_string();
        assert!(error.contains("broadcast"), "{error}");
    }
}
