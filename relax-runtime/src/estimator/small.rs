//! RELAX at small sites in plain numbers: a tensor of a few takes longer than what is computed with
//! it.

use smallvec::SmallVec;

use super::residual::Residual;
use super::{Cost, Estimate, Problem, SiteState};
use crate::dist::{Drawn, PlainRelaxation};
use crate::error::Result;
use crate::surrogate::{FreeForm, SmallPass, VarianceGradient};
use crate::tensor::Tensor;

/// A few numbers.
type Few<T = f32> = SmallVec<[T; 8]>;

/// A problem with coupled noise whose surrogate is a small network.
struct Small<'a> {
    problem: Problem<'a>,
    relaxation: &'a dyn PlainRelaxation,
    network: &'a FreeForm,
    rows: usize,
    /// Numbers that the relaxation takes at once.
    event: usize,
}

/// What [`relax`](super::relax::free_form) computes, the RELAX estimate
/// u [(r − c(z)) ∂log p(b | θ)/∂θ + κ ∂c(z)/∂z] + ∂E\[q\]/∂θ with r = (f(b) − q(b))/u, for a network c,
/// the quadratic form q, if the site has one, and the unit u of its costs; nothing where the site is
/// not small.
///
/// # Errors
/// The cost's own, or shapes that do not fit.
pub(super) fn free_form(
    problem: Problem<'_>,
    cost: &dyn Cost,
    state: &SiteState,
) -> Result<Option<Estimate>> {
    match Small::of(problem, state) {
        Some(small) => small.estimate(cost, state).map(Some),
        None => Ok(None),
    }
}

impl<'a> Small<'a> {
    fn of(problem: Problem<'a>, state: &'a SiteState) -> Option<Self> {
        let Problem {
            relaxation,
            theta,
            noise,
            plates,
            context,
        } = problem;
        let network = state.surrogate().free_form()?;
        let rows = network.small_rows(theta, theta, context, plates)?;
        let fits = noise.v.is_none() && noise.u.shape() == theta.shape();
        let event = match relaxation.event_rank() {
            0 => theta.len(),
            _ => theta.shape().last().copied()?,
        };
        fits.then_some(Self {
            problem,
            relaxation: relaxation.plain()?,
            network,
            rows,
            event,
        })
    }

    fn estimate(&self, cost: &dyn Cost, state: &SiteState) -> Result<Estimate> {
        let Problem {
            theta,
            context,
            plates,
            ..
        } = self.problem;
        let (shape, width) = (theta.shape(), theta.len() / self.rows);
        let drawn = self.draw()?;
        let b: Few = drawn.iter().map(|drawn| drawn.b).collect();
        let f = cost.drawn(&Tensor::of_numbers(&b, shape))?;
        let f = f.broadcast_to(shape.leading(plates));

        let known = state.unit();
        let unit = known.unwrap_or(1.0);
        let form = state.quadratic().map(|q| Residual::new(cost, q, state));
        let mut signal: Few = f.with_values(|f| match &form {
            Some(form) => form.of_drawn(f, &b).map(|rest| rest / unit).collect(),
            None => f.iter().map(|f| f / unit).collect(),
        })?;

        let z: Few = drawn.iter().map(|drawn| drawn.z).collect();
        let mut pass = self.network.small_pass(self.rows, &z, theta, context)?;
        let mut gradient: Few = SmallVec::from_elem(0.0, drawn.len());
        for (row, (signal, slope)) in signal
            .iter_mut()
            .zip(gradient.chunks_mut(width))
            .enumerate()
        {
            *signal -= pass.value_and_slope(row, slope);
        }
        self.each_event(&drawn, &mut gradient, |relaxation, drawn, slope| {
            relaxation.pull(drawn, slope);
        });
        let rows = drawn.chunks(width).zip(gradient.chunks_mut(width));
        for ((drawn, gradient), signal) in rows.zip(&signal) {
            for (drawn, gradient) in drawn.iter().zip(gradient) {
                *gradient += signal * drawn.score();
            }
        }

        let variance_gradient = match state.learns() {
            true => self.train(pass, &drawn, &gradient),
            false => VarianceGradient::default(),
        };
        gradient.iter_mut().for_each(|gradient| *gradient *= unit);
        if let Some(form) = &form {
            self.add_gradient_of_mean(form, &drawn, &mut gradient);
        }
        Ok(Estimate {
            cost: f,
            gradient: Tensor::of_numbers(&gradient, shape),
            variance_gradient: match known {
                Some(_) => variance_gradient,
                None => variance_gradient.zeroed(),
            },
            evaluations: 1,
        })
    }

