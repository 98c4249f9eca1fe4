//! Sums over the choices of each row, for plates whose rows stand for others of a larger data set.
//!
//! For a plate that scales its rows' terms by s, p(g | x) ∝ p(g) Π_i \[Σ_z p(z | g) p(x_i | z, g)\]^s for what stands
//! outside, and a row's own choices have p(z_i | g, x_i), however many rows it stands for. So the probability of a
//! combination is not its density with rows to a power, but comes from the sum of each row, which takes all
//! combinations together.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::dist::{Number, Value};
use crate::error::{Error, Result};
use crate::infer::pass::Latent;
use crate::model::{Entry, Kind, Plate, Rows, Trace};
use crate::special::log_sum;

/// Whether rows of a choice stand for others.
pub(super) fn stands_for_others(latent: &Latent) -> bool {
    latent.plates.iter().any(|plate| plate.scale != 1.0)
}

/// The sums of all rows, from the runs of all combinations.
#[derive(Default)]
pub(super) struct RowSums {
    cells: Vec<Cell>,
    groups: Vec<Group>,
    cell_of: FxHashMap<(usize, Vec<u32>), usize>,
    group_of: BTreeMap<(usize, Rows, usize), usize>,
    sites: FxHashMap<String, u32>,
    combinations: usize,
    /// ln of the probability of each cell in its group, once all combinations have run.
    log_shares: Vec<f64>,
}

/// Fixed values of the choices of one row, and of those around it.
struct Cell {
    group: usize,
    /// The log-density of each term of the row.
    terms: Vec<f64>,
    /// The rows inside.
    groups: Vec<usize>,
}

/// A row, given values of the choices around it: the whole program is one, and so is each row of a plate.
#[derive(Default)]
struct Group {
    scale: f64,
    cells: Vec<usize>,
}

/// The part of a run that stands in the same plates.
struct Level {
    plates: Vec<Plate>,
    /// The number of each choice's site, and its values.
    choices: Vec<(u32, Vec<f32>)>,
    /// The name of each term, and its log-density in each row.
    terms: Vec<(String, Vec<f64>)>,
    /// The levels of the plates just inside.
    inner: Vec<usize>,
}

impl RowSums {
    /// Adds a combination.
    ///
    /// # Errors
    /// [`Error::Plates`] if a row's log-density depends on the choices of another.
    pub(super) fn add(&mut self, latents: &[Latent], trace: &Trace) -> Result<()> {
        self.combinations += 1;
        self.cells(latents, trace).map(drop)
    }

    /// Sums, once all combinations have been added.
    ///
    /// # Errors
    /// [`Error::Plates`] if some combinations of the values that rows can have are missing.
    pub(super) fn sum(&mut self) -> Result<()> {
        let mut logs = vec![0.0; self.cells.len()];
        let mut counts = vec![1_usize; self.cells.len()];
        let of_group = |group: usize, logs: &[f64]| {
            log_sum(self.groups[group].cells.iter().map(|&cell| logs[cell]))
        };
        // Cells come after those around them.
        for (number, cell) in self.cells.iter().enumerate().rev() {
            logs[number] = cell.terms.iter().sum();
            for &group in &cell.groups {
                logs[number] += self.groups[group].scale * of_group(group, &logs);
                let inside = self.groups[group].cells.iter().map(|&cell| counts[cell]);
                counts[number] =
                    counts[number].saturating_mul(inside.fold(0, usize::saturating_add));
            }
        }
        let all = self.groups.first().map_or(&[][..], |whole| &whole.cells);
        let all = all.iter().map(|&cell| counts[cell]);
        if all.fold(0, usize::saturating_add) != self.combinations {
            return Err(meet("which choices there are"));
        }
        let groups = 0..self.groups.len();
        let sums: Vec<f64> = groups.map(|group| of_group(group, &logs)).collect();
        let cells = self.cells.iter().zip(logs);
        self.log_shares = cells.map(|(cell, log)| log - sums[cell.group]).collect();
        Ok(())
    }

