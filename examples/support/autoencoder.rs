//! The autoencoders of "Backpropagation through the Void" (Grathwohl, Choi, Wu, Roeder, Duvenaud, ICLR
//! 2018), section 5.2: binary images of 784 pixels, layers of 200 binary latents.

use relax_runtime::infer::LogEvidence;
use relax_runtime::prelude::*;

use crate::data::{BinaryImages, PIXELS};

/// Binary latents of a layer.
pub(crate) const LATENTS: usize = 200;
/// Units of a hidden layer.
const HIDDEN: usize = 200;
/// Units of a hidden layer of the decoder in the public code: as many as there are pixels.
const WIDE: usize = PIXELS;

/// The architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// L1: a linear layer each way.
    OneLayer,
    /// L2: two layers of latents, linear layers between.
    TwoLayers,
    /// NL1: one layer of latents, two hidden tanh layers of 200 units each way, as the paper says.
    Nonlinear,
    /// NL1 with hidden layers of 784 units in the decoder, as the public code has them.
    NonlinearWide,
}

/// Weights of model and guide.
pub(crate) struct Autoencoder {
    /// From the images up.
    encoders: Vec<Mlp>,
    /// To the images, and to the latents above them.
    decoders: Vec<Mlp>,
    prior: Parameter,
    /// Mean training image `[1, 784]`, which the encoder subtracts.
    mean: Tensor,
    /// Its logits: the decoder's output when the latents say nothing.
    bias: Tensor,
    /// Whether surrogates and baselines see the image and the latents below their own, besides what all of
    /// them see, the latents' logits.
    context: bool,
}

impl Autoencoder {
    /// First weights, by Glorot and Bengio, and the constants of a training set with the given mean image.
    ///
    /// # Errors
    /// If the device cannot hold them, or the mean has not [`PIXELS`] numbers.
    pub(crate) fn new(kind: Kind, mean: Vec<f32>, seed: u64, device: &Device) -> Result<Self> {
        const RAREST: f32 = 1e-3;
        let mut stream = Key::new(seed).stream("weights");
        let mut network = |name: &str, from: usize, to: usize| {
            let sizes = match kind {
                Kind::Nonlinear => vec![from, HIDDEN, HIDDEN, to],
                Kind::NonlinearWide if to == PIXELS => vec![from, WIDE, WIDE, to],
                Kind::NonlinearWide => vec![from, HIDDEN, HIDDEN, to],
                Kind::OneLayer | Kind::TwoLayers => vec![from, to],
            };
            let network = Mlp::new(&sizes, Activation::Tanh, &mut stream, device)?;
            Ok::<_, Error>(network.named(name))
        };
        let mut encoders = vec![network("encoder", PIXELS, LATENTS)?];
        let mut decoders = vec![network("decoder", LATENTS, PIXELS)?];
        if kind == Kind::TwoLayers {
            encoders.push(network("encoder_above", LATENTS, LATENTS)?);
            decoders.push(network("decoder_above", LATENTS, LATENTS)?);
        }
        let mean = Tensor::from_vec(mean, [1, PIXELS], device)?;
        Ok(Self {
            encoders,
            decoders,
            prior: Parameter::new(Tensor::zeros([1, LATENTS], device)).named("prior"),
            bias: mean.clamp(RAREST, 1.0 - RAREST).logit(),
            mean,
            context: false,
        })
    }

    /// Has surrogates and baselines see the image and the latents below, too.
    #[must_use]
    pub(crate) fn with_context(self, context: bool) -> Self {
        Self { context, ..self }
    }

    /// All weights.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let networks = self.encoders.iter().chain(&self.decoders);
        let weights = networks.flat_map(Mlp::parameters);
        weights.chain([self.prior.clone()]).collect()
    }

    /// Logits of the first latents for images `[n, 784]`.
    pub(crate) fn encode(&self, x: &Tensor) -> Tensor {
        self.encoders[0].forward(&self.centred(x))
    }

    /// Logits of the pixels for the first latents `[n, 200]`.
    pub(crate) fn decode(&self, h: &Tensor) -> Tensor {
        self.decoders[0].forward(&signs(h)) + &self.bias
    }

    /// Logits of the last latents' prior, `[1, 200]`.
    pub(crate) fn prior(&self) -> Tensor {
        self.prior.get()
    }

    fn centred(&self, x: &Tensor) -> Tensor {
        x - &self.mean
    }

    /// Bounds on the mean log-likelihood of an image, from `draws` importance-weighted draws each: the
    /// ELBO, and the bound of all draws (Burda, Grosse, Salakhutdinov 2016).
    ///
    /// # Errors
    /// If the device cannot hold the images, or whatever goes wrong in the networks.
    pub(crate) fn evidence(
        &self,
        images: &BinaryImages,
        params: &ParamStore,
        seed: u64,
        draws: usize,
    ) -> Result<LogEvidence> {
        /// As many images at a time as keep the draws in the cache.
        const ROWS: usize = 250;
        let count = images.count();
        let mut mean = LogEvidence {
            elbo: 0.0,
            bound: 0.0,
            effective_samples: 0.0,
        };
        let mut seeds = Key::new(seed).stream("validation");
        for start in (0..count).step_by(ROWS) {
            let indices: Vec<usize> = (start..count.min(start + ROWS)).collect();
            let rows = indices.len();
            let x = Tensor::from_vec(images.batch(&indices), [rows, PIXELS], &self.mean.device())?;
            let (model, guide) = (generate(&x, self, rows), recognise(&x, self, rows));
            let objective = Elbo::new(&model).guide(&guide);
            let seed = seeds.below(usize::MAX) as u64;
            let evidence = Posterior::draw(&objective, params, seed, draws)?.log_evidence();
            mean.elbo += evidence.elbo / count as f64;
            mean.bound += evidence.bound / count as f64;
            mean.effective_samples += evidence.effective_samples * rows as f64 / count as f64;
        }
        Ok(mean)
    }
}

/// Coins as −1 and 1.
fn signs(h: &Tensor) -> Tensor {
    h * 2.0 - 1.0
}

/// Images `x`, a sample of a training set of size `of`, and the latents that made them.
#[model]
pub(crate) fn generate(x: &Tensor, vae: &Autoencoder, of: usize) {
    plate!(x.rows(), of = of => {
        let logits = match vae.decoders.get(1) {
            Some(decoder) => {
                let above = sample!(Bernoulli(logits = vae.prior()));
                decoder.forward(&signs(&above))
            }
            None => vae.prior(),
        };
        let h = sample!(Bernoulli(logits = logits));
        observe!(Bernoulli(logits = vae.decode(&h)), x);
    })
}

/// What the latents of images `x` probably are.
#[model]
pub(crate) fn recognise(x: &Tensor, vae: &Autoencoder, of: usize) {
    plate!(x.rows(), of = of => {
        let image = vae.centred(x);
        let logits = vae.encoders[0].forward(&image);
        let h = match vae.context {
            true => sample!(Bernoulli(logits = logits), name = "h", context = image),
            false => sample!(Bernoulli(logits = logits), name = "h"),
        };
        if let Some(encoder) = vae.encoders.get(1) {
            let below = signs(&h);
            let logits = encoder.forward(&below);
            match vae.context {
                true => {
                    let seen = Tensor::concat(&[&image, &below], 1);
                    sample!(Bernoulli(logits = logits), name = "above", context = seen)
                }
                false => sample!(Bernoulli(logits = logits), name = "above"),
            };
        }
    })
}
