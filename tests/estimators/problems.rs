//! Small problems with exact answers, and surrogates that are not zero.

use relax_runtime::dist::{BernoulliRelaxation, CategoricalRelaxation, Relaxation};
use relax_runtime::estimator::{Cost, Coupling, Noise, Problem, differentiable};
use relax_runtime::nn::Activation;
use relax_runtime::surrogate::{FreeForm, RelaxedCost, Sum, Surrogate, Zero};
use relax_runtime::{Device, Key, Parameter, Result, Shape, Stream, Tensor};

pub const COUPLINGS: [Coupling; 2] = [Coupling::Coupled, Coupling::Independent];

/// A random choice and a cost of it.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub relaxation: &'static dyn Relaxation,
    theta: &'static [f32],
    event: &'static [usize],
    /// The cost of each row of draws.
    f: fn(&Tensor) -> Tensor,
}

/// Σ over the last axis of b times fixed weights.
fn dot(b: &Tensor, weights: &[f32]) -> Tensor {
    (b * Tensor::from_slice(weights)).sum(-1)
}

pub const BERNOULLI: Case = Case {
    name: "Bernoulli",
    relaxation: &BernoulliRelaxation,
    theta: &[0.4],
    event: &[],
    f: |b| (b - 0.2).square() * 1.5,
};

/// The paper's toy problem.
pub const TOY: Case = Case {
    name: "toy",
    theta: &[0.0],
    f: |b| (b - 0.45).square(),
    ..BERNOULLI
};

pub const INTERACTING: Case = Case {
    name: "interacting Bernoullis",
    relaxation: &BernoulliRelaxation,
    theta: &[0.4, -1.1, 1.7],
    event: &[3],
    f: |b| (dot(b, &[0.9, -1.4, 0.6]) - 0.3).square() + b.index(-1, 0) * b.index(-1, 2),
};

pub const ONE_HOT: Case = Case {
    name: "one-hot",
    relaxation: &CategoricalRelaxation,
    theta: &[0.3, -0.7, 1.2, 0.1],
    event: &[4],
    f: |b| (dot(b, &[0.2, 1.5, -0.4, 0.9]) - 0.5).square() + b.index(-1, 3),
};

pub const TWO_ONE_HOTS: Case = Case {
    name: "two interacting one-hots",
    relaxation: &CategoricalRelaxation,
    theta: &[0.3, -0.7, 1.2, 2.5, 2.1, 1.6],
    event: &[2, 3],
    f: |b| {
        let x = dot(&b.index(1, 0), &[0.2, 1.5, -0.4]);
        let y = dot(&b.index(1, 1), &[1.1, -0.6, 0.3]);
        (&x * y - 0.4).square() + x
    },
};

pub const LINEAR: Case = Case {
    name: "linear",
    f: |b| dot(b, &[0.9, -1.4, 0.6]),
    ..INTERACTING
};

/// Of higher order than quadratic in each choice.
pub const CURVED: Case = Case {
    name: "curved",
    f: |b| (dot(b, &[1.5, -2.0, 1.1])).exp(),
    ..INTERACTING
};

pub const CURVED_ONE_HOT: Case = Case {
    name: "curved one-hot",
    f: |b| (dot(b, &[0.2, 1.5, -2.4, 0.9])).exp(),
    ..ONE_HOT
};

/// With kinks between the values of the coins, in a function of several of them.
pub const KINKED: Case = Case {
    name: "kinked",
    f: |b| {
        let (x, y) = (dot(b, &[0.9, -1.4, 0.6]), dot(b, &[-0.8, 0.5, 1.1]));
        (&x - 0.1).leaky_relu(0.2) * 2.0 - (&y - 0.3).abs() * &x
            + (y * 2.0).clamp(-0.4, 0.7)
            + x.maximum(&(&x * -2.0 + 0.2))
    },
    ..INTERACTING
};

/// With the largest of several numbers, whose kinks stay.
pub const LARGEST: Case = Case {
    name: "largest",
    f: |b| (b * Tensor::from_slice(&[0.9, -1.4, 0.6]) + 0.1).max(-1) * 2.0,
    ..INTERACTING
};

const TWELVE: Case = Case {
    name: "twelve coins",
    theta: &[0.0; 12],
    event: &[12],
    ..INTERACTING
};

