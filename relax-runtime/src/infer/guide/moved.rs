//! The law that a model states at a site, moved by parameters and by earlier choices.

use std::rc::Rc;

use super::GuideSite;
use super::held::Held;
use super::site::expect_shape;
use super::skewed::skewed;
use super::structure::{Follows, Parent, Structure, Values};
use crate::dist::{Draws, Law, MeanField, Part, PerParameter, Value};
use crate::error::{Error, Result};
use crate::tensor::{Parameter, Shape, Tensor};

/// The law of a site in a model with this structure.
pub(super) fn law_of(site: &GuideSite<'_>, structure: &Structure) -> Result<Rc<dyn Law>> {
    let follows = structure.of_site(site.name());
    match follows.any {
        true => moved(site, follows),
        false => site.mean_field(),
    }
}

/// The parts by which a law is moved: Gaussian numbers may also be skewed, once scales follow.
pub(super) fn guide_of<'l>(stated: &'l dyn Law, follows: &Follows) -> Result<MeanField<'l>> {
    match follows.with_all_parts {
        true => skewed(stated.mean_field()),
        false => Ok(stated.mean_field()),
    }
}

/// The law that the model states, moved.
fn moved(site: &GuideSite<'_>, follows: &Follows) -> Result<Rc<dyn Law>> {
    site.expect_all_rows()?;
    let stated = site.stated()?;
    let guide = guide_of(&*stated, follows)?;
    let Some(row) = Row::around(site, &guide, follows)? else {
        return site.mean_field();
    };
    // For each part the table's parameter, followed by the slopes.
    let parts = guide.parts().iter().enumerate();
    let parameters = parts.map(|(number, part)| {
        let apart = || site.displacement(&*stated, &guide, number);
        row.parameters(site, part, number == 0, apart)
    });
    let parameters = parameters.collect::<Result<Vec<_>>>()?;
    let free = |held: bool| -> Result<PerParameter<Tensor>> {
        let parts = guide.parts().iter().zip(&parameters);
        parts
            .map(|(part, parameters)| row.moved(part, parameters, held))
            .collect()
    };
    let live = free(false)?;
    site.in_units(&guide, &live, |part| &parameters[part])?;
    let law = guide.law(&live)?;
    let follows_numbers = row
        .lines
        .iter()
        .any(|(parent, _)| parent.values == Values::Numbers);
    site.fitting(match law.draws() {
        Draws::Pathwise if follows_numbers => Rc::new(Held {
            held: guide.law(&free(true)?)?,
            law,
        }),
        _ => law,
    })
}

/// The values of the earlier choices.
pub(super) struct Row<'a> {
    /// Plates around the site.
    plates: usize,
    /// Rows of the table, if there is one.
    rows: usize,
    at: At,
    lines: Vec<(&'a Parent, Tensor)>,
    with_all_parts: bool,
}

/// The row of the table that applies.
enum At {
    /// Host values give its number.
    Number(usize),
    /// The share of each row, `[plates.., rows]`.
    Shares(Tensor),
}

impl<'a> Row<'a> {
    /// `None` if a part of the guide has no rows of its own.
    pub(super) fn around(
        site: &GuideSite<'_>,
        guide: &MeanField<'_>,
        follows: &'a Follows,
    ) -> Result<Option<Self>> {
        let sizes: Vec<usize> = site.plates().iter().map(|plate| plate.size).collect();
        let mut parts = guide.parts().iter();
        match parts.all(|part| part.shape().starts_with(&sizes)) {
            true => Self::of(site, follows).map(Some),
            false => Ok(None),
        }
    }

    fn of(site: &GuideSite<'_>, follows: &'a Follows) -> Result<Self> {
        let plates = site.plates().len();
        let rows = |parent: &Parent| parent.rows().unwrap_or(1);
        let mut row = Self {
            plates,
            rows: follows.table.iter().map(rows).product(),
            at: At::Number(0),
            lines: Vec::new(),
            with_all_parts: follows.with_all_parts,
        };
        if follows.table.iter().all(|parent| parent.is_host) {
            let mut number = 0;
            for parent in &follows.table {
                number = number * rows(parent) + host_value(site, parent)?;
            }
            row.at = At::Number(number);
        } else {
            let mut shares: Option<Tensor> = None;
            for parent in &follows.table {
                for choice in row.choices(&vertex(site, parent, plates)?, parent) {
                    shares = Some(match shares {
                        None => choice,
                        Some(known) => row.product(&known, &choice),
                    });
                }
            }
            if let Some(shares) = shares {
                row.at = At::Shares(shares);
            }
        }
        for parent in &follows.lines {
            let numbers = vertex(site, parent, plates)?;
            row.lines.push((
                parent,
                match parent.values {
                    Values::Numbers => numbers / follows.spreads_a_unit(),
                    Values::Coins | Values::Category => numbers,
                },
            ));
        }
        Ok(row)
    }

