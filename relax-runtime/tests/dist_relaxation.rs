//! Relaxed samples: z, b = H(z), z̃ given b, coupled noise and κ, against their definitions.

use relax_runtime::dist::{BernoulliRelaxation, CategoricalRelaxation, Relaxation, noise};
use relax_runtime::{Device, Key, Result, Tensor, grad};
use statrs::distribution::Uniform;
use statrs::stats_tests::NaNPolicy;
use statrs::stats_tests::chisquare::chisquare;
use statrs::stats_tests::ks_test::{
    KSOneSampleAlternativeMethod, KSTwoSampleAlternativeMethod, ks_onesample, ks_twosample,
};

const DRAWS: usize = 100_000;

/// Level of each test: what is right passes under nearly every seed, what is wrong under none.
const LEVEL: f64 = 1e-5;

const BERNOULLI: &dyn Relaxation = &BernoulliRelaxation;
const CATEGORICAL: &dyn Relaxation = &CategoricalRelaxation;

/// Each relaxation with logits of ordinary size.
const CASES: [(&dyn Relaxation, [f32; 3]); 2] = [
    (BERNOULLI, [-1.2, 0.0, 2.5]),
    (CATEGORICAL, [-1.2, 0.4, 1.0]),
];

fn rows(values: &[f32], n: usize) -> Tensor {
    Tensor::from_slice(values).broadcast_to([n, values.len()])
}

fn uniforms(purpose: &str, n: usize, width: usize) -> Result<Tensor> {
    let mut stream = Key::new(21).stream(purpose);
    stream.uniforms([n, width], &Device::cpu())
}

fn f64s(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_vec()?.into_iter().map(f64::from).collect())
}

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

