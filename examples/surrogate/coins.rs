//! Independent coins b with cost (w·b − t)², and exact moments of what estimates its gradient.

/// Coins of logits θ. Any cost of one or two coins is (w·b − t)² plus a constant and terms of one coin.
#[derive(Clone, Debug)]
pub(crate) struct Coins {
    pub(crate) theta: Vec<f64>,
    pub(crate) weights: Vec<f64>,
    pub(crate) target: f64,
}

/// A place in the unit cube of the uniform numbers behind a draw, and its share of a mean.
pub(crate) struct Node {
    pub(crate) u: Vec<f64>,
    pub(crate) weight: f64,
}

/// REBAR's surrogate η f(σ(z/λ)) at its best, and what variance it leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rebar {
    pub(crate) eta: f64,
    pub(crate) temperature: f64,
    pub(crate) variance: f64,
}

impl Rebar {
    pub(crate) fn name(&self) -> String {
        let Self {
            eta, temperature, ..
        } = self;
        format!("REBAR, {eta:.3} f(sigmoid(z/{temperature:.2}))")
    }
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Coins {
    /// One coin with cost (b − t)².
    pub(crate) fn one(theta: f64, target: f64) -> Self {
        Self {
            theta: vec![theta],
            weights: vec![1.0],
            target,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.theta.len()
    }

    /// p of each coin.
    pub(crate) fn probabilities(&self) -> Vec<f64> {
        self.theta.iter().map(|&theta| sigmoid(theta)).collect()
    }

    /// The cost at a draw, or between draws.
    pub(crate) fn cost(&self, b: &[f64]) -> f64 {
        let sum: f64 = b.iter().zip(&self.weights).map(|(b, w)| b * w).sum();
        (sum - self.target).powi(2)
    }

    /// Every draw with its probability.
    fn draws(&self) -> Vec<(Vec<f64>, f64)> {
        let mut draws = vec![(Vec::new(), 1.0)];
        for p in self.probabilities() {
            let longer = |(b, mass): &(Vec<f64>, f64), side: f64, p: f64| {
                ([&b[..], &[side]].concat(), mass * p)
            };
            let both = draws
                .iter()
                .flat_map(|draw| [longer(draw, 0.0, 1.0 - p), longer(draw, 1.0, p)]);
            draws = both.collect();
        }
        draws
    }

    /// E of a vector over all draws, and the sum of its coordinates' variances.
    fn moments(&self, of: impl Fn(&[f64]) -> Vec<f64>) -> (Vec<f64>, f64) {
        let draws = self.draws();
        spread(draws.iter().map(|(b, mass)| (of(b), *mass)), self.count())
    }

    /// The local expectation p(1 − p)(f(1, b₋ᵢ) − f(0, b₋ᵢ)) of each coin: the gradient by its logit,
    /// given the other coins.
    fn local(&self, b: &[f64]) -> Vec<f64> {
        let p = self.probabilities();
        let at = |i: usize| {
            let mut other = b.to_vec();
            other[i] = 1.0;
            let one = self.cost(&other);
            other[i] = 0.0;
            p[i] * (1.0 - p[i]) * (one - self.cost(&other))
        };
        (0..b.len()).map(at).collect()
    }

    /// The exact gradient.
    pub(crate) fn gradient(&self) -> Vec<f64> {
        self.moments(|b| self.local(b)).0
    }

    /// The variance of the local expectations, which no control variate of this kind goes below.
    pub(crate) fn floor(&self) -> f64 {
        self.moments(|b| self.local(b)).1
    }

    /// The constant baseline under which a coin's gradient, given the others, is the same on both of
    /// its sides: (1 − p) f(1, b₋ᵢ) + p f(0, b₋ᵢ).
    pub(crate) fn balance(&self, at: usize, b: &[f64]) -> f64 {
        let p = sigmoid(self.theta[at]);
        let mut other = b.to_vec();
        other[at] = 1.0;
        let one = self.cost(&other);
        other[at] = 0.0;
        (1.0 - p) * one + p * self.cost(&other)
    }

    /// Variance of (f(b) − a)(b − p), REINFORCE with a as baseline.
    pub(crate) fn reinforce(&self, baseline: f64) -> f64 {
        let p = self.probabilities();
        let gradient = |b: &[f64]| {
            let signal = self.cost(b) - baseline;
            b.iter().zip(&p).map(|(b, p)| signal * (b - p)).collect()
        };
        self.moments(gradient).1
    }

    /// The constant baseline of least variance, Σ E[f sᵢ²]/Σ E[sᵢ²] with the scores s.
    pub(crate) fn best_constant(&self) -> f64 {
        let p = self.probabilities();
        let squares = |b: &[f64]| {
            let squares = b.iter().zip(&p).map(|(b, p)| (b - p).powi(2));
            squares.sum::<f64>()
        };
        let (mut above, mut below) = (0.0, 0.0);
        for (b, mass) in self.draws() {
            above += mass * self.cost(&b) * squares(&b);
            below += mass * squares(&b);
        }
        above / below
    }

    /// A midpoint rule over the noise: each side of each coin in so many pieces, however rare it is.
    pub(crate) fn nodes(&self, pieces: usize) -> Vec<Node> {
        let mut nodes = vec![Node {
            u: Vec::new(),
            weight: 1.0,
        }];
        for p in self.probabilities() {
            let mut longer = Vec::with_capacity(nodes.len() * 2 * pieces);
            for (start, length) in [(0.0, 1.0 - p), (1.0 - p, p)] {
                let share = length / pieces as f64;
                for piece in 0..pieces {
                    let u = start + share * (piece as f64 + 0.5);
                    longer.extend(nodes.iter().map(|node| Node {
                        u: [&node.u[..], &[u]].concat(),
                        weight: node.weight * share,
                    }));
                }
            }
            nodes = longer;
        }
        nodes
    }

    /// The RELAX estimate under coupled noise, (f(b) − c(z))(b − p) + κ ∂c/∂z, for a surrogate that
    /// gives its value and its slopes at z.
    fn relax(&self, u: &[f64], c: &impl Fn(&[f64]) -> (f64, Vec<f64>)) -> Vec<f64> {
        let p = self.probabilities();
        let sides = u.iter().zip(&p).map(|(&u, p)| u > 1.0 - p);
        let b: Vec<f64> = sides.map(|one| f64::from(u8::from(one))).collect();
        let z: Vec<f64> = u
            .iter()
            .zip(&self.theta)
            .map(|(u, theta)| theta + (u / (1.0 - u)).ln())
            .collect();
        let (value, slopes) = c(&z);
        let signal = self.cost(&b) - value;
        let of = |i: usize| {
            let kappa = match b[i] > 0.0 {
                true => (1.0 - p[i]) / u[i],
                false => p[i] / (1.0 - u[i]),
            };
            signal * (b[i] - p[i]) + kappa * slopes[i]
        };
        (0..u.len()).map(of).collect()
    }

    /// The variance of RELAX with a surrogate that gives its value and its slopes at z.
    pub(crate) fn variance(&self, nodes: &[Node], c: impl Fn(&[f64]) -> (f64, Vec<f64>)) -> f64 {
        let rows = nodes
            .iter()
            .map(|node| (self.relax(&node.u, &c), node.weight));
        spread(rows, self.count()).1
    }

    /// The variance of RELAX with REBAR's surrogate at its best η and λ, this between .05 and
    /// `largest`. In η the variance is a parabola; λ is searched for.
    pub(crate) fn rebar(&self, largest: f64) -> Rebar {
        let pieces = if self.count() == 1 { 400 } else { 30 };
        let nodes = self.nodes(pieces);
        let at = |temperature: f64| self.rebar_at(temperature, &nodes);
        const SMALLEST: f64 = 0.05;
        const STEPS: i32 = 40;
        let share = |step: i32| f64::from(step) / f64::from(STEPS);
        let grid = (0..=STEPS).map(|step| SMALLEST * (largest / SMALLEST).powf(share(step)));
        let best = |a: Rebar, b: Rebar| if b.variance < a.variance { b } else { a };
        grid.map(at).reduce(best).unwrap_or(Rebar {
            eta: 0.0,
            temperature: 1.0,
            variance: self.reinforce(0.0),
        })
    }

    fn rebar_at(&self, temperature: f64, nodes: &[Node]) -> Rebar {
        let surrogate = |z: &[f64], eta: f64| {
            let x: Vec<f64> = z.iter().map(|z| sigmoid(z / temperature)).collect();
            let sum: f64 = x.iter().zip(&self.weights).map(|(x, w)| x * w).sum();
            let slope = |(x, w): (&f64, &f64)| {
                eta * 2.0 * (sum - self.target) * w * x * (1.0 - x) / temperature
            };
            let slopes = x.iter().zip(&self.weights).map(slope).collect();
            (eta * self.cost(&x), slopes)
        };
        // Three points of the parabola tell the rest.
        let variance = |eta: f64| self.variance(nodes, |z: &[f64]| surrogate(z, eta));
        let [left, middle, right] = [-1.0, 0.0, 1.0].map(variance);
        let (slope, bend) = (0.5 * (right - left), 0.5 * (right + left) - middle);
        let eta = -0.5 * slope / bend;
        Rebar {
            eta,
            temperature,
            variance: middle + slope * eta + bend * eta * eta,
        }
    }
}

/// The mean of weighted rows, and the sum of their coordinates' variances.
pub(crate) fn spread(rows: impl Iterator<Item = (Vec<f64>, f64)>, width: usize) -> (Vec<f64>, f64) {
    let rows: Vec<_> = rows.collect();
    let mut mean = vec![0.0; width];
    for (row, weight) in &rows {
        mean.iter_mut().zip(row).for_each(|(m, x)| *m += weight * x);
    }
    let square = |row: &[f64]| {
        let off = row.iter().zip(&mean).map(|(x, m)| (x - m).powi(2));
        off.sum::<f64>()
    };
    let total = rows.iter().map(|(row, weight)| weight * square(row)).sum();
    (mean, total)
}
