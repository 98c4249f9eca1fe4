//! Autoencoders with a single layer of discrete latents.

use clap::ValueEnum;
use relax_runtime::prelude::*;
use relax_runtime::{Shape, grad};

use crate::data::PIXELS;
use crate::digits::Digits;
use crate::program::Outcome;
use crate::task::{Task, Use};

/// Width of the layers between pixels and latents.
const HIDDEN: usize = 200;
/// Slope of the layers' LeakyReLU where they are negative.
const SLOPE: f32 = 0.3;

/// An autoencoder that figures are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    /// One linear layer each way, 200 coins between, a learned prior.
    Linear,
    /// Layers of 200 LeakyReLU units, 200 coins, a uniform prior.
    Leaky,
    /// Layers of 200 LeakyReLU units, 20 choices among 10, a uniform prior.
    Categorical,
}

impl Network {
    pub(crate) fn design(self) -> &'static Design {
        match self {
            Self::Linear => &LINEAR,
            Self::Leaky => &LEAKY,
            Self::Categorical => &CATEGORICAL,
        }
    }
}

/// What the latents are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Latents {
    /// 200 coins.
    Coins,
    /// 20 choices among 10.
    Categories,
}

/// An autoencoder's layout and how it is trained. The decoder mirrors the encoder.
#[derive(Debug)]
pub(crate) struct Design {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    latents: Latents,
    /// Layers of 200 LeakyReLU units between pixels and latents.
    hidden: usize,
    /// Whether the encoder subtracts the mean training image, and the decoder sees coins as ±1 and
    /// adds the mean's logits.
    centred: bool,
    /// Whether the prior's logits are learned; else they are 0.
    learned_prior: bool,
    /// Adam's rate.
    pub(crate) rate: f32,
    /// Images of a training step.
    pub(crate) batch: usize,
}

/// The RELAX paper's autoencoder of one linear layer each way (Grathwohl et al. 2018, section 5.2).
pub(crate) const LINEAR: Design = Design {
    name: "linear",
    about: "784-200 linear, 200 coins",
    latents: Latents::Coins,
    hidden: 0,
    centred: true,
    learned_prior: true,
    rate: 1e-3,
    batch: 24,
};

/// The network of the RODEO experiments (Shi et al. 2022), images and coins as they are.
pub(crate) const LEAKY: Design = Design {
    name: "leaky",
    about: "784-200-200-200 LeakyReLU, 200 coins",
    latents: Latents::Coins,
    hidden: 2,
    centred: false,
    learned_prior: false,
    rate: 1e-3,
    batch: 100,
};

/// The network of the DisARM experiments (Dong, Mnih, Tucker 2020).
pub(crate) const BERNOULLI: Design = Design {
    name: "bernoulli",
    about: "VAE with 200 Bernoulli latents",
    centred: true,
    rate: 1e-4,
    ..LEAKY
};

/// The same with categories.
pub(crate) const CATEGORICAL: Design = Design {
    name: "categorical",
    about: "VAE with 20 latents of 10 categories",
    latents: Latents::Categories,
    centred: true,
    ..LEAKY
};

/// An autoencoder on its way.
pub(crate) struct Vae {
    pub(crate) design: &'static Design,
    digits: Digits,
    /// Mean training image `[1, 784]`, and its logits.
    mean: Tensor,
    bias: Tensor,
    prior: Option<Parameter>,
    encoder: Vec<Linear>,
    decoder: Vec<Linear>,
}

#[model]
fn generate_coins(x: &Tensor, vae: &Vae) {
    plate!(x.rows() => {
        let h = sample!(Bernoulli(logits = vae.prior()));
        observe!(Bernoulli(logits = vae.decode(&h)), x);
    })
}

#[model]
fn recognise_coins(x: &Tensor, vae: &Vae, given: Option<&Parameter>) {
    plate!(x.rows() => {
        let h = sample!(Bernoulli(logits = vae.encode(x, given)));
    })
}

#[model]
fn generate_categories(x: &Tensor, vae: &Vae) {
    plate!(x.rows() => {
        let h = sample!(OneHotCategorical(logits = vae.prior()));
        observe!(Bernoulli(logits = vae.decode(&h)), x);
    })
}

#[model]
fn recognise_categories(x: &Tensor, vae: &Vae, given: Option<&Parameter>) {
    plate!(x.rows() => {
        let h = sample!(OneHotCategorical(logits = vae.encode(x, given)));
    })
}

impl Vae {
    /// With first weights.
    pub(crate) fn new(design: &'static Design, digits: &Digits, seed: u64) -> Result<Self> {
        const RAREST: f32 = 1e-3;
        let device = Device::cpu();
        let mut stream = Key::new(seed).stream("weights");
        let mut layers = |name: &str, sizes: &[usize]| {
            let pairs = sizes.windows(2).enumerate();
            pairs
                .map(|(i, pair)| {
                    let layer = Linear::new(pair[0], pair[1], &mut stream, &device)?;
                    Ok(layer.named(&format!("{name}.{i}")))
                })
                .collect::<Result<Vec<_>>>()
        };
        let latents = design.latents;
        let mut sizes = vec![HIDDEN; design.hidden + 2];
        (sizes[0], sizes[design.hidden + 1]) = (PIXELS, latents.numbers());
        let encoder = layers("encoder", &sizes)?;
        sizes.reverse();
        let decoder = layers("decoder", &sizes)?;
        let mean = Tensor::from_vec(digits.mean(), [1, PIXELS], &device)?;
        let flat = Tensor::zeros(latents.shape(1), &device);
        Ok(Self {
            design,
            digits: digits.clone(),
            bias: mean.clamp(RAREST, 1.0 - RAREST).logit(),
            mean,
            prior: design
                .learned_prior
                .then(|| Parameter::new(flat).named("prior")),
            encoder,
            decoder,
        })
    }

