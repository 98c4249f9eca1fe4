//! Estimators of continuous choices: the plain functions, and at the sites of programs.

use std::rc::Rc;

use relax_runtime::dist::{Distribution as _, Law, Normal};
use relax_runtime::estimator::{
    Cost, Estimator, EvolutionStrategies, LawEstimate, LawProblem, Lax, Reinforce, black_box,
    differentiable, evolution_strategies, lax,
};
use relax_runtime::infer::{Elbo, ExpectedCost, Trainer};
use relax_runtime::nn::Activation;
use relax_runtime::surrogate::{FreeForm, RelaxedCost, Surrogate, Zero};
use relax_runtime::{Device, Key, Result, Tensor, grad};

use crate::derivatives;
use crate::models;
use crate::moved::Moved;
use crate::problems::perturb;
use crate::settings::{DRAWS, ROWS, Setting, Values};
use crate::statistics::{Moments, Verdicts};

const LOC: [f32; 2] = [0.4, -0.3];
const SCALE: [f32; 2] = [0.8, 1.3];
const TARGET: f32 = 0.7;

/// Rows of two Gaussians, all with the same parameters.
fn law(rows: usize) -> Result<Rc<dyn Law>> {
    let all = |x: [f32; 2]| Tensor::from_vec(x.repeat(rows), [rows, 2], &Device::cpu());
    Normal::new(all(LOC)?, all(SCALE)?)?.law()
}

fn noises(law: &dyn Law, count: usize, seed: u64) -> Result<Vec<Tensor>> {
    let mut stream = Key::new(seed).stream("noise");
    (0..count).map(|_| law.noise(&mut stream)).collect()
}

fn problem<'a>(law: &'a dyn Law, noises: &'a [Tensor]) -> LawProblem<'a> {
    LawProblem {
        law,
        noise: &noises[0],
        further: &noises[1..],
        plates: 1,
        context: None,
    }
}

/// (x₁ x₂ − t)²: E = m₁² m₂² + s₁² m₂² + m₁² s₂² + s₁² s₂² − 2 t m₁ m₂ + t².
fn smooth(b: &Tensor) -> Result<Tensor> {
    Ok((b.index(1, 0) * b.index(1, 1) - TARGET).square())
}

fn smooth_gradient() -> [f64; 4] {
    let [m, n] = LOC.map(f64::from);
    let [s, r] = SCALE.map(f64::from);
    let t = f64::from(TARGET);
    let (first, second) = (m * m + s * s, n * n + r * r);
    [
        2.0 * m * second - 2.0 * t * n,
        2.0 * n * first - 2.0 * t * m,
        2.0 * s * second,
        2.0 * r * first,
    ]
}

/// The density of the standard normal law.
fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

/// 1 where x₁ > t, and 2 where x₂ is: without derivative.
fn steps(b: &Tensor) -> Result<Tensor> {
    Ok((b.gt(TARGET) * Tensor::from_slice(&[1.0, 2.0])).sum(1))
}

fn steps_gradient() -> [f64; 4] {
    let by = |i: usize| {
        let (m, s) = (f64::from(LOC[i]), f64::from(SCALE[i]));
        let x = (f64::from(TARGET) - m) / s;
        let height = (i + 1) as f64 * density(x) / s;
        (height, x * height)
    };
    let ((m, s), (n, r)) = (by(0), by(1));
    [m, n, s, r]
}

fn network(activation: Activation) -> Result<FreeForm> {
    let mut stream = Key::new(5).stream("network");
    let network = FreeForm::new(2, 2, &[6], activation, &mut stream, &Device::cpu())?;
    perturb(&network.parameters(), 0.4, &mut stream)?;
    Ok(network)
}

/// Both parameters' gradients, side by side.
fn flat(estimate: &LawEstimate) -> Tensor {
    Tensor::concat(&estimate.gradients.iter().collect::<Vec<_>>(), 1)
}

