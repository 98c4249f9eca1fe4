//! Each operation in terms of dfdx's, with the values and derivatives of this project's own engine.

use std::marker::PhantomData;
use std::rc::Rc;

use dfdx::shapes::{Axes3, Axis, HasShape};
use dfdx::tensor::{PutTape, SplitTape, Tensor};
use dfdx::tensor_ops::{
    ChooseFrom, GatherTo, PermuteTo, ReshapeTo, SumTo, TryAdd, TryConcatAlong, TryDiv, TryEq,
    TryGe, TryGt, TryLe, TryLt, TryMatMul, TryMul, TrySub,
};

use super::functions::{
    Rank3, coin_score, coin_variance, indicators, keeping_nan, less_step, ln_1p, logsumexp,
    on_host, rare, relu, shares, sigmoid, softplus,
};
use super::record::{Entry, all, copy, numbers, pair, reduced, store, unary, upload, with_slopes};
use super::{Flat, Host, Outcome, Recorder, Taped, Values, failed};
use crate::error::Result;
use crate::special::Special;
use crate::tensor::engine::{Comparison, Engine, Product, Split};
use crate::tensor::native::view::View;
use crate::tensor::slot::Slot;
use crate::tensor::storage::Data;
use crate::tensor::{Device, Inner, Shape};

/// The engine on one of dfdx's devices.
pub(in super::super) struct Dfdx<D>(PhantomData<D>);

impl<D: Host> Engine for Dfdx<D> {
    fn upload(values: Vec<f32>, device: &Device) -> Result<Data> {
        Ok(store(upload::<D>(values, device)?, device.clone()))
    }

    fn full(len: usize, value: f32, device: &Device) -> Result<Data> {
        let make = |dev: D| match value {
            0.0 => dev.try_zeros_like(&(len.max(1),)),
            _ => dev.try_ones_like(&(len.max(1),))?.try_mul(value),
        };
        let flat = make(D::open(device)?).map_err(|error| failed(device, error))?;
        Ok(store(flat, device.clone()))
    }

    fn read(x: &Inner) -> Result<Vec<f32>> {
        let mut values = numbers::<D>(x)?.flat.as_vec();
        values.truncate(x.shape.numel());
        Ok(values)
    }

    fn renewed(x: &Inner) -> Result<Data> {
        let values = numbers::<D>(x)?;
        let flat = copy(&values.flat).map_err(|error| failed(&values.device, error))?;
        Ok(store(flat, values.device.clone()))
    }

    fn detached(x: &Inner) -> Data {
        match D::stored(&x.data) {
            Some(values) => D::store(Rc::new(Values {
                flat: values.flat.clone(),
                shared: true,
                device: values.device.clone(),
            })),
            None => x.data.clone(),
        }
    }

    fn slot(data: &Data) -> Option<Box<dyn Slot>> {
        let values = D::stored(data)?.clone();
        Some(Box::new(Entry(values)))
    }

    fn exp(x: &Inner) -> Result<Inner> {
        unary::<D>(x, x.shape, |x| x.try_exp())
    }

    fn ln(x: &Inner) -> Result<Inner> {
        unary::<D>(x, x.shape, |x| x.try_ln())
    }

    fn ln_1p(x: &Inner) -> Result<Inner> {
        let slope = |[x]: [Flat<D>; 1], _: &Flat<D>| Ok([x.try_add(1.0)?.try_recip()?]);
        with_slopes([x], x.shape, |[x]| ln_1p(x), slope)
    }

    fn sqrt(x: &Inner) -> Result<Inner> {
        unary::<D>(x, x.shape, |x| x.try_sqrt())
    }

    fn square(x: &Inner) -> Result<Inner> {
        unary::<D>(x, x.shape, |x| x.try_square())
    }