    /// The share of each value of each of a parent's choices, `[plates.., values]`.
    fn choices(&self, vertex: &Tensor, parent: &Parent) -> Vec<Tensor> {
        match parent.values {
            Values::Coins => (0..parent.numbers)
                .map(|at| {
                    let x = vertex.slice(-1, at..at + 1);
                    Tensor::concat(&[&(1.0 - &x), &x], -1)
                })
                .collect(),
            Values::Category | Values::Numbers => vec![vertex.clone()],
        }
    }

    /// The share of each pair of values.
    fn product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        let pairs = a.unsqueeze(-1) * b.unsqueeze(-2);
        let shape = pairs.shape();
        let mut rows: Vec<usize> = shape.iter().copied().take(self.plates).collect();
        rows.push(shape.iter().skip(self.plates).product());
        Shape::try_from(&rows[..]).map_or_else(Tensor::poisoned, |shape| pairs.reshape(shape))
    }

    /// The parameters that move a part: the table, and a slope for each line.
    fn parameters(
        &self,
        site: &GuideSite<'_>,
        part: &Part,
        is_first: bool,
        apart: impl FnOnce() -> Result<Option<Tensor>>,
    ) -> Result<Vec<Parameter>> {
        let shape = self.with_axis(part, (self.rows > 1).then_some(self.rows))?;
        let shift = site.parameter(&shift_of(part), || {
            let first = Tensor::full(shape, part.offset(), &part.first_value()?.device());
            Ok(match (apart()?, self.rows > 1) {
                (None, _) => first,
                (Some(apart), false) => first + apart,
                (Some(apart), true) => first + apart.unsqueeze(self.plates as isize),
            })
        })?;
        expect_shape(&shift, shape)?;
        let mut parameters = vec![shift];
        let has_slopes = is_first || self.with_all_parts;
        for (parent, _) in self.lines.iter().filter(|_| has_slopes) {
            let shape = self.with_axis(part, Some(parent.numbers))?;
            parameters.push(zeros(site, &slope_of(part, parent), part, shape)?);
        }
        Ok(parameters)
    }

    /// A part as the model states it, moved by its parameters, as constants if they are `held`.
    fn moved(&self, part: &Part, parameters: &[Parameter], held: bool) -> Result<Tensor> {
        let value = |parameter: &Parameter| match held {
            true => parameter.get().detach(),
            false => parameter.for_guide(),
        };
        let mut moved = part.live_value()?;
        let [table, slopes @ ..] = parameters else {
            return Ok(moved);
        };
        let table = value(table);
        moved = moved
            + match (&self.at, self.rows > 1) {
                (_, false) => table,
                (At::Number(number), true) => table.index(self.plates as isize, *number),
                (At::Shares(shares), true) => self.weighed(&table, shares, part)?,
            };
        for (slope, (_, numbers)) in slopes.iter().zip(&self.lines) {
            moved = moved + self.weighed(&value(slope), numbers, part)?;
        }
        Ok(moved)
    }

    /// Rewrites shifts and slopes of a guide's parts for new places and units of earlier choices, so that the law stays
    /// the same.
    pub(super) fn rewrite(
        &self,
        site: &GuideSite<'_>,
        guide: &MeanField<'_>,
        new: &Follows,
    ) -> Result<()> {
        let mut parts = guide.parts().iter().enumerate();
        parts.try_for_each(|(number, part)| self.rewrite_part(site, part, number == 0, new))
    }

    fn rewrite_part(
        &self,
        site: &GuideSite<'_>,
        part: &Part,
        is_first: bool,
        new: &Follows,
    ) -> Result<()> {
        let parameters = self.parameters(site, part, is_first, || Ok(None))?;
        let [table, slopes @ ..] = &parameters[..] else {
            return Ok(());
        };
        let spreads_a_unit = new.spreads_a_unit();
        let lines = self.lines.iter().map(|(old, _)| *old).zip(&new.lines);
        for (slope, (old, new)) in slopes.iter().zip(lines) {
            if old.values != Values::Numbers {
                continue;
            }
            let before = slope.get().kept();
            let device = before.device();
            let place = |of: &Tensor| of.to_device(&device);
            let spread = place(&old.spread)?;
            let apart = (place(&new.centre)? - place(&old.centre)?) / (&spread * spreads_a_unit);
            let moved = self.weighed(&before, &self.behind_plates(&apart)?, part)?;
            let moved = match self.rows > 1 {
                true => moved.unsqueeze(self.plates as isize),
                false => moved,
            };
            table.set((table.get() + moved).kept())?;
            let grown = self.behind_plates(&(place(&new.spread)? / spread))?;
            slope.set((before * self.beside(&grown, part)?).kept())?;
        }
        Ok(())
    }

    /// Numbers `[plates of an earlier choice.., numbers]` with an axis for each plate of the site.
    fn behind_plates(&self, numbers: &Tensor) -> Result<Tensor> {
        let shape = numbers.check()?.shape();
        let (rows, last) = shape.split_at(shape.rank().saturating_sub(1));
        Ok(numbers.reshape(axes(rows, self.plates, last.iter().product())?))
    }

    /// The sum over the axis after the plates of numbers `[plates.., axis, event..]`, each weighted by its share,
    /// `[plates.., axis]`.
    fn weighed(&self, numbers: &Tensor, shares: &Tensor, part: &Part) -> Result<Tensor> {
        Ok((self.beside(shares, part)? * numbers).sum(self.plates as isize))
    }

    /// Numbers `[plates.., axis]` that broadcast to `[plates.., axis, event..]`.
    fn beside(&self, shares: &Tensor, part: &Part) -> Result<Tensor> {
        let mut shape = shares.check()?.shape().to_vec();
        shape.resize(part.shape().rank() + 1, 1);
        Ok(shares.reshape(Shape::try_from(&shape[..])?))
    }

    /// The shape of a part with an axis after the plates.
    fn with_axis(&self, part: &Part, axis: Option<usize>) -> Result<Shape> {
        let mut shape = part.shape().to_vec();
        if let Some(axis) = axis {
            shape.insert(self.plates, axis);
        }
        Shape::try_from(&shape[..])
    }
}

