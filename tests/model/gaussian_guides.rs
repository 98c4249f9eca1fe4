//! Guides that are one Gaussian over all continuous choices, on known posteriors.

use relax_runtime::infer::{FullRankGuide, Guide, LowRankGuide, MeanFieldGuide};
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error, short};

/// Covariates of which the first two nearly say the same.
const ROWS: [[f64; 3]; 6] = [
    [1.0, 0.9, 0.2],
    [-0.5, -0.7, 1.0],
    [0.8, 1.1, -0.4],
    [-1.2, -1.0, 0.1],
    [0.3, 0.2, -0.9],
    [1.5, 1.4, 0.6],
];
const SEEN: [f64; 6] = [1.3, -0.4, 0.9, -1.6, 0.1, 2.1];
const NOISE: f64 = 0.5;

fn covariate(k: usize) -> Tensor {
    let column: Vec<f32> = ROWS.iter().map(|row| row[k] as f32).collect();
    Tensor::from_slice(&column)
}

fn covariates() -> Tensor {
    Tensor::stack(&[&covariate(0), &covariate(1), &covariate(2)], 1)
}

fn seen() -> Tensor {
    Tensor::from_slice(&SEEN.map(|x| x as f32))
}

/// Weights of a site each.
#[model]
fn by_sites() {
    let a = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let b = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let c = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let mean = covariate(0) * &a + covariate(1) * &b + covariate(2) * &c;
    observe!(Normal(mean, NOISE), seen());
}

/// Weights of one site.
#[model]
fn by_vector() {
    let w = sample!(Normal(Tensor::zeros([3], &Device::cpu()), 1.0));
    observe!(Normal(covariates().matmul(&w), NOISE), seen());
}

/// Weights that are rows of a plate.
#[model]
fn by_rows() {
    let w = plate!(3 => { sample!(Normal(Tensor::zeros([3], &Device::cpu()), 1.0), name = "w") });
    observe!(Normal(covariates().matmul(&w), NOISE), seen());
}

/// Weights as host numbers, of which no cost has a derivative.
#[model]
fn by_numbers() {
    let a = sample!(Normal(0.0, 1.0));
    let b = sample!(Normal(0.0, 1.0));
    let c = sample!(Normal(0.0, 1.0));
    for (row, y) in ROWS.iter().zip(SEEN) {
        observe!(Normal(row[0] * a + row[1] * b + row[2] * c, NOISE), y);
    }
}

type Matrix = [[f64; 3]; 3];

/// The inverse by Gauss and Jordan, and the logarithm of the determinant.
fn inverse(mut a: Matrix) -> (Matrix, f64) {
    let (mut out, mut log_det) = ([[0.0; 3]; 3], 0.0);
    (0..3).for_each(|i| out[i][i] = 1.0);
    for i in 0..3 {
        let pivot = a[i][i];
        log_det += pivot.ln();
        for j in 0..3 {
            a[i][j] /= pivot;
            out[i][j] /= pivot;
        }
        for k in (0..3).filter(|&k| k != i) {
            let by = a[k][i];
            for j in 0..3 {
                a[k][j] -= by * a[i][j];
                out[k][j] -= by * out[i][j];
            }
        }
    }
    (out, log_det)
}

/// Mean and covariance of the weights, and ln p(seen).
fn conjugate() -> ([f64; 3], Matrix, f64) {
    let (mut precision, mut shift) = ([[0.0; 3]; 3], [0.0; 3]);
    for i in 0..3 {
        precision[i][i] += 1.0;
        for (row, y) in ROWS.iter().zip(SEEN) {
            shift[i] += row[i] * y / NOISE.powi(2);
            for j in 0..3 {
                precision[i][j] += row[i] * row[j] / NOISE.powi(2);
            }
        }
    }
    let (covariance, log_det) = inverse(precision);
    let mean = covariance.map(|row| (0..3).map(|j| row[j] * shift[j]).sum());
    let fit: f64 = (0..3).map(|i| mean[i] * shift[i]).sum();
    let squares: f64 = SEEN.iter().map(|y| (y / NOISE).powi(2)).sum();
    let norm = SEEN.len() as f64 * (std::f64::consts::TAU * NOISE.powi(2)).ln();
    (mean, covariance, -0.5 * (squares - fit + norm + log_det))
}

