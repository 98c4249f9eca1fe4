//! Estimates at one site against exact derivatives, and their variances.

use std::rc::Rc;

use relax_runtime::dist::{Distribution, Law};
use relax_runtime::estimator::{
    Cost, Noise, Problem, black_box, differentiable, dlax, reinforce, relax, rloo,
};
use relax_runtime::optim::Optimizer;
use relax_runtime::prelude::*;
use relax_runtime::surrogate::{FreeForm, RelaxedCost, Surrogate};

const DRAWS: usize = 12_000;

/// What stands at the site.
struct Case {
    name: &'static str,
    law: Rc<dyn Law>,
    /// The least value.
    first: usize,
    /// What the cost is to be small for.
    size: f32,
}

pub(crate) fn full(x: f32) -> Tensor {
    Tensor::full([1], x, &Device::cpu())
}

/// Numbers of the components of one row.
pub(crate) fn one_row(x: &[f32]) -> Tensor {
    Tensor::from_slice(x).reshape([1, x.len()])
}

fn cases() -> Result<Vec<Case>> {
    let from = |name, law: Rc<dyn Law>, first, size| Case {
        name,
        law,
        first,
        size,
    };
    let case = |name, law, size| from(name, law, 0, size);
    Ok(vec![
        case("Poisson(4)", Poisson::rate(full(4.0))?.law()?, 2.0),
        case("Poisson(0.3)", Poisson::rate(full(0.3))?.law()?, 0.7),
        case("Poisson(1e4)", Poisson::rate(full(1e4))?.law()?, 100.0),
        case(
            "Binomial(20, .3)",
            Binomial::probs(20, full(0.3))?.law()?,
            2.0,
        ),
        case("Geometric(.3)", Geometric::probs(full(0.3))?.law()?, 2.5),
        case(
            "NegativeBinomial(2.5, .6)",
            NegativeBinomial::probs(full(2.5), full(0.6))?.law()?,
            3.0,
        ),
        case(
            "BetaBinomial(2, 1.5, 12)",
            BetaBinomial::new(full(2.0), full(1.5), 12)?.law()?,
            3.0,
        ),
        case(
            "ZeroInflated(.3, Poisson(3))",
            ZeroInflated::gate(full(0.3), Poisson::rate(full(3.0)))?.law()?,
            2.0,
        ),
        case(
            "OrderedLogistic",
            OrderedLogistic::new(full(0.4), [-1.0, 0.2, 0.9, 2.0])?.law()?,
            1.0,
        ),
        from(
            "Poisson(1.2) from 1 on",
            Truncated::new(Poisson::rate(full(1.2)), 1, f64::INFINITY)?.law()?,
            1,
            1.0,
        ),
        from(
            "NegativeBinomial(2.5, .6) from 2 to 6",
            Truncated::new(NegativeBinomial::probs(full(2.5), full(0.6)), 2, 6)?.law()?,
            2,
            2.0,
        ),
        case(
            "Mixture(Poisson(1), Poisson(7))",
            Mixture::new([0.4, 0.6], Poisson::rate(one_row(&[1.0, 7.0])))?.law()?,
            3.0,
        ),
        case(
            "Mixture(BetaBinomial, BetaBinomial)",
            {
                let counts = BetaBinomial::new(one_row(&[2.0, 0.7]), one_row(&[1.5, 3.0]), 12);
                Mixture::new([0.3, 0.7], counts)?.law()?
            },
            3.0,
        ),
        case(
            "Mixture(Binomial(3, .6), Geometric(.2))",
            {
                let parts = (Binomial::probs(3, full(0.6)), Geometric::probs(full(0.2)));
                Mixture::new([0.5, 0.5], parts)?.law()?
            },
            2.5,
        ),
    ])
}

impl Case {
    /// The law of so many rows.
    fn rows(&self, n: usize) -> (Rc<dyn Law>, Tensor) {
        let theta = self.law.parameters().remove(0).detach();
        let mut shape = theta.shape().to_vec();
        shape[0] = n;
        let theta = theta.broadcast_to(Shape::try_from(&shape[..]).expect("few axes"));
        (
            self.law.with_parameters(std::slice::from_ref(&theta)),
            theta,
        )
    }

    fn mean(&self) -> Result<f32> {
        Ok(self.law.mean().to_vec()?[0])
    }

    /// Smooth, and neither linear nor quadratic: ½ x² + sin x of x in units of the case's size.
    fn of_count(&self, count: &Tensor) -> Result<Tensor> {
        let x = (count - self.mean()?) / self.size;
        Ok(x.square() * 0.5 + (&x * 2.0).tanh())
    }

    /// As the cost of a draw of the law.
    fn cost<'a>(&'a self, law: &'a Rc<dyn Law>) -> impl Cost + 'a {
        differentiable(move |b: &Tensor| self.of_count(&law.value_at(b)))
    }