/// The name of a part's parameter, after the name of the site.
fn shift_of(part: &Part) -> String {
    format!("{}.shift", part.name())
}

fn slope_of(part: &Part, parent: &Parent) -> String {
    format!("{}.slope by {}", part.name(), parent.name)
}

/// A parameter of a part that starts from zeros.
fn zeros(site: &GuideSite<'_>, name: &str, part: &Part, shape: Shape) -> Result<Parameter> {
    let first = || Ok(Tensor::zeros(shape, &part.first_value()?.device()));
    let parameter = site.parameter(name, first)?;
    expect_shape(&parameter, shape)?;
    Ok(parameter)
}

/// The number of an earlier host value; the first one if the run has not reached it.
fn host_value(site: &GuideSite<'_>, parent: &Parent) -> Result<usize> {
    let mut found = Ok(0);
    site.with_earlier(&parent.name, &mut |entry| {
        found = match &entry.value {
            Value::Bool(b) => Ok(usize::from(*b)),
            Value::Index(k) => Ok(*k),
            Value::Vector(v) => Ok(v.iter().position(|x| *x > 0.5).unwrap_or(0)),
            Value::Real(x) => Ok(*x as usize),
            // Counts as a read: the law depends on it.
            Value::Tensor(t) => t.item().map(|x| x as usize),
        };
    });
    Ok(found?.min(parent.rows().unwrap_or(1) - 1))
}

/// The numbers of an earlier choice, `[plates.., numbers]` with an axis for each of the site's plates: as a vertex, or
/// for arbitrary numbers, measured from their center in units of their spread. Zeros if the run has not reached it.
fn vertex(site: &GuideSite<'_>, parent: &Parent, plates: usize) -> Result<Tensor> {
    let mut found = None;
    site.with_earlier(&parent.name, &mut |entry| {
        let numbers = parent.values.of_entry(entry);
        found = numbers.map(|numbers| (numbers, entry.plates.len()));
    });
    let Some((vertex, own_plates)) = found else {
        return Ok(Tensor::zeros(
            axes(&[], plates, parent.numbers)?,
            &site.stated()?.device(),
        ));
    };
    let vertex = vertex?;
    let shape = vertex.check()?.shape();
    let rows = match shape.get(..own_plates) {
        Some(rows) if own_plates <= plates => rows,
        _ => {
            return Err(Error::Guide(format!(
                "the automatic guide follows `{}`, which stood in other plates when the model was \
                 looked at; give sites in different plates different names",
                parent.name
            )));
        }
    };
    let numbers = match parent.values {
        Values::Coins | Values::Category => vertex,
        Values::Numbers => {
            let numbers = vertex.reshape(axes(rows, own_plates, parent.numbers)?);
            // Those of a checkpoint are on the CPU.
            let device = numbers.device();
            let place = |of: &Tensor| of.to_device(&device);
            (numbers - place(&parent.centre)?) / place(&parent.spread)?
        }
    };
    Ok(numbers.reshape(axes(rows, plates, parent.numbers)?))
}

/// `[rows.., 1.., numbers]`, with an axis for each plate.
fn axes(rows: &[usize], plates: usize, numbers: usize) -> Result<Shape> {
    let mut shape = rows.to_vec();
    shape.resize(plates, 1);
    shape.push(numbers);
    Shape::try_from(&shape[..])
}
