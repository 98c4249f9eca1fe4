//! Moves of discrete choices that leave the posterior invariant.

use std::rc::Rc;

use super::places::{Place, Places, Values};
use crate::dist::{Draws, Law};
use crate::random::Stream;
use crate::tensor::{Shape, Tensor};

/// Choices with at most this many values propose each alike; those with more propose nearby values.
const MOST_VALUES: usize = 64;
/// Maximum distance that a count is moved.
const FARTHEST: usize = 3;

/// A chain of Metropolis moves of one choice, or of two at once, as needed by counts of which only the sum matters.
pub(super) struct Moves {
    place: Place,
    /// For each choice that can be moved, the name of its site, and its index there.
    choices: Vec<(Rc<str>, usize)>,
}

impl Moves {
    /// Starts at a place; `None` if no choice there can be moved.
    pub(super) fn from(place: Place) -> Option<Self> {
        let mut choices = Vec::new();
        for (site, law) in &place.laws {
            let shape = law.to_vertex(&place.values[site]).shape();
            let count = proposed(&**law, shape).map_or(0, |by| by.events);
            let site: Rc<str> = site.as_str().into();
            choices.extend((0..count).map(|number| (Rc::clone(&site), number)));
        }
        (!choices.is_empty()).then_some(Self { place, choices })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Proposes another place, and moves there or stays. Returns the proposed place, if the model can be there.
    pub(super) fn advance(&mut self, places: &Places<'_>, stream: &mut Stream) -> Option<Place> {
        let first = &self.choices[stream.below(self.choices.len())];
        let mut values = (*self.place.values).clone();
        let mut moved = vec![first];
        if stream.below(2) == 1 {
            let second = &self.choices[stream.below(self.choices.len())];
            moved.extend((second != first).then_some(second));
        }
        for (site, number) in moved {
            let value = other_value(self.place.law(site)?, &values[&**site], *number, stream)?;
            values.insert(site.to_string(), value);
        }
        let values: Values = Rc::new(values);
        let level = stream.uniform_f64().ln();
        let there = places.at(&values)?;
        if there.log_p - self.place.log_p > level {
            self.place = there.clone();
        }
        Some(there)
    }
}

/// What is proposed for the choices of a site.
struct Proposed {
    /// Number and shape of its choices.
    events: usize,
    shape: Shape,
    /// Number of values of each, if all are proposed.
    values: Option<usize>,
}

/// What is proposed for the choices of a law whose vertices have this shape.
fn proposed(law: &dyn Law, shape: Shape) -> Option<Proposed> {
    let Draws::Discrete(Some(relaxation)) = law.draws() else {
        return None;
    };
    let (rank, axes) = (relaxation.event_rank(), shape.rank());
    let values = relaxation.values(relaxation.width(&shape));
    let values = values.filter(|values| *values <= MOST_VALUES);
    if values == Some(1) || (values.is_none() && rank > 0) {
        return None;
    }
    let shape = Shape::try_from(&shape[..axes.checked_sub(rank)?]).ok()?;
    Some(Proposed {
        events: shape.numel(),
        shape,
        values,
    })
}

/// A value in which one of the choices differs; the reverse move is proposed with the same probability.
fn other_value(
    law: &dyn Law,
    value: &Tensor,
    number: usize,
    stream: &mut Stream,
) -> Option<Tensor> {
    let vertex = law.to_vertex(value);
    let Proposed {
        events,
        shape,
        values,
    } = proposed(law, vertex.shape())?;
    let by = match values {
        Some(values) => (1 + stream.below(values - 1)) as f32,
        None => {
            let by = (1 + stream.below(FARTHEST)) as f32;
            if stream.below(2) == 1 { by } else { -by }
        }
    };
    let mut all = vec![0.0; events];
    *all.get_mut(number)? = by;
    let by = Tensor::from_vec(all, shape, &vertex.device()).ok()?;
    let moved = match values {
        Some(_) => law.relaxation()?.shifted(&vertex, &by),
        None => vertex + by,
    };
    Some(law.value_at(&moved).detach())
}