/// The draws of all weights.
fn draws(found: &Posterior, sites: &[&str]) -> Result<Vec<Vec<f64>>> {
    let mut all = vec![Vec::new(); found.samples(sites[0])?.len()];
    for site in sites {
        for (draw, value) in all.iter_mut().zip(found.samples(site)?) {
            draw.extend(value.to_f64s()?);
        }
    }
    Ok(all)
}

fn moments(draws: &[Vec<f64>]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (n, d) = (draws.len() as f64, draws[0].len());
    let mean: Vec<f64> = (0..d)
        .map(|i| draws.iter().map(|x| x[i]).sum::<f64>() / n)
        .collect();
    let covariance = |i: usize, j: usize| {
        let products = draws.iter().map(|x| (x[i] - mean[i]) * (x[j] - mean[j]));
        products.sum::<f64>() / n
    };
    let covariances = (0..d).map(|i| (0..d).map(|j| covariance(i, j)).collect());
    let covariances = covariances.collect();
    (mean, covariances)
}

fn fit<'m>(model: &'m dyn Program, guide: &'m dyn Guide) -> Svi<'m> {
    let svi = Svi::new(model).guide(guide).posterior_draws(20_000);
    svi.seed(1).progress(false)
}

/// Means, standard deviations and correlations, however the weights are written.
#[test]
fn correlated_weights() -> Result<()> {
    let (mean, covariance, evidence) = conjugate();
    let correlation =
        |of: &dyn Fn(usize, usize) -> f64, i, j| of(i, j) / (of(i, i) * of(j, j)).sqrt();
    let exact = |i: usize, j: usize| covariance[i][j];
    assert!(
        correlation(&exact, 0, 1) < -0.7,
        "they are to be correlated"
    );
    let (sites, vector, rows) = (by_sites(), by_vector(), by_rows());
    let numbers = by_numbers();
    let each: [&dyn Program; 4] = [&sites, &vector, &rows, &numbers];
    let full: &dyn Guide = &FullRankGuide;
    let low: &dyn Guide = &LowRankGuide { rank: 2 };
    for (model, names) in
        each.into_iter()
            .zip([&["a", "b", "c"][..], &["w"], &["w"], &["a", "b", "c"]])
    {
        let is_host = std::ptr::addr_eq(model, &numbers);
        for guide in [full, low] {
            if is_host && std::ptr::addr_eq(guide, low) {
                continue;
            }
            let near = if is_host { 0.05 } else { 0.02 };
            let svi = fit(model, guide);
            // Without derivatives of the cost it takes longer.
            let svi = if is_host { svi.steps(20_000) } else { svi };
            let found = svi.run()?;
            let found = found.posterior();
            assert_near(found.log_evidence().elbo, evidence, near / 4.0);
            let (means, found) = moments(&draws(found, names)?);
            let of = |i: usize, j: usize| found[i][j];
            for i in 0..3 {
                assert_near(means[i], mean[i], near * (1.0 + mean[i].abs()));
                assert_near((of(i, i) / exact(i, i)).sqrt(), 1.0, near);
                for j in 0..i {
                    assert_near(correlation(&of, i, j), correlation(&exact, i, j), near);
                }
            }
        }
    }
    let apart = fit(&sites, &MeanFieldGuide).run()?;
    assert!(apart.posterior().log_evidence().elbo < evidence - 0.3);
    Ok(())
}

/// Positive numbers of which the product is seen: their logarithms are Gaussian.
#[model]
fn product() {
    let a = sample!(LogNormal(Tensor::scalar(0.0), 1.0));
    let b = sample!(LogNormal(Tensor::scalar(0.0), 1.0));
    observe!(Normal((&a * &b).ln(), 0.5), 1.0);
}

