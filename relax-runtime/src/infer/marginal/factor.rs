//! Logarithms by the values of a few variables, for each row of the plates around.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::model::Plate;

/// A variable to sum over: one event of a site, in each row of its plates.
#[derive(Clone, Debug)]
pub(super) struct Domain {
    /// Number of values.
    pub(super) size: usize,
    pub(super) plates: Rc<[Plate]>,
}

/// Logarithms by the values of some variables: rows of the plates first, then the variables' values, the last varying
/// fastest.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    pub(super) plates: Rc<[Plate]>,
    /// Variables, ascending.
    pub(super) variables: Vec<usize>,
    pub(super) values: Vec<f64>,
}

/// Number of rows in plates.
pub(super) fn rows(plates: &[Plate]) -> usize {
    plates.iter().map(|plate| plate.size).product()
}

/// Number of combinations of the variables' values.
pub(super) fn combinations(variables: &[usize], domains: &[Domain]) -> usize {
    let sizes = variables.iter().map(|&v| domains[v].size);
    sizes.fold(1, usize::saturating_mul)
}

/// The index of a combination of values; `value` gives each variable's.
pub(super) fn place(
    variables: &[usize],
    domains: &[Domain],
    mut value: impl FnMut(usize) -> usize,
) -> usize {
    variables
        .iter()
        .fold(0, |at, &v| at * domains[v].size + value(v))
}

/// The values of the combination with this index, in the order of the variables.
pub(super) fn values_at(
    variables: &[usize],
    domains: &[Domain],
    mut place: usize,
) -> Vec<(usize, usize)> {
    let mut values: Vec<_> = variables.iter().map(|&v| (v, 0)).collect();
    for (v, value) in values.iter_mut().rev() {
        let size = domains[*v].size;
        *value = place % size;
        place /= size;
    }
    values
}

/// Calls `see` with each index among the `numbers` numbers of a larger factor, and the index of the part's number that
/// belongs there.
pub(super) fn each_place(
    part: &Factor,
    whole: &Factor,
    numbers: usize,
    domains: &[Domain],
    mut see: impl FnMut(usize, usize),
) {
    let mut width = 1;
    let mut steps: SmallVec<[usize; 4]> = SmallVec::from_elem(0, whole.variables.len());
    for &v in part.variables.iter().rev() {
        if let Some(at) = whole.variables.iter().position(|&w| w == v) {
            steps[at] = width;
        }
        width *= domains[v].size;
    }
    // For each combination of the larger factor, the part's.
    let mut places: SmallVec<[usize; 16]> = SmallVec::from_elem(0, 1);
    for (&step, &v) in steps.iter().zip(&whole.variables).rev() {
        let inner = places.len();
        for value in 1..domains[v].size {
            for at in 0..inner {
                places.push(places[at] + value * step);
            }
        }
    }
    let rows_each = rows(&whole.plates[part.plates.len()..]);
    for (row, first) in (0..numbers).step_by(places.len()).enumerate() {
        let of_part = row / rows_each * width;
        for (at, place) in places.iter().enumerate() {
            see(first + at, of_part + place);
        }
    }
}

impl Factor {
    /// The factor 1, which changes nothing.
    pub(super) fn one() -> Self {
        Self {
            plates: Rc::default(),
            variables: Vec::new(),
            values: vec![0.0],
        }
    }

    /// The product of factors, all of whose plates enclose or equal the given ones.
    pub(super) fn product(plates: &Rc<[Plate]>, parts: &[&Self], domains: &[Domain]) -> Self {
        let mut variables: Vec<usize> = parts
            .iter()
            .flat_map(|part| part.variables.iter().copied())
            .collect();
        variables.sort_unstable();
        variables.dedup();
        let rows = rows(plates);
        let mut whole = Self {
            values: vec![0.0; rows * combinations(&variables, domains)],
            plates: Rc::clone(plates),
            variables,
        };
        let mut values = std::mem::take(&mut whole.values);
        for part in parts {
            each_place(part, &whole, values.len(), domains, |sum, at| {
                values[sum] += part.values[at];
            });
        }
        whole.values = values;
        whole
    }

