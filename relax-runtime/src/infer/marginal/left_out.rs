//! The density of each observation given all others, beside a sum.

use std::rc::Rc;

use super::eliminate::{Step, Sum};
use super::factor::{Factor, each_place, rows};
use crate::model::Plate;
use crate::special::{LogSum, log_sum};

impl Sum {
    /// For each observed number of a given factor, ln p of that observation given all others: ln Z − ln Z₋ᵢ, where Z₋ᵢ
    /// is the sum without it. `weight` is the power to which the observation's density is raised in the sum; the
    /// result is of the density itself.
    pub(super) fn given_the_others(&self, rest: &[f64], factor: usize, weight: f64) -> Vec<f64> {
        let factor = &self.factors[factor];
        let width = factor.values.len() / rows(&factor.plates).max(1);
        let numbers = factor.values.chunks_exact(width);
        let density = |(values, rest): (&[f64], &[f64])| {
            let with = values.iter().zip(rest).map(|(x, rest)| match weight {
                0.0 => *rest,
                _ => rest + x / weight,
            });
            log_sum(with) - log_sum(rest.iter().copied())
        };
        numbers.zip(rest.chunks_exact(width)).map(density).collect()
    }

    /// The plates around a given factor.
    pub(super) fn plates_of(&self, factor: usize) -> Rc<[Plate]> {
        Rc::clone(&self.factors[factor].plates)
    }

    /// For each number of the given factors, the logarithm of the part of the sum that it multiplies, over the sum: the
    /// number's share is their product. Of rows that stand for several, one is taken out.
    pub(super) fn rests(&self) -> Vec<Vec<f64>> {
        let nothing = |factor: &Factor| vec![f64::NEG_INFINITY; factor.values.len()];
        let mut rests: Vec<Vec<f64>> = self.factors.iter().map(nothing).collect();
        for &end in &self.ends {
            rests[end][0] = -self.factors[end].values[0];
        }
        for (number, step) in self.steps.iter().enumerate().rev() {
            let here = std::mem::take(&mut rests[self.given + number]);
            match step {
                Step::Rows { of, depth } => {
                    rests[*of] = self.factors[*of].rests_of_rows(*depth, &here);
                }
                Step::Sum {
                    of,
                    variable,
                    product,
                } => {
                    let (_, size, inner) = product.around(*variable, &self.domains);
                    let blocks = here.chunks_exact(inner);
                    let of_product: Vec<f64> = blocks
                        .flat_map(|block| (0..size).flat_map(move |_| block))
                        .copied()
                        .collect();
                    let parts: Vec<&Factor> = of.iter().map(|&at| &self.factors[at]).collect();
                    let mut without = vec![Product::default(); of_product.len()];
                    for part in &parts {
                        each_place(part, product, without.len(), &self.domains, |whole, at| {
                            without[whole].times(part.values[at]);
                        });
                    }
                    for (&at, part) in of.iter().zip(&parts) {
                        let mut sums = vec![LogSum::default(); part.values.len()];
                        each_place(part, product, without.len(), &self.domains, |whole, at| {
                            let others = without[whole].without(part.values[at]);
                            sums[at].add(of_product[whole] + others);
                        });
                        rests[at] = sums.iter().map(LogSum::value).collect();
                    }
                }
            }
        }
        rests.truncate(self.given);
        rests
    }
}

impl Factor {
    /// The rests of this factor's numbers, from those of its [`over_rows`](Self::over_rows).
    fn rests_of_rows(&self, depth: usize, rests: &[f64]) -> Vec<f64> {
        let (scale, each) = self.inner_rows(depth);
        let width = self.values.len() / rows(&self.plates).max(1);
        let mut all = vec![Product::default(); rests.len()];
        for (row, numbers) in self.values.chunks_exact(width).enumerate() {
            let products = &mut all[row / each * width..][..width];
            for (product, x) in products.iter_mut().zip(numbers) {
                product.times(*x);
            }
        }
        let mut found = Vec::with_capacity(self.values.len());
        for (row, numbers) in self.values.chunks_exact(width).enumerate() {
            for (at, x) in numbers.iter().enumerate() {
                let outer = row / each * width + at;
                // The other rows, and what more this one stands for.
                let more = match scale {
                    1.0 => 0.0,
                    _ => (scale - 1.0) * all[outer].value(),
                };
                found.push(rests[outer] + all[outer].without(*x) + more);
            }
        }
        found
    }
}

/// The logarithm of a product from which factors can be taken out again, even 0.
#[derive(Clone, Copy, Default)]
struct Product {
    zeros: usize,
    log: f64,
}

impl Product {
    fn times(&mut self, log: f64) {
        match log == f64::NEG_INFINITY {
            true => self.zeros += 1,
            false => self.log += log,
        }
    }

    fn value(self) -> f64 {
        match self.zeros {
            0 => self.log,
            _ => f64::NEG_INFINITY,
        }
    }

    fn without(mut self, log: f64) -> f64 {
        match log == f64::NEG_INFINITY {
            true => self.zeros -= 1,
            false => self.log -= log,
        }
        self.value()
    }
}