#[test]
fn continuous_estimators_are_unbiased() -> Result<()> {
    const DRAWS: usize = 150_000;
    let law = law(DRAWS)?;
    let (smooth, steps) = (differentiable(smooth), black_box(steps));
    let costs: [(&str, &dyn Cost, [f64; 4]); 2] = [
        ("smooth", &smooth, smooth_gradient()),
        ("steps", &steps, steps_gradient()),
    ];
    let mut verdicts = Verdicts::default();
    for (seed, (name, cost, exact)) in costs.into_iter().enumerate() {
        let surrogates: [(&str, Box<dyn Surrogate>); 3] = [
            ("zero", Box::new(Zero)),
            ("relu", Box::new(network(Activation::Relu)?)),
            ("tanh", Box::new(network(Activation::Tanh)?)),
        ];
        let noise = noises(&*law, 1, seed as u64)?;
        for (surrogate_name, surrogate) in surrogates {
            let estimate = lax(problem(&*law, &noise), cost, &*surrogate)?;
            assert_eq!(estimate.evaluations, 1);
            let moments = Moments::of_rows(&flat(&estimate))?;
            println!("{name}, {surrogate_name}: {}", moments.total_variance());
            verdicts.add(
                &format!("{name}, LAX, {surrogate_name}"),
                moments.compare(&exact),
            );
        }
        for pairs in [1, 3] {
            let noise = noises(&*law, pairs, 10 + seed as u64)?;
            let estimate = evolution_strategies(problem(&*law, &noise), cost)?;
            assert_eq!(estimate.evaluations, 2 * pairs);
            let moments = Moments::of_rows(&flat(&estimate))?;
            println!("{name}, {pairs} pairs: {}", moments.total_variance());
            verdicts.add(&format!("{name}, {pairs} pairs"), moments.compare(&exact));
        }
    }
    let relaxed = RelaxedCost::new(0.7, 0.5, &Device::cpu());
    let noise = noises(&*law, 1, 30)?;
    let estimate = lax(problem(&*law, &noise), &smooth, &relaxed)?;
    assert_eq!(estimate.evaluations, 2);
    let moments = Moments::of_rows(&flat(&estimate))?;
    verdicts.add("smooth, LAX, 0.7 f", moments.compare(&smooth_gradient()));
    verdicts.finish();
    Ok(())
}

/// Draw by draw.
#[test]
fn lax_with_the_cost_as_surrogate_is_the_pathwise_gradient() -> Result<()> {
    const ROWS: usize = 1_000;
    let law = law(ROWS)?;
    let noise = noises(&*law, 1, 3)?;
    let whole = RelaxedCost::new(1.0, 0.5, &Device::cpu());
    let found = flat(&lax(
        problem(&*law, &noise),
        &differentiable(smooth),
        &whole,
    )?);
    let leaves: Vec<Tensor> = law.parameters().iter().map(Tensor::leaf).collect();
    let b = law.with_parameters(&leaves).draw(&noise[0]);
    let leaves: Vec<&Tensor> = leaves.iter().collect();
    let pathwise = grad(&[(&smooth(&b)?, None)], &leaves)?;
    let pathwise = Tensor::concat(&pathwise.iter().collect::<Vec<_>>(), 1);
    let size = 1.0 + pathwise.abs();
    let off = ((found - &pathwise).abs() / size).max_all().item()?;
    assert!(off < 1e-5, "{off}");
    Ok(())
}

#[test]
fn lax_trains_its_surrogate_along_the_variance() -> Result<()> {
    let law = law(300)?;
    let noise = noises(&*law, 1, 4)?;
    let cost = differentiable(smooth);
    let network = network(Activation::Tanh)?;
    let estimate = || lax(problem(&*law, &noise), &cost, &network);
    let square = || flat(&estimate()?).square().mean_all().item();
    let found = estimate()?.variance_gradient.tensors();
    derivatives::assert_follows(&network.parameters(), &found, square)
}

/// What is valid at every Gaussian site.
fn everywhere() -> Vec<Rc<dyn Estimator>> {
    vec![
        Rc::new(Reinforce::default()),
        Rc::new(Moved(Rc::new(Lax::default()))),
        Rc::new(EvolutionStrategies::new(2).unwrap()),
    ]
}