    /// The logarithm of the probability of a combination.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if a run differs from an earlier one.
    pub(super) fn log_probability(&mut self, latents: &[Latent], trace: &Trace) -> Result<f64> {
        let mut log = 0.0;
        for cell in self.cells(latents, trace)? {
            let share = self.log_shares.get(cell).ok_or_else(|| {
                Error::Inconsistent(
                    "a run with the same choices reached others than before; a model that is enumerated is a \
                     function of its choices alone"
                        .into(),
                )
            })?;
            log += share;
        }
        // Inside what is impossible nothing is known.
        Ok(match log.is_nan() {
            true => f64::NEG_INFINITY,
            false => log,
        })
    }

    /// The cells of a combination, outer ones before inner ones.
    fn cells(&mut self, latents: &[Latent], trace: &Trace) -> Result<Vec<usize>> {
        let levels = self.levels(latents, trace)?;
        if self.groups.is_empty() {
            self.groups.push(Group {
                scale: 1.0,
                cells: Vec::new(),
            });
        }
        let mut cells = Vec::new();
        self.visit(&levels, 0, 0, 0, &mut cells)?;
        Ok(cells)
    }

    /// The contents of a run, by plates.
    fn levels(&mut self, latents: &[Latent], trace: &Trace) -> Result<Vec<Level>> {
        let mut levels = vec![Level::of(&[])];
        for latent in latents {
            let level = Level::at(&mut levels, &latent.plates);
            let next = self.sites.len() as u32;
            let site = *self.sites.entry(latent.name.to_string()).or_insert(next);
            let values = latent.value.peek()?;
            levels[level].choices.push((site, values));
        }
        for entry in trace.entries() {
            if entry.kind == Kind::Param || entry.elsewhere {
                continue;
            }
            let number = entry.weighed(log_weight(entry)?);
            let number = number.map_err(|error| entry.locate(error))?;
            let rows = match number.scale(entry.weight_factor()) {
                Number::Host(x) => vec![x],
                Number::Tensor(t) => t.with_values(|x| x.iter().map(|&x| x.into()).collect())?,
            };
            let level = Level::at(&mut levels, &entry.plates);
            levels[level].terms.push((entry.name.to_string(), rows));
        }
        Ok(levels)
    }

    /// Finds the cells of a row, and of the rows inside.
    fn visit(
        &mut self,
        levels: &[Level],
        level: usize,
        row: usize,
        group: usize,
        found: &mut Vec<usize>,
    ) -> Result<()> {
        let own = &levels[level];
        let rows: usize = own.plates.iter().map(|plate| plate.size).product();
        let mut key = Vec::new();
        for (site, values) in &own.choices {
            let width = values.len() / rows;
            key.push(*site);
            key.extend(values[row * width..][..width].iter().map(|x| x.to_bits()));
        }
        let at_row = |numbers: &Vec<f64>| numbers[row];
        let next = self.cells.len();
        let cell = *self.cell_of.entry((group, key)).or_insert(next);
        if cell == next {
            self.groups[group].cells.push(cell);
            self.cells.push(Cell {
                group,
                terms: own.terms.iter().map(|(_, rows)| at_row(rows)).collect(),
                groups: Vec::new(),
            });
        }
        let known = &self.cells[cell].terms;
        for (at, (name, rows)) in own.terms.iter().enumerate() {
            if !known.get(at).is_some_and(|&x| is_same(x, at_row(rows))) {
                return Err(meet(&format!("`{name}`")));
            }
        }
        if known.len() != own.terms.len() {
            return Err(meet("which terms there are"));
        }
        found.push(cell);
        for &inner in &own.inner {
            let Some(plate) = levels[inner].plates.last() else {
                continue;
            };
            for member in 0..plate.size {
                let next = self.groups.len();
                let place = (cell, plate.rows, member);
                let group = *self.group_of.entry(place).or_insert(next);
                if group == next {
                    self.groups.push(Group {
                        scale: plate.scale,
                        cells: Vec::new(),
                    });
                    self.cells[cell].groups.push(group);
                }
                self.visit(levels, inner, row * plate.size + member, group, found)?;
            }
        }
        Ok(())
    }
}

