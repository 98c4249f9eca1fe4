//! Relaxed counts against their definitions, at ordinary numbers and at extremes.

use std::rc::Rc;

use relax_runtime::dist::{
    BetaBinomial, BetaBinomialFamily, Binomial, CountFamily, Distribution, Geometric, Law,
    NegativeBinomial, Poisson, ZeroInflated,
};
use relax_runtime::{Device, Key, Result, Tensor};
use statrs::distribution::{self as reference, DiscreteCDF};

use super::cases::{cases, sigmoid};
use super::near;

/// z̃ of the coupled noise is z; z̃ of any noise lies in b's step; κ is how z moves with θ while z̃ stays.
#[test]
fn relaxed_samples_keep_their_word() -> Result<()> {
    for case in cases() {
        let (law, theta) = case.of_rows(500)?;
        let relaxation = law.relaxation().expect("there is one");
        let u = law.noise(&mut Key::new(5).stream("u"))?;
        let v = law.noise(&mut Key::new(5).stream("v"))?;
        let z = relaxation.relaxed(&theta, &u);
        let b = relaxation.hard(&z);
        let coupled = relaxation.coupled_noise(&theta, &u, &b);
        let same = relaxation.conditional(&theta, &coupled, &b).to_vec()?;
        for (z, same) in z.to_vec()?.iter().zip(same) {
            near(case.name, f64::from(same), f64::from(*z), 2e-6);
        }
        let other = relaxation.conditional(&theta, &v, &b);
        assert_eq!(
            relaxation.hard(&other).to_vec()?,
            b.to_vec()?,
            "{}",
            case.name
        );
        let s = relaxation.squash(&z, &Tensor::scalar(0.5));
        assert!(relaxation.spans(&s)?, "{}", case.name);
        let near_b = (&s - &b).to_vec()?;
        assert!(
            near_b.iter().all(|d| d.abs() <= 0.5 + 1e-4),
            "{}",
            case.name
        );

        let kappa = relaxation.kappa(&theta, &u, &b);
        let width = theta.len() / 500;
        for j in 0..width {
            const H: f32 = 2e-3;
            let one: Vec<f32> = (0..width).map(|i| f32::from(u8::from(i == j))).collect();
            let one = Tensor::from_slice(&one).broadcast_to(theta.shape());
            let moved = |by: f32| relaxation.relaxed(&(&theta + &one * by), &u);
            let (up, down) = (moved(H), moved(-H));
            let rise = (&up - &down) / (2.0 * H);
            let pushed = relaxation.push(&theta, &kappa, &one).to_vec()?;
            let tangent = relaxation.relaxed(&theta.with_tangent(&one), &u).tangent();
            let tangent = tangent.expect("it moves").to_vec()?;
            let (first, last) = (
                relaxation.hard(&down).to_vec()?,
                relaxation.hard(&up).to_vec()?,
            );
            let rows = rise.to_vec()?.into_iter().enumerate().step_by(width);
            for (i, rise) in rows.filter(|(i, _)| first[*i] == last[*i]) {
                near(case.name, f64::from(pushed[i]), f64::from(rise), 5e-3);
                assert_eq!(pushed[i], tangent[i]);
            }
        }
    }
    Ok(())
}

#[test]
fn scores_are_derivatives_of_the_mass() -> Result<()> {
    for case in cases() {
        let (law, theta) = case.of_rows(1)?;
        let relaxation = law.relaxation().expect("there is one");
        let h = 1e-5;
        for k in [0_u64, 1, 3] {
            // Grades have other parameters than what estimators differentiate by.
            let is_own = theta.len() == case.theta.len() && case.name != "OrderedLogistic";
            if (case.mass)(&case.double(), k) == 0.0 || !is_own {
                continue;
            }
            let b = law.to_vertex(&Tensor::from_slice(&[k as f32]));
            let score = relaxation.score(&theta, &b).to_vec()?;
            for (j, score) in score.iter().enumerate() {
                let moved = |by: f64| {
                    let mut theta = case.double();
                    theta[j] += by;
                    (case.host)(&theta, k as usize)
                };
                let wanted = (moved(h)? - moved(-h)?) / (2.0 * h);
                near(case.name, f64::from(*score), wanted, 1e-4);
            }
        }
    }
    Ok(())
}

