//! Small models: the paper's coin, the wet lawn, and a mixture of 200 data.

use std::rc::Rc;

use relax_runtime::estimator::{Estimator, by_name};
use relax_runtime::infer::{Guide, MeanFieldGuide, StructuredGuide, marginalise};
use relax_runtime::model::Model;
use relax_runtime::prelude::*;

use crate::{Job, Step};

/// One coin with a learned logit (paper, section 5.1).
#[model]
fn coin(target: f64) {
    let logit = param!(0.0);
    let b = sample!(Bernoulli(logits = logit));
    cost!((b - target as f32).square());
}

/// Is the lawn wet because it rained, or because the sprinkler ran? Clouds tell of both.
#[model]
fn lawn(wet: bool) {
    let cloudy = sample!(Bernoulli(0.5));
    let sprinkler = sample!(Bernoulli(if cloudy { 0.1 } else { 0.5 }));
    let rain = sample!(Bernoulli(if cloudy { 0.8 } else { 0.2 }));
    let p = match (sprinkler, rain) {
        (false, false) => 0.01,
        (true, false) | (false, true) => 0.9,
        (true, true) => 0.99,
    };
    observe!(Bernoulli(p), wet);
}

const COMPONENTS: usize = 10;
const DATA: usize = 200;

/// As many tosses as a count says, of which is known how many were heads, roughly.
#[model]
fn rounds(heads: f64) {
    let count = sample!(Poisson(2.0));
    let mut found = 0.0;
    for _ in 0..count {
        let on = sample!(Bernoulli(0.3));
        if on {
            found += 1.0;
        }
    }
    observe!(Normal(found, 0.5), heads);
}

/// Priors of a mixture's locations and scale; that of the weights is uniform.
#[model]
fn priors(locations: &Tensor, log_scale: &Tensor) {
    observe!(Normal(Tensor::scalar(15.0), 10.0), locations);
    observe!(Normal(Tensor::scalar(0.0), 2.0), log_scale);
    cost!(log_scale.clone());
}

/// A mixture whose data each have a component of their own.
#[model]
fn mixture(x: &Tensor) {
    let weights = param!([0.0; COMPONENTS]);
    let locations = param!(first_locations());
    let log_scale = param!(0.0);
    call!(priors(&locations, &log_scale), name = "prior");
    plate!(x.rows() => {
        let component = sample!(OneHotCategorical(logits = weights.reshape([1, COMPONENTS])));
        observe!(Normal(component.matmul(&locations), log_scale.exp()), x);
    })
}

/// The same with the components summed out.
#[model]
fn summed_mixture(x: &Tensor) {
    let weights = param!([0.0; COMPONENTS]);
    let locations = param!(first_locations());
    let log_scale = param!(0.0);
    call!(priors(&locations, &log_scale), name = "prior");
    // Components by rows: long rows are the fast ones.
    let by_rows = |t: &Tensor| t.reshape([COMPONENTS, 1]);
    let far = (x.reshape([1, DATA]) - by_rows(&locations)) / log_scale.exp();
    let weight = weights.log_softmax(-1) - &log_scale - 0.5 * std::f32::consts::TAU.ln();
    let joint = far.square() * -0.5 + by_rows(&weight);
    cost!(-joint.logsumexp(0).sum_all());
}

fn first_locations() -> Tensor {
    let locations: Vec<f32> = (0..COMPONENTS).map(|k| 3.3 * k as f32).collect();
    Tensor::from_slice(&locations)
}

/// Data about the multiples of 3, with deviation 1.
fn data() -> Result<Tensor> {
    let mut stream = Key::new(1).stream("data");
    let draw = |_| 3.0 * stream.below(COMPONENTS) as f32 + stream.normal() as f32;
    let x: Vec<f32> = (0..DATA).map(draw).collect();
    Tensor::from_vec(x, [DATA], &Device::cpu())
}

fn toy(estimator: Rc<dyn Estimator>) -> Result<Step> {
    let mut trainer = Trainer::new(1).estimator(estimator);
    let coin = coin(0.499);
    Ok(Box::new(move || {
        Ok(trainer.step(&ExpectedCost::new(&coin))?.loss)
    }))
}

/// Steps along the bound of a model with a guide.
fn svi(
    estimator: &str,
    model: impl Program + 'static,
    guide: impl Guide + 'static,
) -> Result<Step> {
    let mut trainer = Trainer::new(1).estimator(by_name(estimator)?);
    Ok(Box::new(move || {
        Ok(trainer.step(&Elbo::new(&model).guide(&guide))?.loss)
    }))
}

/// Steps along the bound of a model that is summed over, with the automatic guide for what is left.
fn summed(model: impl Model + 'static) -> Result<Step> {
    let mut trainer = Trainer::new(1);
    let model = marginalise(model);
    Ok(Box::new(move || Ok(trainer.step(&Elbo::new(&model))?.loss)))
}

/// The jobs, each with the estimators that suit it.
pub(crate) fn jobs() -> Vec<Job> {
    let small_network = || Relax {
        hidden: vec![10],
        activation: Activation::Tanh,
        ..Relax::free_form()
    };
    vec![
        Job::new("toy relax", || toy(Rc::new(Relax::default()))),
        Job::new("toy relax free-form", || toy(Rc::new(Relax::free_form()))),
        Job::new("toy relax 1-10-1", move || toy(Rc::new(small_network()))),
        Job::new("sprinkler enumerate", || {
            svi("enumerate", lawn(true), MeanFieldGuide)
        }),
        Job::new("rounds summed", || summed(rounds(2.0))),
        Job::new("sprinkler relax", || {
            svi("relax", lawn(true), MeanFieldGuide)
        }),
        Job::new("sprinkler structured enumerate", || {
            svi("enumerate", lawn(true), StructuredGuide)
        }),
        Job::new("sprinkler structured relax", || {
            svi("relax", lawn(true), StructuredGuide)
        }),
        Job::new("mixture enumerate", || mixture_by("enumerate")),
        Job::new("mixture relax", || mixture_by("relax")),
        Job::new("mixture summed", || {
            let x = data()?;
            let mut trainer = Trainer::new(1);
            Ok(Box::new(move || {
                Ok(trainer.step(&Elbo::new(&summed_mixture(&x)))?.loss)
            }))
        }),
    ]
}

fn mixture_by(estimator: &'static str) -> Result<Step> {
    let x = data()?;
    let mut trainer = Trainer::new(1).estimator(by_name(estimator)?);
    Ok(Box::new(move || {
        Ok(trainer.step(&Elbo::new(&mixture(&x)))?.loss)
    }))
}
