//! Functions of constants in terms of dfdx's, with the values of this project's own engine.

use dfdx::shapes::Axis;
use dfdx::tensor::{NoneTape, Tensor};
use dfdx::tensor_ops::{
    BroadcastTo, ChooseFrom, MaxTo, ReshapeTo, SumTo, TryAdd, TryDiv, TryEq, TryGt, TryLe, TryLt,
    TryMul, TryNe, TrySub,
};

use super::{Flat, Host, Outcome};
use crate::tensor::engine::Split;

/// Where something holds.
pub(super) type Mask<D> = Tensor<(usize,), bool, D, NoneTape>;

/// 1 where the mask holds, 0 elsewhere.
pub(super) fn indicators<D: Host>(mask: Mask<D>, like: &Flat<D>) -> Outcome<D, Flat<D>> {
    let dev = like.device();
    mask.try_choose(dev.try_ones_like(like)?, dev.try_zeros_like(like)?)
}

/// `y`, or x where x is NaN, which dfdx's maximum, relu and clamp turn into numbers.
pub(super) fn keeping_nan<D: Host>(x: &Flat<D>, y: Flat<D>) -> Outcome<D, Flat<D>> {
    x.try_ne(x)?.try_choose(x.clone(), y)
}

/// log(1 + x): the logarithm of the rounded sum, plus what the rounding took from it, where that
/// matters for the result.
pub(super) fn ln_1p<D: Host>(x: Flat<D>) -> Outcome<D, Flat<D>> {
    let sum = x.clone().try_add(1.0)?;
    let rest = x
        .clone()
        .try_sub(sum.clone().try_sub(1.0)?)?
        .try_div(sum.clone())?;
    let near = x.clone().try_abs()?.try_lt(0.5)?;
    let zeros = x.device().try_zeros_like(&x)?;
    let rest = near.try_choose(rest, zeros)?;
    sum.try_ln()?.try_add(rest)
}

/// `f` of each number, computed on the host.
pub(super) fn on_host<D: Host>(x: &Flat<D>, f: impl Fn(f32) -> f32) -> Outcome<D, Flat<D>> {
    let values = x.as_vec().into_iter().map(f).collect::<Vec<_>>();
    let len = (values.len(),);
    x.device().try_tensor_from_vec(values, len)
}

/// e^−|x|.
pub(super) fn rare<D: Host>(x: &Flat<D>) -> Outcome<D, Flat<D>> {
    x.clone().try_abs()?.try_negate()?.try_exp()
}

/// σ(x), relatively accurate even for very negative x.
pub(super) fn sigmoid<D: Host>(x: &Flat<D>) -> Outcome<D, Flat<D>> {
    let rare = rare(x)?;
    let ones = x.device().try_ones_like(x)?;
    let share = x.try_lt(0.0)?.try_choose(rare.clone(), ones)?;
    share.try_div(rare.try_add(1.0)?)
}

pub(super) fn relu<D: Host>(x: &Flat<D>) -> Outcome<D, Flat<D>> {
    keeping_nan(x, x.clone().try_relu()?)
}

pub(super) fn softplus<D: Host>(x: &Flat<D>) -> Outcome<D, Flat<D>> {
    relu(x)?.try_add(ln_1p(rare(x)?)?)
}

/// x − 1 for positive logits, x elsewhere.
pub(super) fn less_step<D: Host>(l: &Flat<D>, x: Flat<D>) -> Outcome<D, Flat<D>> {
    l.try_gt(0.0)?.try_choose(x.clone().try_sub(1.0)?, x)
}

/// x − σ(l); without cancellation where a coin is all but certain.
pub(super) fn coin_score<D: Host>(l: &Flat<D>, x: Flat<D>) -> Outcome<D, Flat<D>> {
    let e = rare(l)?;
    let rest = e.clone().try_div(e.try_add(1.0)?)?;
    let negative = rest.clone().try_negate()?;
    less_step(l, x)?.try_add(l.try_gt(0.0)?.try_choose(rest, negative)?)
}

/// σ(l) (1 − σ(l)).
pub(super) fn coin_variance<D: Host>(l: &Flat<D>) -> Outcome<D, Flat<D>> {
    let e = rare(l)?;
    e.clone().try_div(e.try_add(1.0)?.try_square()?)
}

/// The share of the derivative that goes to the first of two numbers, where `more` says that it was chosen;
/// half at a tie.
pub(super) fn share<D: Host>(more: Mask<D>, tie: Mask<D>, like: &Flat<D>) -> Outcome<D, Flat<D>> {
    indicators(more, like)?.try_add(indicators(tie, like)?.try_mul(0.5)?)
}

/// Both shares of the derivative.
pub(super) fn shares<D: Host>(
    [first, second]: [Mask<D>; 2],
    [x, y]: [Flat<D>; 2],
) -> Outcome<D, [Flat<D>; 2]> {
    let tie = x.try_eq(&y)?;
    Ok([share(first, tie.clone(), &x)?, share(second, tie, &x)?])
}

pub(super) type Rank3 = (usize, usize, usize);

/// log Σ exp over the middle, and each element's share of the sum.
pub(super) fn logsumexp<D: Host>(x: Flat<D>, split: Split) -> Outcome<D, [Flat<D>; 2]> {
    let (outer, n, rest) = split;
    let x = x.try_reshape_like(&split)?;
    let kept = (outer, rest);
    let largest: Tensor<(usize, usize), f32, D> = x.clone().try_max::<_, Axis<1>>()?;
    let largest = largest.try_clamp(f32::MIN, f32::MAX)?;
    let wide = |t: Tensor<(usize, usize), f32, D>| t.try_broadcast_like::<Rank3, Axis<1>>(&split);
    let terms = x.try_sub(wide(largest.clone())?)?.try_exp()?;
    let sums: Tensor<(usize, usize), f32, D> = terms.clone().try_sum::<_, Axis<1>>()?;
    let dev = sums.device();
    // Where all elements are −∞, none has a share.
    let nothing = sums.try_le(0.0)?;
    let divisors = nothing
        .clone()
        .try_choose(dev.try_ones_like(&kept)?, sums.clone())?;
    let shares = terms.try_div(wide(divisors.clone())?)?;
    let none = dev.try_ones_like(&kept)?.try_mul(f32::NEG_INFINITY)?;
    let logs = nothing.try_choose(none, divisors.try_ln()?.try_add(largest)?)?;
    Ok([
        logs.try_reshape_like(&(outer * rest,))?,
        shares.try_reshape_like(&(outer * n * rest,))?,
    ])
}