fn assert_near(what: &str, found: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (found, wanted) in found.iter().zip(wanted) {
        let error = (found - wanted).abs() / (1.0 + wanted.abs());
        assert!(error < tolerance, "{what}: {found} instead of {wanted}");
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn relaxed_samples_follow_logistic_and_gumbel_laws() -> Result<()> {
    let u = uniforms("u", DRAWS, 3)?;
    let theta = CASES[0].1;
    let z = f64s(&BERNOULLI.relaxed(&rows(&theta, DRAWS), &u))?;
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
    let log_p = f64s(&Tensor::from_slice(&theta).log_softmax(-1))?;
    let z = f64s(&CATEGORICAL.relaxed(&rows(&theta, DRAWS), &u))?;
    for (at, log_p) in log_p.iter().enumerate() {
        let column = z.iter().skip(at).step_by(3);
        assert_uniform(
            "Gumbel",
            column.map(|z| (-(log_p - z).exp()).exp()).collect(),
        );
    }
    Ok(())
}

#[test]
fn bernoulli_conditional_follows_the_truncated_logistic() -> Result<()> {
    let n = 4 * DRAWS;
    for theta in [-3.0, -0.5, 0.0, 2.0] {
        let v = uniforms("v", n, 1)?;
        let below = sigmoid(f64::from(-theta));
        for b in [0.0, 1.0] {
            let b_rows = rows(&[b], n);
            let z = f64s(&BERNOULLI.conditional(&rows(&[theta], n), &v, &b_rows))?;
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
#[test]
fn categorical_conditional_follows_rejection_sampling() -> Result<()> {
    let theta = CASES[1].1;
    let n = 2 * DRAWS;
    let logits = rows(&theta, n);
    let z = CATEGORICAL.relaxed(&logits, &uniforms("u", n, 3)?);
    let b = CATEGORICAL.hard(&z);
    let v = uniforms("v", n, 3)?;
    let statistics = |z: &Tensor| {
        let (first, second, third) = (z.slice(1, 0..1), z.slice(1, 1..2), z.slice(1, 2..3));
        let joint = [&first - &second, &first - &third, &first + &second + &third];
        Tensor::concat(&[z, &joint[0], &joint[1], &joint[2]], 1)
    };
    for vertex in CATEGORICAL.vertices(3) {
        let all = rows(&vertex, n);
        let z_tilde = statistics(&CATEGORICAL.conditional(&logits, &v, &all));
        let kept = statistics(&z);
        for at in 0..6 {
            let pick = |t: &Tensor, b: &Tensor| column(&t.slice(1, at..at + 1), 0, b, &[1.0]);
            let chosen = (b.clone() * &all).sum_keepdim(1);
            let wanted = pick(&kept, &chosen)?;
            let found = pick(&z_tilde, &rows(&[1.0], n))?;
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

#[test]
fn coupled_noise_is_uniform_given_b_and_brings_z_back() -> Result<()> {
    for (relaxation, theta) in CASES {
        let theta = rows(&theta, DRAWS);
        let u = uniforms("u", DRAWS, 3)?;
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

/// Rows of ordinary and far logits, with their noise.
fn kappa_cases(relaxation: &dyn Relaxation) -> Result<(Tensor, Tensor, Tensor)> {
    const N: usize = 64;
    let mut stream = Key::new(5).stream("theta");
    let theta = stream.normals([N, 3], &Device::cpu())? * 2.0;
    let u = uniforms("kappa", N, 3)?;
    let b = relaxation.hard(&relaxation.relaxed(&theta, &u));
    Ok((theta, u, b))
}

#[test]
fn kappa_is_one_minus_the_slope_of_the_conditional_sampler() -> Result<()> {
    let (theta, u, b) = kappa_cases(BERNOULLI)?;
    let v = BERNOULLI.coupled_noise(&theta, &u, &b);
    let kappa = BERNOULLI.kappa(&theta, &u, &b).to_vec()?;
    let leaf = theta.leaf();
    let z_tilde = BERNOULLI.conditional(&leaf, &v, &b);
    let slope = &grad(&[(&z_tilde, None)], &[&leaf])?[0];
    assert_near("Bernoulli", &kappa, &(1.0 - slope).to_vec()?, 1e-4);
    assert!(kappa.iter().all(|k| (0.0..=1.0).contains(k)));

    // By normalised logits: along e_k the tangent of z − z̃ is κ_k (1 − p_k) at category k.
    let (theta, u, b) = kappa_cases(CATEGORICAL)?;
    let v = CATEGORICAL.coupled_noise(&theta, &u, &b);
    let kappa = CATEGORICAL.kappa(&theta, &u, &b);
    let p = theta.softmax(-1);
    for vertex in CATEGORICAL.vertices(3) {
        let axis = rows(&vertex, theta.rows());
        let moving = theta.with_tangent(&axis);
        let difference =
            CATEGORICAL.relaxed(&moving, &u) - CATEGORICAL.conditional(&moving, &v, &b);
        let along = difference.tangent().unwrap();
        let found = (along * &axis / (1.0 - &p)).sum(-1);
        let wanted = (&kappa * &axis).sum(-1);
        assert_near("Categorical", &wanted.to_vec()?, &found.to_vec()?, 1e-3);
    }
    Ok(())
}

#[test]
fn pull_and_push_are_the_jacobian_of_z_minus_z_tilde() -> Result<()> {
    for (relaxation, _) in CASES {
        let (theta, u, b) = kappa_cases(relaxation)?;
        let coupled = relaxation.coupled_noise(&theta, &u, &b);
        let kappa = relaxation.kappa(&theta, &u, &b);
        let difference = |theta: &Tensor| {
            relaxation.relaxed(theta, &u) - relaxation.conditional(theta, &coupled, &b)
        };
        let mut stream = Key::new(6).stream("w");
        let w = stream.normals(theta.shape(), &Device::cpu())?;
        let v = stream.normals(theta.shape(), &Device::cpu())?;

        let pulled = relaxation.pull(&theta, &kappa, &w);
        let pushed = relaxation.push(&theta, &kappa, &v);
        let left = (&pulled * &v).sum(-1).to_vec()?;
        let right = (&w * &pushed).sum(-1).to_vec()?;
        assert_near("adjoint", &left, &right, 1e-5);

        let leaf = theta.leaf();
        let reverse = &grad(&[(&difference(&leaf), Some(&w))], &[&leaf])?[0];
        assert_near("pull", &pulled.to_vec()?, &reverse.to_vec()?, 1e-3);
        let forward = difference(&theta.with_tangent(&v)).tangent().unwrap();
        assert_near("push", &pushed.to_vec()?, &forward.to_vec()?, 1e-3);
    }
    Ok(())
}

#[test]
fn score_is_the_derivative_of_the_log_mass() -> Result<()> {
    for (relaxation, _) in CASES {
        let (theta, _, b) = kappa_cases(relaxation)?;
        let leaf = theta.leaf();
        let log_mass = if relaxation.event_rank() == 1 {
            (&b * leaf.log_softmax(-1)).sum(-1)
        } else {
            &b * &leaf - leaf.softplus()
        };
        let wanted = &grad(&[(&log_mass, None)], &[&leaf])?[0];
        let found = relaxation.score(&theta, &b);
        assert_near("score", &found.to_vec()?, &wanted.to_vec()?, 1e-5);
    }
    Ok(())
}

/// Noise that no stream draws, but a caller may pass: the ends, and what lies next to them.
const NOISE: [f32; 9] = [
    0.0,
    f32::MIN_POSITIVE,
    1e-10,
    f32::EPSILON / 2.0,
    0.3,
    0.5,
    1.0 - 1e-3,
    1.0 - f32::EPSILON / 2.0,
    1.0,
];

const LOGITS: [f32; 9] = [-1e4, -80.0, -17.0, -1.0, 0.0, 1.0, 17.0, 80.0, 1e4];

/// Every row of `width` numbers taken from `from`.
fn combinations(from: &[f32], width: usize) -> Vec<Vec<f32>> {
    (0..from.len().pow(width as u32))
        .map(|mut at| {
            let mut digit = || {
                let digit = at % from.len();
                at /= from.len();
                from[digit]
            };
            (0..width).map(|_| digit()).collect()
        })
        .collect()
}

/// Every pair of a row of logits and a row of noise.
fn extremes(logits: &[Vec<f32>], noise: &[Vec<f32>]) -> Result<(Tensor, Tensor)> {
    let shape = [logits.len() * noise.len(), logits[0].len()];
    let logits_then = logits
        .iter()
        .flat_map(|l| std::iter::repeat_n(l, noise.len()));
    let theta = logits_then.flatten().copied().collect();
    let u = logits.iter().flat_map(|_| noise.iter().flatten()).copied();
    Ok((
        Tensor::from_vec(theta, shape, &Device::cpu())?,
        Tensor::from_vec(u.collect(), shape, &Device::cpu())?,
    ))
}

fn assert_finite(what: &str, t: &Tensor) -> Result<()> {
    let bad = t.to_vec()?.into_iter().find(|x| !x.is_finite());
    assert!(bad.is_none(), "{what} has {bad:?}");
    Ok(())
}

fn check_extremes(relaxation: &dyn Relaxation, theta: &Tensor, u: &Tensor) -> Result<()> {
    let width = theta.shape()[1];
    let cold = Tensor::scalar(0.1);
    let leaf = theta.leaf();
    let z = relaxation.relaxed(&leaf, u);
    let own = relaxation.hard(&z);
    assert_finite("z", &z)?;
    let slope = grad(&[(&relaxation.squash(&z, &cold), None)], &[&leaf])?;
    assert_finite("∂σ(z/λ)/∂θ", &slope[0])?;

    let v = relaxation.coupled_noise(theta, u, &own);
    let kappa = relaxation.kappa(theta, u, &own);
    assert!(
        v.to_vec()?.iter().all(|v| (-1.0..=1.0).contains(v)),
        "coupled noise {v:?}"
    );
    assert!(
        kappa.to_vec()?.iter().all(|k| (0.0..=1.0).contains(k)),
        "κ {kappa:?}"
    );
    assert_finite("pull", &relaxation.pull(theta, &kappa, &theta.ones_like()))?;
    assert_finite("push", &relaxation.push(theta, &kappa, &theta.ones_like()))?;
    let again = relaxation.hard(&relaxation.conditional(theta, &v, &own));
    assert_eq!(again.to_vec()?, own.to_vec()?, "H(z̃) under coupled noise");

    // Any b, also one that θ makes all but impossible.
    let width_of_event = if relaxation.event_rank() == 1 {
        width
    } else {
        1
    };
    for vertex in relaxation.vertices(width_of_event) {
        let b = Tensor::from_slice(&vertex).broadcast_to(theta.shape());
        let leaf = theta.leaf();
        let z_tilde = relaxation.conditional(&leaf, u, &b);
        assert_finite("z̃", &z_tilde)?;
        let wrong = (relaxation.hard(&z_tilde) - &b).abs().sum(-1).to_vec()?;
        if let Some(row) = wrong.iter().position(|&x| x != 0.0) {
            let of = |t: &Tensor| t.index(0, row).to_vec();
            let (theta, v, z) = (of(theta)?, of(u)?, of(&z_tilde)?);
            panic!("H(z̃) is not {vertex:?} at θ {theta:?}, v {v:?}: z̃ is {z:?}");
        }
        let squashed = relaxation.squash(&z_tilde, &cold);
        let slopes = grad(&[(&z_tilde, None), (&squashed, None)], &[&leaf])?;
        assert_finite("∂z̃/∂θ", &slopes[0])?;
        assert_finite("score", &relaxation.score(theta, &b))?;
    }
    Ok(())
}

#[test]
fn extremes_stay_finite_and_hard_values_stay_the_same() -> Result<()> {
    let (theta, u) = extremes(&combinations(&LOGITS, 1), &combinations(&NOISE, 1))?;
    check_extremes(BERNOULLI, &theta, &u)?;
    let (theta, u) = extremes(&combinations(&LOGITS, 1), &combinations(&NOISE, 1))?;
    check_extremes(CATEGORICAL, &theta, &u)?;
    let (theta, u) = extremes(&combinations(&LOGITS, 2), &combinations(&NOISE, 2))?;
    check_extremes(CATEGORICAL, &theta, &u)?;
    let few = [-1e4, 0.0, 17.0, 1e4];
    let (theta, u) = extremes(&combinations(&few, 3), &combinations(&NOISE, 3))?;
    check_extremes(CATEGORICAL, &theta, &u)
}

/// A relaxation that says no more than it must.
#[derive(Debug)]
struct Bare(&'static dyn Relaxation);

impl Relaxation for Bare {
    fn relaxed(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        self.0.relaxed(theta, u)
    }
    fn hard(&self, z: &Tensor) -> Tensor {
        self.0.hard(z)
    }
    fn conditional(&self, theta: &Tensor, v: &Tensor, b: &Tensor) -> Tensor {
        self.0.conditional(theta, v, b)
    }
    fn coupled_noise(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor {
        self.0.coupled_noise(theta, u, b)
    }
    fn squash(&self, z: &Tensor, temperature: &Tensor) -> Tensor {
        self.0.squash(z, temperature)
    }
    fn event_rank(&self) -> usize {
        self.0.event_rank()
    }
    fn values(&self, width: usize) -> Option<usize> {
        self.0.values(width)
    }
    fn vertices(&self, width: usize) -> Vec<Vec<f32>> {
        self.0.vertices(width)
    }
    fn log_mass(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        self.0.log_mass(theta, b)
    }
}

#[test]
fn what_a_relaxation_leaves_out_follows_from_the_rest() -> Result<()> {
    for (relaxation, theta) in CASES {
        let bare = Bare(relaxation);
        let (theta, u) = (rows(&theta, 40), uniforms("bare", 40, 3)?);
        let b = relaxation.hard(&relaxation.relaxed(&theta, &u));
        let places = 40 * (3 / bare.width(&theta.shape()));
        let by: Vec<f32> = (0..places).map(|i| (i % 2) as f32).collect();
        let by = Tensor::from_vec(by, [40, places / 40], &Device::cpu())?;
        let by = match relaxation.event_rank() {
            0 => by,
            _ => by.squeeze(-1),
        };
        let mut pairs = vec![
            (
                "score",
                bare.score(&theta, &b),
                relaxation.score(&theta, &b),
            ),
            ("mean", bare.mean(&theta), relaxation.mean(&theta)),
            (
                "probabilities",
                bare.probabilities(&theta),
                relaxation.probabilities(&theta),
            ),
            (
                "shifted",
                bare.shifted(&b, &by),
                relaxation.shifted(&b, &by),
            ),
        ];
        let kappa = bare.kappa(&theta, &u, &b);
        if relaxation.event_rank() == 0 {
            let w = uniforms("w", 40, 3)?;
            pairs.push((
                "pull",
                bare.pull(&theta, &kappa, &w),
                relaxation.pull(&theta, &kappa, &w),
            ));
            pairs.push((
                "push",
                bare.push(&theta, &kappa, &w),
                relaxation.push(&theta, &kappa, &w),
            ));
            pairs.push(("kappa", kappa, relaxation.kappa(&theta, &u, &b)));
        } else {
            let error = kappa.check().unwrap_err().to_string();
            assert!(error.contains("has to say its κ"), "{error}");
        }
        for (what, found, wanted) in pairs {
            assert_eq!(found.check()?.shape(), wanted.check()?.shape(), "{what}");
            for (x, y) in f64s(&found)?.into_iter().zip(f64s(&wanted)?) {
                assert!((x - y).abs() < 1e-5, "{what} of {relaxation:?}: {x} {y}");
            }
        }
        assert!(bare.spans(&relaxation.mean(&theta))?);
        assert!(!bare.spans(&(b - 0.25))?);
        let error = bare.relaxed_score(&theta, &u).check().unwrap_err();
        assert!(error.to_string().contains("`dlax`"), "{error}");
    }
    Ok(())
}
