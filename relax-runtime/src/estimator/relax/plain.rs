//! RELAX in plain loops, at small sites: a tensor of a few numbers takes longer than what is computed
//! with it.

use smallvec::SmallVec;

use super::function::of_coupled;
use super::residual::Residual;
use crate::dist::{Drawn, PlainRelaxation, plain};
use crate::error::Result;
use crate::estimator::{Cost, Estimate, Problem, SiteState};
use crate::surrogate::{FreeForm, VarianceGradient, cut};
use crate::tensor::Tensor;

/// What [`free_form`](super::free_form::free_form) computes, the estimate
///
/// u [(r − c(z)) ∂log p(b | θ)/∂θ + κ ∂c(z)/∂z] + ∂E\[q\]/∂θ with r = (f(b) − q(b))/u
///
/// for a network c, the quadratic form q, if the site has one, and the unit u of its costs; `None`
/// where the noise is not coupled, the surrogate is not a small network, the relaxation has no plain
/// numbers, or an operand is on a GPU.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
pub(super) fn estimate(
    problem: Problem<'_>,
    cost: &dyn Cost,
    state: &SiteState,
) -> Result<Option<Estimate>> {
    match Plain::of(problem, state) {
        Some(plain) => plain.estimate(cost, state).map(Some),
        None => Ok(None),
    }
}

/// A problem with coupled noise, and a small network.
struct Plain<'a> {
    problem: Problem<'a>,
    relaxation: &'a dyn PlainRelaxation,
    network: &'a FreeForm,
    rows: usize,
    /// Numbers of an event.
    width: usize,
}

impl<'a> Plain<'a> {
    fn of(problem: Problem<'a>, state: &'a SiteState) -> Option<Self> {
        let Problem {
            relaxation,
            theta,
            noise,
            plates,
            context,
        } = problem;
        let network = state.network()?;
        let rows = network.plain_rows(theta, theta, context, plates)?;
        let coupled = noise.v.is_none() && noise.u.shape() == theta.shape();
        coupled.then_some(Self {
            problem,
            relaxation: plain(relaxation.form())?,
            network,
            rows,
            width: relaxation.width(&theta.shape()),
        })
    }

