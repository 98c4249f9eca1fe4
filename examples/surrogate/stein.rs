//! LAX on f(x) = x², x normal around a location: the optimum c = f + 2σ² of Stein's equation.

use std::f64::consts::TAU;

use relax_runtime::dist::{
    Continuous, MeanField, Operand, PerParameter, Real, Standard, Support, normal_guide,
};
use relax_runtime::estimator::{LawEstimate, LawProblem, differentiable, lax};
use relax_runtime::prelude::*;
use relax_runtime::surrogate::{Constant, RelaxedCost, Sum, Surrogate, Surroundings, Zero};

use crate::coins::spread;
use crate::learn::{Recipe, numbers};
use crate::program::Outcome;
use crate::record::{Curve, Panel, Record, heading};
use crate::stages;

/// Normal numbers of variance 1 around a location, their only parameter: `Normal` would have the
/// surrogate learn for the scale's gradient, too.
#[derive(Clone, Debug)]
struct Around<P> {
    loc: P,
}

impl<R: Real> Around<R> {
    fn new(loc: impl Operand<Repr = R>) -> Self {
        Self {
            loc: loc.into_repr(),
        }
    }
}

impl<R: Real> Continuous for Around<R> {
    type Real = R;
    type Tensors = Around<Tensor>;
    const NAME: &'static str = "Around";
    const SUPPORT: Support = Support::Real;
    const PARAMETERS: &'static [(&'static str, Support)] = &[("loc", Support::Real)];
    const STANDARDS: &'static [Standard] = &[|stream| stream.normal()];
    const SYMMETRIC: bool = true;

    fn parameters(&self) -> PerParameter<R> {
        vec![self.loc.clone()].into()
    }

    fn of(parameters: &[R]) -> Self {
        Self {
            loc: parameters[0].clone(),
        }
    }

    fn log_density(&self, x: &R) -> R {
        let off = x.clone() - self.loc.clone();
        (off.clone() * off + TAU.ln()) * -0.5
    }

    fn draw(&self, standards: &[R]) -> R {
        self.loc.clone() + standards[0].clone()
    }

    fn mean(&self) -> R {
        self.loc.clone()
    }

    fn mean_field(of: &Around<Tensor>) -> MeanField<'static> {
        normal_guide(&of.loc, &of.loc.ones_like(), of.loc.shape())
    }
}

/// The LAX estimate of each row of standard numbers.
fn estimate(loc: f64, noise: &Tensor, surrogate: &dyn Surrogate) -> Result<LawEstimate> {
    let law = Around::new(noise.full_like(loc as f32));
    let cost = differentiable(|x: &Tensor| Ok(x.square()));
    let problem = LawProblem {
        law: &law,
        noise,
        further: &[],
        plates: 1,
        context: None,
    };
    lax(problem, &cost, surrogate)
}

/// The variance of the estimate, by the trapezoidal rule, which is exact to rounding for what is
/// smooth under a normal density.
fn variance(loc: f64, surrogate: &dyn Surrogate) -> Result<f64> {
    const STEP: f64 = 0.01;
    let nodes: Vec<f64> = (-800..=800).map(|i| STEP * f64::from(i)).collect();
    let gradients = estimate(loc, &numbers(&nodes), surrogate)?.gradients[0].to_vec()?;
    let density = |x: f64| (-0.5 * x * x).exp() / TAU.sqrt() * STEP;
    let rows = gradients.iter().zip(&nodes);
    let rows = rows.map(|(&g, &x)| (vec![f64::from(g)], density(x)));
    Ok(spread(rows, 1).1)
}

fn curve(name: &str, surrogate: &dyn Surrogate, loc: f64) -> Result<Curve> {
    let x: Vec<f64> = (0..=60).map(|i| loc - 3.0 + 0.1 * f64::from(i)).collect();
    let at = numbers(&x);
    let theta = at.full_like(loc as f32).unsqueeze(-1);
    let square = |x: &Tensor, _: &Tensor| Ok(x.square());
    let around = Surroundings {
        relaxation: None,
        theta: &theta,
        context: None,
        plates: 1,
        cost: &square,
    };
    let c = surrogate.value(&at, around)?.to_vec()?;
    let points = x.into_iter().zip(c.into_iter().map(f64::from));
    Ok(Curve {
        name: name.to_owned(),
        points: points.collect(),
    })
}

/// Measures and draws the surrogates of x² around a location.
pub(crate) fn run(
    loc: f64,
    recipe: &Recipe,
    settings: (u64, u64),
    record: &mut Record,
) -> Outcome<Panel> {
    let (steps, seed) = settings;
    let problem = format!("x^2, x normal around {loc}");
    heading(&problem);
    let device = Device::cpu();
    let reinforce = variance(loc, &Zero)?;
    let mut put = |name: &str, steps, variance| {
        record.variance(&problem, name, steps, variance, reinforce);
    };
    put("0: REINFORCE", None, reinforce);
    let relaxed = |eta| RelaxedCost::new(eta, 1.0, &device);
    put(
        "f: the pathwise gradient",
        None,
        variance(loc, &relaxed(1.0))?,
    );
    let mut curves = vec![curve("f", &relaxed(1.0), loc)?];

    let network = recipe.network(1, 0, seed)?;
    let sum = Sum(relaxed(0.0), Constant::new(0.0, &device));
    let learners: [(&str, &dyn Surrogate); 2] =
        [("a network", &network), ("eta f + a, learned", &sum)];
    for (name, surrogate) in learners {
        let mut optimizer = recipe.optimizer(steps)?;
        let mut step = 0;
        for stage in stages(steps) {
            while step < stage {
                let key = Key {
                    step,
                    ..Key::new(seed)
                };
                let noise = key.stream("x").normals([recipe.batch], &device)?;
                let gradient = estimate(loc, &noise, surrogate)?.variance_gradient;
                let parameters = surrogate.parameters().into_iter();
                let pairs: Vec<_> = parameters.zip(gradient).collect();
                optimizer.update(&pairs)?;
                step += 1;
            }
            put(name, Some(stage), variance(loc, surrogate)?);
            if name == "a network" {
                curves.push(curve(&format!("c {stage}"), surrogate, loc)?);
            }
        }
    }
    let stein = Sum(relaxed(1.0), Constant::new(2.0, &device));
    put("optimum: f + 2", None, variance(loc, &stein)?);
    curves.push(curve("best", &stein, loc)?);
    Ok(Panel {
        problem,
        x_label: "x",
        curves,
    })
}
