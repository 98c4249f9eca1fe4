//! What a relaxation need not say.

use relax_runtime::dist::Relaxation;
use relax_runtime::{Device, Result, Tensor};

use super::{CASES, f64s, rows, uniforms};

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

fn what_a_relaxation_leaves_out_follows_from_the_rest(device: &Device) -> Result<()> {
    for (relaxation, theta) in CASES {
        let bare = Bare(relaxation);
        let (theta, u) = (rows(device, &theta, 40), uniforms(device, "bare", 40, 3)?);
        let b = relaxation.hard(&relaxation.relaxed(&theta, &u));
        let places = 40 * (3 / bare.width(&theta.shape()));
        let by: Vec<f32> = (0..places).map(|i| (i % 2) as f32).collect();
        let by = Tensor::from_vec(by, [40, places / 40], device)?;
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
            let w = uniforms(device, "w", 40, 3)?;
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
            assert!(error.contains("must define its κ"), "{error}");
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

on_every_engine!(what_a_relaxation_leaves_out_follows_from_the_rest);
