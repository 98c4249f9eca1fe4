//! The relaxation of multinomial counts.

use super::draw::{Event, draw_row, largest};
use super::mass::log_mass_of_logits;
use crate::dist::counts::QuantileLevel;
use crate::dist::excluded::numbers_of;
use crate::dist::{Place, Relaxation, noise};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// The relaxation of the counts x of n trials in K categories: each count xᵢ, except that of one category r, which
/// takes the rest, becomes sᵢ = xᵢ + vᵢ − ½ with vᵢ uniform given x, as for counts of one number; sᵣ = n − Σ sᵢ.
/// The cubes around the x fill space without gaps, and z̃ does not move with θ at all.
///
/// A change of θ moves trials between the categories. It is a flow of probability between cubes that share a
/// face: of the trials in r a share ∂pᵢ/pᵣ of each goes to i, on the upper face, and on the lower face what that
/// is for one trial fewer. With linear interpolation between the faces, the flow through a cube has the divergence
/// at which its probability falls, so that E\[c(z)\] moves as its mean over the field
///
/// κᵢ = [(1 − vᵢ) xᵢ/pᵢ + vᵢ xᵣ/pᵣ] ∂pᵢ/∂θ
///
/// does, for every c without jumps: at K = 2 it is the binomial's. (The quantiles of xᵢ given the counts before
/// would not do: as one of them moves on, those after it jump.) The category that takes the rest is the most
/// probable one, for which the field varies least.
///
/// The relaxed sample z is s, measured from its mean in units of its standard deviation;
/// [`squash`](Relaxation::squash) gives s, whatever the temperature, where numbers below 0 are set to 0 and
/// the others scaled, so that they sum to n.
#[derive(Clone, Debug)]
pub struct MultinomialRelaxation {
    /// One number, or one for each event.
    total: Tensor,
    /// 1 at the category of each event that takes the rest, 0 elsewhere.
    rest: Tensor,
    /// 1 for each category of probability exactly 0.
    excluded: Option<Tensor>,
    /// Center and unit of z, of θ's shape.
    centre: Tensor,
    unit: Tensor,
    /// The number of trials, if it is the same for every event.
    last: Option<usize>,
}

/// Events with more values are not listed.
const MOST_VALUES: usize = 1 << 16;

impl MultinomialRelaxation {
    /// The relaxation of laws with these logits `[.., K]`, the places of the excluded ones, and these numbers of
    /// trials.
    pub(super) fn new(theta: &Tensor, excluded: Option<&Tensor>, total: &Tensor) -> Result<Self> {
        let (theta, total) = (theta.check()?.detach(), total.detach());
        let (shape, device) = (theta.shape(), theta.device());
        let width = shape.last().copied().unwrap_or(0);
        if width == 0 {
            return Err(Error::Law(
                "there is no law of counts without categories".into(),
            ));
        }
        let numbers = theta.log_softmax(-1).peek()?;
        let most = numbers.chunks(width).flat_map(|row| {
            let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
            let rest = largest(&row);
            (0..width).map(move |k| f32::from(u8::from(k == rest)))
        });
        let rest = Tensor::from_vec(most.collect(), shape, &device)?;
        let all = total.peek()?;
        let same = all.iter().all(|n| *n == all[0]);
        let last = all.first().filter(|_| same).map(|n| *n as usize);
        let excluded = excluded.map(Tensor::detach);
        let trials = total.unsqueeze(-1);
        let p = theta.softmax(-1);
        // Steps of 1 are large enough for laws that hardly ever leave one value.
        let spread = (&p * (1.0 - &p) * &trials).sqrt().clamp(1.0, f32::MAX);
        let open = match &excluded {
            None => p.ones_like(),
            Some(excluded) => 1.0 - excluded,
        };
        Ok(Self {
            centre: &p * &trials * &open,
            unit: spread * open,
            total,
            rest,
            excluded,
            last,
        })
    }

