//! Sums along an axis.

use super::record::{numbers, record};
use super::view::View;
use super::zip::Zip;
use super::{Buffer, slice, softmax, sums};
use crate::error::Result;
use crate::tensor::engine::Split;
use crate::tensor::{Inner, Shape};

/// A sum accumulates what a broadcast reads: its gradient is read through a view.
#[inline]
pub(super) fn sum(x: &Inner, split: Split, shape: Shape) -> Result<Inner> {
    let (outer, n, rest) = split;
    let mut values = vec![0.0; shape.numel()];
    sums::add_axis(&mut values, slice(numbers(x)?), split);
    Ok(record(&[x], shape, values, move |g, sinks| {
        let view = View {
            shape: [1, outer, n, rest],
            strides: [0, rest, 0, 1],
            offset: 0,
        };
        match sinks.get_or_fresh(0) {
            Some((sink, true)) => view.gather_into(g, sink),
            Some((sink, false)) => view.gather_add(g, sink),
            None => {}
        }
    }))
}

/// log Σ exp over the middle of `(outer, n, rest)`.
#[inline]
pub(super) fn logsumexp(x: &Inner, split: Split, shape: Shape) -> Result<Inner> {
    let (values, weights, sums) = softmax::logsumexp(slice(numbers(x)?), split);
    Ok(record(&[x], shape, values, move |g, sinks| {
        let mut weights = weights.into_vec();
        softmax::logsumexp_back(&mut weights, split, g, slice(&sums));
        sinks.add_owned(0, weights);
    }))
}

/// x − log Σ exp over the middle of `(outer, n, rest)`.
#[inline]
pub(in super::super) fn log_softmax(x: &Inner, flat: &Buffer, split: Split) -> Inner {
    let (outer, n, rest) = split;
    let (totals, weights, sums) = softmax::logsumexp(slice(flat), split);
    let zip = Zip::new([[1, outer, n, rest], [1, outer, 1, rest]]);
    // The smallest number in place of −∞: where all elements are −∞, they are as far below it as below any other.
    let less = |x: f32, total: f32| x - if total < f32::MIN { f32::MIN } else { total };
    let values = zip.apply([flat, &totals].map(slice), less);
    record(&[x], x.shape, values, move |g, sinks| {
        sinks.pass_changed(0, g, |g| {
            softmax::log_softmax_back(g, split, slice(&weights), slice(&sums));
        });
    })
}
