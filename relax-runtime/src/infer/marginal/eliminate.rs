//! Sums variables out of a product of factors one by one (variable elimination: Koller and Friedman 2009, chapter 9;
//! with plates, Obermeyer et al. 2019), those of the innermost plates first; the way back gives each number's share of
//! the sum, marginals and joint draws.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::factor::{Domain, Factor, combinations, place, rows};
use crate::error::{Error, Result};
use crate::model::Plate;
use crate::random::Stream;

/// Maximum size of a table, in numbers.
const MOST_NUMBERS: usize = 1 << 22;

/// What was done to a factor.
#[derive(Debug)]
pub(super) enum Step {
    /// The rows of its inner plates were multiplied.
    Rows { of: usize, depth: usize },
    /// Factors were multiplied, and a variable summed out of the product, which now holds its numbers' shares in the
    /// sum.
    Sum {
        of: Vec<usize>,
        variable: usize,
        product: Factor,
    },
}

/// A sum, with the steps that led to it.
#[derive(Debug)]
pub(super) struct Sum {
    pub(super) domains: Vec<Domain>,
    /// The factors given, then one for each step.
    pub(super) factors: Vec<Factor>,
    pub(super) given: usize,
    pub(super) steps: Vec<Step>,
    /// Its logarithm.
    pub(super) log: f64,
    /// Factors without variables, whose product is the sum.
    pub(super) ends: Vec<usize>,
}

/// How a sum is divided among its numbers.
pub(super) struct Shares {
    /// The derivative of the sum's logarithm with respect to each number of the given factors: the probability of each
    /// combination of a factor's variables, times the scale of its plates.
    pub(super) of_factors: Vec<Vec<f64>>,
}

/// The order in which to sum variables out: those in the most plates first, then the one whose product has the fewest
/// numbers.
///
/// # Errors
/// If a product has too many numbers; `name` gives a variable's name.
pub(super) fn order(
    scopes: impl Iterator<Item = Vec<usize>>,
    domains: &[Domain],
    name: impl Fn(usize) -> String,
) -> Result<Vec<usize>> {
    let mut neighbours: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); domains.len()];
    for scope in scopes {
        for &v in &scope {
            neighbours[v].extend(scope.iter().copied().filter(|&w| w != v));
        }
    }
    let numbers = |v: usize, around: &BTreeSet<usize>| {
        let around: Vec<usize> = around.iter().copied().chain([v]).collect();
        combinations(&around, domains).saturating_mul(rows(&domains[v].plates))
    };
    let mut left: BTreeSet<(usize, usize, usize)> = BTreeSet::new();
    let key = |v: usize, neighbours: &[BTreeSet<usize>]| {
        let depth = usize::MAX - domains[v].plates.len();
        (depth, numbers(v, &neighbours[v]), v)
    };
    left.extend((0..domains.len()).map(|v| key(v, &neighbours)));
    let mut order = Vec::with_capacity(domains.len());
    while let Some((_, numbers, v)) = left.pop_first() {
        if numbers > MOST_NUMBERS {
            let around = neighbours[v].iter().chain([&v]);
            let names: Vec<String> = around.map(|&v| format!("`{}`", name(v))).collect();
            return Err(Error::Enumeration(format!(
                "to sum {} out together takes a table of {numbers} numbers, but at most \
                 {MOST_NUMBERS} are allowed; sum fewer sites out (`only`), and let the others be drawn",
                names.join(", ")
            )));
        }
        let around = std::mem::take(&mut neighbours[v]);
        for &w in &around {
            left.remove(&key(w, &neighbours));
        }
        for &w in &around {
            neighbours[w].remove(&v);
            neighbours[w].extend(around.iter().copied().filter(|&u| u != w));
        }
        left.extend(around.iter().map(|&w| key(w, &neighbours)));
        order.push(v);
    }
    Ok(order)
}

