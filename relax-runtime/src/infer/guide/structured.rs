//! The guide that follows a model's dependences.

use std::rc::Rc;

use super::held::Held;
use super::site::expect_shape;
use super::structure::{Follows, Parent, Structure, Values};
use super::{Evaluation, Guide, GuideSite, Proposal};
use crate::dist::{Draws, Law, Part, PerParameter, Value};
use crate::error::{Error, Result};
use crate::model::{ParamStore, Program};
use crate::tensor::{Shape, Tensor};

/// Gives every site the law that the model states there, its unconstrained parameters moved by parameters
/// of the guide's own: of coins and categories q(zᵢ | z_<ᵢ) ∝ p(zᵢ | z_<ᵢ) · tᵢ(zᵢ; those earlier
/// choices on which the posterior's conditional depends beside p). The default of
/// [`Elbo`](crate::infer::Elbo) and [`Svi`](crate::infer::Svi).
///
/// Which those are is found before training by running the model with each choice changed in turn: 3 (n + 1)
/// runs of n choices, more where choices decide which others there are, up to 12 (n + 1), with the first
/// values of its parameters and the first data that it has. By few values of discrete choices (up to 64
/// combinations) there is a table of how far the parameters are moved; further ones, and continuous ones,
/// move the law's first parameter in proportion to their numbers. So the posterior itself is among the guides
/// of models with few discrete choices, of chains of them, whose tᵢ has no earlier choices at all, and of
/// linear Gaussian models with a number a site. A choice without dependences gets what
/// [`MeanFieldGuide`](super::MeanFieldGuide) gives it; several choices of one site do not follow each other.
///
/// More than 128 choices are not looked at one by one: each then moves by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct StructuredGuide;

impl Guide for StructuredGuide {
    fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
        let Evaluation { model, params, .. } = evaluation;
        let structure = params.note(model.model_name(), || Structure::of(model));
        evaluation.by_site(move |site| law_of(site, &structure))
    }

    fn is_mean_field(&self, model: &dyn Program, params: &ParamStore) -> bool {
        let structure = params.noted::<Structure>(model.model_name());
        structure.is_some_and(|structure| structure.is_independent())
    }
}

/// The law of a site in a model of this structure.
pub(super) fn law_of(site: &GuideSite<'_>, structure: &Structure) -> Result<Rc<dyn Law>> {
    let follows = structure.of_site(site.name());
    match follows.any {
        true => moved(site, follows),
        false => site.mean_field(),
    }
}

/// The law that the model states, moved.
fn moved(site: &GuideSite<'_>, follows: &Follows) -> Result<Rc<dyn Law>> {
    site.expect_all_rows()?;
    let stated = site.stated()?;
    let guide = stated.mean_field();
    let sizes: Vec<usize> = site.plates().iter().map(|plate| plate.size).collect();
    if !guide
        .parts()
        .iter()
        .all(|part| part.shape().starts_with(&sizes))
    {
        return site.mean_field();
    }
    let row = Row::of(site, follows)?;
    let free = |held: bool| {
        let mut free = PerParameter::new();
        for (number, part) in guide.parts().iter().enumerate() {
            let mut value = part.live_value()? + row.of_table(site, part, held)?;
            if number == 0 {
                for (parent, numbers) in &row.lines {
                    value = value + row.of_line(site, part, parent, numbers, held)?;
                }
            }
            free.push(value);
        }
        guide.law(&free)
    };
    let law = free(false)?;
    let follows_numbers = row
        .lines
        .iter()
        .any(|(parent, _)| parent.values == Values::Numbers);
    site.fitting(match law.draws() {
        Draws::Pathwise if follows_numbers => Rc::new(Held {
            held: free(true)?,
            law,
        }),
        _ => law,
    })
}

/// Where the earlier choices stand.
struct Row<'a> {
    /// Plates around the site.
    plates: usize,
    /// Rows of the table, if there is one.
    rows: usize,
    at: At,
    lines: Vec<(&'a Parent, Tensor)>,
}

/// The row of the table that counts.
enum At {
    /// Host values give it by number.
    Number(usize),
    /// How much each row counts, `[plates.., rows]`.
    Shares(Tensor),
}

impl<'a> Row<'a> {
    fn of(site: &GuideSite<'_>, follows: &'a Follows) -> Result<Self> {
        let plates = site.plates().len();
        let rows = |parent: &Parent| parent.rows().unwrap_or(1);
        let mut row = Self {
            plates,
            rows: follows.table.iter().map(rows).product(),
            at: At::Number(0),
            lines: Vec::new(),
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
            let numbers = match parent.values {
                Values::Coins | Values::Category => numbers,
                Values::Numbers => (numbers - parent.centre) / parent.spread,
            };
            row.lines.push((parent, numbers));
        }
        Ok(row)
    }

    /// How much each value of each of a parent's choices counts, `[plates.., values]`.
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

