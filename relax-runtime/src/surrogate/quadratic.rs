//! A quadratic form of the draw, fitted to past costs in closed form: a control variate whose
//! expectation has an exact gradient.

use std::cell::RefCell;

/// q(b) = w₀ + Σ wᵢ bᵢ + Σ wᵢⱼ bᵢ bⱼ over pairs of numbers of different events, and, where numbers are
/// counts, over their squares.
///
/// Events are independent, so that E\[q(b)\] is q at the vector p of their means, plus the squares'
/// weights times variances, and ∂E\[q\]/∂p the slope there: unlike a surrogate of the relaxed sample it
/// adds no noise of its own. The weights are fitted to past draws alone by recursive least squares: by a
/// Kalman filter of weights that start at zero and walk at random, which keeps those that no draw says
/// anything about.
#[derive(Debug)]
pub(crate) struct Quadratic {
    /// Numbers per row.
    numbers: usize,
    pairs: Vec<(usize, usize)>,
    /// What costs are measured from; `None` before there is a first draw to learn from.
    origin: Option<f64>,
    weights: Vec<f64>,
    /// Covariance of the weights' errors, in units of the variance that the fit leaves.
    covariance: Vec<f64>,
    /// The draws to learn from next: for each the features, then the cost.
    seen: RefCell<Vec<f64>>,
    /// The gain of the draw that is being learned from.
    gain: Vec<f64>,
}

impl Quadratic {
    /// Number of weights up to which an update takes less time than a network's.
    pub(crate) const QUICK: usize = 64;
    /// Rows have fewer numbers than this.
    const MOST_NUMBERS: usize = 64;
    /// Variance of a weight of which nothing is known: little shrinkage.
    const FIRST: f64 = 10.0;
    /// Variance by which a weight walks in a step: a memory of a thousand steps or so.
    const WALK: f64 = 1e-5;

    /// The form for rows of `events` events of `width` numbers each: without pairs if it would have
    /// more than `most` weights, and `None` if there are too many events. With `squares`, the first
    /// number of each event is squared, too.
    pub(crate) fn new(events: usize, width: usize, squares: bool, most: usize) -> Option<Self> {
        let numbers = events * width;
        let all = (0..numbers).flat_map(|i| (i + 1..numbers).map(move |j| (i, j)));
        let mut pairs: Vec<_> = match numbers < Self::MOST_NUMBERS {
            true => all.filter(|(i, j)| i / width != j / width).collect(),
            false => return None,
        };
        let squares = match squares {
            true => (0..events)
                .map(|event| (event * width, event * width))
                .collect(),
            false => Vec::new(),
        };
        if 1 + numbers + pairs.len() + squares.len() > most {
            pairs.clear();
        }
        pairs.extend(squares);
        let features = 1 + numbers + pairs.len();
        let mut covariance = vec![0.0; features * features];
        let diagonal = covariance.iter_mut().step_by(features + 1);
        diagonal.for_each(|x| *x = Self::FIRST);
        Some(Self {
            numbers,
            pairs,
            origin: None,
            weights: vec![0.0; features],
            covariance,
            seen: RefCell::default(),
            gain: vec![0.0; features],
        })
    }

    /// Whether it knows what pairs of choices cost together.
    pub(crate) fn has_pairs(&self) -> bool {
        self.pairs.iter().any(|(i, j)| i != j)
    }

    /// Numbers per row.
    pub(crate) fn numbers(&self) -> usize {
        self.numbers
    }

    /// What costs are measured from: q predicts a cost minus this.
    pub(crate) fn origin(&self) -> Option<f64> {
        self.origin
    }

    /// q of a row's draw.
    pub(crate) fn value(&self, b: &[f32]) -> f64 {
        let (linear, pairs) = self.weights[1..].split_at(self.numbers);
        let linear = b.iter().zip(linear).map(|(&b, w)| f64::from(b) * w);
        let pairs = self.pairs.iter().zip(pairs);
        let pairs = pairs.map(|(&(i, j), w)| f64::from(b[i] * b[j]) * w);
        self.weights[0] + linear.sum::<f64>() + pairs.sum::<f64>()
    }