const WEIGHTS: [f32; 12] = [
    0.5, -0.8, 1.2, 0.3, -0.6, 0.9, -1.1, 0.7, 0.2, -0.4, 1.0, -0.3,
];

/// One function of twelve coins, with the argument of its kink in several units.
pub const SCALED_KINKS: [Case; 4] = [
    kink("kink", |b| scaled_kink(b, 1.0)),
    kink("kink, 10³", |b| scaled_kink(b, 1e3)),
    kink("kink, 10⁶", |b| scaled_kink(b, 1e6)),
    kink("kink, 10⁻⁶", |b| scaled_kink(b, 1e-6)),
];

/// The same of two layers of units that move differently.
pub const SCALED_LAYERS: [Case; 3] = [
    kink("layers", |b| scaled_layers(b, 1.0)),
    kink("layers, 10³", |b| scaled_layers(b, 1e3)),
    kink("layers, 10⁶", |b| scaled_layers(b, 1e6)),
];

const fn kink(name: &'static str, f: fn(&Tensor) -> Tensor) -> Case {
    Case { name, f, ..TWELVE }
}

fn scaled_kink(b: &Tensor, unit: f32) -> Tensor {
    ((dot(b, &WEIGHTS) - 0.53) * unit).relu() / unit
}

fn scaled_layers(b: &Tensor, unit: f32) -> Tensor {
    let weights = |numbers: usize, scale: f32| {
        let weights = (0..12 * numbers).map(|i| (i as f32 * 1.7).sin() * scale);
        let weights: Vec<f32> = weights.collect();
        Tensor::from_slice(&weights).reshape([12, numbers])
    };
    let small = ((b * 2.0 - 1.0).matmul(&weights(6, 0.3)) * unit).leaky_relu(0.2) / unit;
    let large = (b.matmul(&weights(6, 30.0)) * unit).leaky_relu(0.2) / (unit * 100.0);
    let layer = Tensor::concat(&[&small, &large], 1);
    let last = (layer.matmul(&weights(4, 1.0)) * unit).relu() / unit;
    dot(&last, &[1.5, -2.0, 1.0, 0.7])
}

/// With second derivatives far larger than the differences that the gradient is made of.
pub const STEEP: Case = Case {
    name: "steep",
    f: |b| {
        let x = dot(b, &WEIGHTS);
        let y = (x.square() + 0.1).recip() - 1.0;
        (y.square() + 0.1).recip()
    },
    ..TWELVE
};

pub const CASES: [Case; 4] = [BERNOULLI, INTERACTING, ONE_HOT, TWO_ONE_HOTS];

impl Case {
    fn shape(&self, rows: usize) -> Shape {
        let mut shape = vec![rows];
        shape.extend(self.event);
        Shape::try_from(&shape[..]).unwrap()
    }

    /// The same θ in every row.
    pub fn theta(&self, rows: usize) -> Result<Tensor> {
        Tensor::from_vec(self.theta.repeat(rows), self.shape(rows), &Device::cpu())
    }

    /// θ with an offset of its own in every row and coordinate.
    pub fn scattered_theta(&self, rows: usize, size: f32) -> Result<Tensor> {
        let mut stream = Key::new(11).stream("theta");
        let offsets = stream.normals(self.shape(rows), &Device::cpu())?;
        Ok(self.theta(rows)? + offsets * size)
    }

    pub fn noise(&self, rows: usize, seed: u64, coupling: Coupling) -> Result<Noise> {
        let draw = |purpose| {
            let mut stream = Key::new(seed).stream(purpose);
            stream.uniforms(self.shape(rows), &Device::cpu())
        };
        Ok(Noise {
            u: draw("u")?,
            v: match coupling {
                Coupling::Coupled => None,
                Coupling::Independent => Some(draw("v")?),
            },
            further: Vec::new(),
        })
    }

    /// Coupled noise, with further draws.
    pub fn noise_with(&self, rows: usize, seed: u64, further: usize) -> Result<Noise> {
        let mut stream = Key::new(seed).stream("further");
        let further = (0..further).map(|_| stream.uniforms(self.shape(rows), &Device::cpu()));
        Ok(Noise {
            further: further.collect::<Result<_>>()?,
            ..self.noise(rows, seed, Coupling::Coupled)?
        })
    }