    /// How much each pair of values counts.
    fn product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        let pairs = a.unsqueeze(-1) * b.unsqueeze(-2);
        let shape = pairs.shape();
        let mut rows: Vec<usize> = shape.iter().copied().take(self.plates).collect();
        rows.push(shape.iter().skip(self.plates).product());
        Shape::try_from(&rows[..]).map_or_else(Tensor::poisoned, |shape| pairs.reshape(shape))
    }

    /// What the table says of a part, as a constant where that is to be held.
    fn of_table(&self, site: &GuideSite<'_>, part: &Part, held: bool) -> Result<Tensor> {
        let shape = self.with_axis(part, (self.rows > 1).then_some(self.rows))?;
        let table = zeros(site, &format!("{}.shift", part.name()), part, shape)?;
        let table = if held { table.detach() } else { table };
        Ok(match (&self.at, self.rows > 1) {
            (_, false) => table,
            (At::Number(number), true) => table.index(self.plates as isize, *number),
            (At::Shares(shares), true) => self.weighed(&table, shares, part)?,
        })
    }

    /// What an earlier choice's numbers, in proportion, add to a part; their slope as a constant where that
    /// is to be held.
    fn of_line(
        &self,
        site: &GuideSite<'_>,
        part: &Part,
        parent: &Parent,
        numbers: &Tensor,
        held: bool,
    ) -> Result<Tensor> {
        let shape = self.with_axis(part, Some(parent.numbers))?;
        let name = format!("{}.slope by {}", part.name(), parent.name);
        let slope = zeros(site, &name, part, shape)?;
        let slope = if held { slope.detach() } else { slope };
        self.weighed(&slope, numbers, part)
    }

    /// The sum over the axis behind the plates of numbers `[plates.., axis, event..]`, each weighed by its
    /// share, `[plates.., axis]`.
    fn weighed(&self, numbers: &Tensor, shares: &Tensor, part: &Part) -> Result<Tensor> {
        let mut shape = shares.check()?.shape().to_vec();
        shape.resize(part.shape().rank() + 1, 1);
        let shares = shares.reshape(Shape::try_from(&shape[..])?);
        Ok((shares * numbers).sum(self.plates as isize))
    }

    /// The shape of a part with an axis behind the plates.
    fn with_axis(&self, part: &Part, axis: Option<usize>) -> Result<Shape> {
        let mut shape = part.shape().to_vec();
        if let Some(axis) = axis {
            shape.insert(self.plates, axis);
        }
        Shape::try_from(&shape[..])
    }
}

/// A parameter of a part that starts from zeros.
fn zeros(site: &GuideSite<'_>, name: &str, part: &Part, shape: Shape) -> Result<Tensor> {
    let first = || Ok(Tensor::zeros(shape, &part.first_value()?.device()));
    let parameter = site.parameter(name, first)?;
    expect_shape(&parameter, shape)?;
    Ok(parameter.get())
}

/// The number of an earlier host value; the first where the run has not come by it.
fn host_value(site: &GuideSite<'_>, parent: &Parent) -> Result<usize> {
    let mut found = Ok(0);
    site.with_earlier(&parent.name, &mut |entry| {
        found = match &entry.value {
            Value::Bool(b) => Ok(usize::from(*b)),
            Value::Index(k) => Ok(*k),
            Value::Vector(v) => Ok(v.iter().position(|x| *x > 0.5).unwrap_or(0)),
            Value::Real(x) => Ok(*x as usize),
            // A read that counts: the law depends on it.
            Value::Tensor(t) => t.item().map(|x| x as usize),
        };
    });
    Ok(found?.min(parent.rows().unwrap_or(1) - 1))
}

/// The numbers of an earlier choice as a vertex, `[plates.., numbers]` with an axis for each of the
/// site's plates; zeros where the run has not come by it.
fn vertex(site: &GuideSite<'_>, parent: &Parent, plates: usize) -> Result<Tensor> {
    let mut found = None;
    site.with_earlier(&parent.name, &mut |entry| {
        let law = entry.dist.as_ref().map(|dist| dist.law());
        let value = entry.value.to_tensor();
        let vertex = law.map(|law| Ok(law?.to_vertex(&value?)));
        found = vertex.map(|vertex: Result<Tensor>| (vertex, entry.plates.len()));
    });
    let axes = |rows: &[usize]| {
        let mut shape = rows.to_vec();
        shape.resize(plates, 1);
        shape.push(parent.numbers);
        Shape::try_from(&shape[..])
    };
    let Some((vertex, own_plates)) = found else {
        return Ok(Tensor::zeros(axes(&[])?, &site.stated()?.device()));
    };
    let vertex = vertex?;
    let shape = vertex.check()?.shape();
    match shape.get(..own_plates) {
        Some(rows) if own_plates <= plates => Ok(vertex.reshape(axes(rows)?)),
        _ => Err(Error::Guide(format!(
            "the automatic guide follows `{}`, which stood in other plates when the model was looked \
             at; give sites in other plates other names",
            parent.name
        ))),
    }
}
