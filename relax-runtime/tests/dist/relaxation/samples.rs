//! The laws of z, z̃ and the coupled noise.

use relax_runtime::dist::noise;
use relax_runtime::{Device, Result, Tensor};
use statrs::distribution::Uniform;
use statrs::stats_tests::NaNPolicy;
use statrs::stats_tests::chisquare::chisquare;
use statrs::stats_tests::ks_test::{
    KSOneSampleAlternativeMethod, KSTwoSampleAlternativeMethod, ks_onesample, ks_twosample,
};

use super::{BERNOULLI, CASES, CATEGORICAL, f64s, numbers, rows, uniforms};

const DRAWS: usize = 100_000;

/// Level of each test: what is right passes under nearly every seed, what is wrong under none.
const LEVEL: f64 = 1e-5;

/// A column of the rows in which `b` equals `vertex`.
fn column(t: &Tensor, at: usize, b: &Tensor, vertex: &[f32]) -> Result<Vec<f64>> {
    let (values, b) = (f64s(t)?, b.to_vec()?);
    let matching = values.chunks(vertex.len()).zip(b.chunks(vertex.len()));
    Ok(matching
        .filter(|(_, b)| *b == vertex)
        .map(|(row, _)| row[at])
        .collect())
}

fn assert_uniform(what: &str, sample: Vec<f64>) {
    let law = Uniform::standard();
    let method = KSOneSampleAlternativeMethod::TwoSidedAsymptotic;
    let n = sample.len();
    let (_, p) = ks_onesample(sample, &law, method, NaNPolicy::Error).unwrap();
    assert!(p > LEVEL, "{what}: p-value {p} of {n}");
}

