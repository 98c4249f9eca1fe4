//! Autoencoders with a single layer of discrete latents.

use relax_runtime::prelude::*;

use crate::Outcome;
use crate::data::PIXELS;
use crate::digits::Digits;
use crate::task::{Task, Use};

/// Width of the layers between pixels and latents.
const HIDDEN: usize = 200;
/// Slope of the layers' LeakyReLU where they are negative.
const SLOPE: f32 = 0.3;
/// Images of a training step.
const BATCH: usize = 100;

/// What the latents are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Latents {
    /// 200 fair coins: the protocol of DisARM, Double CV and RODEO (Dong, Mnih, Tucker 2020; Titsias
    /// and Shi 2022; Shi et al. 2022).
    Coins,
    /// 20 choices among 10.
    Categories,
}

/// An encoder of 784-200-200 units, its mirror image as decoder, and a fixed uniform prior.
pub(crate) struct Vae {
    latents: Latents,
    digits: Digits,
    /// Mean training image `[1, 784]`, which the encoder subtracts, and its logits, which the
    /// decoder adds.
    mean: Tensor,
    bias: Tensor,
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
    pub(crate) fn new(latents: Latents, digits: &Digits, seed: u64) -> Result<Self> {
        const RAREST: f32 = 1e-3;
        let device = Device::cpu();
        let mut stream = Key::new(seed).stream("weights");
        let mut layers = |sizes: [usize; 4]| {
            let pairs = sizes.windows(2);
            pairs
                .map(|pair| Linear::new(pair[0], pair[1], &mut stream, &device))
                .collect::<Result<Vec<_>>>()
        };
        let mean = Tensor::from_vec(digits.mean(), [1, PIXELS], &device)?;
        Ok(Self {
            latents,
            digits: digits.clone(),
            bias: mean.clamp(RAREST, 1.0 - RAREST).logit(),
            mean,
            encoder: layers([PIXELS, HIDDEN, HIDDEN, latents.numbers()])?,
            decoder: layers([latents.numbers(), HIDDEN, HIDDEN, PIXELS])?,
        })
    }

    fn prior(&self) -> Tensor {
        let device = self.mean.device();
        match self.latents {
            Latents::Coins => Tensor::zeros([1, self.latents.numbers()], &device),
            Latents::Categories => Tensor::zeros([1, 20, 10], &device),
        }
    }

    /// Logits of the latents: those given, or else what the encoder says of the images.
    fn encode(&self, x: &Tensor, given: Option<&Parameter>) -> Tensor {
        if let Some(given) = given {
            return given.get();
        }
        let logits = forward(&self.encoder, x - &self.mean);
        match self.latents {
            Latents::Coins => logits,
            Latents::Categories => logits.reshape([x.rows(), 20, 10]),
        }
    }

    /// Logits of the pixels.
    fn decode(&self, h: &Tensor) -> Tensor {
        let h = match self.latents {
            Latents::Coins => h * 2.0 - 1.0,
            Latents::Categories => h.reshape([h.rows(), self.latents.numbers()]),
        };
        forward(&self.decoder, h) + &self.bias
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
        let latents = match self.latents {
            Latents::Coins => "bernoulli: VAE with 200 Bernoulli latents",
            Latents::Categories => "categorical: VAE with 20 latents of 10 categories",
        };
        format!("{latents}, {}", self.digits.title())
    }

    fn value_name(&self) -> &'static str {
        "ELBO"
    }

    fn learning_rate(&self) -> f32 {
        match self.latents {
            Latents::Coins => 1e-4,
            Latents::Categories => 1e-3,
        }
    }

    fn evaluations(&self) -> usize {
        2_000
    }

    fn rows(&self) -> usize {
        BATCH
    }

    fn probe_rows(&self) -> usize {
        BATCH
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
        match self.latents {
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
        const ROWS: usize = 250;
        const DRAWS: usize = 10;
        let (mut sum, mut images) = (0.0, 0);
        for x in self.digits.held_out(IMAGES, ROWS)? {
            self.with_objective(&x, None, &mut |objective| {
                let posterior = Posterior::draw(objective, trainer.params(), 0, DRAWS)?;
                sum += posterior.log_evidence().elbo;
                Ok(())
            })?;
            images += x.rows();
        }
        Ok(sum / images as f64)
    }
}
