//! log p(x | l) = x l − softplus(l) of coins x with logits l, summed over rows, and what its
//! derivatives need.

use super::math::{exp, ln_1p_by_quotient, x_less_step};
use super::memory;
use super::rows::{BLOCK, sum};
use super::threads::{fill, rows_a_share};

/// Rows with fewer elements than this are done before a block of zeros is written.
const FEW: usize = 32;

/// Row sums of x l − softplus(l), and the residuals x − σ(l) = ∂/∂l, for rows of `width` elements.
pub(in super::super) fn log_mass(x: &[f32], l: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = x.len() / width.max(1);
    let (mut sums, mut residuals) = (memory::take(rows), memory::take(x.len()));
    fill(
        [(&mut sums, 1), (&mut residuals, width)],
        // With an exponential and a series per element, threads pay off sooner.
        rows_a_share(4 * width),
        |range, [sums, residuals]| {
            let elements = range.start * width..range.end * width;
            let (x, l) = (&x[elements.clone()], &l[elements]);
            match width {
                ..=FEW => log_mass_rows(x, l, width, sums, residuals, &mut [0.0; FEW]),
                _ => log_mass_rows(x, l, width, sums, residuals, &mut [0.0; BLOCK]),
            }
        },
    );
    (sums, residuals)
}

vectorised! {
    /// `terms` has room for a block, or for a shorter row.
    fn log_mass_rows(
        x: &[f32],
        l: &[f32],
        width: usize,
        sums: &mut [f32],
        residuals: &mut [f32],
        terms: &mut [f32],
    ) {
        let rows = x.chunks_exact(width).zip(l.chunks_exact(width));
        let results = sums.iter_mut().zip(residuals.chunks_exact_mut(width));
        for ((x, l), (total, residuals)) in rows.zip(results) {
            let blocks = x.chunks(BLOCK).zip(l.chunks(BLOCK));
            let mut double = 0.0;
            for ((x, l), residuals) in blocks.zip(residuals.chunks_mut(BLOCK)) {
                let terms = &mut terms[..x.len()];
                // Two loops, because a processor sees too few iterations of one long loop ahead to have
                // something to do while it waits for a result.
                for (e, &l) in terms.iter_mut().zip(l) {
                    *e = exp(-l.abs());
                }
                let out = terms.iter_mut().zip(residuals);
                for ((&x, &l), (term, residual)) in x.iter().zip(l).zip(out) {
                    let e = *term;
                    let x = x_less_step(x, l);
                    // One division for e / (2 + e) and e / (1 + e): divisions take the longest.
                    let inverse = e / ((2.0 + e) * (1.0 + e));
                    *term = x * l - ln_1p_by_quotient((1.0 + e) * inverse);
                    let rare = (2.0 + e) * inverse;
                    *residual = if l > 0.0 { x + rare } else { x - rare };
                }
                double += f64::from(sum(terms));
            }
            *total = double as f32;
        }
    }

    fn add_curvature_rows(
        sink: &mut [f32],
        g: &[f32],
        x: &[f32],
        residuals: &[f32],
        t: &[f32],
        width: usize,
    ) {
        let operands = x.chunks_exact(width).zip(residuals.chunks_exact(width));
        let operands = operands.zip(t.chunks_exact(width)).zip(g);
        for (sink, (((x, residuals), t), &g)) in sink.chunks_exact_mut(width).zip(operands) {
            for (((sink, &x), &residual), &t) in sink.iter_mut().zip(x).zip(residuals).zip(t) {
                let p = x - residual;
                *sink -= g * (p * (1.0 - p) * t);
            }
        }
    }
}

/// `sink += g ∂⟨residual, t⟩/∂l = −g σ(l) (1 − σ(l)) t`, where `g` has a number for each row.
pub(in super::super) fn add_curvature(
    sink: &mut [f32],
    g: &[f32],
    [x, residuals, t]: [&[f32]; 3],
    width: usize,
) {
    fill([(sink, width)], rows_a_share(width), |range, [sink]| {
        let elements = range.start * width..range.end * width;
        let [x, residuals, t] = [x, residuals, t].map(|all| &all[elements.clone()]);
        add_curvature_rows(sink, &g[range], x, residuals, t, width);
    });
}

#[cfg(test)]
mod tests {
    use super::super::threads::with_threads;
    use super::*;

    #[test]
    fn agrees_with_double_precision_whatever_the_thread_count() {
        let (rows, width) = (67, 1_311);
        let number = |i: usize| ((i * 7_919) % 2_003) as f32 / 100.0 - 10.0;
        let l: Vec<f32> = (0..rows * width).map(number).collect();
        let x: Vec<f32> = (0..rows * width)
            .map(|i| number(i * 31) / 20.0 + 0.5)
            .collect();
        let alone = with_threads(1, || log_mass(&x, &l, width));
        assert!(alone == with_threads(3, || log_mass(&x, &l, width)));
        let (sums, residuals) = alone;
        for (row, &sum) in sums.iter().enumerate() {
            let elements = row * width..(row + 1) * width;
            let pairs = x[elements.clone()].iter().zip(&l[elements.clone()]);
            let mut want = 0.0;
            for ((&x, &l), &residual) in pairs.zip(&residuals[elements]) {
                let (x, l) = (f64::from(x), f64::from(l));
                want += x * l - l.max(0.0) - (-l.abs()).exp().ln_1p();
                let slope = x - 1.0 / (1.0 + (-l).exp());
                assert!((f64::from(residual) - slope).abs() < 3e-7);
            }
            assert!((f64::from(sum) - want).abs() < 1e-6 * want.abs());
        }
    }
}