fn assert_same_law(what: &str, a: Vec<f64>, b: Vec<f64>) {
    let method = KSTwoSampleAlternativeMethod::TwoSidedAsymptotic;
    let sizes = (a.len(), b.len());
    let (_, p) = ks_twosample(a, b, method, NaNPolicy::Error).unwrap();
    assert!(p > LEVEL, "{what}: p-value {p} of {sizes:?}");
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn relaxed_samples_follow_logistic_and_gumbel_laws(device: &Device) -> Result<()> {
    let u = uniforms(device, "u", DRAWS, 3)?;
    let theta = CASES[0].1;
    let z = f64s(&BERNOULLI.relaxed(&rows(device, &theta, DRAWS), &u))?;
    let scaled = |at: usize, shift: f64| {
        z.iter()
            .skip(at)
            .step_by(3)
            .map(move |z| sigmoid(z - shift))
    };
    for (at, &theta) in theta.iter().enumerate() {
        assert_uniform("logistic", scaled(at, f64::from(theta)).collect());
    }
    let theta = CASES[1].1;
    let log_p = f64s(&numbers(device, &theta).log_softmax(-1))?;
    let z = f64s(&CATEGORICAL.relaxed(&rows(device, &theta, DRAWS), &u))?;
    for (at, log_p) in log_p.iter().enumerate() {
        let column = z.iter().skip(at).step_by(3);
        assert_uniform(
            "Gumbel",
            column.map(|z| (-(log_p - z).exp()).exp()).collect(),
        );
    }
    Ok(())
}

fn bernoulli_conditional_follows_the_truncated_logistic(device: &Device) -> Result<()> {
    let n = 4 * DRAWS;
    for theta in [-3.0, -0.5, 0.0, 2.0] {
        let v = uniforms(device, "v", n, 1)?;
        let below = sigmoid(f64::from(-theta));
        for b in [0.0, 1.0] {
            let b_rows = rows(device, &[b], n);
            let z = f64s(&BERNOULLI.conditional(&rows(device, &[theta], n), &v, &b_rows))?;
            let cdf = |z: f64| {
                let plain = sigmoid(z - f64::from(theta));
                if b == 1.0 {
                    (plain - below) / (1.0 - below)
                } else {
                    plain / below
                }
            };
            let what = format!("θ = {theta}, b = {b}");
            assert_uniform(&what, z.into_iter().map(cdf).collect());
        }
    }
    Ok(())
}

/// z given b is what is left of z's own draws where H(z) = b; marginals and some joint statistics
/// of the conditional sampler must have the same law.
fn categorical_conditional_follows_rejection_sampling(device: &Device) -> Result<()> {
    let theta = CASES[1].1;
    let n = 2 * DRAWS;
    let logits = rows(device, &theta, n);
    let z = CATEGORICAL.relaxed(&logits, &uniforms(device, "u", n, 3)?);
    let b = CATEGORICAL.hard(&z);
    let v = uniforms(device, "v", n, 3)?;
    let statistics = |z: &Tensor| {
        let (first, second, third) = (z.slice(1, 0..1), z.slice(1, 1..2), z.slice(1, 2..3));
        let joint = [&first - &second, &first - &third, &first + &second + &third];
        Tensor::concat(&[z, &joint[0], &joint[1], &joint[2]], 1)
    };
    for vertex in CATEGORICAL.vertices(3) {
        let all = rows(device, &vertex, n);
        let z_tilde = statistics(&CATEGORICAL.conditional(&logits, &v, &all));
        let kept = statistics(&z);
        for at in 0..6 {
            let pick = |t: &Tensor, b: &Tensor| column(&t.slice(1, at..at + 1), 0, b, &[1.0]);
            let chosen = (b.clone() * &all).sum_keepdim(1);
            let wanted = pick(&kept, &chosen)?;
            let found = pick(&z_tilde, &rows(device, &[1.0], n))?;
            assert_same_law(&format!("statistic {at} given {vertex:?}"), found, wanted);
        }
    }
    Ok(())
}

/// Cells of a 6 × 6 grid over pairs of uniform numbers.
fn grid(pairs: impl Iterator<Item = (f64, f64)>) -> Vec<usize> {
    let mut counts = vec![0; 36];
    pairs.for_each(|(x, y)| counts[(x * 6.0) as usize * 6 + (y * 6.0) as usize] += 1);
    counts
}

fn coupled_noise_is_uniform_given_b_and_brings_z_back(device: &Device) -> Result<()> {
    for (relaxation, theta) in CASES {
        let theta = rows(device, &theta, DRAWS);
        let u = uniforms(device, "u", DRAWS, 3)?;
        let z = relaxation.relaxed(&theta, &u);
        let b = relaxation.hard(&z);
        let v = relaxation.coupled_noise(&theta, &u, &b);

        let again = relaxation.conditional(&theta, &v, &b);
        let v = noise::uniform(&v);
        let errors = f64s(&(&again - &z).abs())?;
        for ((error, v), z) in errors.into_iter().zip(f64s(&v)?).zip(f64s(&z)?) {
            // v near 0 or 1 has few digits left to tell z from.
            let bound = 1e-4 * (1.0 + z.abs()) + 2e-7 / v.min(1.0 - v).max(1e-8);
            assert!(
                error <= bound,
                "{relaxation:?}: z̃ is {error} off z = {z} at v = {v}"
            );
        }

        let values = f64s(&v)?;
        let hard = b.to_vec()?;
        let vertices: Vec<Vec<f32>> = if relaxation.event_rank() == 1 {
            relaxation.vertices(3)
        } else {
            (0..8u8)
                .map(|bits| (0..3).map(|i| f32::from(bits >> i & 1)).collect())
                .collect()
        };
        for vertex in vertices {
            for at in 0..3 {
                let what = format!("{relaxation:?} v[{at}] given {vertex:?}");
                assert_uniform(&what, column(&v, at, &b, &vertex)?);
                // Independent of its neighbour as well.
                let matching = values.chunks(3).zip(hard.chunks(3));
                let given = matching.filter(|(_, b)| *b == &vertex[..]).map(|(v, _)| v);
                let counts = grid(given.map(|v| (v[at], v[(at + 1) % 3])));
                let (_, p) = chisquare(&counts, None, None).unwrap();
                assert!(p > LEVEL, "{what}: pairs have p-value {p}");
            }
        }
    }
    Ok(())
}

on_every_engine!(
    relaxed_samples_follow_logistic_and_gumbel_laws,
    bernoulli_conditional_follows_the_truncated_logistic,
    categorical_conditional_follows_rejection_sampling,
    coupled_noise_is_uniform_given_b_and_brings_z_back
);