    pub fn problem<'a>(&self, theta: &'a Tensor, noise: &'a Noise) -> Problem<'a> {
        Problem::new(self.relaxation, theta, noise).rows()
    }

    pub fn cost(&self) -> impl Cost + use<> {
        let f = self.f;
        differentiable(move |b: &Tensor| Ok(f(b)))
    }

    pub fn f(&self, b: &Tensor) -> Tensor {
        (self.f)(b)
    }

    /// ∂E\[f\]/∂θ as the sum of p(b) f(b) ∂log p(b)/∂θ over all values b.
    pub fn exact_gradient(&self) -> Result<Vec<f64>> {
        let categories = self.event.last().copied().unwrap_or(1);
        let vertices = self.relaxation.vertices(categories);
        let width = vertices[0].len();
        let events = self.theta.len() / width;
        let combinations = vertices.len().pow(events as u32);
        let mut values: Vec<f32> = Vec::new();
        for mut digit in 0..combinations {
            for _ in 0..events {
                values.extend_from_slice(&vertices[digit % vertices.len()]);
                digit /= vertices.len();
            }
        }
        let b = Tensor::from_vec(values.clone(), self.shape(combinations), &Device::cpu())?;
        let costs = self.f(&b).to_vec()?;
        let means: Vec<f64> = self.theta.chunks(width).flat_map(means).collect();
        let mut gradient = vec![0.0; means.len()];
        for (b, cost) in values.chunks(means.len()).zip(costs) {
            let p: f64 = b
                .chunks(width)
                .zip(means.chunks(width))
                .map(|(b, means)| probability(b, means))
                .product();
            for ((g, &b), mean) in gradient.iter_mut().zip(b).zip(&means) {
                *g += p * f64::from(cost) * (f64::from(b) - mean);
            }
        }
        Ok(gradient)
    }
}

/// Means of one event: σ(θ) of a coin, softmax(θ) of a one-hot vector.
fn means(theta: &[f32]) -> Vec<f64> {
    let weights: Vec<f64> = theta.iter().map(|&x| f64::from(x).exp()).collect();
    let total: f64 = match weights[..] {
        [odds] => 1.0 + odds,
        _ => weights.iter().sum(),
    };
    weights.iter().map(|w| w / total).collect()
}

fn probability(b: &[f32], means: &[f64]) -> f64 {
    match (b, means) {
        ([b], [p]) if *b == 0.0 => 1.0 - p,
        _ => b.iter().zip(means).map(|(&b, p)| f64::from(b) * p).sum(),
    }
}

/// Every kind of surrogate, with parameters far from their first values.
pub fn surrogates(case: &Case) -> Result<Vec<(&'static str, Box<dyn Surrogate>)>> {
    let network = |activation, seed| {
        let mut stream = Key::new(seed).stream("network");
        let latent = case.theta.len();
        FreeForm::new(latent, 0, &[6, 5], activation, &mut stream, &Device::cpu())
    };
    let relaxed = || RelaxedCost::new(1.7, 0.35, &Device::cpu());
    let all: Vec<(&'static str, Box<dyn Surrogate>)> = vec![
        ("zero", Box::new(Zero)),
        ("free-form, relu", Box::new(network(Activation::Relu, 1)?)),
        ("free-form, tanh", Box::new(network(Activation::Tanh, 2)?)),
        ("relaxed cost", Box::new(relaxed())),
        (
            "sum",
            Box::new(Sum(relaxed(), network(Activation::Tanh, 3)?)),
        ),
    ];
    let mut stream = Key::new(4).stream("perturbation");
    for (_, surrogate) in &all {
        perturb(&surrogate.parameters(), 0.4, &mut stream)?;
    }
    Ok(all)
}

/// Moves every parameter by normal noise: a network's output layer, which starts at zero, too.
pub fn perturb(parameters: &[Parameter], size: f32, stream: &mut Stream) -> Result<()> {
    for parameter in parameters {
        let noise = stream.normals(parameter.shape(), &parameter.get().device())?;
        parameter.set(parameter.get().detach() + noise * size)?;
    }
    Ok(())
}