    /// ∂q/∂b at a point.
    pub(crate) fn slope(&self, at: &[f32], slope: &mut [f32]) {
        let (linear, pairs) = self.weights[1..].split_at(self.numbers);
        let mut sums = [0.0; Self::MOST_NUMBERS];
        sums[..self.numbers].copy_from_slice(linear);
        for (&(i, j), w) in self.pairs.iter().zip(pairs) {
            sums[i] += w * f64::from(at[j]);
            sums[j] += w * f64::from(at[i]);
        }
        for (slope, sum) in slope.iter_mut().zip(&sums) {
            *slope = *sum as f32;
        }
    }

    /// The weight wᵢᵢ of each number's square: variances v add Σ wᵢᵢ vᵢ to q at the means.
    pub(crate) fn squares(&self) -> Vec<f32> {
        let mut squares = vec![0.0; self.numbers];
        let weights = &self.weights[1 + self.numbers..];
        for (&(i, j), w) in self.pairs.iter().zip(weights) {
            if i == j {
                squares[i] = *w as f32;
            }
        }
        squares
    }

    /// One in how many of a step's rows to learn from: the time of an update grows with the square of the
    /// number of weights.
    pub(crate) fn one_in(&self, rows: usize) -> usize {
        const WORK: usize = 1 << 17;
        match rows * self.covariance.len() {
            0..=WORK => 1,
            _ => rows.div_ceil((WORK / self.covariance.len()).max(1)),
        }
    }

    /// Keeps a row's draw and its cost, to learn from once the estimate is made.
    pub(crate) fn see(&self, b: &[f32], cost: f64) {
        let mut seen = self.seen.borrow_mut();
        seen.push(1.0);
        seen.extend(b.iter().map(|&b| f64::from(b)));
        let pairs = self.pairs.iter();
        seen.extend(pairs.map(|&(i, j)| f64::from(b[i] * b[j])));
        seen.push(cost);
    }

    /// Learns from the draws seen since; costs are measured from `origin` if these are the first.
    pub(crate) fn learn(&mut self, origin: f64) {
        let seen = self.seen.get_mut();
        if seen.is_empty() {
            return;
        }
        let origin = *self.origin.get_or_insert(origin);
        let features = self.weights.len();
        for x in self.covariance.iter_mut().step_by(features + 1) {
            *x = (*x + Self::WALK).min(Self::FIRST.max(*x));
        }
        for draw in seen.chunks_exact(features + 1) {
            let (x, cost) = draw.split_at(features);
            let dot = |a: &[f64]| a.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
            let error = cost[0] - origin - dot(&self.weights);
            if !error.is_finite() {
                continue;
            }
            for (i, g) in self.gain.iter_mut().enumerate() {
                *g = dot(&self.covariance[i * features..][..features]);
            }
            let scale = 1.0 / (1.0 + dot(&self.gain));
            for (w, g) in self.weights.iter_mut().zip(&self.gain) {
                *w += g * scale * error;
            }
            for (i, g) in self.gain.iter().enumerate() {
                let row = &mut self.covariance[i * features..][..features];
                for (x, h) in row.iter_mut().zip(&self.gain) {
                    *x -= g * h * scale;
                }
            }
        }
        seen.clear();
    }

    /// What was learned, to be saved: always the same number of values.
    pub(crate) fn state(&self) -> Vec<f64> {
        let mut state = vec![self.origin.unwrap_or(f64::NAN)];
        state.extend(&self.weights);
        state.extend(&self.covariance);
        state
    }

