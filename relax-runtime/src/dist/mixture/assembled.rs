//! Laws of mixtures of counts, assembled from the parts of the components' laws.

use std::rc::Rc;

use super::counts::{MixtureFamily, Part};
use super::wrong;
use crate::dist::counts::{CountLaw, CountParts};
use crate::dist::{Law, Real};
use crate::error::Result;
use crate::tensor::{Shape, Tensor};

/// Assembles components with weights `[.., K]`; `None` where a fixed number differs from row to row.
fn assembled(
    logits: &Tensor,
    components: Vec<(CountParts, Tensor)>,
) -> Result<Option<Rc<dyn Law>>> {
    let device = components.first().map(|(parts, _)| parts.theta.device());
    let logits = &match device {
        Some(device) => logits.to_device(&device)?,
        None => logits.clone(),
    };
    let mut end = components.len();
    let mut parts = Vec::with_capacity(components.len());
    let mut rows = logits.check()?.shape();
    rows = rows.leading(rows.rank().saturating_sub(1));
    let mut thetas = Vec::with_capacity(components.len());
    for (component, of_rows) in components {
        let (theta, vectors) = (component.theta, component.family.is_vector());
        let theta = if vectors { theta } else { theta.unsqueeze(-1) };
        let shape = theta.check()?.shape();
        let own = shape.leading(shape.rank() - 1);
        rows = rows.broadcast(&own).ok_or_else(|| {
            wrong(format!(
                "have draws of shapes {own} and {rows}, which do not broadcast"
            ))
        })?;
        let fixed = of_rows.peek()?;
        if fixed.iter().any(|x| *x != fixed[0]) {
            return Ok(None);
        }
        let width = shape.last().copied().unwrap_or(1);
        parts.push(Part {
            family: component.family,
            at: end..end + width,
            fixed: f64::from(fixed.first().copied().unwrap_or(0.0)),
            of_rows,
        });
        end += width;
        thetas.push(theta);
    }
    let wide = |x: &Tensor| {
        let width = x.shape().last().copied().unwrap_or(1);
        let shape = rows.join(&[width]);
        shape.map_or_else(|| x.clone(), |shape| x.broadcast_to(shape))
    };
    let all: Vec<Tensor> = std::iter::once(logits).chain(&thetas).map(wide).collect();
    let theta = Tensor::concat(&all.iter().collect::<Vec<_>>(), -1);
    // Draws also depend on what fixed numbers came from.
    let theta = parts.iter().fold(theta, |theta, part: &Part| {
        theta.depending_on(&part.of_rows)
    });
    let family = MixtureFamily {
        parts: parts.into(),
    };
    let none = Tensor::full([], 0.0, &theta.device());
    Ok(Some(Rc::new(CountLaw::new(family, &theta, &none)?)))
}

/// The counts that one law has along its last axis, each with its fixed numbers; `None` if it is not a law of counts.
fn split(component: &dyn Law) -> Result<Option<Vec<(CountParts, Tensor)>>> {
    let Some(counts) = component.counts() else {
        return Ok(None);
    };
    let vectors = usize::from(counts.family.is_vector());
    let shape = counts.theta.check()?.shape();
    let rows = shape.leading(shape.rank() - vectors);
    let Some(&number) = rows.last() else {
        return Ok(None);
    };
    let axis = -1 - vectors as isize;
    let fixed = match counts.fixed.len() {
        1 => counts.fixed.reshape(Shape::SCALAR),
        _ => counts.fixed.broadcast_to(rows),
    };
    let components = (0..number).map(|k| {
        let own = match fixed.rank() {
            0 => fixed.clone(),
            _ => fixed.index(-1, k),
        };
        let parts = CountParts {
            family: Rc::clone(&counts.family),
            theta: counts.theta.index(axis, k),
            fixed: own.clone(),
        };
        (parts, own)
    });
    Ok(Some(components.collect()))
}

/// The counts of several laws; `None` if one is not a law of counts.
fn joined(laws: &[Rc<dyn Law>]) -> Option<Vec<(CountParts, Tensor)>> {
    let with_fixed = |law: &Rc<dyn Law>| {
        let parts = law.counts()?;
        let fixed = parts.fixed.clone();
        Some((parts, fixed))
    };
    laws.iter().map(with_fixed).collect()
}

/// The law of a mixture of the counts that one law has along its last axis; `None` if it is not a law of counts, or
/// has a fixed number that differs from row to row.
pub(super) fn of_one(logits: &Tensor, component: &dyn Law) -> Result<Option<Rc<dyn Law>>> {
    match split(component)? {
        Some(components) => assembled(logits, components),
        None => Ok(None),
    }
}

/// The law of a mixture of laws of counts; `None` if one is not a law of counts, or has a fixed number that differs
/// from row to row.
pub(super) fn of_several(logits: &Tensor, laws: &[Rc<dyn Law>]) -> Result<Option<Rc<dyn Law>>> {
    match joined(laws) {
        Some(components) => assembled(logits, components),
        None => Ok(None),
    }
}

/// Whether the counts of a law along its last axis may have different values.
pub(super) fn differ(component: &dyn Law) -> bool {
    component
        .counts()
        .is_some_and(|counts| counts.fixed.len() > 1)
}

/// Whether each number is a possible value of one of the counts; `None` if they are not counts.
fn among(components: Option<Vec<(CountParts, Tensor)>>, value: &Tensor) -> Result<Option<bool>> {
    let Some(components) = components else {
        return Ok(None);
    };
    let outside = components
        .iter()
        .map(|(parts, fixed)| parts.family.outside(fixed, value));
    let Some(outside) = outside.reduce(|all, one| all.minimum(&one)) else {
        return Ok(None);
    };
    let is_in = Real::all(&outside, |outside| outside == 0.0)?;
    Ok(Some(is_in && Real::all(value, |x| x.fract() == 0.0)?))
}

/// Whether each number is a possible value of one of the counts along the last axis of a law; `None` if they are not
/// counts.
pub(super) fn contained_in_one(component: &dyn Law, value: &Tensor) -> Result<Option<bool>> {
    among(split(component)?, value)
}

/// As [`contained_in_one`], for several laws.
pub(super) fn contained_in_several(laws: &[Rc<dyn Law>], value: &Tensor) -> Result<Option<bool>> {
    among(joined(laws), value)
}