impl Sum {
    /// Sums the product of factors over all variables, in an order in which those of inner plates come first. A factor
    /// is in the plates of each of its variables.
    pub(super) fn new(given: Vec<Factor>, domains: Vec<Domain>, order: &[usize]) -> Self {
        let mut turns = vec![0; domains.len()];
        for (turn, &v) in order.iter().enumerate() {
            turns[v] = turn;
        }
        let mut sum = Self {
            given: given.len(),
            factors: Vec::with_capacity(2 * given.len()),
            steps: Vec::with_capacity(given.len()),
            log: 0.0,
            ends: Vec::new(),
            domains,
        };
        // Each factor waits until the first of its variables is summed out.
        let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); order.len()];
        for factor in given {
            sum.push(factor, &turns, &mut waiting);
        }
        for (turn, &variable) in order.iter().enumerate() {
            let plates = Rc::clone(&sum.domains[variable].plates);
            let mut of = std::mem::take(&mut waiting[turn]);
            for at in &mut of {
                *at = sum.reduced(*at, plates.len());
            }
            let parts: Vec<&Factor> = of.iter().map(|&at| &sum.factors[at]).collect();
            let mut product = Factor::product(&plates, &parts, &sum.domains);
            let rest = product.sum_out(variable, &sum.domains);
            sum.push(rest, &turns, &mut waiting);
            sum.steps.push(Step::Sum {
                of,
                variable,
                product,
            });
        }
        let mut ends = std::mem::take(&mut sum.ends);
        for at in &mut ends {
            *at = sum.reduced(*at, 0);
            sum.log += sum.factors[*at].values[0];
        }
        sum.ends = ends;
        sum
    }

    fn push(&mut self, factor: Factor, turns: &[usize], waiting: &mut [Vec<usize>]) {
        let first = factor.variables.iter().map(|&v| turns[v]).min();
        let queue = first.map_or(&mut self.ends, |turn| &mut waiting[turn]);
        queue.push(self.factors.len());
        self.factors.push(factor);
    }

    /// The factor with the rows of deeper plates multiplied.
    fn reduced(&mut self, of: usize, depth: usize) -> usize {
        if self.factors[of].plates.len() <= depth {
            return of;
        }
        let factor = self.factors[of].over_rows(depth);
        self.steps.push(Step::Rows { of, depth });
        self.factors.push(factor);
        self.factors.len() - 1
    }

    /// The logarithm of the sum with each row counted once, whatever it stands for.
    pub(super) fn log_once(&self) -> f64 {
        let mut plates = self.domains.iter().map(|domain| &domain.plates);
        let mut of_factors = self.factors.iter().map(|factor| &factor.plates);
        let counts_once = |plates: &Rc<[Plate]>| plates.iter().all(|plate| plate.scale == 1.0);
        if plates.all(counts_once) && of_factors.all(counts_once) {
            return self.log;
        }
        let once = |plates: &Rc<[Plate]>| -> Rc<[Plate]> {
            let plates = plates.iter();
            plates
                .map(|plate| Plate {
                    scale: 1.0,
                    ..*plate
                })
                .collect()
        };
        let given = self.factors[..self.given].iter().map(|factor| Factor {
            plates: once(&factor.plates),
            ..factor.clone()
        });
        let domains = self.domains.iter().map(|domain| Domain {
            size: domain.size,
            plates: once(&domain.plates),
        });
        let order = self.steps.iter().filter_map(|step| match step {
            Step::Sum { variable, .. } => Some(*variable),
            Step::Rows { .. } => None,
        });
        let order: Vec<usize> = order.collect();
        Self::new(given.collect(), domains.collect(), &order).log
    }

    /// How the sum is divided among its numbers.
    pub(super) fn shares(&self) -> Shares {
        let zeros = |factor: &Factor| vec![0.0; factor.values.len()];
        let mut shares: Vec<Vec<f64>> = self.factors.iter().map(zeros).collect();
        for &end in &self.ends {
            shares[end][0] += 1.0;
        }
        let add = |to: &mut Vec<f64>, more: Vec<f64>| {
            to.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
        };
        for (number, step) in self.steps.iter().enumerate().rev() {
            let here = std::mem::take(&mut shares[self.given + number]);
            match step {
                Step::Rows { of, depth } => {
                    let more = self.factors[*of].shares_of_rows(*depth, &here);
                    add(&mut shares[*of], more);
                }
                Step::Sum {
                    of,
                    variable,
                    product,
                } => {
                    let of_product = product.shares(*variable, &here, &self.domains);
                    for &part in of {
                        let more = self.factors[part].share(&of_product, product, &self.domains);
                        add(&mut shares[part], more);
                    }
                }
            }
        }
        shares.truncate(self.given);
        Shares { of_factors: shares }
    }

    /// The logarithm and shares of a part of a single term of the sum, chosen uniformly at random among the nonzero
    /// terms: the factors that depend only on a random subset of the variables, just large enough to give each value a
    /// few.
    pub(super) fn held(&self, order: &[usize], stream: &mut Stream) -> (f64, Shares) {
        /// Number of variables for each value.
        const FEW: f64 = 6.0;
        let given = &self.factors[..self.given];
        let possible = given.iter().map(|factor| {
            let is_possible = |&log: &f64| match log == f64::NEG_INFINITY {
                true => log,
                false => 0.0,
            };
            Factor {
                plates: Rc::clone(&factor.plates),
                variables: factor.variables.clone(),
                values: factor.values.iter().map(is_possible).collect(),
            }
        });
        let drawn = Self::new(possible.collect(), self.domains.clone(), order).draw(stream);
        let count = |domain: &Domain| rows(&domain.plates) as f64;
        let all: f64 = self.domains.iter().map(count).sum();
        let values = self
            .domains
            .iter()
            .map(|domain| count(domain) * domain.size as f64);
        let share = FEW * values.sum::<f64>() / (all * all);
        let counts: Vec<Vec<bool>> = drawn
            .iter()
            .map(|rows| rows.iter().map(|_| stream.uniform_f64() < share).collect())
            .collect();
        let (mut log, mut of_factors) = (0.0, Vec::with_capacity(given.len()));
        for factor in given {
            let scale: f64 = factor.plates.iter().map(|plate| plate.scale).product();
            let all = rows(&factor.plates);
            let width = factor.values.len() / all.max(1);
            let mut shares = vec![0.0; factor.values.len()];
            for row in 0..all {
                let mut are_all = true;
                let at = self.place_in(factor, row, |v, row| {
                    are_all &= counts[v][row];
                    drawn[v][row]
                });
                if are_all {
                    log += scale * factor.values[row * width + at];
                    shares[row * width + at] = scale;
                }
            }
            of_factors.push(shares);
        }
        (log, Shares { of_factors })
    }

    /// One joint draw of all variables, row by row: from the last variable summed out to the first, each given those
    /// after it.
    pub(super) fn draw(&self, stream: &mut Stream) -> Vec<Vec<usize>> {
        let mut drawn: Vec<Vec<usize>> = vec![Vec::new(); self.domains.len()];
        for step in self.steps.iter().rev() {
            let Step::Sum {
                variable, product, ..
            } = step
            else {
                continue;
            };
            let all = rows(&product.plates);
            let width = product.values.len() / all.max(1);
            let (_, size, inner) = product.around(*variable, &self.domains);
            let values = (0..all).map(|row| {
                let at = self.first_place(product, *variable, row, &drawn);
                let shares = &product.values[row * width..][..width];
                let weights = (0..size).map(|value| shares[at + value * inner]);
                pick(weights, stream.uniform_f64())
            });
            drawn[*variable] = values.collect();
        }
        drawn
    }
}

