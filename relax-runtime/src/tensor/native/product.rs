//! Matrix products with their gradients.

use super::matmul::{Layout, Start, product};
use super::record::record;
use super::sums::add_rows;
use super::{Buffer, memory, slice};
use crate::tensor::Inner;
use crate::tensor::engine::Product;

impl Product {
    fn layouts(&self) -> [Layout; 3] {
        let (ta, tb) = self.transposed;
        [
            Layout::new(if ta { self.m } else { self.k }, ta),
            Layout::new(if tb { self.k } else { self.n }, tb),
            Layout::new(self.n, false),
        ]
    }
}

/// The products, added to `bias` in every row if there is one.
#[inline]
pub(in super::super) fn products(
    sizes: &Product,
    (a, left): (&Inner, &Buffer),
    (b, right): (&Inner, &Buffer),
    bias: Option<(&Inner, &Buffer)>,
) -> Inner {
    let Product { batch, m, k, n, .. } = *sizes;
    let [la, lb, lo] = sizes.layouts();
    let mut values = memory::take(batch * m * n);
    let start = bias.map_or(Start::Zero, |(_, bias)| Start::Row(slice(bias)));
    let (x, y) = (slice(left), slice(right));
    for i in 0..batch {
        product(
            (m, k, n),
            (&mut values[i * m * n..(i + 1) * m * n], lo, start),
            (&x[i * m * k..(i + 1) * m * k], la),
            (&y[i * k * n..(i + 1) * k * n], lb),
        );
    }
    let saved = (left.clone(), right.clone());
    let biased = bias.is_some();
    let operands = [a, b, bias.map_or(a, |(bias, _)| bias)];
    let operands = if biased { &operands } else { &operands[..2] };
    record(operands, sizes.shape, values, move |g, sinks| {
        if let Some(sink) = biased.then(|| sinks.get(2)).flatten() {
            add_rows(sink, g);
        }
        let (x, y) = (slice(&saved.0), slice(&saved.1));
        let start = |fresh| if fresh { Start::Zero } else { Start::Out };
        let parts = (0..batch).map(|i| (i * m * k, i * k * n, &g[i * m * n..(i + 1) * m * n]));
        if let Some((sink, fresh)) = sinks.get_or_fresh(0) {
            for (a, b, g) in parts.clone() {
                let (sink, y) = (&mut sink[a..a + m * k], &y[b..b + k * n]);
                product((m, n, k), (sink, la, start(fresh)), (g, lo), (y, lb.t()));
            }
        }
        if let Some((sink, fresh)) = sinks.get_or_fresh(1) {
            for (a, b, g) in parts {
                let (sink, x) = (&mut sink[b..b + k * n], &x[a..a + m * k]);
                product((k, m, n), (sink, lb, start(fresh)), (x, la.t()), (g, lo));
            }
        }
    })
}
