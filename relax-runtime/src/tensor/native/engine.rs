//! This project's own engine: each operation with its backward rule.

use std::rc::Rc;

use super::pointwise::pointwise;
use super::record::{MINUS_ONE, ONE, Slope, linear, numbers, pair, record, unary};
use super::view::View;
use super::{Buffer, map, math, moves, product, reduce, slice};
use crate::error::Result;
use crate::special::Special;
use crate::tensor::engine::{Comparison, Engine, Product, Split};
use crate::tensor::slot::Slot;
use crate::tensor::storage::Data;
use crate::tensor::{Device, Inner, Shape};

/// The engine of [`Device::cpu`].
pub(in super::super) struct Native;

/// The share of the derivative of the larger or smaller of two numbers that goes to the first.
fn share(first: bool, tie: bool) -> f32 {
    match (first, tie) {
        (_, true) => 0.5,
        (true, _) => 1.0,
        (false, _) => 0.0,
    }
}

/// ∂(x/y)/∂y, with a quotient that a loop over one y computes once.
#[inline(always)]
fn by_divisor(x: f32, y: f32) -> f32 {
    let inverse = 1.0 / y;
    -(x * inverse) * inverse
}

/// 1 where something holds, 0 elsewhere.
fn indicators(
    x: &Inner,
    y: &Inner,
    holds: impl Fn(f32, f32) -> bool + Copy + Sync,
) -> Result<Inner> {
    let operands = [slice(numbers(x)?), slice(numbers(y)?)];
    let values = pointwise(operands, move |[x, y]| f32::from(holds(x, y)));
    Ok(record(&[x, y], x.shape, values, |_, _| {}))
}

impl Engine for Native {
    #[inline]
    fn upload(values: Vec<f32>, _: &Device) -> Result<Data> {
        Ok(Data::Native(values.into()))
    }

    #[inline]
    fn full(len: usize, value: f32, _: &Device) -> Result<Data> {
        Ok(Data::Native(Buffer::full(len, value)))
    }

    #[inline]
    fn read(x: &Inner) -> Result<Vec<f32>> {
        numbers(x).map(|x| slice(x).to_vec())
    }

    #[inline]
    fn renewed(x: &Inner) -> Result<Data> {
        Ok(x.data.clone())
    }

    #[inline]
    fn detached(x: &Inner) -> Data {
        x.data.clone()
    }

    #[inline]
    fn slot(_: &Data) -> Option<Box<dyn Slot>> {
        None
    }

    #[inline]
    fn exp(x: &Inner) -> Result<Inner> {
        unary(x, math::exp, |_, y| y)
    }

    #[inline]
    fn ln(x: &Inner) -> Result<Inner> {
        unary(x, math::ln, |x, _| 1.0 / x)
    }

    #[inline]
    fn ln_1p(x: &Inner) -> Result<Inner> {
        unary(x, f32::ln_1p, |x, _| 1.0 / (1.0 + x))
    }

    #[inline]
    fn sqrt(x: &Inner) -> Result<Inner> {
        unary(x, f32::sqrt, |_, y| 0.5 / y)
    }

    #[inline]
    fn square(x: &Inner) -> Result<Inner> {
        unary(x, |x| x * x, |x, _| 2.0 * x)
    }

    #[inline]
    fn abs(x: &Inner) -> Result<Inner> {
        unary(x, f32::abs, |x, _| f32::from(x > 0.0) - f32::from(x < 0.0))
    }

    #[inline]
    fn neg(x: &Inner) -> Result<Inner> {
        linear(x, |x| -x, -1.0)
    }

    #[inline]
    fn recip(x: &Inner) -> Result<Inner> {
        unary(x, |x| 1.0 / x, |_, y| -(y * y))
    }

    #[inline]
    fn powf(x: &Inner, exponent: f32) -> Result<Inner> {
        unary(
            x,
            move |x| x.powf(exponent),
            move |x, _| exponent * x.powf(exponent - 1.0),
        )
    }

    #[inline]
    fn powi(x: &Inner, exponent: i32) -> Result<Inner> {
        let below = exponent.saturating_sub(1);
        unary(
            x,
            move |x| x.powi(exponent),
            move |x, _| exponent as f32 * x.powi(below),
        )
    }

    #[inline]
    fn sigmoid(x: &Inner) -> Result<Inner> {
        unary(x, math::sigmoid, |_, y| y * (1.0 - y))
    }

    #[inline]
    fn logit(x: &Inner) -> Result<Inner> {
        unary(x, math::logit, |x, _| 1.0 / (x * (1.0 - x)))
    }

    #[inline]
    fn tanh(x: &Inner) -> Result<Inner> {
        unary(x, math::tanh, |_, y| 1.0 - y * y)
    }

    #[inline]
    fn relu(x: &Inner) -> Result<Inner> {
        unary(x, math::relu, |x, _| f32::from(x > 0.0))
    }

    #[inline]
    fn softplus(x: &Inner) -> Result<Inner> {
        unary(x, math::softplus, |x, _| math::sigmoid(x))
    }

    #[inline]
    fn clamp(x: &Inner, low: f32, high: f32) -> Result<Inner> {
        let flat = numbers(x)?;
        let values = map(slice(flat), move |x| math::clamp(x, low, high));
        let saved = x.node.is_some().then(|| flat.clone());
        Ok(record(&[x], x.shape, values, move |g, sinks| {
            // Outside, the derivative is 0 even where the gradient is infinite.
            let kept = move |g: f32, [x]: [f32; 1]| if x < low || x > high { 0.0 } else { g };
            if let Some(x) = &saved {
                sinks.pass(0, g, [slice(x)], kept);
            }
        }))
    }

