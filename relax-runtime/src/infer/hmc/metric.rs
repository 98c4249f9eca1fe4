//! The units in which chains move: the covariance of draws.

/// Up to this many numbers all covariances are kept; beyond it, only variances.
const MOST_DENSE: usize = 64;

/// An affine map from uncorrelated numbers of unit variance to those of draws.
#[derive(Clone)]
pub(super) struct Metric {
    mean: Vec<f64>,
    /// The lower Cholesky factor of the covariance, row by row, or only the standard deviations.
    scale: Scale,
}

#[derive(Clone)]
enum Scale {
    Dense(Vec<f64>),
    Diagonal(Vec<f64>),
}

impl Metric {
    /// From draws, shrunk a little towards uncorrelated numbers (as in Stan, Carpenter et al. 2017).
    pub(super) fn of(draws: &[Vec<f64>]) -> Self {
        let (n, dims) = (draws.len() as f64, draws.first().map_or(0, Vec::len));
        let mut mean = vec![0.0; dims];
        for draw in draws {
            mean.iter_mut()
                .zip(draw)
                .for_each(|(mean, x)| *mean += x / n);
        }
        let covariance = |i: usize, j: usize| {
            let products = draws.iter().map(|x| (x[i] - mean[i]) * (x[j] - mean[j]));
            products.sum::<f64>() / (n - 1.0).max(1.0)
        };
        let variances: Vec<f64> = (0..dims)
            .map(|i| match covariance(i, i) {
                // For example where a guide only has points: no spread that f32 can resolve.
                v if v <= (f64::from(f32::EPSILON) * mean[i]).powi(2) || !v.is_finite() => 1.0,
                v => v,
            })
            .collect();
        let deviations = variances.iter().map(|v| v.sqrt()).collect();
        let shrunk = n / (n + 5.0);
        let dense = (dims <= MOST_DENSE && draws.len() > dims).then(|| {
            let entry = |i: usize, j: usize| match i == j {
                true => variances[i],
                false => shrunk * covariance(i, j),
            };
            cholesky(dims, entry)
        });
        Self {
            mean,
            scale: match dense.flatten() {
                Some(factor) => Scale::Dense(factor),
                None => Scale::Diagonal(deviations),
            },
        }
    }

    /// The numbers that standardized ones stand for.
    pub(super) fn place(&self, standard: &[f64]) -> Vec<f64> {
        let mut place = self.mean.clone();
        match &self.scale {
            Scale::Diagonal(scale) => {
                let pairs = place.iter_mut().zip(scale.iter().zip(standard));
                pairs.for_each(|(x, (scale, z))| *x += scale * z);
            }
            Scale::Dense(factor) => {
                let rows = factor.chunks_exact(standard.len().max(1));
                for (x, row) in place.iter_mut().zip(rows) {
                    *x += row.iter().zip(standard).map(|(l, z)| l * z).sum::<f64>();
                }
            }
        }
        place
    }

    /// The standardized numbers of a place.
    pub(super) fn standard(&self, place: &[f64]) -> Vec<f64> {
        let apart = place.iter().zip(&self.mean).map(|(x, mean)| x - mean);
        match &self.scale {
            Scale::Diagonal(scale) => apart.zip(scale).map(|(x, scale)| x / scale).collect(),
            Scale::Dense(factor) => {
                let rows = factor.chunks_exact(place.len().max(1));
                let mut standard: Vec<f64> = Vec::with_capacity(place.len());
                for (i, (x, row)) in apart.zip(rows).enumerate() {
                    let known: f64 = row.iter().zip(&standard).map(|(l, z)| l * z).sum();
                    standard.push((x - known) / row[i]);
                }
                standard
            }
        }
    }

    /// The slope by standardized numbers, from that by the numbers of a place.
    pub(super) fn slope(&self, slope: &[f64]) -> Vec<f64> {
        match &self.scale {
            Scale::Diagonal(scale) => slope
                .iter()
                .zip(scale)
                .map(|(g, scale)| g * scale)
                .collect(),
            Scale::Dense(factor) => {
                let mut found = vec![0.0; slope.len()];
                for (g, row) in slope.iter().zip(factor.chunks_exact(slope.len().max(1))) {
                    found.iter_mut().zip(row).for_each(|(sum, l)| *sum += g * l);
                }
                found
            }
        }
    }
}

/// The lower triangular L with L · Lᵀ of these entries; `None` if they are not positive definite.
fn cholesky(n: usize, entry: impl Fn(usize, usize) -> f64) -> Option<Vec<f64>> {
    let mut factor = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| factor[i * n + k] * factor[j * n + k]).sum();
            let left = entry(i, j) - known;
            factor[i * n + j] = match i == j {
                true if left > 1e-12 * entry(i, i) => left.sqrt(),
                true => return None,
                false => left / factor[j * n + j],
            };
        }
    }
    Some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standardised_draws_have_unit_variance_and_come_back() {
        let draws: Vec<Vec<f64>> = (0..400)
            .map(|i| {
                let (a, b) = ((f64::from(i) * 0.7).sin(), (f64::from(i) * 1.3).cos());
                vec![
                    3.0 + 2.0 * a,
                    -1.0 + a + b,
                    5.0 * (f64::from(i) * 2.1).sin(),
                ]
            })
            .collect();
        let metric = Metric::of(&draws);
        let standard: Vec<Vec<f64>> = draws.iter().map(|x| metric.standard(x)).collect();
        for (x, z) in draws.iter().zip(&standard) {
            for (x, back) in x.iter().zip(metric.place(z)) {
                assert!((x - back).abs() < 1e-9);
            }
        }
        let of = |i: usize, j: usize| {
            let products = standard.iter().map(|z| z[i] * z[j]);
            products.sum::<f64>() / 399.0
        };
        for (i, j) in [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)] {
            let wanted = f64::from(u8::from(i == j));
            assert!((of(i, j) - wanted).abs() < 0.15, "{i} {j}: {}", of(i, j));
        }
        // g · (x₁ − x₀) is what it is by standardized numbers.
        let g = [0.3, -2.0, 0.7];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let by_standard = metric.slope(&g);
        let found = dot(&by_standard, &standard[7]) - dot(&by_standard, &standard[3]);
        assert!((found - (dot(&g, &draws[7]) - dot(&g, &draws[3]))).abs() < 1e-9);
    }

    #[test]
    fn what_is_known_well_keeps_its_spread() {
        // Deviations of 1e-6 and 1e-5, the second around 10: near the least that f32 can resolve there.
        let draws = (0..100).map(|i| (f64::from(i) * 0.7).sin());
        let draws: Vec<Vec<f64>> = draws.map(|x| vec![1e-6 * x, 10.0 + 1e-5 * x]).collect();
        let moved = Metric::of(&draws).place(&[1.0, 0.0]);
        assert!((0.5e-6..1e-6).contains(&moved[0].abs()), "{moved:?}");
        assert!((moved[1] - 10.0).abs() < 1e-5, "{moved:?}");
    }

    #[test]
    fn points_have_units_of_one() {
        let metric = Metric::of(&vec![vec![2.0, 3.0]; 5]);
        assert_eq!(metric.place(&[1.0, -1.0]), [3.0, 2.0]);
    }
}