    /// The exact gradient of the mean cost: the sum over values with a mass worth the name.
    fn exact(&self) -> Result<Vec<f64>> {
        let (law, theta) = self.rows(1);
        let last = law.relaxation().and_then(|relaxation| relaxation.values(1));
        let mean = self.mean()?;
        let spread = 60.0 * self.size + 200.0;
        let first = ((mean - spread).max(0.0) as usize).max(self.first);
        let values: Vec<f32> = (first..=(mean + spread) as usize)
            .map(|k| k as f32)
            .collect();
        let within = |k: &f32| last.is_none_or(|count| (*k as usize) < self.first + count);
        let values: Vec<f32> = values.into_iter().filter(within).collect();
        let (laws, theta_rows) = self.rows(values.len());
        let values = Tensor::from_slice(&values);
        let mass = laws.log_density(&values).exp().to_vec()?;
        let relaxation = laws.relaxation().expect("there is one");
        let scores = relaxation.score(&theta_rows, &laws.to_vertex(&values));
        let (scores, costs) = (scores.to_vec()?, self.of_count(&values)?.to_vec()?);
        let width = theta.len();
        let mut gradient = vec![0.0; width];
        for (row, (mass, cost)) in mass.iter().zip(&costs).enumerate() {
            for (j, sum) in gradient.iter_mut().enumerate() {
                *sum += f64::from(mass * cost) * f64::from(scores[row * width + j]);
            }
        }
        Ok(gradient)
    }

    fn noise(&self, n: usize, seed: u64, independent: bool) -> Result<Noise> {
        let (law, _) = self.rows(n);
        let mut stream = Key::new(seed).stream("noise");
        let mut noise = Noise::coupled(law.noise(&mut stream)?);
        noise.v = independent.then(|| law.noise(&mut stream)).transpose()?;
        noise.further = vec![law.noise(&mut stream)?];
        Ok(noise)
    }

    fn network(&self, seed: u64, scale: f32) -> Result<FreeForm> {
        let latent = self.law.parameters()[0].len();
        let mut stream = Key::new(seed).stream("network");
        let device = Device::cpu();
        let network = FreeForm::new(latent, 0, &[10, 10], Activation::Tanh, &mut stream, &device)?;
        if scale > 0.0 {
            for parameter in network.parameters() {
                parameter.set(stream.normals(parameter.shape(), &device)? * scale)?;
            }
        }
        Ok(network)
    }
}

/// Mean and total variance of a gradient, and its distance from the exact one in standard errors.
fn summary(gradient: &Tensor, exact: &[f64]) -> Result<(f64, f64)> {
    let values = gradient.to_vec()?;
    let width = exact.len();
    let n = (values.len() / width) as f64;
    let (mut total, mut farthest) = (0.0, 0.0_f64);
    for (j, exact) in exact.iter().enumerate() {
        let column = || values.iter().skip(j).step_by(width).map(|x| f64::from(*x));
        let mean = column().sum::<f64>() / n;
        let variance = column().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        total += variance;
        farthest = farthest.max((mean - exact).abs() / (variance / n).sqrt());
    }
    Ok((total, farthest))
}

#[test]
fn estimates_are_unbiased_under_any_surrogate() -> Result<()> {
    for case in cases()? {
        let exact = case.exact()?;
        let (law, theta) = case.rows(DRAWS);
        let relaxation = law.relaxation().expect("there is one");
        let hard = black_box(|b: &Tensor| case.of_count(&law.value_at(b)));
        let smooth = case.cost(&law);
        let rough = case.network(7, 0.7)?;
        let relaxed = RelaxedCost::new(0.8, 0.5, &Device::cpu());
        for independent in [false, true] {
            let noise = case.noise(DRAWS, 11, independent)?;
            let problem = Problem {
                relaxation,
                theta: &theta,
                noise: &noise,
                plates: 1,
                context: None,
            };
            let estimates = [
                ("network", relax(problem, &hard, &rough)?),
                ("relaxed cost", relax(problem, &smooth, &relaxed)?),
                ("rloo", rloo(problem, &hard)?),
            ];
            for (name, estimate) in &estimates {
                let (_, apart) = summary(&estimate.gradient, &exact)?;
                assert!(
                    apart < 4.5,
                    "{} by {name}: {apart} standard errors",
                    case.name
                );
            }
            if independent {
                let estimate = dlax(problem, &hard, &rough)?;
                let (_, apart) = summary(&estimate.gradient, &exact)?;
                assert!(
                    apart < 4.5,
                    "{} by dlax: {apart} standard errors",
                    case.name
                );
            }
        }
    }
    Ok(())
}

