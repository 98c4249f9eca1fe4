//! A number whose derivatives are known.

use super::super::native::Buffer;
use super::super::native::record::record;
use super::super::{Inner, Shape, Tensor};

impl Tensor {
    /// A known number, of shape `[]`, as a function of tensors with known derivatives: one for each of a tensor's
    /// numbers.
    pub(crate) fn with_derivatives(value: f32, of: &[(&Tensor, Vec<f32>)]) -> Tensor {
        match Tensor::recorded(value, of) {
            Some(out) => out,
            None => Tensor::composed(value, of),
        }
    }

    /// As one operation: in this project's own engine, without tangents.
    fn recorded(value: f32, of: &[(&Tensor, Vec<f32>)]) -> Option<Tensor> {
        let mut operands: Vec<&Inner> = Vec::with_capacity(of.len());
        for (x, _) in of {
            let inner = x.0.as_ref().ok()?;
            if inner.data.native().is_none() || inner.tangent.is_some() {
                return None;
            }
            operands.push(inner);
        }
        let slopes: Vec<Buffer> = of.iter().map(|(_, slopes)| slopes[..].into()).collect();
        let value = Buffer::full(1, value);
        let out = record(&operands, Shape::SCALAR, value, move |g, sinks| {
            let g = g[0];
            for (i, slopes) in slopes.iter().enumerate() {
                let Some(sink) = sinks.get(i) else { continue };
                let slopes = slopes.as_slice();
                sink.iter_mut()
                    .zip(slopes)
                    .for_each(|(sum, slope)| *sum += g * slope);
            }
        });
        Some(Tensor::new(out))
    }

    fn composed(value: f32, of: &[(&Tensor, Vec<f32>)]) -> Tensor {
        let numbers: Vec<Tensor> = of.iter().map(|(x, _)| x.reshape([x.len()])).collect();
        let Some(first) = numbers.first() else {
            return Tensor::scalar(value);
        };
        let slopes = of.iter().flat_map(|(_, slopes)| slopes).copied().collect();
        let numbers = Tensor::concat(&numbers.iter().collect::<Vec<_>>(), 0);
        match Tensor::from_vec(slopes, numbers.shape(), &first.device()) {
            Err(error) => Tensor::poisoned(error),
            Ok(slopes) => {
                // Where the derivative is 0 the number may be infinite.
                let nothing = slopes.eq(0.0);
                let numbers = nothing.select_where(&numbers.zeros_like(), &numbers);
                let total = (numbers * slopes).sum_all();
                (&total - total.detach()) + value
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::tensor::grad;

    #[test]
    fn derivatives_are_the_given_ones() -> Result<()> {
        type Way = fn(f32, &[(&Tensor, Vec<f32>)]) -> Tensor;
        for way in [Tensor::with_derivatives as Way, Tensor::composed] {
            let x = Tensor::from_slice(&[0.3, f32::NEG_INFINITY]).leaf();
            let y = Tensor::scalar(2.0).leaf();
            let out = way(5.0, &[(&x, vec![0.25, 0.0]), (&y, vec![-1.5])]) * 2.0;
            assert_eq!(out.item()?, 10.0);
            let found = grad(&[(&out, None)], &[&x, &y])?;
            assert_eq!(found[0].to_vec()?, [0.5, 0.0]);
            assert_eq!(found[1].to_vec()?, [-3.0]);
        }
        let moved = Tensor::scalar(1.0).with_tangent(&Tensor::scalar(3.0));
        let out = Tensor::with_derivatives(5.0, &[(&moved, vec![2.0])]);
        assert_eq!(out.tangent().map(|t| t.item()).transpose()?, Some(6.0));
        Ok(())
    }
}