    /// The draw that belongs to the noise.
    fn draw(&self) -> Result<Few<Drawn>> {
        let Problem { theta, noise, .. } = self.problem;
        let mut drawn: Few<Drawn> = SmallVec::from_elem(Drawn::default(), theta.len());
        theta.with_values(|theta| {
            noise.u.with_values(|u| {
                let events = theta.chunks(self.event).zip(u.chunks(self.event));
                for (drawn, (theta, u)) in drawn.chunks_mut(self.event).zip(events) {
                    self.relaxation.draw(theta, u, drawn);
                }
            })
        })??;
        Ok(drawn)
    }

    /// By the network's parameters, of the mean square of the gradient.
    fn train(&self, pass: SmallPass<'_>, drawn: &[Drawn], gradient: &[f32]) -> VarianceGradient {
        let width = drawn.len() / self.rows;
        let factor = 2.0 / gradient.len() as f32;
        let mut along: Few = gradient.iter().map(|gradient| gradient * factor).collect();
        let rows = drawn.chunks(width).zip(along.chunks(width));
        let weight: Few = rows
            .map(|(drawn, v)| {
                drawn
                    .iter()
                    .zip(v)
                    .map(|(drawn, v)| v * drawn.score())
                    .sum()
            })
            .collect();
        self.each_event(drawn, &mut along, |relaxation, drawn, v| {
            relaxation.push(drawn, v)
        });
        pass.train(&along, &weight)
    }

    /// Adds ∂E\[q\]/∂θ.
    fn add_gradient_of_mean(&self, form: &Residual<'_>, drawn: &[Drawn], gradient: &mut [f32]) {
        let p: Few = drawn.iter().map(|drawn| drawn.p).collect();
        let mut slope: Few = form.slope(&p).collect();
        self.each_event(drawn, &mut slope, |relaxation, drawn, slope| {
            relaxation.pull_mean(drawn, slope);
        });
        gradient
            .iter_mut()
            .zip(slope)
            .for_each(|(gradient, slope)| *gradient += slope);
    }

    /// Calls `f` with each event, or with all that are single numbers.
    fn each_event(
        &self,
        drawn: &[Drawn],
        numbers: &mut [f32],
        f: impl Fn(&dyn PlainRelaxation, &[Drawn], &mut [f32]),
    ) {
        let events = drawn.chunks(self.event).zip(numbers.chunks_mut(self.event));
        events.for_each(|(drawn, numbers)| f(self.relaxation, drawn, numbers));
    }
}

#[cfg(test)]
mod tests {
    use super::super::relax;
    use super::super::{Estimator, Noise, Relax, SiteClass, SiteTask, black_box};
    use super::*;
    use crate::dist::{BernoulliRelaxation, CategoricalRelaxation, Relaxation};
    use crate::nn::Activation;
    use crate::random::{Key, Stream};
    use crate::tensor::{Device, Shape};

    const CLASS: SiteClass = SiteClass {
        discrete: true,
        relaxable: false,
        differentiable: false,
        mirrored: false,
        coins: false,
        values: 8,
        changes: 3,
        separate: true,
        samples: 1,
    };