/// The variance of RELAX with a surrogate that has learned for a while, in that of REINFORCE with the
/// mean cost as baseline.
fn share(case: &Case, surrogate: &dyn Surrogate) -> Result<f64> {
    const BATCH: usize = 100;
    let mut optimizer = Optimizer::new(Adam::new(0.01))?;
    let (law, theta) = case.rows(BATCH);
    for step in 0..600 {
        let noise = case.noise(BATCH, 1_000 + step, false)?;
        let problem = problem(&law, &theta, &noise);
        let estimate = relax(problem, &case.cost(&law), surrogate)?;
        let parameters = surrogate.parameters().into_iter();
        let pairs: Vec<_> = parameters.zip(estimate.variance_gradient).collect();
        optimizer.update(&pairs)?;
    }
    let (law, theta) = case.rows(DRAWS / 4);
    let noise = case.noise(DRAWS / 4, 12, false)?;
    let problem = problem(&law, &theta, &noise);
    let exact = case.exact()?;
    let own = relax(problem, &case.cost(&law), surrogate)?;
    let (variance, apart) = summary(&own.gradient, &exact)?;
    assert!(apart < 4.5, "{}: {apart} standard errors", case.name);
    let baseline = own.cost.mean_all().item()?;
    let other = reinforce(problem, &case.cost(&law), baseline)?;
    Ok(variance / summary(&other.gradient, &exact)?.0)
}

fn problem<'a>(law: &'a Rc<dyn Law>, theta: &'a Tensor, noise: &'a Noise) -> Problem<'a> {
    Problem {
        relaxation: law.relaxation().expect("there is one"),
        theta,
        noise,
        plates: 1,
        context: None,
    }
}

#[test]
fn relax_takes_most_of_the_variance_away() -> Result<()> {
    for case in &cases()? {
        let network = case.network(3, 0.0)?;
        let by_network = share(case, &network)?;
        let relaxed = RelaxedCost::new(1.0, 0.5, &Device::cpu());
        let by_relaxed_cost = share(case, &relaxed)?;
        println!(
            "{}: network {by_network:.3}, relaxed cost {by_relaxed_cost:.3}",
            case.name
        );
        assert!(by_network < 0.7, "{}: {by_network}", case.name);
        // Alone it pays where κ varies little, and may cost as much as it saves elsewhere.
        assert!(by_relaxed_cost < 1.2, "{}: {by_relaxed_cost}", case.name);
    }
    Ok(())
}

/// On other engines the same noise gives the same draws, with the same mass and gradient.
#[cfg(feature = "dfdx")]
#[test]
fn estimates_are_alike_on_every_engine() -> Result<()> {
    for case in cases()? {
        let of = |device: &Device| -> Result<Vec<f32>> {
            let (law, theta) = case.rows(50);
            let theta = theta.to_device(device)?;
            let law = law.with_parameters(std::slice::from_ref(&theta));
            let mut noise = case.noise(50, 5, false)?;
            noise.u = noise.u.to_device(device)?;
            noise.further.clear();
            let problem = problem(&law, &theta, &noise);
            let cost = differentiable(|b: &Tensor| {
                let x = (law.value_at(b) - case.mean()?) / case.size;
                Ok((x * 0.7).tanh())
            });
            let relaxed = RelaxedCost::new(0.8, 0.5, device);
            let estimate = relax(problem, &cost, &relaxed)?;
            let density = law.log_density(&law.draw(&noise.u));
            let all = [estimate.gradient, estimate.cost, density, law.mean()];
            Ok(all
                .iter()
                .map(Tensor::to_vec)
                .collect::<Result<Vec<_>>>()?
                .concat())
        };
        let (own, other) = (of(&Device::cpu())?, of(&Device::dfdx())?);
        for (own, other) in own.iter().zip(&other) {
            let error = (own - other).abs() / (1.0 + own.abs());
            assert!(error < 1e-4, "{}: {own} {other}", case.name);
        }
    }
    Ok(())
}

/// Where a common shift of θ changes nothing, and nowhere else, do the numbers of every score add up to 0.
#[test]
fn scores_add_up_to_nothing_where_shifts_change_nothing() -> Result<()> {
    let mut seen = [0, 0];
    for case in cases()? {
        let (law, theta) = case.rows(200);
        let relaxation = law.relaxation().expect("there is one");
        let noise = case.noise(200, 5, false)?;
        let score = relaxation.score(
            &theta,
            &relaxation.hard(&relaxation.relaxed(&theta, &noise.u)),
        );
        let off = match theta.rank() {
            1 => score,
            _ => score.sum(-1),
        };
        let off = off.abs().max_all().item()?;
        assert_eq!(
            off < 1e-4,
            relaxation.ignores_shifts(),
            "{}: {off}",
            case.name
        );
        seen[usize::from(relaxation.ignores_shifts())] += 1;
    }
    assert!(seen[0] > 5 && seen[1] > 0, "{seen:?}");
    Ok(())
}
