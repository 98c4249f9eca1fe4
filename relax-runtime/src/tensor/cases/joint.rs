//! The joint choices of several operands.

use smallvec::SmallVec;

use super::super::shape::MAX_RANK;
use super::super::{Shape, Tensor};
use super::all::AllCases;
use super::{Cases, Choices, lose};

/// Maximum number of combinations of choices that a tensor may have cases for.
const MOST: usize = 1 << 12;
/// With fewer cases, one operation for each takes less time than one for all with its overhead.
const FEWEST_TOGETHER: usize = 8;

/// An operation on tensors.
pub(super) type OfCase<'a> = dyn Fn(&[&Tensor]) -> Option<Tensor> + 'a;

/// An operation on tensors with a number of axes in front of those of a case, which broadcast.
pub(super) type OfAll<'a> = dyn Fn(&[&Tensor], usize) -> Option<Tensor> + 'a;

/// The joint choices of several operands.
pub(super) struct Joint {
    pub(super) choices: Choices,
    /// For each operand with cases in turn, the places of its choices among all.
    pub(super) places: SmallVec<[u8; 8]>,
    /// The combination of the run's values, and the number of combinations.
    pub(super) here: usize,
    count: usize,
    /// Whether all cases are of the same choices.
    is_aligned: bool,
}

impl Joint {
    /// The joint choices of operands, at least one of which has cases; `None` where there are too many.
    pub(super) fn of(all: &[Option<&Cases>]) -> Option<Self> {
        let mut own = all.iter().flatten();
        let first = own.next()?;
        if own.all(|cases| cases.choices == first.choices) {
            let own = all.iter().flatten();
            return Some(Self {
                choices: first.choices.clone(),
                places: own.flat_map(|cases| 0..cases.choices.len() as u8).collect(),
                here: first.here,
                count: first.all.count(),
                is_aligned: true,
            });
        }
        let mut choices = Choices::new();
        for choice in all.iter().flatten().flat_map(|cases| &cases.choices) {
            let at = choices.partition_point(|other| other.variable < choice.variable);
            if choices.get(at) != Some(choice) {
                choices.insert(at, *choice);
            }
        }
        let own = all.iter().flatten().flat_map(|cases| &cases.choices);
        let place =
            |choice: &super::Choice| choices.partition_point(|x| x.variable < choice.variable);
        let places: SmallVec<[u8; 8]> = own.map(|choice| place(choice) as u8).collect();
        let mut values: SmallVec<[usize; 4]> = SmallVec::from_elem(0, choices.len());
        let mut next = 0;
        for cases in all.iter().flatten() {
            let mut at = cases.here;
            for (choice, &place) in cases.choices.iter().zip(&places[next..]).rev() {
                values[usize::from(place)] = at % choice.size;
                at /= choice.size;
            }
            next += cases.choices.len();
        }
        let sizes = choices.iter().map(|choice| choice.size);
        let count = sizes.fold(1, usize::saturating_mul);
        let at = choices.iter().zip(values);
        let joint = Self {
            here: at.fold(0, |at, (choice, value)| at * choice.size + value),
            count,
            choices,
            places,
            is_aligned: false,
        };
        (count <= MOST).then_some(joint)
    }

    /// The results of an operation on the operands in each combination, if all of them exist.
    pub(super) fn each(
        &self,
        operands: &[&Tensor],
        all: &[Option<&Cases>],
        of_case: &OfCase<'_>,
    ) -> Option<AllCases> {
        let mut values: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.choices.len());
        let mut tensors = Vec::with_capacity(self.count);
        let mut here: SmallVec<[&Tensor; 3]> = SmallVec::from_slice(operands);
        for case in 0..self.count {
            let mut first = 0;
            for (operand, cases) in here.iter_mut().zip(all) {
                let Some(cases) = cases else { continue };
                let at = match self.is_aligned {
                    true => case,
                    false => cases.at(&self.places[first..], &values),
                };
                *operand = cases.all.at(at);
                first += cases.choices.len();
            }
            let tensor = of_case(&here)?;
            if tensor.0.is_err() {
                lose();
                return None;
            }
            tensors.push(tensor);
            self.advance(&mut values);
        }
        Some(AllCases::apart(tensors))
    }

    /// As [`each`](Self::each), for all combinations at once, where that is possible.
    pub(super) fn together(
        &self,
        operands: &[&Tensor],
        all: &[Option<&Cases>],
        of_all: &OfAll<'_>,
    ) -> Option<AllCases> {
        if self.count < FEWEST_TOGETHER {
            return None;
        }
        let ranks = operands.iter().zip(all).map(|(x, cases)| match cases {
            Some(cases) => cases.all.shape().rank(),
            None => x.rank(),
        });
        let rank = ranks.max()?;
        // One axis for each choice, or a single one for all of them.
        let lead = match self.choices.len() {
            several if !self.is_aligned && several + rank <= MAX_RANK => several,
            _ if rank < MAX_RANK => 1,
            _ => return None,
        };
        let mut first = 0;
        let mut stacked: SmallVec<[Tensor; 3]> = SmallVec::new();
        for (operand, cases) in operands.iter().zip(all) {
            stacked.push(match cases {
                None => (*operand).clone(),
                Some(cases) => {
                    let places = &self.places[first..][..cases.choices.len()];
                    first += places.len();
                    self.in_front(cases, places, lead, rank)?
                }
            });
        }
        let stacked: SmallVec<[&Tensor; 3]> = stacked.iter().collect();
        let made = of_all(&stacked, lead)?;
        let shape = made.check().ok()?.shape();
        let axes =
            |front: &[usize]| Shape::try_from(&[front, shape.get(lead..)?].concat()[..]).ok();
        let sizes: SmallVec<[usize; 4]> = match lead {
            1 => SmallVec::from_elem(self.count, 1),
            _ => self.choices.iter().map(|choice| choice.size).collect(),
        };
        let made = made.broadcast_to(axes(&sizes)?);
        let made = made.reshaped(axes(&[self.count])?);
        made.check()
            .is_ok()
            .then(|| AllCases::together(self.count, made))
    }

    /// An operand with its choices' axes in front, of length 1 for other choices, and its own filled up to `rank` axes.
    fn in_front(&self, cases: &Cases, places: &[u8], lead: usize, rank: usize) -> Option<Tensor> {
        let all = cases.all.as_one()?;
        let own = cases.all.shape();
        let mut shape: SmallVec<[usize; 4]> = SmallVec::new();
        match lead {
            1 => shape.push(self.count),
            _ => {
                shape.resize(lead, 1);
                for (&place, choice) in places.iter().zip(&cases.choices) {
                    shape[usize::from(place)] = choice.size;
                }
            }
        }
        shape.resize(lead + rank - own.rank(), 1);
        shape.extend_from_slice(&own);
        let shape = Shape::try_from(&shape[..]).ok()?;
        if lead > 1 || cases.choices.len() == self.choices.len() {
            return Some(all.reshaped(shape));
        }
        let mut values: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.choices.len());
        let mut rows = Vec::with_capacity(self.count);
        for _ in 0..self.count {
            rows.push(cases.at(places, &values));
            self.advance(&mut values);
        }
        Some(all.rows_at(&rows).reshaped(shape))
    }

    /// Moves the values on to the next combination, with the last value varying fastest.
    fn advance(&self, values: &mut [usize]) {
        for (value, choice) in values.iter_mut().zip(&self.choices).rev() {
            *value += 1;
            if *value < choice.size {
                return;
            }
            *value = 0;
        }
    }
}