#[test]
fn positive_numbers_go_through_their_logarithms() -> Result<()> {
    let model = product();
    let found = fit(&model, &FullRankGuide).run()?;
    let found = found.posterior();
    let evidence = -0.5 * (1.0 / 2.25 + (std::f64::consts::TAU * 2.25).ln());
    assert_near(found.log_evidence().elbo, evidence, 0.005);
    // ln a has mean 4/9 and variance 5/9.
    let exact = (4.0 / 9.0 + 5.0 / 18.0_f64).exp();
    assert_near(found.mean("a")?, exact, 0.05);
    let logs = draws(found, &["a", "b"])?;
    let logs: Vec<Vec<f64>> = logs
        .iter()
        .map(|x| x.iter().map(|x| x.ln()).collect())
        .collect();
    let (mean, covariance) = moments(&logs);
    assert_near(mean[1], 4.0 / 9.0, 0.01);
    assert_near(covariance[0][0], 5.0 / 9.0, 0.02);
    assert_near(covariance[0][1], -4.0 / 9.0, 0.02);
    Ok(())
}

const MEASURED: [f64; 12] = [2.1, 0.4, 1.7, 3.3, 1.2, 2.9, 1.1, 2.4, 0.2, 1.9, 2.6, 1.5];

/// A Gaussian of unknown mean and scale.
#[model]
fn measurements() {
    let mean = sample!(Normal(Tensor::scalar(0.0), 3.0));
    let scale = sample!(HalfNormal(Tensor::scalar(2.0)));
    let data: Vec<f32> = MEASURED.iter().map(|&x| x as f32).collect();
    // Each four times, so that the posterior is near a bell.
    let data = Tensor::from_slice(&data).broadcast_to([4, 12]);
    observe!(Normal(&mean + data.zeros_like(), &scale), data);
}

#[test]
fn a_mean_and_a_scale() -> Result<()> {
    // By sums over a grid of the mean and of the scale's logarithm.
    let (mut total, mut sums) = (0.0, [0.0; 4]);
    for i in 0..400 {
        for j in 0..400 {
            let (mean, scale) = (-1.0 + 0.015 * i as f64, (-1.5 + 0.0075 * j as f64).exp());
            let data: f64 = MEASURED
                .iter()
                .map(|x| 4.0 * ((x - mean) / scale).powi(2))
                .sum();
            let prior = (mean / 3.0).powi(2) + (scale / 2.0).powi(2);
            let weight = (-0.5 * (data + prior) - 47.0 * scale.ln()).exp();
            total += weight;
            for (sum, x) in sums
                .iter_mut()
                .zip([mean, mean * mean, scale, scale * scale])
            {
                *sum += weight * x;
            }
        }
    }
    let [mean, mean_square, scale, scale_square] = sums.map(|sum| sum / total);
    let model = measurements();
    for guide in [&FullRankGuide as &dyn Guide, &LowRankGuide { rank: 1 }] {
        let found = fit(&model, guide).run()?;
        let found = found.posterior();
        assert_near(found.mean("mean")?, mean, 0.02);
        assert_near(found.mean("scale")?, scale, 0.02);
        let (_, covariance) = moments(&draws(found, &["mean", "scale"])?);
        let spreads = [mean_square - mean * mean, scale_square - scale * scale];
        assert_near((covariance[0][0] / spreads[0]).sqrt(), 1.0, 0.05);
        assert_near((covariance[1][1] / spreads[1]).sqrt(), 1.0, 0.05);
    }
    Ok(())
}

/// A choice of each support, each seen by itself.
#[model]
fn supports() {
    let p = sample!(Beta(Tensor::scalar(2.0), 3.0));
    observe!(Binomial(10, &p), 7.0, name = "heads");
    let w = sample!(Dirichlet(Tensor::from_slice(&[1.0, 2.0, 3.0])));
    let of = |k: usize| w.index(-1, k).ln();
    factor!(of(0) + of(1) + of(2) * 2.0, name = "seen");
    let u = sample!(Uniform(Tensor::scalar(-1.0), 2.0));
    observe!(Normal(&u, 0.5), 0.4, name = "near");
}

