//! The relaxation that all laws of counts share.

use std::cell::OnceCell;
use std::ops::RangeInclusive;

use super::family::{CountFamily, Place, QuantileLevel};
use crate::dist::excluded::numbers_of;
use crate::dist::{Form, Relaxation, noise};
use crate::error::{Error, Result};
use crate::tensor::{MAX_RANK, Shape, Tensor};

/// The relaxation of counts: u lies v of the way up the step of the distribution function at b. Given b, v
/// is uniform whatever θ is, and s = b + v − ½ is continuous and rising in u, half as steep at the ends
/// of the support: nothing is cut off, and z̃ does not move with θ at all. κ is ∂s/∂v times −[∂F(b −
/// 1)/∂θ + v ∂p/∂θ]/p, where p is the mass of b.
///
/// That needs steps of any height between the values: where [hardly any mass](CountFamily::has_gap) lies between likely
/// ones, z jumps with θ, and only estimators that do not look at z are valid.
///
/// The relaxed sample z is s, measured from the law's mean in units of its standard deviation, so that networks
/// see numbers of one size; [`squash`](Relaxation::squash) gives s, whatever the temperature.
///
/// Where θ has several numbers, they form a vector along the last axis, and so do z and b: the first of
/// their numbers is the count, and the others are 0.
#[derive(Clone, Debug)]
pub struct CountRelaxation<F> {
    pub(super) family: F,
    /// A number, or one for each event.
    pub(super) fixed: Tensor,
    /// Center and unit of z in each event, of θ's shape.
    centre: Tensor,
    unit: Tensor,
    /// The largest value of every event, if there is one.
    last: Option<f64>,
    /// θ, for what is found out when it is asked for.
    theta: Tensor,
    has_gap: OnceCell<bool>,
}

/// The numbers of events of a tensor `[.., width]`, or `[..]` at width 1.
struct Events {
    theta: Vec<f64>,
    fixed: Vec<f64>,
    width: usize,
}

impl Events {
    fn of<F: CountFamily>(family: &F, theta: &Tensor, fixed: &Tensor) -> Result<Self> {
        let double = |x: Vec<f32>| x.into_iter().map(f64::from).collect();
        let width = family.width();
        let events = family.shape_of_counts(theta.check()?.shape());
        let fixed = match fixed.len() {
            1 => fixed.clone(),
            _ => fixed.broadcast_to(events),
        };
        Ok(Self {
            theta: double(theta.peek()?),
            fixed: double(fixed.peek()?),
            width,
        })
    }

    /// θ and the fixed number of each event.
    fn each(&self) -> impl Iterator<Item = (&[f64], f64)> {
        let theta = self.theta.chunks(self.width).enumerate();
        theta.map(|(i, theta)| (theta, self.fixed[i % self.fixed.len().max(1)]))
    }
}

impl<F: CountFamily> CountRelaxation<F> {
    pub(super) fn new(family: F, theta: &Tensor, fixed: &Tensor) -> Result<Self> {
        let fixed = fixed.detach();
        let events = Events::of(&family, theta, &fixed)?;
        let width = family.width();
        let (mut centre, mut unit) = (vec![0.0; theta.len()], vec![0.0; theta.len()]);
        for (i, (theta, fixed)) in events.each().enumerate() {
            let (mean, deviation) = family.moments(theta, fixed);
            let finite = |x: f64| x.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
            centre[i * width] = finite(mean);
            // Steps of 1 are large enough for laws that hardly ever leave one value.
            unit[i * width] = finite(deviation.max(1.0));
        }
        let lasts = events.fixed.iter().map(|fixed| family.last(*fixed));
        let same = |a: f64, b: f64| if a == b { a } else { f64::INFINITY };
        let last = lasts.reduce(same).filter(|last| last.is_finite());
        let like = |values| Tensor::from_vec(values, theta.shape(), &theta.device());
        Ok(Self {
            family,
            fixed,
            centre: like(centre)?,
            unit: like(unit)?,
            last,
            theta: theta.detach(),
            has_gap: OnceCell::new(),
        })
    }

    /// Whether an event has a gap between its values, as far as some events show.
    pub(super) fn has_gap(&self) -> bool {
        const MOST: usize = 64;
        let look = || -> Result<bool> {
            let events = Events::of(&self.family, &self.theta, &self.fixed)?;
            let apart = events.each().count().div_ceil(MOST).max(1);
            let mut some = events.each().step_by(apart);
            Ok(some.any(|(theta, fixed)| self.family.has_gap(theta, fixed)))
        };
        *self.has_gap.get_or_init(|| look().unwrap_or(false))
    }