    /// Restores saved numbers, and returns those left over; `None` if there are too few.
    pub(crate) fn restore<'a>(&mut self, saved: &'a [f64]) -> Option<&'a [f64]> {
        let (origin, saved) = saved.split_first()?;
        let (weights, saved) = saved.split_at_checked(self.weights.len())?;
        let (covariance, rest) = saved.split_at_checked(self.covariance.len())?;
        self.origin = Some(*origin).filter(|x| !x.is_nan());
        self.weights.copy_from_slice(weights);
        self.covariance.copy_from_slice(covariance);
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All eight draws of three coins, again and again.
    fn fitted(steps: usize, cost: impl Fn(&[f32]) -> f64) -> Quadratic {
        let mut q = Quadratic::new(3, 1, false, Quadratic::QUICK).expect("few enough");
        for step in 0..steps {
            let b = coins(step);
            q.see(&b, cost(&b));
            q.learn(cost(&coins(0)));
        }
        q
    }

    fn coins(draw: usize) -> [f32; 3] {
        [1, 2, 4].map(|bit| f32::from(u8::from(draw & bit != 0)))
    }

    fn quadratic(b: &[f32]) -> f64 {
        let [x, y, z] = [b[0], b[1], b[2]].map(f64::from);
        1e3 + 2.0 * x - y + 3.0 * x * y - 0.5 * y * z
    }

    #[test]
    fn a_quadratic_cost_is_found_with_its_slope() {
        let q = fitted(400, quadratic);
        let origin = q.origin().expect("some draws");
        for draw in 0..8 {
            let b = coins(draw);
            assert!((q.value(&b) + origin - quadratic(&b)).abs() < 1e-2);
        }
        let mut slope = [0.0; 3];
        q.slope(&[0.5, 0.25, 0.0], &mut slope);
        for (found, exact) in slope.iter().zip([2.75, 0.5, -0.125]) {
            assert!((found - exact).abs() < 2e-2, "{slope:?}");
        }
    }

    /// (x − 2)² + y of counts: its mean has the slopes 2 (p − 2) and 1 by the means, and 1 by x's variance.
    #[test]
    fn squares_of_counts_are_found() {
        let mut q = Quadratic::new(2, 1, true, Quadratic::QUICK).expect("few enough");
        for step in 0..400 {
            let b = [(step % 5) as f32, (step / 5 % 3) as f32];
            q.see(&b, f64::from((b[0] - 2.0).powi(2) + b[1]));
            q.learn(0.0);
        }
        let mut slope = [0.0; 2];
        q.slope(&[3.0, 1.0], &mut slope);
        let found = [slope, [q.squares()[0], q.squares()[1]]].concat();
        for (found, exact) in found.iter().zip([2.0, 1.0, 1.0, 0.0]) {
            assert!((found - exact).abs() < 2e-2, "{found} {exact}");
        }
    }

    #[test]
    fn it_goes_on_from_its_state() {
        let (mut one, other) = (fitted(20, quadratic), fitted(7, quadratic));
        let mut saved = other.state();
        saved.extend([1.0, 2.0]);
        assert_eq!(one.restore(&saved), Some(&[1.0, 2.0][..]));
        assert_eq!(one.state(), other.state());
        assert_eq!(one.restore(&saved[..10]), None);
    }

    #[test]
    fn many_rows_are_thinned_out() {
        let q = Quadratic::new(10, 1, false, Quadratic::QUICK).expect("few enough");
        assert_eq!(
            [1, 41, 42, 4_100].map(|rows| q.one_in(rows)),
            [1, 1, 2, 100]
        );
    }

    #[test]
    fn large_sites_have_none() {
        assert_eq!(
            Quadratic::new(10, 1, false, Quadratic::QUICK).map(|q| q.weights.len()),
            Some(56)
        );
        assert_eq!(
            Quadratic::new(11, 1, false, Quadratic::QUICK).map(|q| q.weights.len()),
            Some(12)
        );
        assert_eq!(
            Quadratic::new(3, 4, false, Quadratic::QUICK).map(|q| q.weights.len()),
            Some(61)
        );
        assert!(Quadratic::new(200, 1, false, Quadratic::QUICK).is_none());
    }

    #[test]
    fn as_many_weights_as_are_allowed() {
        let weights = |most| Quadratic::new(24, 1, false, most).map(|q| q.weights.len());
        assert_eq!([weights(300), weights(301)], [Some(25), Some(301)]);
    }
}