/// Importance weights have the evidence as their mean if log q is the density of what is drawn.
#[test]
fn densities_on_all_supports_are_normalised() -> Result<()> {
    let model = supports();
    let found = fit(&model, &FullRankGuide).run()?;
    let found = found.posterior();
    // 120 B(9, 6)/B(2, 3), a Pólya urn's probability, and what a Gaussian has of the interval.
    let heads = 120.0 * 12.0 / 18_018.0;
    let urn = (1.0 / 6.0) * (2.0 / 7.0) * (3.0 / 8.0) * (4.0 / 9.0);
    let near = 0.996_7 / 3.0;
    let exact = f64::ln(heads * urn * near);
    assert_near(found.log_evidence().bound, exact, 0.02);
    assert_near(found.mean("p")?, 0.6, 0.02);
    for (found, exact) in found.means("w")?.iter().zip([0.2, 0.3, 0.5]) {
        assert_near(*found, exact, 0.02);
    }
    let (mean, _) = moments(&draws(found, &["w", "u"])?);
    assert_near(mean[0], 0.2, 0.02);
    assert_near(mean[3], found.mean("u")?, 0.02);
    Ok(())
}

/// What hides behind few schools: the spread of the schools is all but unknown.
#[model]
fn schools() {
    let effects = Tensor::from_slice(&[28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]);
    let errors = Tensor::from_slice(&[15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]);
    let mean = sample!(Normal(Tensor::scalar(0.0), 5.0));
    let spread = sample!(HalfCauchy(Tensor::scalar(5.0)));
    plate!(8 => {
        let t = sample!(Normal(Tensor::zeros([8], &Device::cpu()), 1.0));
        observe!(Normal(&mean + &spread * &t, &errors), &effects);
    })
}

#[test]
fn eight_schools() -> Result<()> {
    let model = schools();
    let of = |guide: &dyn Guide| -> Result<(f64, f64)> {
        let found = Svi::new(&model)
            .guide(guide)
            .posterior_draws(20_000)
            .seed(1);
        let found = found.progress(false).run()?;
        let found = found.posterior();
        Ok((found.log_evidence().elbo, found.mean("mean")?))
    };
    let (apart, _) = of(&MeanFieldGuide)?;
    for guide in [&FullRankGuide as &dyn Guide, &LowRankGuide { rank: 2 }] {
        let (bound, mean) = of(guide)?;
        assert!(bound > apart, "{bound} against {apart}");
        // 4.4 by long runs of a sampler.
        assert_near(mean, 4.4, 0.5);
    }
    Ok(())
}

/// Choices of many kinds that depend on each other: coins, counts, numbers with ends that were drawn.
#[model]
fn mixed() {
    let coin = sample!(Bernoulli(Tensor::scalar(0.3)));
    let width = sample!(Gamma(Tensor::scalar(3.0), 2.0));
    let x = sample!(Uniform(-&width, &width));
    let y = sample!(Normal(&x + &coin, 1.0));
    plate!(2 => {
        let z = sample!(Normal(&y * 0.5 + Tensor::zeros([2], &Device::cpu()), 1.0));
        observe!(Normal(&z, 0.7), Tensor::from_slice(&[0.5, -0.3]));
    });
}

/// Host numbers, of which some runs come by more than others.
#[model]
fn branching() {
    let a = sample!(Normal(0.0, 1.0));
    let mut mean = a;
    if sample!(Bernoulli(0.4), name = "more") {
        let b = sample!(Gamma(2.0, 1.0));
        mean += b;
    }
    let c = sample!(Normal(mean, 1.0));
    observe!(Normal(c, 0.5), 1.5);
}