    /// The shares of this factor's numbers, summed from the shares of a product's numbers.
    pub(super) fn share(&self, shares: &[f64], product: &Self, domains: &[Domain]) -> Vec<f64> {
        let mut found = vec![0.0; self.values.len()];
        each_place(self, product, shares.len(), domains, |share, at| {
            found[at] += shares[share];
        });
        found
    }

    /// The sum over the values of a variable. Replaces each number by its share in the sum.
    pub(super) fn sum_out(&mut self, variable: usize, domains: &[Domain]) -> Self {
        let (outer, size, inner) = self.around(variable, domains);
        let mut values = Vec::with_capacity(outer * inner);
        for block in self.values.chunks_exact_mut(size * inner) {
            for at in 0..inner {
                let places = (at..size * inner).step_by(inner);
                let all = places.clone().map(|place| block[place]);
                let largest = all.fold(f64::NEG_INFINITY, f64::max);
                if !largest.is_finite() {
                    places.for_each(|place| block[place] = 0.0);
                    values.push(largest);
                    continue;
                }
                let mut sum = 0.0;
                for place in places.clone() {
                    block[place] = (block[place] - largest).exp();
                    sum += block[place];
                }
                places.for_each(|place| block[place] /= sum);
                values.push(largest + sum.ln());
            }
        }
        Self {
            plates: Rc::clone(&self.plates),
            variables: self
                .variables
                .iter()
                .copied()
                .filter(|&v| v != variable)
                .collect(),
            values,
        }
    }

    /// The shares of numbers in the whole, from their shares in a [`sum_out`](Self::sum_out), held by this factor, and
    /// the shares of its results in the whole.
    pub(super) fn shares(&self, variable: usize, shares: &[f64], domains: &[Domain]) -> Vec<f64> {
        let (_, size, inner) = self.around(variable, domains);
        let mut found = Vec::with_capacity(self.values.len());
        for (block, shares) in self
            .values
            .chunks_exact(size * inner)
            .zip(shares.chunks_exact(inner))
        {
            for of_value in block.chunks_exact(inner) {
                let pairs = of_value.iter().zip(shares);
                found.extend(pairs.map(|(own, share)| own * share));
            }
        }
        found
    }

    /// Number of combinations before a variable (including rows), of its values, and of combinations after it.
    pub(super) fn around(&self, variable: usize, domains: &[Domain]) -> (usize, usize, usize) {
        let at = self.variables.iter().position(|&v| v == variable);
        let (before, after) = self.variables.split_at(at.unwrap_or(0));
        let outer = rows(&self.plates) * combinations(before, domains);
        let inner = combinations(after.get(1..).unwrap_or(&[]), domains);
        (outer, domains[variable].size, inner)
    }

    /// The product over the rows of all plates from the `depth`-th on, each row raised to the power of its plates'
    /// scale.
    pub(super) fn over_rows(&self, depth: usize) -> Self {
        let plates: Rc<[Plate]> = self.plates[..depth].into();
        let (scale, each) = self.inner_rows(depth);
        let width = self.values.len() / rows(&self.plates).max(1);
        let mut values = vec![0.0; rows(&plates) * width];
        for (row, numbers) in self.values.chunks_exact(width).enumerate() {
            let sums = &mut values[row / each * width..][..width];
            sums.iter_mut()
                .zip(numbers)
                .for_each(|(sum, x)| *sum += scale * x);
        }
        Self {
            plates,
            variables: self.variables.clone(),
            values,
        }
    }

    /// The shares of this factor's numbers in [`over_rows`](Self::over_rows).
    pub(super) fn shares_of_rows(&self, depth: usize, shares: &[f64]) -> Vec<f64> {
        let (scale, each) = self.inner_rows(depth);
        let width = self.values.len() / rows(&self.plates).max(1);
        let rows = rows(&self.plates);
        let mut found = Vec::with_capacity(rows * width);
        for row in 0..rows {
            let shares = &shares[row / each * width..][..width];
            found.extend(shares.iter().map(|share| scale * share));
        }
        found
    }

    /// Scale and number of rows of the plates from the `depth`-th on.
    pub(super) fn inner_rows(&self, depth: usize) -> (f64, usize) {
        let inner = &self.plates[depth..];
        (inner.iter().map(|plate| plate.scale).product(), rows(inner))
    }
}