    /// All weights.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let layers = self.encoder.iter().chain(&self.decoder);
        let weights = layers.flat_map(Linear::parameters);
        weights.chain(self.prior.clone()).collect()
    }

    fn prior(&self) -> Tensor {
        match &self.prior {
            Some(prior) => prior.get(),
            None => Tensor::zeros(self.design.latents.shape(1), &self.mean.device()),
        }
    }

    /// Logits of the latents: those given, or else what the encoder says of the images.
    fn encode(&self, x: &Tensor, given: Option<&Parameter>) -> Tensor {
        if let Some(given) = given {
            return given.get();
        }
        let logits = match self.design.centred {
            true => forward(&self.encoder, x - &self.mean),
            false => forward(&self.encoder, x.clone()),
        };
        logits.reshape(self.design.latents.shape(x.rows()))
    }

    /// Logits of the pixels.
    fn decode(&self, h: &Tensor) -> Tensor {
        let Design {
            latents, centred, ..
        } = *self.design;
        let h = match latents {
            Latents::Coins if centred => h * 2.0 - 1.0,
            Latents::Coins => h.clone(),
            Latents::Categories => h.reshape([h.rows(), latents.numbers()]),
        };
        let pixels = forward(&self.decoder, h);
        if centred { pixels + &self.bias } else { pixels }
    }

    /// The gradient by the encoder's weights that a gradient by the logits of images `x` comes to,
    /// mean over the images: weights and biases, layer after layer.
    pub(crate) fn pull(&self, x: &Tensor, by_logits: &Tensor) -> Result<Vec<f32>> {
        let parameters: Vec<Parameter> = self.encoder.iter().flat_map(Linear::parameters).collect();
        let leaves: Vec<Tensor> = parameters.iter().map(Parameter::get).collect();
        let cotangent = by_logits / x.rows() as f32;
        let logits = self.encode(x, None);
        let leaves: Vec<&Tensor> = leaves.iter().collect();
        let mut all = Vec::new();
        for gradient in grad(&[(&logits, Some(&cotangent))], &leaves)? {
            all.extend(gradient.to_vec()?);
        }
        Ok(all)
    }

    /// The evidence lower bound of an image in nats, mean over all images of some batches, from
    /// fixed draws.
    pub(crate) fn elbo(&self, batches: &[Tensor], trainer: &Trainer, draws: usize) -> Result<f64> {
        let (mut sum, mut images) = (0.0, 0);
        for x in batches {
            self.with_objective(x, None, &mut |objective| {
                let posterior = Posterior::draw(objective, trainer.params(), 0, draws)?;
                sum += posterior.log_evidence().elbo;
                Ok(())
            })?;
            images += x.rows();
        }
        Ok(sum / images as f64)
    }
}

impl Latents {
    /// Numbers that a row of latents consists of.
    fn numbers(self) -> usize {
        match self {
            Self::Coins => 200,
            Self::Categories => 20 * 10,
        }
    }

    fn shape(self, rows: usize) -> Shape {
        match self {
            Self::Coins => Shape::from([rows, 200]),
            Self::Categories => Shape::from([rows, 20, 10]),
        }
    }
}

fn forward(layers: &[Linear], mut x: Tensor) -> Tensor {
    for (i, layer) in layers.iter().enumerate() {
        x = match i {
            0 => layer.forward(&x),
            _ => layer.forward(&x.leaky_relu(SLOPE)),
        };
    }
    x
}

impl Task for Vae {
    fn title(&self) -> String {
        let Design { name, about, .. } = self.design;
        format!("{name}: {about}, {}", self.digits.title())
    }

    fn value_name(&self) -> &'static str {
        "ELBO"
    }

    fn learning_rate(&self) -> f32 {
        self.design.rate
    }

    fn evaluations(&self) -> usize {
        2_000
    }

    fn rows(&self) -> usize {
        self.design.batch
    }

    fn probe_rows(&self) -> usize {
        self.design.batch
    }

    fn batch(&self, key: Key, rows: usize) -> Result<Tensor> {
        self.digits.batch(key, rows)
    }

    fn logits(&self, x: &Tensor) -> Tensor {
        self.encode(x, None)
    }

    fn with_objective(
        &self,
        x: &Tensor,
        given: Option<&Parameter>,
        then: &mut Use<'_>,
    ) -> Result<()> {
        match self.design.latents {
            Latents::Coins => {
                let (model, guide) = (generate_coins(x, self), recognise_coins(x, self, given));
                then(&Elbo::new(&model).guide(&guide))
            }
            Latents::Categories => {
                let model = generate_categories(x, self);
                let guide = recognise_categories(x, self, given);
                then(&Elbo::new(&model).guide(&guide))
            }
        }
    }

    fn value(&self, trainer: &Trainer) -> Outcome<f64> {
        const IMAGES: usize = 1_000;
        const DRAWS: usize = 10;
        Ok(self.elbo(&self.digits.held_out(IMAGES)?, trainer, DRAWS)?)
    }
}
