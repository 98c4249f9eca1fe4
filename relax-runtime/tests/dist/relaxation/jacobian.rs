//! κ, what it is used for, and the score.

use relax_runtime::dist::Relaxation;
use relax_runtime::{Device, Key, Result, Tensor, grad};

use super::{BERNOULLI, CASES, CATEGORICAL, rows, uniforms};

fn assert_near(what: &str, found: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (found, wanted) in found.iter().zip(wanted) {
        let error = (found - wanted).abs() / (1.0 + wanted.abs());
        assert!(error < tolerance, "{what}: {found} instead of {wanted}");
    }
}

/// Rows of ordinary and far logits, with their noise.
fn kappa_cases(device: &Device, relaxation: &dyn Relaxation) -> Result<(Tensor, Tensor, Tensor)> {
    const N: usize = 64;
    let mut stream = Key::new(5).stream("theta");
    let theta = stream.normals([N, 3], device)? * 2.0;
    let u = uniforms(device, "kappa", N, 3)?;
    let b = relaxation.hard(&relaxation.relaxed(&theta, &u));
    Ok((theta, u, b))
}

fn kappa_is_one_minus_the_slope_of_the_conditional_sampler(device: &Device) -> Result<()> {
    let (theta, u, b) = kappa_cases(device, BERNOULLI)?;
    let v = BERNOULLI.coupled_noise(&theta, &u, &b);
    let kappa = BERNOULLI.kappa(&theta, &u, &b).to_vec()?;
    let leaf = theta.leaf();
    let z_tilde = BERNOULLI.conditional(&leaf, &v, &b);
    let slope = &grad(&[(&z_tilde, None)], &[&leaf])?[0];
    assert_near("Bernoulli", &kappa, &(1.0 - slope).to_vec()?, 1e-4);
    assert!(kappa.iter().all(|k| (0.0..=1.0).contains(k)));

    // By normalised logits: along e_k the tangent of z − z̃ is κ_k (1 − p_k) at category k.
    let (theta, u, b) = kappa_cases(device, CATEGORICAL)?;
    let v = CATEGORICAL.coupled_noise(&theta, &u, &b);
    let kappa = CATEGORICAL.kappa(&theta, &u, &b);
    let p = theta.softmax(-1);
    for vertex in CATEGORICAL.vertices(3) {
        let axis = rows(device, &vertex, theta.rows());
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

fn pull_and_push_are_the_jacobian_of_z_minus_z_tilde(device: &Device) -> Result<()> {
    for (relaxation, _) in CASES {
        let (theta, u, b) = kappa_cases(device, relaxation)?;
        let coupled = relaxation.coupled_noise(&theta, &u, &b);
        let kappa = relaxation.kappa(&theta, &u, &b);
        let difference = |theta: &Tensor| {
            relaxation.relaxed(theta, &u) - relaxation.conditional(theta, &coupled, &b)
        };
        let mut stream = Key::new(6).stream("w");
        let w = stream.normals(theta.shape(), device)?;
        let v = stream.normals(theta.shape(), device)?;

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

fn score_is_the_derivative_of_the_log_mass(device: &Device) -> Result<()> {
    for (relaxation, _) in CASES {
        let (theta, _, b) = kappa_cases(device, relaxation)?;
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

on_every_engine!(
    kappa_is_one_minus_the_slope_of_the_conditional_sampler,
    pull_and_push_are_the_jacobian_of_z_minus_z_tilde,
    score_is_the_derivative_of_the_log_mass
);