    /// A tensor of θ's shape whose numbers `each` computes for every event from its numbers of x.
    fn map(
        &self,
        x: &Tensor,
        mut each: impl FnMut(usize, Event<'_>, &[f32], &mut [f32]),
    ) -> Result<Tensor> {
        let shape = self.centre.check()?.shape();
        if x.check()?.shape() != shape {
            return Err(Error::Autodiff(format!(
                "{} has parameters of shape {shape}, but was asked about shape {}",
                super::NAME,
                x.shape()
            )));
        }
        let width = shape.last().copied().unwrap_or(1);
        let (centre, unit) = (self.centre.peek()?, self.unit.peek()?);
        let (rest, total, x) = (self.rest.peek()?, self.totals()?, x.peek()?);
        let mut out = vec![0.0; x.len()];
        for (row, out) in out.chunks_mut(width).enumerate() {
            let at = row * width..(row + 1) * width;
            let event = Event {
                total: f64::from(total[row % total.len().max(1)]),
                rest: rest[at.clone()].iter().position(|x| *x > 0.0).unwrap_or(0),
                centre: &centre[at.clone()],
                unit: &unit[at.clone()],
            };
            each(row, event, &x[at], out);
        }
        Tensor::from_vec(out, shape, &self.centre.device())
    }

    /// The number of trials of each event, or of all.
    fn totals(&self) -> Result<Vec<f32>> {
        let shape = self.centre.shape();
        match self.total.len() {
            1 => self.total.peek(),
            _ => self
                .total
                .broadcast_to(shape.leading(shape.rank() - 1))
                .peek(),
        }
    }

    /// [`map`](Self::map) with the places of the draws that belong to θ and noise u, and the probabilities.
    fn map_draws(
        &self,
        theta: &Tensor,
        u: &Tensor,
        mut each: impl FnMut(Event<'_>, &[Place], &[f64], &mut [f32]),
    ) -> Result<Tensor> {
        let width = theta.check()?.shape().last().copied().unwrap_or(1);
        let mut log_probs = theta.detach().log_softmax(-1).peek()?;
        if let Some(excluded) = &self.excluded {
            let all = log_probs.iter_mut().zip(excluded.peek()?);
            all.for_each(|(log_p, excluded)| {
                if excluded > 0.0 {
                    *log_p = f32::NEG_INFINITY;
                }
            });
        }
        self.map(u, |row, event, u, out| {
            let log_probs = log_probs[row * width..(row + 1) * width].iter();
            let log_probs: Vec<f64> = log_probs.map(|x| f64::from(*x)).collect();
            let levels = u.iter().map(|u| QuantileLevel::of_noise(*u));
            let row = draw_row(event.total, &log_probs, event.rest, levels);
            each(event, &row, &log_probs, out);
        })
    }

    /// 1 divided by the units, 0 where the unit is 0.
    fn per_unit(&self) -> Tensor {
        self.unit.gt(0.0) / self.unit.clamp(f32::MIN_POSITIVE, f32::MAX)
    }
}

fn sound(result: Result<Tensor>) -> Tensor {
    result.unwrap_or_else(Tensor::poisoned)
}

impl Relaxation for MultinomialRelaxation {
    fn relaxed(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        let z = sound(self.map_draws(theta, u, |event, row, _, z| event.relaxed(row, z)));
        if !theta.is_tracked() && theta.tangent().is_none() {
            return z.drawn_with(std::slice::from_ref(theta));
        }
        // Its slope jumps where b does.
        theta.mark_rough();
        let kappa = self.kappa(theta, u, &z);
        z + self.push(theta, &kappa, &(theta - numbers_of(theta)))
    }

    fn hard(&self, z: &Tensor) -> Tensor {
        sound(self.map(z, |_, event, z, counts| event.hard(z, counts)))
    }

    fn conditional(&self, _: &Tensor, v: &Tensor, b: &Tensor) -> Tensor {
        let ways = match noise::uniform(v).peek() {
            Ok(ways) => ways,
            Err(error) => return Tensor::poisoned(error),
        };
        sound(self.map(b, |row, event, b, z| {
            let ways = ways.iter().skip(row * b.len());
            let place = |(b, v): (&f32, &f32)| Place {
                b: f64::from(*b),
                v: f64::from(*v),
            };
            let row: Vec<Place> = b.iter().zip(ways).map(place).collect();
            event.relaxed(&row, z);
        }))
    }

    fn coupled_noise(&self, theta: &Tensor, u: &Tensor, _: &Tensor) -> Tensor {
        sound(self.map_draws(theta, u, |_, row, _, noise| {
            for (noise, place) in noise.iter_mut().zip(row) {
                // Numbers near 1 are stored as noise below 0.
                *noise = match place.v > 0.5 {
                    true => place.v - 1.0,
                    false => place.v,
                } as f32;
            }
        }))
    }

    fn squash(&self, z: &Tensor, _: &Tensor) -> Tensor {
        let s = z * &self.unit + &self.centre;
        let above = s.kept_within(0.0, f32::MAX);
        let sum = above
            .sum_keepdim(-1)
            .kept_within(f32::MIN_POSITIVE, f32::MAX);
        above * (self.total.unsqueeze(-1) / sum)
    }

    fn score(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        b.detach() - self.mean(&theta.detach())
    }

    /// (1 − vᵢ) xᵢ + vᵢ xᵣ pᵢ/pᵣ, half of it where sᵢ is half as steep, and 0 at the category that takes the rest:
    /// with respect to ln p.
    fn kappa(&self, theta: &Tensor, u: &Tensor, _: &Tensor) -> Tensor {
        sound(self.map_draws(theta, u, |event, row, log_probs, kappa| {
            let (at_rest, rest) = (row[event.rest].b, log_probs[event.rest]);
            let others = (0..row.len()).filter(|i| *i != event.rest && event.unit[*i] > 0.0);
            for i in others {
                let Place { b, v } = row[i];
                let flow = (1.0 - v) * b + v * at_rest * (log_probs[i] - rest).exp();
                kappa[i] = (row[i].steepness(0.0, event.total) * flow) as f32;
            }
        }))
    }

    fn pull(&self, theta: &Tensor, kappa: &Tensor, w: &Tensor) -> Tensor {
        let by_s = w * self.per_unit();
        let of_rest = (&by_s * &self.rest).sum_keepdim(-1);
        let by_ln_p = kappa * (by_s - of_rest);
        let p = theta.detach().softmax(-1);
        &by_ln_p - p * by_ln_p.sum_keepdim(-1)
    }

    fn push(&self, theta: &Tensor, kappa: &Tensor, v: &Tensor) -> Tensor {
        let p = theta.detach().softmax(-1);
        let s = kappa * (v - (p * v).sum_keepdim(-1));
        (&s - &self.rest * s.sum_keepdim(-1)) * self.per_unit()
    }

    fn event_rank(&self) -> usize {
        1
    }

    fn ignores_shifts(&self) -> bool {
        true
    }

    /// The number of ways to sum to the number of trials, where they can be listed.
    fn values(&self, width: usize) -> Option<usize> {
        let mut count = 1_u128;
        for k in 1..width {
            count = count * (self.last? + k) as u128 / k as u128;
            if count > MOST_VALUES as u128 {
                return None;
            }
        }
        self.last.map(|_| count as usize)
    }

    fn vertices(&self, width: usize) -> Vec<Vec<f32>> {
        let (Some(total), Some(_)) = (self.last, self.values(width)) else {
            return Vec::new();
        };
        // Rows whose last number is what is left, split off one number after the other.
        let mut rows = vec![vec![total]];
        for _ in 1..width {
            let split = |row: Vec<usize>| {
                let (left, before) = (row[row.len() - 1], row[..row.len() - 1].to_vec());
                (0..=left).map(move |own| [&before[..], &[own, left - own]].concat())
            };
            rows = rows.into_iter().flat_map(split).collect();
        }
        let single = |row: Vec<usize>| row.into_iter().map(|x| x as f32).collect();
        rows.into_iter().map(single).collect()
    }

    fn log_mass(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        log_mass_of_logits(theta, &self.total, b)
    }

    /// The score of b: around it, z is uniform.
    fn relaxed_score(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        let theta = theta.detach();
        self.score(&theta, &self.hard(&self.relaxed(&theta, u)))
    }

    fn mean(&self, theta: &Tensor) -> Tensor {
        theta.softmax(-1) * self.total.unsqueeze(-1)
    }

    fn scale(&self) -> Option<(&Tensor, &Tensor)> {
        Some((&self.centre, &self.unit))
    }

    fn variance(&self, theta: &Tensor) -> Tensor {
        let p = theta.softmax(-1);
        &p * (1.0 - &p) * self.total.unsqueeze(-1)
    }

    fn spans(&self, draw: &Tensor) -> Result<bool> {
        let last = self.last.map_or(f32::MAX, |last| last as f32);
        draw.with_values(|values| values.iter().all(|s| (0.0..=last).contains(s)))
    }
}