    fn abs(x: &Inner) -> Result<Inner> {
        let slope = |[x]: [Flat<D>; 1], _: &Flat<D>| {
            let (above, below) = (x.try_gt(0.0)?, x.try_lt(0.0)?);
            Ok([indicators(above, &x)?.try_sub(indicators(below, &x)?)?])
        };
        with_slopes([x], x.shape, |[x]| x.try_abs(), slope)
    }

    fn neg(x: &Inner) -> Result<Inner> {
        unary::<D>(x, x.shape, |x| x.try_negate())
    }

    fn recip(x: &Inner) -> Result<Inner> {
        unary::<D>(x, x.shape, |x| x.try_recip())
    }

    fn powf(x: &Inner, exponent: f32) -> Result<Inner> {
        unary::<D>(x, x.shape, |x| x.try_powf(exponent))
    }

    fn powi(x: &Inner, exponent: i32) -> Result<Inner> {
        // dfdx's own also subtracts 1 from the smallest exponent.
        let below = exponent.saturating_sub(1);
        let slope =
            |[x]: [Flat<D>; 1], _: &Flat<D>| Ok([x.try_powi(below)?.try_mul(exponent as f32)?]);
        with_slopes([x], x.shape, |[x]| x.try_powi(exponent), slope)
    }

    fn sigmoid(x: &Inner) -> Result<Inner> {
        let slope = |_: [Flat<D>; 1], y: &Flat<D>| {
            let others = y.clone().try_negate()?.try_add(1.0)?;
            Ok([y.clone().try_mul(others)?])
        };
        with_slopes([x], x.shape, |[x]| sigmoid(&x), slope)
    }

    fn logit(x: &Inner) -> Result<Inner> {
        let others = |x: &Flat<D>| x.clone().try_negate()?.try_add(1.0);
        let slope = |[x]: [Flat<D>; 1], _: &Flat<D>| {
            let others = others(&x)?;
            Ok([x.try_mul(others)?.try_recip()?])
        };
        with_slopes(
            [x],
            x.shape,
            |[x]| x.clone().try_div(others(&x)?)?.try_ln(),
            slope,
        )
    }

    fn tanh(x: &Inner) -> Result<Inner> {
        unary::<D>(x, x.shape, |x| x.try_tanh())
    }

    fn relu(x: &Inner) -> Result<Inner> {
        let slope = |[x]: [Flat<D>; 1], _: &Flat<D>| Ok([indicators(x.try_gt(0.0)?, &x)?]);
        with_slopes([x], x.shape, |[x]| relu(&x), slope)
    }

    fn softplus(x: &Inner) -> Result<Inner> {
        let slope = |[x]: [Flat<D>; 1], _: &Flat<D>| Ok([sigmoid(&x)?]);
        with_slopes([x], x.shape, |[x]| softplus(&x), slope)
    }

    fn clamp(x: &Inner, low: f32, high: f32) -> Result<Inner> {
        // Chosen, rather than multiplied by 0, since what comes back may be infinite.
        unary::<D>(x, x.shape, |x| {
            let (x, tape) = x.split_tape();
            let flat = || -> Outcome<D, _> {
                let end = x.clone().try_clamp(low, high)?;
                Ok(end.put_tape(Recorder::new(false)))
            };
            let (below, above) = (x.try_lt(low)?, x.try_gt(high)?);
            let raised = below.try_choose(flat()?, x.clone().put_tape(tape))?;
            above.try_choose(flat()?, raised)
        })
    }

    fn special(x: &Inner, function: Special) -> Result<Inner> {
        let slope = |[x]: [Flat<D>; 1], _: &Flat<D>| Ok([on_host(&x, |x| function.slope(x))?]);
        with_slopes(
            [x],
            x.shape,
            |[x]| on_host(&x, |x| function.value(x)),
            slope,
        )
    }

    fn shift(x: &Inner, by: f32) -> Result<Inner> {
        unary::<D>(x, x.shape, |x| x.try_add(by))
    }