/// Noise at the ends and rates of any size give finite numbers, and b in its own step.
#[test]
fn extremes_stay_finite() -> Result<()> {
    let ends = [
        0.0_f32, 2.7e-20, 1e-12, 1e-3, 0.5, -1e-3, -1e-12, -2.7e-20, 1.0, -0.0,
    ];
    let laws: Vec<(&str, Rc<dyn Law>)> = vec![
        (
            "rate 1e-8",
            Poisson::rate(Tensor::full([10], 1e-8, &Device::cpu()))?.law()?,
        ),
        (
            "rate 1e4",
            Poisson::rate(Tensor::full([10], 1e4, &Device::cpu()))?.law()?,
        ),
        (
            "rate 3e6",
            Poisson::rate(Tensor::full([10], 3e6, &Device::cpu()))?.law()?,
        ),
        (
            "no trials",
            Binomial::logits(0, Tensor::full([10], 0.3, &Device::cpu()))?.law()?,
        ),
        (
            "sure",
            Binomial::probs(7, Tensor::full([10], 1.0, &Device::cpu()))?.law()?,
        ),
        (
            "rare",
            Binomial::logits(20, Tensor::full([10], -40.0, &Device::cpu()))?.law()?,
        ),
        (
            "many",
            Binomial::logits(1_000_000, Tensor::full([10], 0.7, &Device::cpu()))?.law()?,
        ),
        (
            "soon",
            Geometric::logits(Tensor::full([10], 30.0, &Device::cpu()))?.law()?,
        ),
        (
            "late",
            Geometric::logits(Tensor::full([10], -12.0, &Device::cpu()))?.law()?,
        ),
        ("heavy", {
            let r = Tensor::full([10], 1e-3, &Device::cpu());
            NegativeBinomial::logits(r, Tensor::full([10], 5.0, &Device::cpu()))?.law()?
        }),
        ("light", {
            let r = Tensor::full([10], 1e5, &Device::cpu());
            NegativeBinomial::logits(r, Tensor::full([10], -3.0, &Device::cpu()))?.law()?
        }),
        ("zeros of a gate alone", {
            let gate = Tensor::full([10], 0.5, &Device::cpu());
            let mean = Tensor::full([10], 1e6, &Device::cpu());
            ZeroInflated::gate(gate, NegativeBinomial::mean(mean, 1e3))?.law()?
        }),
        ("zeros of a gate beside trials", {
            let gate = Tensor::full([10], 0.5, &Device::cpu());
            let a = Tensor::full([10], 1e4, &Device::cpu());
            ZeroInflated::gate(gate, BetaBinomial::new(&a, &a, 20_000))?.law()?
        }),
    ];
    for (name, law) in laws {
        let relaxation = law.relaxation().expect("there is one");
        let theta = law.parameters()[0].detach();
        let width = theta.len() / 10;
        let u: Vec<f32> = ends.iter().flat_map(|u| vec![*u; width]).collect();
        let u = Tensor::from_vec(u, theta.shape(), &Device::cpu())?;
        let z = relaxation.relaxed(&theta, &u);
        let b = relaxation.hard(&z);
        let kappa = relaxation.kappa(&theta, &u, &b);
        let value = law.value_at(&b);
        assert!(
            value
                .to_vec()?
                .iter()
                .all(|b| *b >= 0.0 && b.fract() == 0.0)
        );
        for x in [
            &z,
            &b,
            &kappa,
            &relaxation.squash(&z, &Tensor::scalar(0.3)),
            &relaxation.score(&theta, &b),
            &relaxation.coupled_noise(&theta, &u, &b),
            &relaxation.conditional(&theta, &u, &b),
            &law.log_density(&value),
            &law.mean(),
        ] {
            assert!(x.to_vec()?.iter().all(|x| x.is_finite()), "{name}: {x:?}");
        }
        let again = relaxation.hard(&relaxation.conditional(&theta, &u, &b));
        assert_eq!(again.to_vec()?, b.to_vec()?, "{name}");
    }
    Ok(())
}

/// What training may make of parameters ends in numbers that say so, and never in a panic or no end.
#[test]
fn parameters_beyond_all_bounds_come_back() -> Result<()> {
    for log_rate in [-1e3, -120.0] {
        let law = Poisson::log_rate(log_rate)?;
        assert_eq!(law.sample(&mut Key::new(1).stream("x"))?, 0);
        assert_eq!(law.log_prob(&0)?.total()?.exp(), 1.0);
    }
    let laws = [
        Poisson::rate(Tensor::scalar(1.0))?.law()?,
        Geometric::probs(Tensor::scalar(0.5))?.law()?,
        Binomial::probs(3, Tensor::scalar(0.5))?.law()?,
        NegativeBinomial::probs(Tensor::scalar(2.0), Tensor::scalar(0.5))?.law()?,
    ];
    for law in laws {
        let like = law.parameters().remove(0);
        let noise = law.noise(&mut Key::new(1).stream("x"))?;
        for theta in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30] {
            let moved = law.with_parameters(&[like.full_like(theta)]);
            let relaxation = moved.relaxation().expect("there is one");
            let z = relaxation.relaxed(&moved.parameters()[0], &noise);
            let kappa = relaxation.kappa(&moved.parameters()[0], &noise, &relaxation.hard(&z));
            assert_eq!(kappa.to_vec()?.len(), like.len());
            assert!(moved.draw(&noise).to_vec()?[0] >= 0.0);
        }
    }
    Ok(())
}