impl Sum {
    /// The index in a row of a factor at the drawn values of the other variables, and the first value of `variable`.
    fn first_place(
        &self,
        factor: &Factor,
        variable: usize,
        row: usize,
        drawn: &[Vec<usize>],
    ) -> usize {
        self.place_in(factor, row, |v, row| match v == variable {
            true => 0,
            false => drawn[v][row],
        })
    }

    /// The index of values in a row of a factor; `value` gives a variable's, in a row of its own plates.
    fn place_in(
        &self,
        factor: &Factor,
        row: usize,
        mut value: impl FnMut(usize, usize) -> usize,
    ) -> usize {
        let all = rows(&factor.plates);
        place(&factor.variables, &self.domains, |v| {
            value(v, row / (all / rows(&self.domains[v].plates).max(1)).max(1))
        })
    }

    /// The probabilities of a variable's values given the draws of all others, row by row.
    pub(super) fn given_others(&self, variable: usize, drawn: &[Vec<usize>]) -> Vec<f64> {
        let Domain { size, plates } = &self.domains[variable];
        let own = rows(plates);
        let mut weights = vec![0.0; own * size];
        let given = self.factors[..self.given].iter();
        for factor in given.filter(|factor| factor.variables.contains(&variable)) {
            let all = rows(&factor.plates);
            let width = factor.values.len() / all.max(1);
            let (_, _, inner) = factor.around(variable, &self.domains);
            for row in 0..all {
                let at = row * width + self.first_place(factor, variable, row, drawn);
                let here = &mut weights[row * own / all * size..][..*size];
                for (value, weight) in here.iter_mut().enumerate() {
                    *weight += factor.values[at + value * inner];
                }
            }
        }
        for row in weights.chunks_exact_mut(*size) {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter_mut().for_each(|x| *x = (*x - largest).exp());
            let all: f64 = row.iter().sum();
            row.iter_mut().for_each(|x| *x /= all);
        }
        weights
    }
}