    fn scale(x: &Inner, by: f32) -> Result<Inner> {
        unary::<D>(x, x.shape, |x| x.try_mul(by))
    }

    fn divide(x: &Inner, by: f32) -> Result<Inner> {
        unary::<D>(x, x.shape, |x| x.try_div(by))
    }

    fn add(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner> {
        pair::<D>([x, y], shape, |x, y| x.try_add(y))
    }

    fn sub(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner> {
        pair::<D>([x, y], shape, |x, y| x.try_sub(y))
    }

    fn mul(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner> {
        pair::<D>([x, y], shape, |x, y| x.try_mul(y))
    }

    fn div(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner> {
        // Not by the square of the divisor, which overflows or vanishes before the quotient does.
        let slopes = |[_, y]: [Flat<D>; 2], z: &Flat<D>| {
            let right = z.clone().try_div(y.clone())?.try_negate()?;
            Ok([y.try_recip()?, right])
        };
        with_slopes([x, y], shape, |[x, y]| x.try_div(y), slopes)
    }

    fn maximum(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner> {
        let run = |[x, y]: [Flat<D>; 2]| {
            let most = x.clone().try_maximum(y.clone())?;
            keeping_nan(&x, keeping_nan(&y, most)?)
        };
        let slopes =
            |[x, y]: [Flat<D>; 2], _: &Flat<D>| shares([x.try_gt(&y)?, y.try_gt(&x)?], [x, y]);
        with_slopes([x, y], shape, run, slopes)
    }

    fn minimum(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner> {
        let run = |[x, y]: [Flat<D>; 2]| {
            let least = x.clone().try_minimum(y.clone())?;
            keeping_nan(&x, keeping_nan(&y, least)?)
        };
        let slopes =
            |[x, y]: [Flat<D>; 2], _: &Flat<D>| shares([x.try_lt(&y)?, y.try_lt(&x)?], [x, y]);
        with_slopes([x, y], shape, run, slopes)
    }

    fn coin_log_mass(logit: &Inner, x: &Inner, shape: Shape) -> Result<Inner> {
        let run = |[l, x]: [Flat<D>; 2]| {
            let tail = ln_1p(rare(&l)?)?;
            less_step(&l, x)?.try_mul(l)?.try_sub(tail)
        };
        let slopes = |[l, x]: [Flat<D>; 2], _: &Flat<D>| Ok([coin_score(&l, x)?, copy(&l)?]);
        with_slopes([logit, x], shape, run, slopes)
    }

    fn coin_score(logit: &Inner, x: &Inner, shape: Shape) -> Result<Inner> {
        let slopes = |[l, x]: [Flat<D>; 2], _: &Flat<D>| {
            let by_logit = coin_variance(&l)?.try_negate()?;
            Ok([by_logit, x.device().try_ones_like(&x)?])
        };
        with_slopes([logit, x], shape, |[l, x]| coin_score(&l, x), slopes)
    }

    fn compare(x: &Inner, y: &Inner, comparison: Comparison) -> Result<Inner> {
        let run = |[x, y]: [Flat<D>; 2]| {
            let mask = match comparison {
                Comparison::Equal => x.try_eq(&y)?,
                Comparison::Greater => x.try_gt(&y)?,
                Comparison::GreaterOrEqual => x.try_ge(&y)?,
                Comparison::Less => x.try_lt(&y)?,
                Comparison::LessOrEqual => x.try_le(&y)?,
            };
            indicators(mask, &x)
        };
        let slopes = |[x, y]: [Flat<D>; 2], _: &Flat<D>| {
            let dev = x.device();
            Ok([dev.try_zeros_like(&x)?, dev.try_zeros_like(&y)?])
        };
        with_slopes([x, y], x.shape, run, slopes)
    }

    fn choose(x: &Inner, y: &Inner, condition: &Inner) -> Result<Inner> {
        let condition = &numbers::<D>(condition)?.flat;
        pair::<D>([x, y], x.shape, |x, y| {
            condition.try_gt(0.5)?.try_choose(x, y)
        })
    }

    fn sum(x: &Inner, split: Split, shape: Shape) -> Result<Inner> {
        unary::<D>(x, shape, |x| sum(x, split))
    }

    fn logsumexp(x: &Inner, split: Split, shape: Shape) -> Result<Inner> {
        reduced(
            [x],
            shape,
            |[x]: [Flat<D>; 1]| logsumexp(x, split).map(|[logs, _]| logs),
            |[x], _| logsumexp(x, split).map(|[_, shares]| [shares]),
            |x| sum(x, split),
        )
    }

    fn matmul(x: &Inner, y: &Inner, product: &Product) -> Result<Inner> {
        let Product {
            batch,
            m,
            k,
            n,
            transposed: (ta, tb),
            shape,
        } = *product;
        pair::<D>([x, y], shape, |x, y| {
            let x = match ta {
                false => x.try_reshape_like(&(batch, m, k))?,
                true => swapped(x.try_reshape_like(&(batch, k, m))?)?,
            };
            let y = match tb {
                false => y.try_reshape_like(&(batch, k, n))?,
                true => swapped(y.try_reshape_like(&(batch, n, k))?)?,
            };
            x.try_matmul(y)?.try_reshape_like(&(batch * m * n,))
        })
    }

    fn reshape(x: &Inner, shape: Shape) -> Result<Inner> {
        if x.node.is_none() {
            let constant = Inner::constant(shape, x.data.clone());
            return Ok(Inner {
                provenance: x.provenance.clone(),
                ..constant
            });
        }
        // A new identity, so that its gradient stays separate.
        unary::<D>(x, shape, |x| x.try_mul(1.0))
    }

    fn view(x: &Inner, view: &View, shape: Shape) -> Result<Inner> {
        gathered::<D>(x, view.indices(), shape)
    }

    fn take(x: &Inner, indices: &Rc<[usize]>, shape: Shape) -> Result<Inner> {
        gathered::<D>(x, indices.to_vec(), shape)
    }

    fn concat(_: &Inner, operands: &[&Inner], axis: usize, shape: Shape) -> Result<Inner> {
        let outer: usize = shape[..axis].iter().product();
        all::<D>(operands, shape, |parts, tape| {
            let as_rows = |flat: &Flat<D>| (outer, flat.shape().0 / outer);
            let mut parts = parts.into_iter();
            let Some(first) = parts.next() else {
                unreachable!("a result with numbers has an operand with numbers");
            };
            let rows = as_rows(&first);
            let mut joined = first.put_tape(tape).try_reshape_like(&rows)?;
            for part in parts {
                let rows = as_rows(&part);
                joined = (joined, part.try_reshape_like(&rows)?).try_concat_along(Axis::<1>)?;
            }
            joined.try_reshape_like(&(shape.numel(),))
        })
    }
}

fn sum<D: Host>(x: Taped<D>, split: Split) -> Outcome<D, Taped<D>> {
    let (outer, _, rest) = split;
    let sums = x
        .try_reshape_like(&split)?
        .try_sum::<(usize, usize), Axis<1>>()?;
    sums.try_reshape_like(&(outer * rest,))
}

/// The last two axes exchanged.
fn swapped<D: Host>(
    x: Tensor<Rank3, f32, D, Recorder<D>>,
) -> Outcome<D, Tensor<Rank3, f32, D, Recorder<D>>> {
    x.try_permute::<Rank3, Axes3<0, 2, 1>>()
}

fn gathered<D: Host>(x: &Inner, indices: Vec<usize>, shape: Shape) -> Result<Inner> {
    let len = (indices.len(),);
    unary::<D>(x, shape, |x| {
        let indices: Tensor<(usize,), usize, D> = x.device().try_tensor_from_vec(indices, len)?;
        x.try_gather(indices)
    })
}