    /// A tensor of θ's shape whose numbers `each` computes for every event, given θ, the fixed number, the center
    /// and unit of the event, and its numbers of x.
    fn map(
        &self,
        theta: &Tensor,
        x: &Tensor,
        mut each: impl FnMut(Event<'_>, &mut [f32]),
    ) -> Result<Tensor> {
        let events = Events::of(&self.family, theta, &self.fixed)?;
        let (shape, width) = (theta.shape(), events.width);
        if x.check()?.shape() != shape || self.unit.shape() != shape {
            return Err(Error::Autodiff(format!(
                "{} has parameters of shape {}, but was asked about shapes {shape} and {}",
                F::NAME,
                self.unit.shape(),
                x.shape()
            )));
        }
        let (centre, unit, x) = (self.centre.peek()?, self.unit.peek()?, x.peek()?);
        let mut out = vec![0.0; x.len()];
        for (i, ((theta, fixed), out)) in events.each().zip(out.chunks_mut(width)).enumerate() {
            let event = Event {
                theta,
                fixed,
                centre: f64::from(centre[i * width]),
                unit: f64::from(unit[i * width]),
                x: x[i * width],
            };
            each(event, out);
        }
        Tensor::from_vec(out, shape, &theta.device())
    }

    fn ends(&self, fixed: f64) -> (f64, f64) {
        (self.family.first(), self.family.last(fixed))
    }

    fn place(&self, event: &Event<'_>) -> Place {
        let u = QuantileLevel::of_noise(event.x);
        Place::of(&self.family, event.theta, event.fixed, u)
    }

    /// The z of a place, as close to it as rounding allows within the step of b.
    fn z(&self, place: Place, event: &Event<'_>) -> f32 {
        let (first, last) = self.ends(event.fixed);
        let mut z = ((place.relaxed(first, last) - event.centre) / event.unit) as f32;
        if !z.is_finite() {
            return z;
        }
        while event.value_at(z, first, last) < place.b {
            z = z.next_up();
        }
        while event.value_at(z, first, last) > place.b {
            z = z.next_down();
        }
        z
    }

    /// 1 at the first number of each event, 0 at the others; `None` where events are single numbers.
    fn at_count(&self) -> Option<Tensor> {
        let zero = || Tensor::full([], 0.0, &self.unit.device());
        let is_vector = self.family.is_vector();
        is_vector.then(|| zero().one_hot(self.family.width()))
    }

    /// The sum over the numbers of each event, put at its count.
    fn gathered(&self, x: Tensor) -> Tensor {
        match self.at_count() {
            None => x,
            Some(here) => x.sum_keepdim(-1) * here,
        }
    }

    /// The counts as vertices.
    pub(super) fn vertex(&self, value: &Tensor) -> Tensor {
        match self.at_count() {
            None => value.clone(),
            Some(here) => value.unsqueeze(-1) * here,
        }
    }

    /// The counts of vertices, and of points between them.
    pub(super) fn count(&self, vertex: &Tensor) -> Tensor {
        match self.family.is_vector() {
            false => vertex.clone(),
            true => vertex.index(-1, 0),
        }
    }

    /// The means of the counts.
    pub(super) fn counts_mean(&self, theta: &Tensor) -> Tensor {
        self.family.mean(theta, &self.fixed)
    }
}

/// What is needed of one event.
struct Event<'a> {
    theta: &'a [f64],
    fixed: f64,
    centre: f64,
    unit: f64,
    /// The first of its numbers in the tensor that was passed.
    x: f32,
}

impl Event<'_> {
    /// The value whose step z lies in.
    fn value_at(&self, z: f32, first: f64, last: f64) -> f64 {
        // `f64::max` and `min`, so that NaN becomes the first value.
        let s = f64::from(z) * self.unit + self.centre;
        (s + 0.5).floor().max(first).min(last)
    }
}

fn sound(result: Result<Tensor>) -> Tensor {
    result.unwrap_or_else(Tensor::poisoned)
}

impl<F: CountFamily> Relaxation for CountRelaxation<F> {
    fn form(&self) -> Form {
        match self.has_gap() {
            true => Form::Gapped,
            false => Form::Other,
        }
    }

    fn relaxed(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        let z = sound(self.map(theta, u, |event, out| {
            out[0] = self.z(self.place(&event), &event);
        }));
        if !theta.is_tracked() && theta.tangent().is_none() {
            return z.drawn_with(std::slice::from_ref(theta));
        }
        // Its slope jumps where b does.
        theta.mark_rough();
        let kappa = self.kappa(theta, u, &z);
        let apart = theta - numbers_of(theta);
        z + self.gathered(kappa * apart)
    }

    fn hard(&self, z: &Tensor) -> Tensor {
        // θ is not needed.
        sound(self.map(&self.centre, z, |event, out| {
            let (first, last) = self.ends(event.fixed);
            out[0] = event.value_at(event.x, first, last) as f32;
        }))
    }

    fn conditional(&self, _: &Tensor, v: &Tensor, b: &Tensor) -> Tensor {
        let way = noise::uniform(v);
        let ways = match way.peek() {
            Ok(ways) => ways,
            Err(error) => return Tensor::poisoned(error),
        };
        let mut ways = ways.into_iter().step_by(self.family.width());
        sound(self.map(&self.centre, b, |event, out| {
            let place = Place {
                b: f64::from(event.x),
                v: ways.next().map_or(0.5, f64::from),
            };
            out[0] = self.z(place, &event);
        }))
    }