/// The draw is differentiable in its parameters, but its effect must not count twice.
/// E\[(x − t)²\] = (m − t)² + s².
#[test]
fn estimates_at_a_differentiable_choice() -> Result<()> {
    let (m, s, t) = (0.9_f64, 0.6_f64, 0.4_f64);
    let program = models::scored_normal(ROWS, ROWS);
    let objective = ExpectedCost::new(&program);
    let values: Values<'_> = &[("loc", &[0.9]), ("scale", &[0.6])];
    let (value, gradient) = ((m - t).powi(2) + s * s, [2.0 * (m - t), 2.0 * s]);
    let setting = Setting {
        continuous: Some("x"),
        ..Setting::rows(&objective, values)
    };
    setting.check_against(value, &gradient, everywhere())
}

/// A mean-field guide of x ~ N(0, 1) with y ~ N(x, 1) seen at 1, whose bound is
/// (m² + (1 − m)²)/2 + s² − ln s + (ln 2π − 1)/2.
#[test]
fn a_continuous_choice_of_the_host() -> Result<()> {
    let (m, log_s) = (0.1_f64, -0.3_f64);
    let s_square = (2.0 * log_s).exp();
    let value = 0.5 * (m * m + (1.0 - m).powi(2)) + s_square - log_s
        + 0.5 * (std::f64::consts::TAU.ln() - 1.0);
    let program = models::host_normal();
    let objective = Elbo::new(&program);
    let values: Values<'_> = &[("x.loc", &[0.1]), ("x.log_scale", &[-0.3])];
    let gradient = [2.0 * m - 1.0, 2.0 * s_square - 1.0];
    let setting = Setting {
        continuous: Some("x"),
        ..Setting::single(&objective, values)
    };
    setting.check_against(value, &gradient, everywhere())
}

/// With the mean m of a row, E\[(Σ x − t)²\] = (2 m − t)² + 2 s² of two rows.
#[test]
fn rows_of_a_continuous_choice_that_the_host_reads() -> Result<()> {
    let (m, s, t) = (0.3_f64, 0.6_f64, 0.4_f64);
    let program = models::host_sum();
    let objective = ExpectedCost::new(&program);
    let values: Values<'_> = &[("loc", &[0.3]), ("scale", &[0.6])];
    let (value, gradient) = (
        (2.0 * m - t).powi(2) + 2.0 * s * s,
        [4.0 * (2.0 * m - t), 4.0 * s],
    );
    let setting = Setting {
        continuous: Some("x"),
        ..Setting::single(&objective, values)
    };
    setting.check_against(value, &gradient, everywhere())
}

/// With P the probability that x exceeds the threshold, the expected cost is
/// P (C − 0.2) + 0.2, C that of the coin.
#[test]
fn a_continuous_choice_in_control_flow() -> Result<()> {
    let (m, s, theta) = (0.1_f64, 0.7_f64, -0.4_f64);
    let (x, q) = ((0.3 - m) / s, 1.0 / (1.0 + (-theta).exp()));
    let more = 3.0 * (q * 0.64 + (1.0 - q) * 0.04) - 0.2;
    let p = 0.5 * erfc(x / 2.0_f64.sqrt());
    let by_m = density(x) / s * more;
    let gradient = [by_m, x * by_m, p * 3.0 * q * (1.0 - q) * 0.6];
    let program = models::threshold();
    let objective = ExpectedCost::new(&program);
    let values: Values<'_> = &[("loc", &[0.1]), ("scale", &[0.7]), ("theta", &[-0.4])];
    let setting = Setting {
        continuous: Some("x"),
        calls: DRAWS,
        ..Setting::single(&objective, values)
    };
    setting.check_against(p * more + 0.2, &gradient, everywhere())
}

/// erfc by its integral, with the midpoint rule.
fn erfc(x: f64) -> f64 {
    const STEPS: usize = 20_000;
    let width = 8.0 / STEPS as f64;
    let at = |i: usize| x + (i as f64 + 0.5) * width;
    let sum: f64 = (0..STEPS).map(|i| (-at(i).powi(2)).exp()).sum();
    sum * width * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn the_plan_takes_lax_where_the_host_reads() -> Result<()> {
    let program = models::threshold();
    let objective = ExpectedCost::new(&program);
    let mut trainer = Trainer::new(1);
    trainer.step(&objective)?;
    let plan = trainer.plan();
    assert_eq!(plan.entries[0].estimator, "lax", "{plan}");
    Ok(())
}
