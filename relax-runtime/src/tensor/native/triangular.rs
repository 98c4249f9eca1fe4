//! Factors of positive definite matrices and triangular systems, in double precision: so that sums of hundreds of
//! products that nearly cancel keep the digits that single precision can hold.

/// Σ xᵢ yᵢ, in lanes that the compiler can vectorize.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (chunks, others) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f64 = chunks
        .remainder()
        .iter()
        .zip(others.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in chunks.zip(others) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    rest + sums.iter().sum::<f64>()
}

fn double(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

fn single(x: &[f64]) -> impl Iterator<Item = f32> {
    x.iter().map(|x| *x as f32)
}

/// The lower triangular factors of `n` by `n` matrices, row by row (Cholesky–Banachiewicz); NaN from the
/// row on where a matrix turns out not to be positive definite.
pub(in super::super) fn cholesky(matrices: &[f32], n: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(matrices.len());
    for matrix in matrices.chunks_exact(n * n) {
        let mut factor = vec![0.0; n * n];
        for i in 0..n {
            let (above, row) = factor.split_at_mut(i * n);
            for j in 0..i {
                let other = &above[j * n..j * n + j];
                let rest = f64::from(matrix[i * n + j]) - dot(&row[..j], other);
                row[j] = rest / above[j * n + j];
            }
            let rest = f64::from(matrix[i * n + i]) - dot(&row[..i], &row[..i]);
            row[i] = if rest > 0.0 { rest.sqrt() } else { f64::NAN };
        }
        out.extend(single(&factor));
    }
    out
}

/// Which half of a matrix is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Half {
    Lower,
    Upper,
}

/// The X of T · X = `right`, for `n` by `n` triangular matrices T and equally many `n` by `m` matrices.
pub(in super::super) fn solve(
    half: Half,
    triangles: &[f32],
    right: &[f32],
    n: usize,
    m: usize,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(right.len());
    let pairs = triangles.chunks_exact(n * n).zip(right.chunks_exact(n * m));
    for (triangle, right) in pairs {
        let mut solved = double(right);
        for step in 0..n {
            // Substitution: each row subtracts what the rows before it explain.
            let (i, known) = match half {
                Half::Lower => (step, 0..step),
                Half::Upper => (n - 1 - step, n - step..n),
            };
            let (before, rest) = solved.split_at_mut(i * m);
            let (row, after) = rest.split_at_mut(m);
            for k in known {
                let weight = f64::from(triangle[i * n + k]);
                let other = match half {
                    Half::Lower => &before[k * m..(k + 1) * m],
                    Half::Upper => &after[(k - i - 1) * m..(k - i) * m],
                };
                for (x, other) in row.iter_mut().zip(other) {
                    *x -= weight * other;
                }
            }
            let own = f64::from(triangle[i * n + i]);
            row.iter_mut().for_each(|x| *x /= own);
        }
        out.extend(single(&solved));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Matrices of some size with a known factor.
    #[test]
    fn factors_are_found_again() {
        for n in [1, 2, 7, 40] {
            let l = |i: usize, j: usize| match i.cmp(&j) {
                std::cmp::Ordering::Less => 0.0,
                std::cmp::Ordering::Equal => 1.0 + 0.1 * (i % 3) as f64,
                std::cmp::Ordering::Greater => ((i * 7 + j * 3) % 11) as f64 / 11.0 - 0.5,
            };
            let product = |i: usize, j: usize| (0..n).map(|k| l(i, k) * l(j, k)).sum::<f64>();
            let all = |of: &dyn Fn(usize, usize) -> f64| -> Vec<f32> {
                (0..n * n).map(|at| of(at / n, at % n) as f32).collect()
            };
            let factor = cholesky(&all(&product), n);
            for (found, wanted) in factor.iter().zip(all(&l)) {
                assert!((found - wanted).abs() < 2e-4, "{n}: {found} {wanted}");
            }
            let lower = all(&l);
            let upper = all(&|i, j| l(j, i));
            let x: Vec<f32> = (0..2 * n).map(|i| (i as f32 * 0.37).sin()).collect();
            for (half, triangle) in [(Half::Lower, &lower), (Half::Upper, &upper)] {
                let times = |i: usize, c: usize| -> f32 {
                    (0..n).map(|k| triangle[i * n + k] * x[k * 2 + c]).sum()
                };
                let right: Vec<f32> = (0..2 * n).map(|at| times(at / 2, at % 2)).collect();
                let found = solve(half, triangle, &right, n, 2);
                for (found, wanted) in found.iter().zip(&x) {
                    assert!((found - wanted).abs() < 1e-3, "{n}: {found} {wanted}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_nan() {
        let factor = cholesky(&[1.0, 2.0, 2.0, 1.0], 2);
        assert!(factor[3].is_nan() && factor[0] == 1.0);
    }
}
