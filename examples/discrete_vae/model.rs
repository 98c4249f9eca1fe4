//! The one-layer linear Bernoulli autoencoder: 784 pixels, 200 binary latents.

use relax_runtime::prelude::*;

use crate::data::PIXELS;

/// Number of binary latents.
pub(crate) const LATENTS: usize = 200;

/// Weights of model and guide.
pub(crate) struct Vae {
    encoder: Linear,
    decoder: Linear,
    prior: Parameter,
    /// Mean training image `[1, 784]`, which the encoder subtracts.
    mean: Tensor,
    /// Its logits: the decoder's output when the latents say nothing.
    bias: Tensor,
}

impl Vae {
    /// First weights, and the constants of a training set with the given mean image.
    pub(crate) fn new(mean: Vec<f32>, seed: u64, device: &Device) -> Result<Self> {
        const RAREST: f32 = 1e-3;
        let mut stream = Key::new(seed).stream("weights");
        let mean = Tensor::from_vec(mean, [1, PIXELS], device)?;
        Ok(Self {
            encoder: Linear::new(PIXELS, LATENTS, &mut stream, device)?.named("encoder"),
            decoder: Linear::new(LATENTS, PIXELS, &mut stream, device)?.named("decoder"),
            prior: Parameter::new(Tensor::zeros([1, LATENTS], device)).named("prior"),
            bias: mean.clamp(RAREST, 1.0 - RAREST).logit(),
            mean,
        })
    }

    /// Logits of the latents for images `[n, 784]`.
    pub(crate) fn encode(&self, x: &Tensor) -> Tensor {
        self.encoder.forward(&(x - &self.mean))
    }

    /// Logits of the pixels for latents `[n, 200]`.
    pub(crate) fn decode(&self, h: &Tensor) -> Tensor {
        self.decoder.forward(&(h * 2.0 - 1.0)) + &self.bias
    }

    /// Logits of the latents' prior, `[1, 200]`.
    pub(crate) fn prior(&self) -> Tensor {
        self.prior.get()
    }
}

/// Images `x`, a sample of a training set of size `of`, and the latents that made them.
#[model]
pub(crate) fn generate(x: &Tensor, vae: &Vae, of: usize) {
    plate!(x.rows(), of = of => {
        let h = sample!(Bernoulli(logits = vae.prior()));
        observe!(Bernoulli(logits = vae.decode(&h)), x);
    })
}

/// What the latents of images `x` probably are.
#[model]
pub(crate) fn recognise(x: &Tensor, vae: &Vae, of: usize) {
    plate!(x.rows(), of = of => {
        let h = sample!(Bernoulli(logits = vae.encode(x)));
    })
}
