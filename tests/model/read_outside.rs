//! A model whose choices are summed out inside another, which has read choices before.

use relax_runtime::infer::marginalise;
use relax_runtime::prelude::*;

use crate::assert_near;

const DATA: [f64; 3] = [4.1, 0.3, 4.4];

#[model]
fn groups(scale: f64, data: &Tensor) {
    let mu = sample!(Normal(0.0, scale));
    plate!(data.rows() => {
        let high = sample!(Bernoulli(Tensor::full(data.rows(), 0.5, &Device::cpu())));
        observe!(Normal(&high * 4.0 + mu, 1.0), data);
    })
}

const SCALES: [f64; 2] = [0.5, 20.0];

#[model]
fn outer(data: &Tensor) {
    let wide = sample!(Bernoulli(0.5));
    call!(
        marginalise(groups(SCALES[usize::from(wide)], data)),
        name = "part"
    );
}

/// How far the guide's draws of `mu` spread at first, by the scale that the model states.
const SPREAD: f64 = 0.1;

/// Minus the mean log-likelihood over these draws, by a sum over a grid.
fn loss(scale: f64) -> f64 {
    let normal =
        |x: f64, sd: f64| (-0.5 * (x / sd).powi(2)).exp() / (sd * std::f64::consts::TAU.sqrt());
    let step = scale / 200.0;
    let grid = (-1_600..=1_600).map(|i| f64::from(i) * step);
    let term = |mu: f64| {
        let of_row = |x: &f64| (0.5 * (normal(x - mu, 1.0) + normal(x - mu - 4.0, 1.0))).ln();
        -normal(mu, scale) * DATA.iter().map(of_row).sum::<f64>()
    };
    grid.map(term).sum::<f64>() * step
}

/// How a choice inside is drawn depends on what was read outside, and so does its share in the bound: where the guide
/// starts, in units of the prior, its divergence from that is the same whatever was read.
#[test]
fn what_was_read_outside_counts_inside() -> Result<()> {
    const DRAWS: u64 = 8_000;
    let data = Tensor::from_slice(&DATA.map(|x| x as f32));
    let model = outer(&data);
    let objective = Elbo::new(&model);
    let mut trainer = Trainer::new(1).estimator(Reinforce::default());
    let (mut sum, mut squares) = (0.0, 0.0);
    for step in 0..DRAWS {
        let estimate = trainer.gradients(
            &objective,
            Key {
                step,
                ..Key::new(1)
            },
        )?;
        let params = trainer.params();
        let logit = params
            .names()
            .into_iter()
            .find(|name| name.starts_with("wide"));
        let logit = params.parameter(&logit.expect("the guide's")).unwrap();
        let mut gradients = estimate.parameters.iter();
        let (_, gradient) = gradients.find(|(p, _)| p.key() == logit.key()).unwrap();
        let gradient = f64::from(gradient.item()?);
        sum += gradient;
        squares += gradient * gradient;
    }
    let draws = DRAWS as f64;
    let error = ((squares / draws - (sum / draws).powi(2)) / draws).sqrt();
    let [narrow, wide] = SCALES.map(|scale| loss(SPREAD * scale));
    let wanted = 0.25 * (wide - narrow);
    assert!(error < 0.05, "{error}");
    assert_near(sum / draws, wanted, 4.0 * error);
    Ok(())
}
