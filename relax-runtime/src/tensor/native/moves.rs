//! Operations that move numbers without computing any.

use std::rc::Rc;

use super::record::{numbers, record};
use super::threads::{fill, rows_a_share};
use super::view::View;
use super::{add, memory, slice, sums};
use crate::error::Result;
use crate::tensor::storage::Data;
use crate::tensor::{Inner, Shape};

/// The same numbers in another shape, without a copy.
#[inline]
pub(super) fn reshape(x: &Inner, shape: Shape) -> Result<Inner> {
    let values = numbers(x)?.clone();
    if x.node.is_none() {
        let constant = Inner::constant(shape, Data::Native(values));
        return Ok(Inner {
            provenance: x.provenance.clone(),
            ..constant
        });
    }
    Ok(record(&[x], shape, values, |g, sinks| {
        sinks.pass_changed(0, g, |_| {});
    }))
}

#[inline]
pub(super) fn view(x: &Inner, view: View, shape: Shape) -> Result<Inner> {
    let values = view.gather(slice(numbers(x)?));
    Ok(record(&[x], shape, values, move |g, sinks| {
        if let Some(sink) = sinks.get(0) {
            view.scatter_add(g, sink);
        }
    }))
}

#[inline]
pub(super) fn take(x: &Inner, indices: Rc<[usize]>, shape: Shape) -> Result<Inner> {
    let source = slice(numbers(x)?);
    let values: Vec<f32> = indices.iter().map(|&i| source[i]).collect();
    Ok(record(&[x], shape, values, move |g, sinks| {
        if let Some(sink) = sinks.get(0) {
            sums::add_at(sink, &indices, g);
        }
    }))
}

pub(super) fn concat(operands: &[&Inner], axis: usize, shape: Shape) -> Result<Inner> {
    let flats = operands.iter().map(|x| Ok(slice(numbers(x)?)));
    let flats = flats.collect::<Result<Vec<&[f32]>>>()?;
    let outer: usize = shape[..axis].iter().product();
    // How many numbers of each operand belong to one step of the axes before `axis`.
    let widths: Vec<usize> = flats.iter().map(|x| x.len() / outer.max(1)).collect();
    let total: usize = widths.iter().sum();
    let mut values = memory::take(shape.numel());
    let pieces = flats.iter().zip(&widths);
    fill(
        [(&mut values, total)],
        rows_a_share(total),
        |rows, [out]| {
            for (row, mut out) in rows.zip(out.chunks_exact_mut(total.max(1))) {
                for (flat, &width) in pieces.clone() {
                    let (piece, rest) = out.split_at_mut(width);
                    piece.copy_from_slice(&flat[row * width..(row + 1) * width]);
                    out = rest;
                }
            }
        },
    );
    Ok(record(operands, shape, values, move |g, sinks| {
        let mut start = 0;
        for (i, &width) in widths.iter().enumerate() {
            if let Some((sink, fresh)) = sinks.get_or_fresh(i) {
                for row in 0..outer {
                    let from = row * total + start;
                    let g = &g[from..from + width];
                    let sink = &mut sink[row * width..(row + 1) * width];
                    match fresh {
                        true => sink.copy_from_slice(g),
                        false => add(sink, g),
                    }
                }
            }
            start += width;
        }
    }))
}
