//! The best surrogate that two coins can share, by finite elements.
//!
//! In the uniform numbers u behind z = θ + logit u every coefficient of the estimate is linear: κ ∂c/∂z = k ∂c/∂u with
//! k = p u below the threshold 1 − p and (1 − p)(1 − u) above it. So E‖g‖² is a quadratic form of c, which bilinear
//! elements on the unit square, with a line of nodes on each threshold, turn into least squares: g is linear along each
//! side of an element, two Gauss points per side integrate its square exactly, and the mean of g is the exact gradient
//! whatever c is. So the value found is above the optimum, and approaches it as the elements get smaller.

use crate::coins::Coins;

/// A row of the least-squares problem: g at a quadrature point, by the values at an element's corners.
struct Row {
    corners: [usize; 4],
    factors: [f64; 4],
    constant: f64,
}

/// The best surrogate on a grid of u.
pub(crate) struct Shared<'a> {
    coins: &'a Coins,
    /// Grid lines along each coin's u, the middle one on its threshold.
    lines: [Vec<f64>; 2],
    /// c at the grid's points, the second coin's lines running fastest.
    values: Vec<f64>,
    pub(crate) variance: f64,
}

/// A jump of ∂c/∂z where a coin's z is 0, and what the Euler–Lagrange equation says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kink {
    pub(crate) found: f64,
    pub(crate) predicted: f64,
}

impl<'a> Shared<'a> {
    /// With so many elements on each side of each threshold.
    pub(crate) fn solve(coins: &'a Coins, elements: usize) -> Self {
        let p = coins.probabilities();
        let lines = [0, 1].map(|at| {
            let threshold = 1.0 - p[at];
            let share = |i: usize| i as f64 / elements as f64;
            let below = (0..=elements).map(|i| threshold * share(i));
            let above = (1..=elements).map(|i| threshold + p[at] * share(i));
            below.chain(above).collect::<Vec<f64>>()
        });
        let rows = rows(coins, &lines);
        let values = least_squares(&rows, lines[0].len() * lines[1].len());
        let square: f64 = rows.iter().map(|row| row.at(&values).powi(2)).sum();
        let mean: Vec<f64> = coins.gradient();
        Self {
            variance: square - mean.iter().map(|g| g * g).sum::<f64>(),
            coins,
            lines,
            values,
        }
    }

    /// c along the first coin's grid lines, where the second coin's u is on the line `at`: pairs of
    /// u and c.
    pub(crate) fn section(&self, at: usize) -> Vec<(f64, f64)> {
        let width = self.lines[1].len();
        let value = |(i, &u): (usize, &f64)| (u, self.values[i * width + at]);
        self.lines[0].iter().enumerate().map(value).collect()
    }

    /// u of a grid line of the second coin.
    pub(crate) fn line(&self, at: usize) -> f64 {
        self.lines[1][at]
    }

    /// The first coin's kink where the second coin's u is on a line.
    pub(crate) fn kink(&self, at: usize) -> Kink {
        let (section, middle) = (self.section(at), self.lines[0].len() / 2);
        let c = |i: usize| section[i].1;
        // Of second order, from three points on either side.
        let slope = |i: usize, j: usize| {
            let step = section[i].0 - section[middle].0;
            (4.0 * c(i) - c(j) - 3.0 * c(middle)) / (2.0 * step)
        };
        let jump = slope(middle + 1, middle + 2) - slope(middle - 1, middle - 2);
        let p = self.coins.probabilities();
        let side = f64::from(u8::from(self.lines[1][at] > 1.0 - p[1]));
        Kink {
            found: jump * p[0] * (1.0 - p[0]),
            predicted: c(middle) - self.coins.balance(0, &[0.0, side]),
        }
    }
}

