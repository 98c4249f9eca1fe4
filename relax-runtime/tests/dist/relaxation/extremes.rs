//! The ends of the noise, and far logits.

use relax_runtime::dist::Relaxation;
use relax_runtime::{Device, Result, Tensor, grad};

use super::{BERNOULLI, CATEGORICAL, numbers};

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
fn extremes(device: &Device, logits: &[Vec<f32>], noise: &[Vec<f32>]) -> Result<(Tensor, Tensor)> {
    let shape = [logits.len() * noise.len(), logits[0].len()];
    let logits_then = logits
        .iter()
        .flat_map(|l| std::iter::repeat_n(l, noise.len()));
    let theta = logits_then.flatten().copied().collect();
    let u = logits.iter().flat_map(|_| noise.iter().flatten()).copied();
    Ok((
        Tensor::from_vec(theta, shape, device)?,
        Tensor::from_vec(u.collect(), shape, device)?,
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
        let b = numbers(&theta.device(), &vertex).broadcast_to(theta.shape());
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

fn extremes_stay_finite_and_hard_values_stay_the_same(device: &Device) -> Result<()> {
    let (theta, u) = extremes(device, &combinations(&LOGITS, 1), &combinations(&NOISE, 1))?;
    check_extremes(BERNOULLI, &theta, &u)?;
    let (theta, u) = extremes(device, &combinations(&LOGITS, 1), &combinations(&NOISE, 1))?;
    check_extremes(CATEGORICAL, &theta, &u)?;
    let (theta, u) = extremes(device, &combinations(&LOGITS, 2), &combinations(&NOISE, 2))?;
    check_extremes(CATEGORICAL, &theta, &u)?;
    let few = [-1e4, 0.0, 17.0, 1e4];
    let (theta, u) = extremes(device, &combinations(&few, 3), &combinations(&NOISE, 3))?;
    check_extremes(CATEGORICAL, &theta, &u)
}

on_every_engine!(extremes_stay_finite_and_hard_values_stay_the_same);