/// The log-density of a site, or minus what it costs: one number per row of the plates.
///
/// # Errors
/// As [`Entry::log_prob`].
pub(super) fn log_weight(entry: &Entry) -> Result<Number> {
    match (entry.kind, &entry.value) {
        (Kind::Cost, Value::Real(x)) => Ok(Number::Host(-x)),
        (Kind::Cost, Value::Tensor(t)) => Ok(Number::Tensor(-t)),
        _ => entry.log_prob(),
    }
}

impl Level {
    fn of(plates: &[Plate]) -> Self {
        Self {
            plates: plates.to_vec(),
            choices: Vec::new(),
            terms: Vec::new(),
            inner: Vec::new(),
        }
    }

    /// The index of the level of these plates, which is added if missing.
    fn at(levels: &mut Vec<Self>, plates: &[Plate]) -> usize {
        let is_here = |level: &Self| {
            let mut pairs = level.plates.iter().zip(plates);
            level.plates.len() == plates.len() && pairs.all(|(a, b)| a.same_rows(b))
        };
        if let Some(known) = levels.iter().position(is_here) {
            return known;
        }
        let around = Self::at(levels, &plates[..plates.len() - 1]);
        levels.push(Self::of(plates));
        let new = levels.len() - 1;
        levels[around].inner.push(new);
        new
    }
}

/// Whether a row's log-density is the same in two runs: rows that are computed together may be rounded differently
/// beside others.
fn is_same(a: f64, b: f64) -> bool {
    const ROUNDING: f64 = 2e-6;
    a == b || (a - b).abs() <= ROUNDING * a.abs().min(b.abs()).max(1.0)
}

/// The error of a program in which a row depends on the choices of another.
fn meet(what: &str) -> Error {
    Error::Plates(format!(
        "{what} depends on the choices of several rows of a plate whose rows stand for others of a larger data set \
         (`of = ..`): what these others would be is not known; keep rows apart, or give all data, without `of`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows' choices and one around them: with a scale of 3 the sums of rows count three times for the choice
    /// around, and a row's own choice has the odds that it has by itself.
    #[test]
    fn what_is_around_sees_rows_as_often_as_they_stand_for_others() -> Result<()> {
        let plate = Plate {
            rows: Rows::Named("rows"),
            size: 2,
            scale: 3.0,
        };
        let around = [0.4_f64, 0.6];
        let row = |g: usize, at: usize, z: usize| [0.5, 0.3, 0.2, 0.9][(2 * g + z + at) % 4];
        let levels = |g: usize, z: [usize; 2]| {
            let logs = (0..2).map(|at| f64::ln(row(g, at, z[at]))).collect();
            let mut all = vec![Level::of(&[])];
            let inner = Level::at(&mut all, &[plate]);
            all[0].choices.push((0, vec![g as f32]));
            all[0].terms.push(("g".into(), vec![around[g].ln()]));
            all[inner].choices.push((1, z.map(|z| z as f32).to_vec()));
            all[inner].terms.push(("z".into(), logs));
            all
        };
        let mut sums = RowSums::default();
        sums.groups.push(Group {
            scale: 1.0,
            cells: Vec::new(),
        });
        let states = (0..8).map(|n| (n & 1, [n >> 1 & 1, n >> 2]));
        for (g, z) in states.clone() {
            sums.combinations += 1;
            sums.visit(&levels(g, z), 0, 0, 0, &mut Vec::new())?;
        }
        sums.sum()?;
        let of_row = |g: usize, at: usize| row(g, at, 0) + row(g, at, 1);
        let outside = [0, 1].map(|g| around[g] * (of_row(g, 0) * of_row(g, 1)).powi(3));
        for (g, z) in states {
            let mut cells = Vec::new();
            sums.visit(&levels(g, z), 0, 0, 0, &mut cells)?;
            let found: f64 = cells.iter().map(|&cell| sums.log_shares[cell]).sum();
            let inside = row(g, 0, z[0]) / of_row(g, 0) * row(g, 1, z[1]) / of_row(g, 1);
            let wanted = outside[g] / outside.iter().sum::<f64>() * inside;
            assert!((found.exp() - wanted).abs() < 1e-12);
        }
        Ok(())
    }
}