    #[inline]
    fn special(x: &Inner, function: Special) -> Result<Inner> {
        unary(x, move |x| function.value(x), move |x, _| function.slope(x))
    }

    #[inline]
    fn shift(x: &Inner, by: f32) -> Result<Inner> {
        linear(x, |x| x + by, 1.0)
    }

    #[inline]
    fn scale(x: &Inner, by: f32) -> Result<Inner> {
        linear(x, |x| x * by, by)
    }

    #[inline]
    fn divide(x: &Inner, by: f32) -> Result<Inner> {
        linear(x, |x| x / by, 1.0 / by)
    }

    #[inline]
    fn add(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner> {
        pair([x, y], shape, |x, y| x + y, ONE, ONE)
    }

    #[inline]
    fn sub(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner> {
        pair([x, y], shape, |x, y| x - y, ONE, MINUS_ONE)
    }

    #[inline]
    fn mul(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner> {
        let (left, right) = (Slope::Of(|_, y| y), Slope::Of(|x, _| x));
        pair([x, y], shape, |x, y| x * y, left, right)
    }

    #[inline]
    fn div(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner> {
        let left = Slope::Of(|_, y: f32| 1.0 / y);
        pair([x, y], shape, |x, y| x / y, left, Slope::Of(by_divisor))
    }

    #[inline]
    fn maximum(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner> {
        pair(
            [x, y],
            shape,
            |x: f32, y: f32| if x > y || x.is_nan() { x } else { y },
            Slope::Of(|x, y| share(x > y, x == y)),
            Slope::Of(|x, y| share(y > x, x == y)),
        )
    }

    #[inline]
    fn minimum(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner> {
        pair(
            [x, y],
            shape,
            |x: f32, y: f32| if x < y || x.is_nan() { x } else { y },
            Slope::Of(|x, y| share(x < y, x == y)),
            Slope::Of(|x, y| share(y < x, x == y)),
        )
    }

    #[inline]
    fn coin_log_mass(logit: &Inner, x: &Inner, shape: Shape) -> Result<Inner> {
        pair(
            [logit, x],
            shape,
            |l, x| math::coin_log_mass(x, l),
            Slope::Of(|l, x| math::coin_score(x, l)),
            Slope::Of(|l, _| l),
        )
    }

    #[inline]
    fn coin_score(logit: &Inner, x: &Inner, shape: Shape) -> Result<Inner> {
        pair(
            [logit, x],
            shape,
            |l, x| math::coin_score(x, l),
            Slope::Of(|l, _| -math::coin_variance(l)),
            ONE,
        )
    }

    #[inline]
    fn compare(x: &Inner, y: &Inner, comparison: Comparison) -> Result<Inner> {
        match comparison {
            Comparison::Equal => indicators(x, y, |x, y| x == y),
            Comparison::Greater => indicators(x, y, |x, y| x > y),
            Comparison::GreaterOrEqual => indicators(x, y, |x, y| x >= y),
            Comparison::Less => indicators(x, y, |x, y| x < y),
            Comparison::LessOrEqual => indicators(x, y, |x, y| x <= y),
        }
    }

    #[inline]
    fn choose(x: &Inner, y: &Inner, condition: &Inner) -> Result<Inner> {
        let mask = numbers(condition)?.clone();
        let operands = [&mask, numbers(x)?, numbers(y)?].map(slice);
        let values = pointwise(operands, |[mask, x, y]| if mask > 0.5 { x } else { y });
        Ok(record(&[x, y], x.shape, values, move |g, sinks| {
            let mask = slice(&mask);
            let first = |[g, mask]: [f32; 2]| if mask > 0.5 { g } else { 0.0 };
            sinks.add(0, [g, mask], first);
            sinks.pass(1, g, [mask], |g, [mask]| if mask > 0.5 { 0.0 } else { g });
        }))
    }

    #[inline]
    fn sum(x: &Inner, split: Split, shape: Shape) -> Result<Inner> {
        reduce::sum(x, split, shape)
    }

    #[inline]
    fn logsumexp(x: &Inner, split: Split, shape: Shape) -> Result<Inner> {
        reduce::logsumexp(x, split, shape)
    }

    #[inline]
    fn matmul(x: &Inner, y: &Inner, sizes: &Product) -> Result<Inner> {
        let (left, right) = (numbers(x)?, numbers(y)?);
        Ok(product::products(sizes, (x, left), (y, right), None))
    }

    #[inline]
    fn reshape(x: &Inner, shape: Shape) -> Result<Inner> {
        moves::reshape(x, shape)
    }

    #[inline]
    fn view(x: &Inner, view: &View, shape: Shape) -> Result<Inner> {
        moves::view(x, *view, shape)
    }

    #[inline]
    fn take(x: &Inner, indices: &Rc<[usize]>, shape: Shape) -> Result<Inner> {
        moves::take(x, indices.clone(), shape)
    }

    #[inline]
    fn concat(_: &Inner, all: &[&Inner], axis: usize, shape: Shape) -> Result<Inner> {
        moves::concat(all, axis, shape)
    }
}