fn expect_unbiased_gradients(guide: &dyn Guide) -> Result<()> {
    let (mixed, branching, weights) = (mixed(), branching(), by_numbers());
    let models: [&dyn Program; 3] = [&mixed, &branching, &weights];
    for model in models {
        let trained = fit(model, guide)
            .optimizer(Adam::new(0.05))
            .steps(40)
            .run()?;
        let bound = Elbo::new(model).guide(guide);
        let check = Check::new(&bound).params(trained.params());
        check.draws(1_500).run()?.verdict()?;
    }
    // Several samples weigh the whole derivative.
    let bound = Elbo::new(&mixed).guide(guide).samples(3);
    Check::new(&bound).draws(1_000).run()?.verdict()?;
    Ok(())
}

#[test]
fn gradients_of_full_rank_are_unbiased() -> Result<()> {
    expect_unbiased_gradients(&FullRankGuide)
}

#[test]
fn gradients_of_low_rank_are_unbiased() -> Result<()> {
    expect_unbiased_gradients(&LowRankGuide { rank: 2 })
}

/// The plan says what is guided together, and that coins are not.
#[test]
fn the_plan_says_what_guides_a_site() -> Result<()> {
    let model = mixed();
    let plan = short(&model)
        .guide(&FullRankGuide)
        .run()?
        .plan()
        .to_string();
    assert!(
        plan.contains("y: guided by a Gaussian together with"),
        "{plan}"
    );
    assert!(!plan.contains("coin: guided by a Gaussian"), "{plan}");
    Ok(())
}

#[test]
fn what_cannot_be_guided_is_refused() {
    let model = product();
    let none = error(short(&model).guide(&LowRankGuide { rank: 0 }).run());
    assert_says(&none, &["rank", "at least one"]);

    #[model]
    fn sampled() {
        plate!(2, of = 20 => {
            let x = sample!(Normal(Tensor::zeros([2], &Device::cpu()), 1.0));
            observe!(Normal(&x, 1.0), Tensor::from_slice(&[0.0, 1.0]));
        });
    }
    let model = sampled();
    let rows = error(short(&model).guide(&FullRankGuide).run());
    assert_says(&rows, &["site `x`", "changing sample of rows"]);

    #[model]
    fn read() {
        plate!(2 => {
            let x = sample!(Normal(Tensor::zeros([2], &Device::cpu()), 1.0));
            let shift = if x.to_vec()?[0] > 0.0 { 1.0 } else { -1.0 };
            observe!(Normal(&x + shift, 1.0), Tensor::from_slice(&[0.0, 1.0]));
        });
    }
    let model = read();
    let rows = error(short(&model).guide(&FullRankGuide).run());
    assert_says(&rows, &["`x`", "rows of a plate are drawn together"]);
}

/// The ends of a guide's support change the expected log-density, unlike its other parameters.
#[test]
fn ends_of_a_guide_count_in_its_entropy() -> Result<()> {
    #[model]
    fn standard() {
        let x = sample!(Normal(Tensor::scalar(0.0), 1.0));
    }
    #[model]
    fn between() {
        let w = param!(1.0, positive);
        let x = sample!(Uniform(-&w, &w));
    }
    let (model, guide) = (standard(), between());
    let mut trainer = Trainer::new(1).particles(4_000);
    let found = trainer.gradients(&Elbo::new(&model).guide(&guide), Key::new(1))?;
    // The loss is w^2/6 - ln w + const; the trained number is ln w.
    let slope = found.parameters[0].1.item()?;
    assert!((slope + 2.0 / 3.0).abs() < 0.03, "{slope}");
    // Whose ends are drawn: the posterior is the prior.
    #[model]
    fn wide() {
        let high = sample!(LogNormal(Tensor::scalar(0.0), 1.0));
        let x = sample!(Uniform(0.0, &high));
        observe!(Normal(&x, 1000.0), 0.0);
    }
    let model = wide();
    let fit = Svi::new(&model)
        .guide(&MeanFieldGuide)
        .hmc(false)
        .seed(1)
        .progress(false)
        .run()?;
    let median = fit.posterior().quantile("high", 0.5)?;
    assert!((median.ln()).abs() < 0.15, "{median}");
    Ok(())
}