    fn coupled_noise(&self, theta: &Tensor, u: &Tensor, _: &Tensor) -> Tensor {
        sound(self.map(theta, u, |event, out| {
            let v = self.place(&event).v;
            // Numbers near 1 are stored as noise below 0.
            let v = if v > 0.5 { v - 1.0 } else { v };
            out.fill(0.5);
            out[0] = v as f32;
        }))
    }

    fn squash(&self, z: &Tensor, _: &Tensor) -> Tensor {
        let s = z * &self.unit + &self.centre;
        let low = self.family.first() as f32;
        let high = self.last.map_or(f32::MAX, |last| last as f32);
        match self.family.is_vector() {
            false => s.kept_within(low, high),
            // The numbers beside the count are 0.
            true => s.kept_within(low.min(0.0), high),
        }
    }

    fn kappa(&self, theta: &Tensor, u: &Tensor, _: &Tensor) -> Tensor {
        let mut numbers = vec![0.0; self.family.width()];
        sound(self.map(theta, u, |event, out| {
            let place = self.place(&event);
            let (first, last) = self.ends(event.fixed);
            let scale = place.steepness(first, last) / event.unit;
            let Event { theta, fixed, .. } = event;
            self.family.kappa(theta, fixed, place, &mut numbers);
            for (out, kappa) in out.iter_mut().zip(&numbers) {
                *out = (kappa * scale) as f32;
            }
        }))
    }

    fn pull(&self, _: &Tensor, kappa: &Tensor, w: &Tensor) -> Tensor {
        match self.family.is_vector() {
            false => kappa * w,
            true => kappa * w.slice(-1, 0..1),
        }
    }

    fn push(&self, _: &Tensor, kappa: &Tensor, v: &Tensor) -> Tensor {
        self.gathered(kappa * v)
    }

    fn event_rank(&self) -> usize {
        usize::from(self.family.is_vector())
    }

    fn ignores_shifts(&self) -> bool {
        self.family.is_table()
    }

    fn values(&self, _: usize) -> Option<usize> {
        let count = self.last? - self.family.first() + 1.0;
        Some(count as usize)
    }

    fn counts(&self) -> Option<RangeInclusive<usize>> {
        Some(self.family.first() as usize..=self.last? as usize)
    }

    fn vertices(&self, width: usize) -> Vec<Vec<f32>> {
        let vertex = |k: usize| {
            let mut vertex = vec![0.0; width];
            vertex[0] = (self.family.first() + k as f64) as f32;
            vertex
        };
        (0..self.values(width).unwrap_or(0)).map(vertex).collect()
    }

    /// All values at once, along a first axis that then becomes the last.
    fn probabilities(&self, theta: &Tensor) -> Tensor {
        let Some(counts) = self.counts() else {
            return Tensor::poisoned(Error::Law(format!("{} has no last value", F::NAME)));
        };
        let rows = self.family.shape_of_counts(theta.shape());
        if self.family.is_table() {
            return theta.softmax(-1);
        }
        if rows.rank() + 2 > MAX_RANK {
            // No axis is left to hold all of them at once.
            let of_value = |k: usize| {
                let value = Tensor::full([], k as f32, &theta.device());
                self.family.log_mass(theta, &self.fixed, &value).exp()
            };
            let each: Vec<Tensor> = counts.map(of_value).collect();
            return Tensor::stack(&each.iter().collect::<Vec<_>>(), -1);
        }
        let numbers: Vec<f32> = counts.map(|k| k as f32).collect();
        let values = numbers.len();
        let mut along = vec![values];
        along.resize(1 + rows.rank(), 1);
        let of_shapes = || -> Result<Tensor> {
            let along = Tensor::from_vec(numbers, Shape::try_from(&along[..])?, &theta.device())?;
            let masses = self.family.log_mass(theta, &self.fixed, &along).exp();
            let mut shape = rows.to_vec();
            shape.push(values);
            let by_value = masses.reshape([values, rows.numel()]).transpose();
            Ok(by_value.reshape(Shape::try_from(&shape[..])?))
        };
        of_shapes().unwrap_or_else(Tensor::poisoned)
    }

    fn log_mass(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        self.family.log_mass(theta, &self.fixed, &self.count(b))
    }

    /// The score of b: between b and b + 1, z is uniform.
    fn relaxed_score(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        let theta = theta.detach();
        self.score(&theta, &self.hard(&self.relaxed(&theta, u)))
    }

    fn mean(&self, theta: &Tensor) -> Tensor {
        self.vertex(&self.counts_mean(theta))
    }

    fn scale(&self) -> Option<(&Tensor, &Tensor)> {
        Some((&self.centre, &self.unit))
    }

    fn variance(&self, theta: &Tensor) -> Tensor {
        self.vertex(&self.family.variance(theta, &self.fixed))
    }

    fn spans(&self, draw: &Tensor) -> Result<bool> {
        let low = self.family.first() as f32;
        let high = self.last.map_or(f32::MAX, |last| last as f32);
        self.count(draw)
            .with_values(|values| values.iter().all(|s| (low..=high).contains(s)))
    }
}