/// The estimates of both coins at all quadrature points, times the roots of the points' weights.
fn rows(coins: &Coins, lines: &[Vec<f64>; 2]) -> Vec<Row> {
    let gauss = [0.5 - 0.75_f64.sqrt() / 3.0, 0.5 + 0.75_f64.sqrt() / 3.0];
    let (p, width) = (coins.probabilities(), lines[1].len());
    let mut rows = Vec::new();
    for i in 0..lines[0].len() - 1 {
        for j in 0..width - 1 {
            let [at, size] = [
                [lines[0][i], lines[1][j]],
                [lines[0][i + 1] - lines[0][i], lines[1][j + 1] - lines[1][j]],
            ];
            let sides = [i >= lines[0].len() / 2, j >= width / 2];
            let b = sides.map(|one| f64::from(u8::from(one)));
            let corners = [
                i * width + j,
                i * width + j + 1,
                (i + 1) * width + j,
                (i + 1) * width + j + 1,
            ];
            let root = (0.25 * size[0] * size[1]).sqrt();
            for x in gauss {
                for y in gauss {
                    let u = [at[0] + x * size[0], at[1] + y * size[1]];
                    let shapes = [(1.0 - x) * (1.0 - y), (1.0 - x) * y, x * (1.0 - y), x * y];
                    let slopes = [
                        [-(1.0 - y), -y, 1.0 - y, y].map(|s| s / size[0]),
                        [-(1.0 - x), 1.0 - x, -x, x].map(|s| s / size[1]),
                    ];
                    for coin in 0..2 {
                        let (p, u) = (p[coin], u[coin]);
                        let k = if sides[coin] {
                            (1.0 - p) * (1.0 - u)
                        } else {
                            p * u
                        };
                        let score = b[coin] - p;
                        rows.push(Row {
                            corners,
                            factors: std::array::from_fn(|corner| {
                                root * (k * slopes[coin][corner] - shapes[corner] * score)
                            }),
                            constant: root * coins.cost(&b) * score,
                        });
                    }
                }
            }
        }
    }
    rows
}

impl Row {
    /// The part that is linear in the values.
    fn linear(&self, values: &[f64]) -> f64 {
        let terms = self.corners.iter().zip(&self.factors);
        terms.map(|(&corner, factor)| factor * values[corner]).sum()
    }

    fn at(&self, values: &[f64]) -> f64 {
        self.constant + self.linear(values)
    }

    fn scatter(&self, weight: f64, into: &mut [f64]) {
        for (&corner, factor) in self.corners.iter().zip(&self.factors) {
            into[corner] += factor * weight;
        }
    }
}

/// The values that make the sum of the rows' squares least: conjugate gradients on the normal equations
/// (Hestenes and Stiefel 1952), scaled by the diagonal.
fn least_squares(rows: &[Row], unknowns: usize) -> Vec<f64> {
    const MOST: usize = 4_000;
    const ENOUGH: f64 = 1e-20;
    let mut diagonal = vec![0.0; unknowns];
    let mut residual = vec![0.0; unknowns];
    for row in rows {
        row.scatter(-row.constant, &mut residual);
        for (&corner, factor) in row.corners.iter().zip(&row.factors) {
            diagonal[corner] += factor * factor;
        }
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scaled = |r: &[f64]| {
        r.iter()
            .zip(&diagonal)
            .map(|(r, d)| r / d)
            .collect::<Vec<f64>>()
    };
    let mut values = vec![0.0; unknowns];
    let mut direction = scaled(&residual);
    let mut size = dot(&residual, &direction);
    let first = size;
    for _ in 0..MOST {
        if size <= ENOUGH * first {
            break;
        }
        let mut image = vec![0.0; unknowns];
        for row in rows {
            row.scatter(row.linear(&direction), &mut image);
        }
        let step = size / dot(&direction, &image);
        for (value, d) in values.iter_mut().zip(&direction) {
            *value += step * d;
        }
        for (r, i) in residual.iter_mut().zip(&image) {
            *r -= step * i;
        }
        let next = scaled(&residual);
        let smaller = dot(&residual, &next);
        for (d, n) in direction.iter_mut().zip(&next) {
            *d = n + smaller / size * *d;
        }
        size = smaller;
    }
    values
}