/// The value picked by a uniform number, by weight.
fn pick(weights: impl Iterator<Item = f64> + Clone, uniform: f64) -> usize {
    let mut left = uniform * weights.clone().sum::<f64>();
    let mut last = 0;
    for (value, weight) in weights.enumerate() {
        if weight > 0.0 {
            if left < weight {
                return value;
            }
            last = value;
        }
        left -= weight;
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;

    /// Two variables with three and two values, one of whose combinations is impossible.
    #[test]
    fn held_terms_are_those_that_may_be_each_as_often() {
        let domain = |size| Domain {
            size,
            plates: Rc::default(),
        };
        let factor = |variables: &[usize], values: &[f64]| Factor {
            plates: Rc::default(),
            variables: variables.to_vec(),
            values: values.to_vec(),
        };
        let own = [-0.1, -5.0, -20.0];
        let both = [-1.0, -2.0, -3.0, f64::NEG_INFINITY, -4.0, -50.0];
        let sum = Sum::new(
            vec![factor(&[0], &own), factor(&[0, 1], &both)],
            vec![domain(3), domain(2)],
            &[1, 0],
        );
        const DRAWS: u64 = 5_000;
        let mut seen = [0; 6];
        for draw in 0..DRAWS {
            let (log, shares) = sum.held(&[1, 0], &mut Key::new(draw).stream("held"));
            let [first, second] = &shares.of_factors[..] else {
                panic!("two factors");
            };
            let at = second.iter().position(|&share| share == 1.0);
            let at = at.expect("one term");
            assert_eq!(first[at / 2], 1.0);
            assert_eq!(first.iter().chain(second).sum::<f64>(), 2.0);
            assert_eq!(log, own[at / 2] + both[at]);
            seen[at] += 1;
        }
        assert_eq!(seen[3], 0);
        for at in [0, 1, 2, 4, 5] {
            let share = f64::from(seen[at]) / DRAWS as f64;
            assert!((share - 0.2).abs() < 0.02, "{at}: {share}");
        }
    }
}