    fn estimate(&self, cost: &dyn Cost, state: &SiteState) -> Result<Estimate> {
        let (relaxation, rows, width) = (self.relaxation, self.rows, self.width);
        let (theta, context) = (self.problem.theta, self.problem.context);
        let (shape, numbers) = (theta.shape(), theta.len());
        let mut memory: SmallVec<[f32; 32]> = SmallVec::from_elem(0.0, 7 * numbers + 2 * rows);
        let mut memory = &mut memory[..];
        let of_theta = std::array::from_fn(|_| cut(&mut memory, numbers));
        let [z, b, p, kappa, score, v, gradient] = of_theta;
        let [rest, weight] = std::array::from_fn(|_| cut(&mut memory, rows));

        theta.with_values(|theta| {
            self.problem.noise.u.with_values(|u| {
                let drawn = Drawn {
                    z,
                    b,
                    p,
                    score,
                    kappa,
                };
                relaxation.draw(width, theta, u, drawn);
            })
        })??;
        let f = cost.drawn(&Tensor::of_numbers(b, shape))?;
        let f = self.problem.each_row(&f);
        let form = state.quadratic();
        let form = form.map(|q| Residual::new(self.problem, cost, q, state));
        f.with_values(|f| match &form {
            Some(form) => form.of_drawn(f, b, rest),
            None => rest.copy_from_slice(f),
        })?;

        let (known_unit, learns) = (state.unit(), state.learns());
        let unit = known_unit.unwrap_or(1.0);
        let mut pass = self.network.plain_pass(rows, z, theta, context)?;
        let row = numbers / rows;
        let twice_mean = 2.0 / numbers as f32;
        for i in 0..rows {
            let at = || i * row..(i + 1) * row;
            let (p, kappa, score) = (&p[at()], &kappa[at()], &score[at()]);
            let (gradient, v) = (&mut gradient[at()], &mut v[at()]);
            // (r − c(z)) ∂log p(b | θ)/∂θ + κ ∂c(z)/∂z.
            let signal = rest[i] / unit - pass.value_and_slope(i, gradient);
            relaxation.pull(width, p, kappa, gradient);
            for (gradient, score) in gradient.iter_mut().zip(score) {
                *gradient = of_coupled(signal, *score, *gradient);
            }
            // How its mean square changes with c and ∂c/∂z.
            if learns {
                for ((v, gradient), score) in v.iter_mut().zip(&*gradient).zip(score) {
                    *v = gradient * twice_mean;
                    weight[i] += *v * score;
                }
                relaxation.push(width, p, kappa, v);
            }
        }
        let variance_gradient = match (learns, known_unit) {
            (true, Some(_)) => pass.train(v, weight),
            (true, None) => pass.train(v, weight).zeroed(),
            (false, _) => VarianceGradient::default(),
        };

        gradient.iter_mut().for_each(|gradient| *gradient *= unit);
        if let Some(form) = &form {
            form.slope(p, v);
            relaxation.pull_mean(width, p, v);
            for (gradient, of_mean) in gradient.iter_mut().zip(&*v) {
                *gradient += of_mean;
            }
        }
        Ok(Estimate {
            cost: f,
            gradient: Tensor::of_numbers(gradient, shape),
            variance_gradient,
            evaluations: 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{BernoulliRelaxation, CategoricalRelaxation, Relaxation};
    use crate::estimator::relax::free_form::of_tensors;
    use crate::estimator::{DrawKind, Estimator, Noise, Relax, SiteClass, SiteTask, black_box};
    use crate::nn::Activation;
    use crate::random::{Key, Stream};
    use crate::tensor::{Device, Parameter, Shape};

    const CLASS: SiteClass = SiteClass {
        draws: DrawKind::Categories,
        relaxable: false,
        differentiable: false,
        mirrored: false,
        values: 8,
        changes: 3,
        separate: true,
        rows_differ: false,
        followed: false,
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

        /// Takes the same steps both ways.
        fn check(&self, form: bool) -> Result<()> {
            let mut stream = Key::new(4).stream("noise");
            let slopes = stream.normals(self.theta.shape(), &Device::cpu())?;
            let cost = black_box(|b: &Tensor| {
                let sum = (b * &slopes).sum_from(self.plates);
                Ok(sum.square() + (sum * 3.0).sigmoid() * 2.0 + 100.0)
            });
            let noise = self.noise(&mut stream)?;
            let mut states = [self.state(&noise, form)?, self.state(&noise, form)?];
            let mut looked_at = None;
            for step in 0..24 {
                let noise = self.noise(&mut stream)?;
                if (15..18).contains(&step) {
                    // A leaf takes a parameter's numbers out of their shared memory.
                    looked_at = states[0].parameters().get(step - 14).map(Parameter::get);
                }
                let learns = step != 5;
                states.iter().for_each(|state| state.learn(learns));
                assert_eq!(states[0].unit().is_some(), step > 11, "both are met");
                let own = estimate(self.problem(&noise), &cost, &states[0])?.expect("plain");
                let other = of_tensors(self.problem(&noise), &cost, &states[1])?;
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
            assert!(looked_at.is_some());
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
        let mut is_plain = |rows: usize, independent: bool| {
            let case = Case::new(&BernoulliRelaxation, &[rows, 3], 1, 0)?;
            let mut noise = case.noise(&mut stream)?;
            let state = case.state(&noise, true)?;
            if independent {
                noise.v = Some(noise.u.clone());
            }
            Ok(estimate(case.problem(&noise), &cost, &state)?.is_some())
        };
        assert!(is_plain(3, false)?);
        assert!(!is_plain(3, true)?);
        assert!(!is_plain(300, false)?);
        Ok(())
    }

    /// A cost that all rows share counts for each of them, however the estimate is made.
    #[test]
    fn a_cost_of_one_number_counts_for_every_row() -> Result<()> {
        let mut stream = Key::new(4).stream("noise");
        for (shape, plates) in [(&[3, 2][..], 1), (&[3], 0)] {
            let case = Case::new(&BernoulliRelaxation, shape, plates, 0)?;
            let cost = black_box(|b: &Tensor| Ok(b.sum_all().reshape(1).square()));
            let noise = case.noise(&mut stream)?;
            let mut states = [case.state(&noise, true)?, case.state(&noise, true)?];
            for _ in 0..6 {
                let noise = case.noise(&mut stream)?;
                let own = estimate(case.problem(&noise), &cost, &states[0])?.expect("plain");
                let other = of_tensors(case.problem(&noise), &cost, &states[1])?;
                assert_same(&own, &other)?;
                for (state, estimate) in states.iter_mut().zip([own, other]) {
                    state.train(&estimate.variance_gradient)?;
                    state.remember(3.0, 2.0);
                }
            }
        }
        Ok(())
    }
}