/// The distribution function of large laws passes a quantile where statrs has it.
#[test]
fn quantiles_of_large_laws_are_right() -> Result<()> {
    let u = [1e-9_f32, 1e-4, 0.3, 0.5, 0.9, -1e-4];
    let noise = Tensor::from_slice(&u);
    let full = |x: f32| Tensor::full([u.len()], x, &Device::cpu());
    let check =
        |name: &str, law: Rc<dyn Law>, cdf: &dyn Fn(u64) -> f64, sf: &dyn Fn(u64) -> f64| {
            let draws = law.draw(&noise).to_vec()?;
            for (u, b) in u.iter().zip(draws) {
                let b = b as u64;
                let (passed, before) = match *u > 0.0 {
                    true => (
                        cdf(b) > f64::from(*u),
                        cdf(b - 1) <= f64::from(*u) * (1.0 + 1e-6),
                    ),
                    false => (
                        sf(b) < -f64::from(*u),
                        sf(b - 1) >= -f64::from(*u) * (1.0 - 1e-6),
                    ),
                };
                assert!(passed && before, "{name}: {u} gave {b}");
            }
            Ok::<_, relax_runtime::Error>(())
        };
    let poisson = reference::Poisson::new(1e4).unwrap();
    let law = Poisson::rate(full(1e4))?.law()?;
    check("Poisson", law, &|k| poisson.cdf(k), &|k| poisson.sf(k))?;
    let p = sigmoid(f64::from(-0.5_f32));
    let binomial = reference::Binomial::new(p, 500).unwrap();
    let law = Binomial::logits(500, full(-0.5))?.law()?;
    check("Binomial", law, &|k| binomial.cdf(k), &|k| binomial.sf(k))
}

/// Tails are sums of masses, the smaller of the two in all digits, and 1 beside one that is 0 in f64.
#[test]
fn tails_of_shared_probabilities_are_sums_of_masses() {
    for (a, b, total) in [
        (2.0, 1.5, 12),
        (0.4, 0.4, 50),
        (0.3, 5.0, 100),
        (5.0, 0.3, 100),
        (1e3, 1e3, 2_000),
        (4e3, 1e3, 3_000),
    ] {
        let (theta, n) = ([f64::ln(a), f64::ln(b)], f64::from(total));
        let mass = |k: i32| {
            let ln_mass = BetaBinomialFamily.ln_mass(&theta, n, f64::from(k));
            ln_mass.exp()
        };
        for k in (0..total).step_by(1 + total as usize / 200) {
            let (lower, upper) = BetaBinomialFamily.tails(&theta, n, f64::from(k));
            let below: f64 = (0..=k).map(mass).sum();
            let above: f64 = (k + 1..=total).rev().map(mass).sum();
            for (found, wanted) in [(lower, below), (upper, above)] {
                let digits = if wanted <= 0.5 { wanted } else { 1.0 };
                let error = (found - wanted).abs();
                let what = format!("{a} {b} {total} at {k}: {found:e} instead of {wanted:e}");
                assert!(error <= 1e-9 * digits + 1e-300, "{what}");
            }
        }
    }
}

/// A gate's share of zeros stands beside counts of which none is near 0: quantiles behind it are the other law's.
#[test]
fn gates_keep_their_share_beside_large_counts() -> Result<()> {
    let u = [0.3, 0.49, -0.45, -0.4, -0.3, -0.1];
    let full = |x: f32| Tensor::full([u.len()], x, &Device::cpu());
    let base = BetaBinomial::new(full(1e4), full(1e4), 20_000);
    let law = ZeroInflated::gate(full(0.5), base)?.law()?;
    let shape = law.parameters()[0].shape();
    let noise = Tensor::from_slice(&u).unsqueeze(-1).broadcast_to(shape);
    let wanted = [0.0, 0.0, 9_872.0, 9_916.0, 9_975.0, 10_084.0];
    assert_eq!(law.draw(&noise).to_vec()?, wanted);
    Ok(())
}