    /// Coins or categories with random logits.
    struct Case<'a> {
        relaxation: &'a dyn Relaxation,
        theta: Tensor,
        plates: usize,
        context: Option<Tensor>,
    }

    impl<'a> Case<'a> {
        fn new(
            relaxation: &'a dyn Relaxation,
            shape: &[usize],
            plates: usize,
            context: usize,
        ) -> Result<Self> {
            let (mut stream, device) = (Key::new(3).stream("case"), Device::cpu());
            let mut before = shape[..plates].to_vec();
            before.push(context);
            let before = stream.normals(Shape::try_from(&before[..])?, &device)?;
            Ok(Self {
                relaxation,
                theta: stream.normals(Shape::try_from(shape)?, &device)?,
                plates,
                context: (context > 0).then_some(before),
            })
        }

        fn problem<'b>(&'b self, noise: &'b Noise) -> Problem<'b> {
            Problem {
                relaxation: self.relaxation,
                theta: &self.theta,
                noise,
                plates: self.plates,
                context: self.context.as_ref(),
            }
        }

        fn noise(&self, stream: &mut Stream) -> Result<Noise> {
            let u = stream.uniforms(self.theta.shape(), &Device::cpu())?;
            Ok(Noise::coupled(u))
        }

        /// What a site starts from, with or without a quadratic form.
        fn state(&self, noise: &Noise, form: bool) -> Result<SiteState> {
            let relax = Relax {
                hidden: vec![5, 3],
                activation: Activation::Tanh,
                ..Relax::free_form()
            };
            let state = relax.state(&SiteTask {
                name: "site",
                class: CLASS,
                problem: self.problem(noise),
                seed: 1,
            })?;
            assert!(state.quadratic().is_some());
            Ok(match form {
                true => state,
                false => state.with_quadratic(None),
            })
        }

        /// The same steps in both ways.
        fn check(&self, form: bool) -> Result<()> {
            let mut stream = Key::new(4).stream("noise");
            let slopes = stream.normals(self.theta.shape(), &Device::cpu())?;
            let cost = black_box(|b: &Tensor| {
                let sum = (b * &slopes).sum_from(self.plates);
                Ok(sum.square() + (sum * 3.0).sigmoid() * 2.0 + 100.0)
            });
            let noise = self.noise(&mut stream)?;
            let mut states = [self.state(&noise, form)?, self.state(&noise, form)?];
            for step in 0..12 {
                let noise = self.noise(&mut stream)?;
                let learns = step != 5;
                states.iter().for_each(|state| state.learn(learns));
                assert_eq!(states[0].unit().is_some(), step > 1, "both are met");
                let own = free_form(self.problem(&noise), &cost, &states[0])?.expect("small");
                let other = relax::free_form(self.problem(&noise), &cost, &states[1])?;
                assert_same(&own, &other)?;
                assert_eq!(own.variance_gradient.is_empty(), !learns);
                if learns {
                    let mean = f64::from(own.cost.mean_all().item()?);
                    for (state, estimate) in states.iter_mut().zip([own, other]) {
                        state.train(&estimate.variance_gradient)?;
                        state.remember(mean, 2.0);
                    }
                }
            }
            Ok(())
        }
    }

    fn assert_same(own: &Estimate, other: &Estimate) -> Result<()> {
        let all = |estimate: &Estimate| {
            let mut all = estimate.variance_gradient.tensors();
            all.extend([estimate.cost.clone(), estimate.gradient.clone()]);
            all
        };
        let (own_all, other_all) = (all(own), all(other));
        assert_eq!(own_all.len(), other_all.len());
        for (own, other) in own_all.iter().zip(&other_all) {
            assert_eq!(own.shape(), other.shape());
            for (a, b) in own.to_vec()?.into_iter().zip(other.to_vec()?) {
                assert!((a - b).abs() < 2e-5 * (1.0 + b.abs()), "{a} {b}");
            }
        }
        assert_eq!(own.evaluations, other.evaluations);
        Ok(())
    }

    #[test]
    fn the_numbers_are_those_of_tensors() -> Result<()> {
        let (coins, categories) = (&BernoulliRelaxation, &CategoricalRelaxation);
        for form in [true, false] {
            for context in [0, 2] {
                Case::new(coins, &[], 0, context)?.check(form)?;
                Case::new(coins, &[3], 0, context)?.check(form)?;
                Case::new(coins, &[3], 1, context)?.check(form)?;
                Case::new(coins, &[4, 2, 2], 1, context)?.check(form)?;
                Case::new(categories, &[4], 0, context)?.check(form)?;
                Case::new(categories, &[2, 3], 0, context)?.check(form)?;
                Case::new(categories, &[2, 3, 4], 2, context)?.check(form)?;
            }
        }
        Ok(())
    }

    #[test]
    fn other_sites_are_left_to_tensors() -> Result<()> {
        let mut stream = Key::new(4).stream("noise");
        let cost = black_box(|b: &Tensor| Ok(b.sum(-1)));
        let mut is_small = |rows: usize, independent: bool| {
            let case = Case::new(&BernoulliRelaxation, &[rows, 3], 1, 0)?;
            let mut noise = case.noise(&mut stream)?;
            let state = case.state(&noise, true)?;
            if independent {
                noise.v = Some(noise.u.clone());
            }
            Ok(free_form(case.problem(&noise), &cost, &state)?.is_some())
        };
        assert!(is_small(3, false)?);
        assert!(!is_small(3, true)?);
        assert!(!is_small(300, false)?);
        Ok(())
    }
}
